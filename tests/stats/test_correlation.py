"""One Pearson, one Spearman, one Fisher for the whole package."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from instructsel.stats.correlation import fisher_interval, partial, pearson, ranks, spearman, varies


def test_correlations_are_those_of_scipy() -> None:
    source = np.random.default_rng(0)
    x = source.normal(size=200).round(1)
    y = x + source.normal(size=200)
    assert pearson(x, y) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    assert spearman(x, y) == pytest.approx(stats.spearmanr(x, y).statistic, abs=1e-12)
    assert ranks(x).tolist() == stats.rankdata(x).tolist()
    half = stats.norm.ppf(0.975) / math.sqrt(197)
    assert fisher_interval(0.4, 200) == pytest.approx(tuple(np.tanh(np.arctanh(0.4) + np.array([-half, half]))))


def test_the_order_of_the_rows_makes_no_difference_to_the_last_bit() -> None:
    source = np.random.default_rng(1)
    x, y = source.lognormal(sigma=3, size=5000), source.lognormal(sigma=3, size=5000)
    order = source.permutation(5000)
    assert pearson(x, y) == pearson(x[order], y[order])


def test_points_on_a_line_have_a_correlation_of_exactly_one() -> None:
    x = np.array([1.0, 2, 3, 4, 5])
    assert (pearson(x, 10 * x), pearson(x, -x)) == (1.0, -1.0)


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e100, 1e140])
def test_neither_tiny_nor_huge_numbers_lose_a_correlation(scale: float) -> None:
    x, y = np.array([1.0, 2, 4, 3]), np.array([2.0, 1, 4, 3])
    assert pearson(x * scale, y) == pytest.approx(pearson(x, y))


def test_what_does_not_vary_and_fewer_than_three_pairs_have_none() -> None:
    x = np.arange(4.0)
    assert pearson(np.full(4, 0.1), x) is None and spearman(x, np.full(4, 0.1)) is None
    assert pearson(x[:2], x[:2]) is None
    assert not varies(np.full(4, 0.1)) and not varies(x[:1]) and varies(x)
    # Rounding is no variation.
    assert not varies(np.array([0.1 + 0.2, 0.3]))


def test_a_partial_correlation_says_why_there_is_none() -> None:
    length = np.array([1.0, 2, 3, 4, 5])
    value, rows = np.array([2.0, 1, 4, 3, 5]), np.ones(5, dtype=bool)
    assert partial(length * 2, value, length, rows).reason == "the indicator goes with len exactly"
    assert partial(value, length * 2, length, rows).reason == "the value is len alone"
    assert partial(value, value, length, rows & (length < 3)).reason == "fewer than three rows"
    assert partial(np.ones(5), value, length, rows).reason == "something is the same in all rows"
    assert partial(value, value, length, rows).partial == pytest.approx(1.0)
