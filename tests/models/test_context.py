"""How many tokens a model's context holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import transformers

from instructsel.models.context import context_length, context_of
from instructsel.models.likelihood import LikelihoodModel
from instructsel.models.load import locate
from tests import tiny

ROPE: list[tuple[dict[str, Any], int]] = [
    ({"max_position_embeddings": 4096}, 4096),
    ({"max_position_embeddings": 4096, "rope_scaling": None}, 4096),
    ({"max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 4}}, 16384),
    ({"max_position_embeddings": 2048, "rope_scaling": {"type": "dynamic", "factor": 2.0}}, 4096),
    # Qwen2.5 with YaRN switched on, as transformers 4 and 5 write it.
    (
        {"max_position_embeddings": 32768, "rope_scaling": {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}},
        131072,
    ),
    ({"max_position_embeddings": 32768, "rope_parameters": {"rope_type": "yarn", "factor": 4.0, "rope_theta": 1e6}}, 131072),
    # DeepSeek V3 and Llama 3.1 state the number after scaling.
    ({"max_position_embeddings": 163840, "rope_scaling": {"type": "yarn", "factor": 40, "original_max_position_embeddings": 4096}}, 163840),
    (
        {
            "max_position_embeddings": 131072,
            "rope_scaling": {"rope_type": "llama3", "factor": 8.0, "original_max_position_embeddings": 8192},
        },
        131072,
    ),
    ({"max_position_embeddings": 131072, "rope_scaling": {"rope_type": "longrope", "original_max_position_embeddings": 4096}}, 131072),
    ({"model_type": "gemma3_text", "max_position_embeddings": 131072, "rope_scaling": {"rope_type": "linear", "factor": 8.0}}, 131072),
    ({"max_position_embeddings": 512, "rope_parameters": {"full_attention": {"rope_type": "default"}}}, 512),
]


@pytest.mark.parametrize(("config", "expected"), ROPE)
def test_rotary_scaling_counts_as_the_configuration_stretches_it(config: dict[str, Any], expected: int) -> None:
    assert context_length(config) == expected


@pytest.mark.parametrize("name", ["max_position_embeddings", "n_positions", "n_ctx", "max_seq_len"])
def test_every_layout_s_name_is_known(name: str) -> None:
    assert context_length({name: 1024}) == context_length({"text_config": {name: 1024}}) == 1024
    # A size that is none is not one.
    for value in (None, True, "1024", -1, 0, float("nan"), 10**30):
        assert context_length({name: value}) is None


def test_a_tokenizer_that_states_less_is_believed_and_one_that_states_nothing_is_not() -> None:
    config = {"max_position_embeddings": 4096}
    assert [context_length(config, {"model_max_length": stated}) for stated in (2048, 8192, 10**30, 1e30, None, "x")] == [2048, *[4096] * 5]
    assert context_length({}, {"model_max_length": 2048}) == 2048 and context_length({}, {}) is None


def test_a_model_s_files_and_its_tokenizer_say_the_same(tmp_path: Path) -> None:
    folder = tiny.causal(tmp_path / "gpt2", "gpt2")
    assert context_of(locate(str(folder), needed_by="a test")) == 512
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "model_max_length": 100}))
    source = locate(str(folder), needed_by="a test")
    assert context_of(source) == context_length(source.config, transformers.AutoTokenizer.from_pretrained(str(folder))) == 100
    assert LikelihoodModel.load(str(folder), device="cpu", probe=False).max_length == 100


def test_likelihoods_take_the_whole_of_a_stretched_context(tmp_path: Path) -> None:
    stretched = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}
    folder = tiny.causal(tmp_path / "llama", "llama", max_position_embeddings=128, rope_parameters=stretched)
    model = LikelihoodModel.load(str(folder), device="cpu", probe=False)
    assert model.max_length == 512 and not model.losses([[1, *[7] * 400]], [1]).truncated[0]
