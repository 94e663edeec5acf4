"""Differences between two selections."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.stats

from instructsel.errors import UsageError
from instructsel.rules.catalog import load
from instructsel.rules.linear import LinearRule
from instructsel.scores.table import ScoreTable
from instructsel.selection.choose import select
from instructsel.selection.diff import diff, diff_rules

EQ4 = load("eq4")
LESS = load("eq4-without-reward")
Make = Callable[..., Any]
Scored = Any


def test_a_selection_does_not_differ_from_itself(varied: Scored) -> None:
    chosen = select(varied.pool, varied.table, EQ4, budget=30)
    same = diff(chosen, chosen)
    assert (same.both, same.only_a, same.only_b, same.jaccard, same.spearman, same.moved) == (30, 0, 0, 1.0, 1.0, ())


def test_counts_and_rank_correlation_are_those_of_their_definitions(varied: Scored) -> None:
    a, b = select(varied.pool, varied.table, EQ4, budget=30), select(varied.pool, varied.table, LESS, budget=50)
    difference = diff(a, b)
    shared = set(a.kept_ids) & set(b.kept_ids)
    assert (difference.both, difference.only_a, difference.only_b) == (len(shared), 30 - len(shared), 50 - len(shared))
    assert difference.jaccard == len(shared) / (80 - len(shared))
    assert difference.spearman == pytest.approx(scipy.stats.spearmanr(a.frame["rank"], b.frame["rank"]).statistic)
    assert difference.ranked == 200
    assert len(difference.moved) == 20


def test_the_rows_that_moved_most_come_first_with_the_term_that_moved_them(varied: Scored) -> None:
    a, b = select(varied.pool, varied.table, EQ4, budget=30), select(varied.pool, varied.table, LESS, budget=30)
    moved = diff(a, b, top=200).moved
    moves = [abs(row.rank_a - row.rank_b) for row in moved]
    assert moves == sorted(moves, reverse=True)
    # A move down is put down to a term that B counts more against the row than A did, and the other way round.
    assert all((row.term_shift or 0) * (row.rank_b - row.rank_a) > 0 for row in moved[:20])


def test_a_move_is_put_down_to_the_term_that_changed() -> None:
    table = ScoreTable.from_columns(list("abcd"), {"x": ([1, 2, 3, 4], [None] * 4), "y": ([0, 0, 0, -9], [None] * 4)})
    rules = [
        LinearRule.from_dict({"name": f"y{w}", "terms": [{"indicator": "x", "weight": 1}, {"indicator": "y", "weight": w}]}) for w in (0, 1)
    ]
    (first, *_) = diff_rules(table, *rules, n=2).moved
    # x alone: a b c d. With y, d falls from 4 to -5 and is first.
    assert (first.id, first.rank_a, first.rank_b, first.kept_a, first.kept_b, first.term) == ("d", 4, 1, False, True, "y")


def test_two_rules_are_compared_over_one_table() -> None:
    table = ScoreTable.from_columns(list("abcd"), {"x": ([1, 2, 3, 4], [None] * 4), "y": ([4, 3, None, 1], [None, None, "why", None])})
    up = LinearRule.from_dict({"name": "up", "terms": [{"indicator": "x", "weight": 1}]})
    down = LinearRule.from_dict({"name": "down", "terms": [{"indicator": "y", "weight": 1}]})
    difference = diff_rules(table, up, down, n=2)
    # x: a b | c d;  y: d b | a, c unranked.
    assert (difference.both, difference.only_a, difference.only_b, difference.ranked) == (1, 1, 1, 3)
    assert difference.spearman == -1.0
    assert [row.id for row in difference.moved] == ["a", "d"]
    with pytest.raises(UsageError, match="n is 0"):
        diff_rules(table, up, down, n=0)


def test_rows_of_a_baseline_without_terms_name_the_other_sides_term(varied: Scored) -> None:
    from instructsel.selection.baselines.registry import baselines

    chosen = select(varied.pool, varied.table, EQ4, budget=30)
    difference = diff(chosen, baselines(chosen, ["random"], seeds=[0])[0])
    assert {row.term for row in difference.moved} <= set(EQ4.indicators)
    assert abs(difference.spearman or 0) < 0.3
    assert np.isfinite([row.term_shift for row in difference.moved if row.term_shift is not None]).all()


def test_selections_of_different_pools_are_refused(varied: Scored, make: Make) -> None:
    other = make({"pool": [(f"q{i}", f"answer {i}") for i in range(20)]})
    with pytest.raises(UsageError, match="different pools"):
        diff(select(varied.pool, varied.table, EQ4, budget=5), select(other.pool, other.table, EQ4, budget=5))
