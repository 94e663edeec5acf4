"""Losses from hidden states: taken only where they are the model's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from instructsel.models import own_loss
from instructsel.models.likelihood import LikelihoodModel
from tests import tiny

SCALED: list[tuple[str, dict[str, Any]]] = [
    ("granite", {}),
    ("granitemoe", {}),
    ("cohere", {}),
    ("gemma2", {"final_logit_softcapping": 2.0}),
    ("minicpm3", {}),
]
"""Architectures whose logits are not what their head gives of the last hidden states."""


def loaded(folder: Path) -> Any:
    return transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()


def of_head(model: Any) -> own_loss.Loss:
    """The loss of the head alone."""

    def loss(ids: Any, labels: Any) -> Any:
        states = model.base_model(input_ids=ids, use_cache=False).last_hidden_state
        logits = model.get_output_embeddings()(states)
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), labels[:, 1:].flatten(), ignore_index=-100)

    return loss


@pytest.mark.parametrize(("kind", "changes"), SCALED)
def test_the_head_alone_is_told_from_a_model_that_scales_its_logits(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    model = loaded(tiny.causal(tmp_path / kind, kind, **changes))
    assert "the model's own loss is" in (own_loss.difference(model, of_head(model)) or "")


@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "opt", "mamba"])
def test_the_head_alone_is_the_loss_of_a_model_that_does_not(tmp_path: Path, kind: str) -> None:
    model = loaded(tiny.causal(tmp_path / kind, kind))
    assert own_loss.difference(model, of_head(model)) is None
    assert own_loss.difference(model, lambda ids, labels: of_head(model)(ids, labels) + 0.2) is not None
    assert own_loss.difference(model, lambda ids, labels: float("nan")) is not None


def test_a_scale_of_one_is_no_scale(tmp_path: Path) -> None:
    model = loaded(tiny.causal(tmp_path / "granite", "granite", logits_scaling=1.0))
    assert own_loss.difference(model, of_head(model)) is None


def test_a_cap_far_above_the_logits_of_an_untrained_model_is_found(tmp_path: Path) -> None:
    # Logits of 0.01 under a cap of 30 are bent by less than fp32 can hold; those it learns are not.
    model = loaded(tiny.causal(tmp_path / "gemma2", "gemma2", final_logit_softcapping=30.0, initializer_range=0.001))
    assert "times as large" in (own_loss.difference(model, of_head(model)) or "")


def test_a_way_that_fails_is_no_way(tmp_path: Path) -> None:
    model = loaded(tiny.causal(tmp_path / "llama", "llama")).train()

    def fails(ids: Any, labels: Any) -> Any:
        raise AttributeError("no such module")

    assert own_loss.difference(model, fails) == "AttributeError: no such module"
    # The model is left as it was.
    assert model.training and not model.get_decoder()._forward_hooks


@pytest.mark.parametrize(("kind", "changes"), SCALED)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_likelihoods_are_those_of_the_model_s_own_loss(tmp_path: Path, kind: str, changes: dict[str, Any], precision: str) -> None:
    folder = tiny.causal(tmp_path / kind, kind, **changes)
    model = loaded(folder)
    rows = [[1, *range(20, 40)], [1, 7, 30, 31, 32]]
    with torch.no_grad():
        expected = [float(model(input_ids=torch.tensor([row]), labels=torch.tensor([row])).loss) for row in rows]
    likelihood = LikelihoodModel.load(str(folder), precision=precision, device="cpu", probe=False)
    assert "the model's own loss is" in (likelihood.padded_because or "")
    np.testing.assert_allclose(likelihood.losses(rows, [1, 1]).values, expected, atol=1e-5 if precision == "fp32" else 0.1)
