"""A language model as an encoder: what a vector is, and that nothing but the text decides it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers

from instructsel.neighbors.pooled_states import PooledStates
from tests import tiny

TEXTS = ["The capital of France is Paris.", "Boil the egg.", "one two three four five six seven eight nine ten", "Paris"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("base"), "llama")


@pytest.fixture(scope="module")
def states(folder: Path) -> PooledStates:
    return PooledStates.load(str(folder), precision="fp32", device="cpu")


def test_a_vector_is_the_weighted_mean_of_the_last_states_at_unit_norm(folder: Path, states: PooledStates) -> None:
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    found = states.encode(TEXTS)
    for text, vector in zip(TEXTS, found.vectors, strict=True):
        ids = [states.language_model.start, *states.language_model.tokenizer.encode(text, add_special_tokens=False).ids]
        with torch.inference_mode():
            last = model.model(input_ids=torch.tensor([ids])).last_hidden_state[0].double().numpy()
        weights = np.arange(1, len(ids) + 1) / (len(ids) * (len(ids) + 1) / 2)
        expected = weights @ last
        assert np.allclose(vector, expected / np.linalg.norm(expected), atol=1e-5)


def test_a_vector_is_the_same_alone_and_in_any_company(states: PooledStates) -> None:
    together = states.encode([*TEXTS, *TEXTS[::-1]])
    for number, text in enumerate(TEXTS):
        alone = states.encode([text]).vectors[0]
        assert np.array_equal(alone, together.vectors[number]) and np.array_equal(alone, together.vectors[-1 - number])


def test_a_text_without_tokens_has_no_vector_and_a_long_one_is_counted(folder: Path) -> None:
    short = PooledStates.load(str(folder), precision="fp32", device="cpu", max_length=6)
    found = short.encode(["", "word " * 50, "Paris"])
    assert found.reasons == ["no_tokens", None, None]
    assert found.truncated.tolist() == [False, True, False]
    assert not found.vectors[0].any() and np.allclose(np.linalg.norm(found.vectors[1:], axis=1), 1)


def test_a_model_that_cannot_be_packed_is_padded(tmp_path: Path) -> None:
    made = PooledStates.load(str(tiny.causal(tmp_path / "mamba", "mamba")), precision="fp32", device="cpu")
    assert made.language_model.padded_because is not None
    alone, together = made.encode(["Boil the egg."]).vectors, made.encode(["Boil the egg.", "Paris"]).vectors
    assert np.array_equal(alone[0], together[0])
