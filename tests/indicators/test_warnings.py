"""What indicators say of their own columns: a class is asked, never a symbol by name."""

from __future__ import annotations

from typing import Any

import pytest

from instructsel.indicators import registry
from instructsel.indicators.base import Batch, Indicator
from instructsel.indicators.reward import DEFAULT
from instructsel.models.load import MINILM


def warned(symbol: str, nulls: dict[str, int] | None = None, **entry: Any) -> list[str]:
    return registry.kind_of(symbol).warnings(symbol, nulls or {}, entry)


@pytest.mark.parametrize("symbol", ["nat", "coh", "und", "ppl", "ppl_cond", "ifd"])
def test_a_column_without_its_model_says_how_to_name_one(symbol: str) -> None:
    (line,) = warned(symbol, {"model_unavailable": 3})
    assert line.startswith(f"{symbol} is null (model_unavailable)") and f"--model {symbol}=FOLDER_OR_HUB_ID" in line
    assert warned(symbol, {"not_finite": 3}) == []


def test_a_missing_reward_model_is_named_with_its_download_and_the_way_without() -> None:
    (line,) = warned("rew", {"model_unavailable": 3})
    assert f"hf download {DEFAULT}" in line and "eq4-without-reward" in line


def test_every_indicator_says_that_its_probe_was_skipped_or_its_batches_were_smaller() -> None:
    for symbol in ("rew", "knn_6", "len", "nat"):
        lines = warned(symbol, parameters={"probe": False}, smaller_batches=1200)
        assert [line.partition(f" of {symbol}")[0] for line in lines] == ["the model", "memory ran out; 1,200 values"]


def test_lengths_in_tokens_of_the_embedded_tokenizer_are_not_those_the_rules_assume() -> None:
    assert "llama-tokenizer" in warned("len", tokenizer={"name": MINILM})[0]
    assert warned("len", tokenizer={"name": "hf-internal-testing/llama-tokenizer"}) == []


def test_cut_histories_and_prompts_are_counted() -> None:
    assert "the whole history of 1,234 examples" in warned("coh", truncated=1234)[0]
    assert "1,234 examples" in warned("plausibility", {"prompt_truncated": 1234})[0]


def test_an_indicator_that_nearly_repeats_another_names_one_that_exists() -> None:
    for name in registry.names():
        other = registry.load(name).nearly
        assert other is None or registry.kind_of(other)


def test_an_indicator_that_asks_a_model_says_which_packages_it_needs() -> None:
    for name in registry.names():
        kind = registry.load(name)
        assert kind.asks_model == ("torch" in kind.modules), name
    assert "faiss" in registry.kind_of("knn_6").modules
    assert Indicator.modules == () and not Indicator.asks_model


def test_an_indicator_without_a_model_reports_no_batches_and_costs_no_search() -> None:
    indicator = registry.make("len_in")
    assert indicator.measure(Batch(())) is None
    assert indicator.search_cost(1_000_000) == (0.0, 0)
