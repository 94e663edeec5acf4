"""Minima: what lies below is left out with its reason, what lies above is not touched."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from instructsel.errors import TooManyNulls, UsageError
from instructsel.rules.catalog import load
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.choose import select
from instructsel.selection.minima import Minimum, parse

Make = Callable[..., Any]
Scored = Any
"""As tests/scored_pool.py makes it."""


def test_a_share_and_a_value_are_read() -> None:
    assert parse(["plausibility=10%", "rew=-1.5", "knn_6=2e-1"]) == {
        "plausibility": Minimum(lowest=0.1),
        "rew": Minimum(value=-1.5),
        "knn_6": Minimum(value=0.2),
    }
    assert [str(minimum) for minimum in parse(["a=2.5%", "b=3"]).values()] == ["2.5%", "3"]


@pytest.mark.parametrize("text", ["rew", "rew=", "=1", "rew=x", "rew=1=2", "rew=0%", "rew=100%", "rew=-5%", "rew=nan"])
def test_what_is_no_minimum_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse([text])


def test_two_minima_for_one_indicator_are_refused() -> None:
    with pytest.raises(UsageError, match="two minima"):
        parse(["rew=1", "rew=2"])


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.floats(0.01, 0.99))
def test_a_share_leaves_out_at_most_so_many_and_the_lowest(values: list[float], share: float) -> None:
    array = np.array(values)
    cut = Minimum(lowest=share).of(array)
    assert (array < cut).sum() <= share * len(array) + 1e-6
    if len(set(values)) == len(values):
        assert (array < cut).sum() == int(share * len(array) + 1e-9)


def test_rows_below_a_minimum_are_left_out_before_the_ranking_and_counted(varied: Scored) -> None:
    rule = load("longest")
    chosen = select(varied.pool, varied.table, rule, budget=50, minima=parse(["rew=10%", "knn_6=0"]))
    reward = varied.table.values("rew")[0]
    cut = np.sort(reward)[20]
    low = [name for name, value in zip(varied.table.ids, reward, strict=True) if value < cut]
    left = chosen.frame.filter(chosen.frame["reason"] == "below_minimum:rew")
    assert left["id"].to_list() == low and left["rank"].is_null().all()
    record = chosen.summary["minima"]
    assert {symbol: (entry["asked"], entry["value"], entry["rows"], entry["not_shown"]) for symbol, entry in record.items()} == {
        "rew": ("10%", cut, len(low), 0),
        "knn_6": ("0", 0.0, 0, 0),
    }
    lengths = dict(zip(varied.table.ids, varied.table.values("len")[0], strict=True))
    assert record["rew"]["mean_len"] == pytest.approx(np.mean([lengths[name] for name in low]))
    assert record["rew"]["mean_len_of_all"] == pytest.approx(np.mean(list(lengths.values())))
    assert record["rew"]["sources"] == dict(Counter(left["source"].to_list()))
    assert chosen.manifest["settings"]["minima"] == {"knn_6": "0", "rew": "10%"}
    free = select(varied.pool, varied.table, rule, budget=200)
    assert list(chosen.kept_ids) == [name for name in free.kept_ids if name not in low][:50]


def test_baselines_are_drawn_above_the_same_minimum(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, load("longest"), budget=50, minima=parse(["rew=30%"]))
    low = set(chosen.frame.filter(chosen.frame["reason"] == "below_minimum:rew")["id"])
    assert len(low) > 40
    for beside in baselines(chosen, ["random"], seeds=[0, 1]):
        assert len(beside) == 50 and not low & set(beside.kept_ids)


def test_a_row_without_a_value_is_not_above_a_minimum_and_many_of_them_end_the_selection(make: Make) -> None:
    texts = [(f"question {i}", f"answer {i} with some more words") for i in range(100)]
    scored = make({"pool": texts}, nulls={"rew": {"question 3": "not_finite"}})
    chosen = select(scored.pool, scored.table, load("longest"), budget=100, minima=parse(["rew=-100"]), keep_exact_duplicates=True)
    assert chosen.summary["dropped"]["unscored:rew:not_finite"] == 1
    scored = make({"many": texts}, nulls={"rew": {f"question {i}": "not_finite" for i in range(9)}})
    with pytest.raises(TooManyNulls, match="a minimum uses"):
        select(scored.pool, scored.table, load("longest"), budget=10, minima=parse(["rew=-100"]))


def test_a_row_that_the_indicator_could_not_be_shown_whole_passes_its_minimum_and_is_counted(make: Make) -> None:
    texts = [(f"question {i}", f"answer {i} with some more words") for i in range(100)]
    # More than the limit of nulls: they say nothing against a row.
    nulls = {f"question {i}": "prompt_truncated" for i in range(20)} | {"question 30": "not_finite"}
    scored = make({"pool": texts}, nulls={"rew": nulls})
    chosen = select(scored.pool, scored.table, load("longest"), budget=100, minima=parse(["rew=10%"]), near_duplicate_threshold=None)
    assert chosen.summary["minima"]["rew"]["not_shown"] == 20
    assert chosen.summary["dropped"]["unscored:rew:not_finite"] == 1
    assert not any("prompt_truncated" in reason for reason in chosen.summary["dropped"])
    # A tenth of the 79 rows that have a value.
    assert chosen.summary["dropped"]["below_minimum:rew"] == 7
    ids = set(chosen.kept_ids)
    assert all(
        example.id in ids for example in scored.pool.examples() if example.instruction in nulls and example.instruction != "question 30"
    )


def test_a_minimum_under_an_indicator_that_was_not_scored_is_refused(varied: Scored) -> None:
    with pytest.raises(UsageError, match="asks for mtld") as refused:
        select(varied.pool, varied.table, load("longest"), budget=10, minima=parse(["mtld=10%"]))
    assert "--indicators len,knn_6,rew,mtld" in str(refused.value.fix)
