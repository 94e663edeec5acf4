"""Our own forward pass of BERT against transformers'."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from instructsel.errors import ModelRefused
from instructsel.models.bert import PackedBert
from instructsel.models.load import locate
from tests import tiny


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tiny.bert(tmp_path / "model", labels=None)


def loaded(folder: Path, precision: str = "fp32") -> PackedBert:
    return PackedBert.load(locate(str(folder), needed_by="the test"), precision=precision)


def states(model: PackedBert, rows: list[np.ndarray], slots: int) -> list[np.ndarray]:
    """Hidden states of rows, each (length, hidden)."""
    ids = np.zeros(slots, dtype=np.int64)
    ids[: sum(len(row) for row in rows)] = np.concatenate(rows)
    with torch.inference_mode():
        found = model.hidden(ids, np.array([len(row) for row in rows]))
    return [state.float().numpy() for group in found for state in group]


def drawn(lengths: list[int]) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    return [generator.integers(3, 250, size=length) for length in lengths]


def test_hidden_states_are_those_of_transformers(folder: Path) -> None:
    plain = transformers.AutoModel.from_pretrained(str(folder)).eval()
    longest = plain.config.max_position_embeddings
    rows = drawn([longest, 40, 40, 40, 17, 2, 2, 1])
    for row, state in zip(rows, states(loaded(folder), rows, longest + 200), strict=True):
        with torch.inference_mode():
            theirs = plain(input_ids=torch.tensor(row[None])).last_hidden_state[0].numpy()
        assert np.abs(theirs - state).max() < 1e-5


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_hidden_state_has_the_same_bits_in_every_place_of_its_batch(folder: Path, precision: str) -> None:
    model = loaded(folder, precision)
    mine = drawn([23])[0]
    alone = states(model, [mine], 256)[0]
    for before in range(0, 210, 5):
        # Longer rows in front of it, then itself, then shorter ones.
        front = [length for length in (before // 2, before - before // 2) if length >= 23] or ([before] if before >= 23 else [])
        company = sorted(front, reverse=True)
        room = 256 - sum(company) - 23
        rows = [*drawn(company), mine, *drawn([n for n in (19, 11, 3, 1) if (room := room - n) >= 0])]
        assert (states(model, rows, 256)[len(company)] == alone).all()
    for place in range(11):
        rows = [*drawn([23] * place), mine, *drawn([23] * (10 - place))]
        assert (states(model, rows, 256)[place] == alone).all()


def test_weights_may_stand_under_the_name_of_the_body(tmp_path: Path, folder: Path) -> None:
    rows = drawn([30, 9])
    before = states(loaded(folder), rows, 64)
    tiny.edit_weights(folder, lambda state: [state.__setitem__(f"bert.{name}", state.pop(name)) for name in list(state)])
    assert all((one == two).all() for one, two in zip(before, states(loaded(folder), rows, 64), strict=True))


def test_a_missing_weight_is_refused(folder: Path) -> None:
    tiny.edit_weights(folder, lambda state: state.pop("encoder.layer.1.output.dense.bias"))
    with pytest.raises(ModelRefused, match=r"encoder\.layer\.1\.output\.dense\.bias"):
        loaded(folder)


@pytest.mark.parametrize(
    "other", [{"model_type": "roberta"}, {"hidden_act": "gelu_new"}, {"position_embedding_type": "relative_key"}, {"is_decoder": True}]
)
def test_what_is_computed_otherwise_does_not_fit(folder: Path, other: dict[str, object]) -> None:
    config = locate(str(folder), needed_by="the test").config
    assert PackedBert.fits(config)
    assert not PackedBert.fits({**config, **other})
