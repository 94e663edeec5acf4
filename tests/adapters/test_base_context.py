"""Rows longer than the base's context: cut there, counted, and said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from instructsel import Pool
from instructsel.adapters.recipes import Recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.commands.train import described
from instructsel.errors import ModelRefused, TrainingError
from tests import tiny
from tests.adapters.training_job import Turns, short, write_pool

LONG: list[Turns] = [
    [("user", "the capital of france"), ("assistant", "paris " * 100)],
    [("user", "why is the sky blue"), ("assistant", "it is blue")],
    [("user", "cold water"), ("assistant", "cool it")],
]
CONTEXTS: list[tuple[str, dict[str, Any]]] = [("gpt2", {"n_positions": 64}), ("llama", {"max_position_embeddings": 64})]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    return write_pool(tmp_path_factory.mktemp("pool"), LONG)


def trainer(base: Path, folder: Path, recipe: Recipe | None = None) -> TrlTrainer:
    return TrlTrainer(str(base), recipe or short(), folder, device="cpu", precision="fp32")


@pytest.mark.parametrize(("kind", "changes"), CONTEXTS)
@pytest.mark.parametrize("packing", [False, True])
def test_rows_are_cut_at_the_context_and_counted(tmp_path: Path, pool: Pool, kind: str, changes: dict[str, Any], packing: bool) -> None:
    base = tiny.causal(tmp_path / kind, kind, **changes)
    made = trainer(base, tmp_path, short(packing=packing))
    record = made.train(pool, seed=0).record
    audit = record["audit"]
    assert (audit["longest"], audit["truncated"], audit["max_length"], audit["context"]) == (64, 1, 64, 64)
    assert record["trainer"]["max_length"] == 64 and record["trainer"]["recipe"]["max_length"] == 512
    sentence = f"Rows are cut at 64 tokens, the context of {kind}; the recipe's max_length is 512."
    assert (
        made.notices == [sentence]
        and sentence in described(made, made.recipe)
        and "rows of up to 64 tokens" in described(made, made.recipe)[0]
    )


FILLING: list[Turns] = [[("user", f"egg {number}"), ("assistant", f"water {number} " * 40)] for number in range(4)]


@pytest.mark.parametrize(("kind", "changes"), CONTEXTS)
def test_rows_that_fill_the_context_are_packed(tmp_path: Path, kind: str, changes: dict[str, Any]) -> None:
    base = tiny.causal(tmp_path / kind, kind, **changes)
    record = trainer(base, tmp_path, short(packing=True)).train(write_pool(tmp_path, FILLING), seed=0).record
    assert (record["audit"]["longest"], record["audit"]["truncated"]) == (64, 4) and record["steps"] > 0


def test_a_base_that_mixes_packed_rows_is_refused_where_they_fill_its_context(tmp_path: Path) -> None:
    base = tiny.causal(tmp_path / "opt", "opt", max_position_embeddings=64)
    with pytest.raises(ModelRefused, match="cross-contamination in packing"):
        trainer(base, tmp_path, short(packing=True)).train(write_pool(tmp_path, FILLING), seed=0)


def test_a_base_whose_context_is_long_enough_trains_as_before(tmp_path: Path, pool: Pool) -> None:
    base = tiny.causal(tmp_path / "llama", "llama")
    made = trainer(base, tmp_path)
    assert made.max_length == 512 and made.notices == [] and "max_length" not in made.fingerprint
    cut = replace(made, recipe=short(max_length=40))
    assert cut.max_length == 40 and cut.notices == [] and "max_length" not in cut.fingerprint
    assert cut.audit(pool).as_dict()["max_length"] == 40


def test_a_model_without_a_context_takes_the_recipe_s_length(tmp_path: Path) -> None:
    made = trainer(tiny.causal(tmp_path / "mamba", "mamba"), tmp_path)
    assert made.context is None and made.max_length == 512 and made.notices == []


def test_prompts_that_fill_the_context_are_not_mended_by_a_greater_length(tmp_path: Path) -> None:
    base = tiny.causal(tmp_path / "llama", "llama", max_position_embeddings=64)
    long = write_pool(tmp_path, [[("user", "egg " * 100), ("assistant", "boil it")], *LONG[1:]], "long.jsonl")
    with pytest.raises(TrainingError) as caught:
        trainer(base, tmp_path).train(long, seed=0)
    assert "1 no_loss_token" in caught.value.message
    assert "longer context" in str(caught.value.fix) and "raise max_length" not in str(caught.value.fix)
