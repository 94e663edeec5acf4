"""What every indicator must hold, whoever wrote it: a new file is under contract by itself."""

from __future__ import annotations

import dataclasses
import json
import math
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import UnknownIndicator
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Batch, Indicator
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from tests import tiny

DRAWN = random.Random(11)


def example(number: int, instruction: str, response: str) -> Example:
    return Example(f"{number:032x}", "test", (Message("user", instruction), Message("assistant", response)))


TEXTS = [
    (" ".join(DRAWN.choices(tiny.TEXT, k=DRAWN.randint(1, 30))), " ".join(DRAWN.choices(tiny.TEXT, k=DRAWN.randint(1, 60))))
    for _ in range(20)
]
EXAMPLES = tuple(
    example(n, *texts)
    for n, texts in enumerate(
        [
            *TEXTS,
            ("Say nothing.", ""),
            ("", "No question."),
            ("Blank?", " \n\t"),
            ("数えて。", "一二三四五六七八九十"),
            ("Control", "a\x00b\u2028c\ud7ff"),
        ]
    )
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("models")
    tiny.bert(made / "reward")
    tiny.t5(made / "t5")
    tiny.causal(made / "causal")
    return made


@pytest.fixture(params=registry.names())
def indicator(request: pytest.FixtureRequest, folder: Path) -> Indicator:
    cls: Any = registry.load(request.param)
    fields = {field.name for field in dataclasses.fields(cls)}
    given: dict[str, Any] = {name: value for name, value in (("precision", "fp32"), ("device", "cpu")) if name in fields}
    if "probe" in fields:
        kind = {"reward": "reward", "naturalness": "t5", "coherence": "t5", "understandability": "t5"}.get(request.param, "causal")
        given |= {"model": str(folder / kind), "probe": False}
    found: Indicator = cls(**given)
    return found


def test_it_is_frozen_and_says_what_it_is(indicator: Indicator) -> None:
    assert dataclasses.is_dataclass(indicator)
    with pytest.raises(dataclasses.FrozenInstanceError):
        indicator.symbol_pattern = "x"  # type: ignore[misc]
    assert isinstance(indicator.version, int) and indicator.version >= 1
    for said in (indicator.unit, indicator.direction, indicator.source):
        assert said.strip()
    assert indicator.scope in ("row", "pool")
    assert registry.make(indicator.symbol).symbol == indicator.symbol


def test_every_value_is_a_number_or_has_a_reason(indicator: Indicator) -> None:
    scored = indicator.score(Batch(EXAMPLES))
    assert len(scored.values) == len(scored.reasons) == len(EXAMPLES)
    for value, reason in zip(scored.values, scored.reasons, strict=True):
        assert (value is None) == (reason is not None)
        assert value is None or (isinstance(value, float) and math.isfinite(value))
        assert reason is None or (reason.isidentifier() and reason.islower())
    assert any(value is not None for value in scored.values)


def test_an_example_without_a_response_scores_null(indicator: Indicator) -> None:
    if indicator.symbol == "len_in":
        assert indicator.score(Batch(EXAMPLES)).reasons[21] == "empty_instruction"
        return
    reasons = indicator.score(Batch(EXAMPLES)).reasons
    assert reasons[20] == reasons[22] == "empty_response"


def test_it_gives_the_same_twice_and_follows_a_shuffle(indicator: Indicator) -> None:
    first, again = (indicator.score(Batch(EXAMPLES)) for _ in range(2))
    assert list(first.values) == list(again.values)
    order = list(range(len(EXAMPLES)))
    random.Random(2).shuffle(order)
    shuffled = indicator.score(Batch(tuple(EXAMPLES[at] for at in order)))
    assert list(shuffled.values) == [first.values[at] for at in order]
    assert list(shuffled.reasons) == [first.reasons[at] for at in order]


def test_a_row_scoped_value_is_the_same_alone(indicator: Indicator) -> None:
    whole = indicator.score(Batch(EXAMPLES))
    if indicator.scope == "pool":
        assert list(indicator.score(Batch(EXAMPLES[:15])).values) != list(whole.values[:15])
        return
    for at in (0, 7, 13, 20, 23):
        alone = indicator.score(Batch(EXAMPLES[at : at + 1]))
        assert (alone.values[0], alone.reasons[0]) == (whole.values[at], whole.reasons[at])


def test_its_fingerprint_is_plain_and_names_no_place(indicator: Indicator, folder: Path) -> None:
    text = json.dumps(indicator.fingerprint())
    assert indicator.fingerprint() == json.loads(text)
    assert str(folder) not in text and str(Path.home()) + "/" not in text


@pytest.mark.parametrize("name", registry.names())
def test_it_loads_nothing_heavy_before_it_scores(name: str) -> None:
    script = f"import sys; from instructsel.indicators import registry as r; r.load({name!r})(); heavy = {{'torch', 'transformers', 'faiss', 'datasets', 'polars'}} & set(sys.modules); assert not heavy - {{'polars'}}, heavy"
    subprocess.run([sys.executable, "-c", script], check=True)


def test_the_papers_names_work_and_others_are_refused_with_a_suggestion() -> None:
    for symbol in ("len", "len_in", "rew", "mtld", "knn_6", "knn_1", "knn_25", "ppl", "ppl_cond", "ifd", "nat", "coh", "und"):
        assert registry.make(symbol).symbol == symbol
    with pytest.raises(UnknownIndicator, match="Did you mean 'mtld'"):
        registry.make("mtdl")
    for symbol in ("knn_0", "knn_", "knn_06", "LEN"):
        with pytest.raises(UnknownIndicator):
            registry.make(symbol)
