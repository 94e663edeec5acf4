"""Baselines: only the ranking differs."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from instructsel.errors import ModelUnavailable, UsageError
from instructsel.rules.catalog import load
from instructsel.selection.baselines.random_subset import random_numbers
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.budget import Tokens
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection
from instructsel.selection.summary import INSIDE

EQ4 = load("eq4")
LESS = load("eq4-without-reward")
Make = Callable[..., Any]
Scored = Any


def prose(seed: int, words: int) -> str:
    source = np.random.default_rng(seed)
    return " ".join(f"t{seed}x{source.integers(1000)}" for _ in range(words))


def length_of(scored: Scored, selection: Selection) -> list[float]:
    lengths = dict(zip(scored.table.ids, scored.table.values("len")[0].tolist(), strict=True))
    return [lengths[name] for name in selection.kept_ids]


def test_a_baseline_is_made_per_seed_and_named_so(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=30)
    results = baselines(chosen, ["random", "longest", "length-matched", "reward-only"], seeds=[0, 7])
    assert [one.name for one in results] == [
        "random-seed0",
        "random-seed7",
        "longest",
        "length-matched-seed0",
        "length-matched-seed7",
        "reward-only",
    ]
    assert all(len(one) == 30 for one in results)
    assert results[0].kept_ids != results[1].kept_ids
    assert results[0].summary["seed"] == 0


def test_a_random_draw_depends_on_seed_and_id_alone() -> None:
    ids = [f"{i:032x}" for i in range(1000)]
    numbers = random_numbers(ids, 0)
    assert random_numbers(ids[500:], 0).tolist() == numbers[500:].tolist()
    assert (random_numbers(ids, 1) != numbers).all()
    assert ((numbers >= 0) & (numbers < 1)).all()
    # 1,000 uniform numbers: mean 0.5 ± 4 standard errors of 0.0091.
    assert abs(numbers.mean() - 0.5) < 0.037


def test_random_rows_are_the_same_whatever_order_the_pool_came_in(make: Make) -> None:
    rows = [(f"question {i}", prose(i, 20)) for i in range(100)]
    drawn = set()
    for seed in range(2):
        scored = make({"pool": random.Random(seed).sample(rows, len(rows))})
        drawn.add(baselines(select(scored.pool, scored.table, EQ4, budget=20), ["random"], seeds=[3])[0].kept_ids)
    assert len(drawn) == 1


def test_longest_and_reward_only_take_the_highest(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=30)
    for name, symbol in (("longest", "len"), ("reward-only", "rew")):
        (results,) = baselines(chosen, [name])
        values = dict(zip(varied.table.ids, varied.table.values(symbol)[0].tolist(), strict=True))
        assert [values[one] for one in results.kept_ids] == sorted(values.values(), reverse=True)[:30]
        assert results.frame[f"{symbol}_contribution"].to_list() == pytest.approx([-values[one] for one in results.frame["id"]])


def test_baselines_see_the_rows_the_rule_sees(make: Make) -> None:
    copy = " ".join(f"word{i}" for i in range(60))
    rows = [(f"question {i}", prose(i, 20 + i)) for i in range(40)]
    scored = make(
        {"pool": [*rows, rows[0], ("near", copy), ("near", f"{copy} more"), ("silent", prose(99, 90))]},
        nulls={"rew": {"silent": "not_finite"}},
    )
    chosen = select(scored.pool, scored.table, EQ4, budget=40, neighbors=scored.neighbors, quotas={"pool": 35})
    for results in [chosen, *baselines(chosen, ["random", "longest", "length-matched", "reward-only"], seeds=[0])]:
        dropped = results.summary["dropped"]
        assert (dropped["exact_duplicate"], dropped["near_duplicate"], dropped["unscored:rew:not_finite"], dropped["quota"]) == (1, 1, 1, 6)
        assert len(results) == 35
        assert results.summary["inside"]["knn_6"]["mean"] > 0
        assert results.summary["rule_score"][INSIDE] is not None
        assert results.manifest["settings"] == chosen.manifest["settings"]
    # The rule keeps the lowest mean value of all; it is what it sorts by.
    values = [results.summary["means"]["len"]["kept"] for results in baselines(chosen, ["longest"])]
    assert values[0] >= chosen.summary["means"]["len"]["kept"]


def test_random_rows_matched_by_length_have_the_selections_lengths(varied: Scored) -> None:
    # The longest 60 of 200: a plain random draw would be shorter by half.
    chosen = select(varied.pool, varied.table, load("longest"), budget=60)
    matched, drawn = baselines(chosen, ["length-matched"], seeds=[0])[0], baselines(chosen, ["random"], seeds=[0])[0]
    assert min(length_of(varied, matched)) >= min(length_of(varied, chosen))
    assert np.mean(length_of(varied, drawn)) < 0.8 * np.mean(length_of(varied, chosen))
    matching = matched.summary["length_matching"]
    assert sum(matching["wanted"]) == 60
    assert matching["not_filled"] == 0
    # All rows as long as these are the selection's own: nothing else could be drawn.
    assert set(matched.kept_ids) == set(chosen.kept_ids)


def test_length_matching_draws_other_rows_of_the_same_lengths(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, load("reward-only"), budget=40)
    matched = baselines(chosen, ["length-matched"], seeds=[0])[0]
    matching = matched.summary["length_matching"]
    deciles = np.array(matching["deciles"])
    for results in (chosen, matched):
        lengths = np.array(length_of(varied, results))
        assert [0, *np.bincount(np.searchsorted(deciles, lengths, side="right"), minlength=len(deciles) + 1).tolist(), 0] == matching[
            "wanted"
        ]
        assert min(length_of(varied, chosen)) <= lengths.min() <= lengths.max() <= max(length_of(varied, chosen))
    assert matching["filled_from_nearest_bin"] == 0
    assert len(set(matched.kept_ids) & set(chosen.kept_ids)) < 25


def test_a_bin_that_has_too_few_rows_is_filled_from_the_nearest_and_reported(make: Make) -> None:
    rows = [(f"question {i}", prose(i, 10)) for i in range(30)] + [(f"long {i}", prose(100 + i, 100)) for i in range(30)]
    scored = make({"short": rows[:30], "long": rows[30:]})
    starved = select(scored.pool, scored.table, load("longest"), budget=40)
    assert starved.summary["composition"]["long"]["kept"] == 30
    # The same selection under a quota of 5 long rows: 25 of the 30 wanted must come from the short ones.
    candidates = select(scored.pool, scored.table, load("longest"), budget=40, quotas={"long": 5}).candidates
    assert candidates is not None
    narrowed = Selection(starved.name, starved.frame, starved.summary, starved.manifest, candidates)
    matched = baselines(narrowed, ["length-matched"], seeds=[0])[0]
    matching = matched.summary["length_matching"]
    assert matching["filled_from_nearest_bin"] == 20
    assert matching["not_filled"] == 5
    assert matched.summary["composition"]["long"]["kept"] == 5


def test_a_length_matched_draw_fills_a_budget_of_tokens(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=Tokens(500, "words"), token_counter=varied.words)
    for results in baselines(chosen, ["random", "length-matched"], seeds=[0]):
        assert 400 < results.summary["used"] <= 500


def test_what_cannot_be_drawn_is_refused(varied: Scored, make: Make, tmp_path: Path) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=30)
    with pytest.raises(UsageError, match="Did you mean 'longest'"):
        baselines(chosen, ["longes"])
    with pytest.raises(UsageError, match="seed stands twice"):
        baselines(chosen, ["random"], seeds=[1, 1])
    with pytest.raises(UsageError, match="needs a seed"):
        baselines(chosen, ["random"], seeds=[])
    chosen.write_sidecar(tmp_path / "s.parquet")
    with pytest.raises(UsageError, match="read from a file"):
        baselines(Selection.read(tmp_path / "s.parquet"))
    silent = {"rew": {f"question {i}": "model_unavailable" for i in range(20)}}
    scored = make({"pool": [(f"question {i}", prose(i, 20)) for i in range(20)]}, nulls=silent)
    with pytest.raises(ModelUnavailable, match="--reward"):
        baselines(select(scored.pool, scored.table, LESS, budget=5), ["reward-only"])


def test_rows_without_a_reward_are_said_to_lack_it_in_that_baseline_only(make: Make) -> None:
    scored = make({"pool": [(f"question {i}", prose(i, 20)) for i in range(40)]}, nulls={"rew": {"question 4": "not_finite"}})
    chosen = select(scored.pool, scored.table, LESS, budget=40)
    reward, longest = baselines(chosen, ["reward-only", "longest"])
    assert (len(chosen), len(longest), len(reward)) == (40, 40, 39)
    assert reward.frame.filter(pl.col("reason") == "unscored:rew:not_finite").height == 1
