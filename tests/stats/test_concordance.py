"""Whether two graders put arms in the same order, next to SciPy, and intervals that cover."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import stats

from instructsel.stats.concordance import linear, ranked, same_order


@pytest.mark.parametrize("seed", range(5))
def test_the_share_of_pairs_and_the_correlations_are_those_of_scipy(seed: int) -> None:
    generator = np.random.default_rng(seed)
    x = generator.normal(size=12)
    y = x + generator.normal(size=12)
    found: Any = stats.kendalltau(x, y)
    assert same_order(x, y).value == pytest.approx((found.statistic + 1) / 2)
    rank: Any = stats.spearmanr(x, y)
    pearson: Any = stats.pearsonr(x, y)
    assert ranked(x, y).value == pytest.approx(rank.statistic)
    figure, interval = linear(x, y), pearson.confidence_interval(0.95)
    assert (figure.value, figure.low, figure.high) == pytest.approx((pearson.statistic, interval.low, interval.high))


def test_a_tie_of_one_grader_alone_counts_one_half_and_one_of_both_counts_as_agreement() -> None:
    x, y = np.array([1.0, 1.0, 2.0]), np.array([1.0, 3.0, 2.0])
    # 1 and 2 tie in x alone; 1 and 3 agree; 2 and 3 are turned round.
    assert same_order(x, y).value == pytest.approx(0.5)
    assert same_order(x, x).value == 1.0


@pytest.mark.parametrize(("n", "rho"), [(6, 0.0), (6, 0.8), (12, 0.4), (12, 0.97), (30, 0.6)])
def test_intervals_over_arms_cover_the_truth(n: int, rho: float) -> None:
    generator = np.random.default_rng(7)
    tries = 500
    # Of normal values: tau, Spearman's and Pearson's correlation are known.
    truth = (0.5 + np.arcsin(rho) / np.pi, 6 / np.pi * np.arcsin(rho / 2), rho)
    covered = np.zeros(3)
    for _ in range(tries):
        x = generator.normal(size=n)
        y = rho * x + np.sqrt(1 - rho**2) * generator.normal(size=n)
        for place, figure in enumerate((same_order(x, y), ranked(x, y), linear(x, y))):
            # Where ranks agree exactly there is no interval, and nothing is claimed.
            covered[place] += figure.low is None or figure.high is None or figure.low <= truth[place] <= figure.high
    # Standard error 0.01 at 95 %.
    assert (covered / tries > 0.915).all(), covered / tries


def test_few_arms_have_a_figure_and_a_reason_instead_of_an_interval() -> None:
    two = same_order(np.array([1.0, 2.0]), np.array([5.0, 6.0]))
    assert (two.value, two.low, two.reason) == (1.0, None, "an interval needs 5 arms; there are 2")
    assert same_order(np.array([1.0]), np.array([1.0])).value is None
    assert ranked(np.array([1.0, 2.0]), np.array([5.0, 6.0])).reason == "it takes three arms; there are 2"
    assert linear(np.ones(5), np.arange(5.0)).reason == "all arms have one value"
    exact = np.arange(6.0)
    assert "no interval" in str(ranked(exact, exact).reason)
    # Five neighbors in the same order: Wilson's of 5 of 5.
    assert (same_order(exact, exact).low, same_order(exact, -exact).high) == (
        pytest.approx(0.5655, abs=1e-3),
        pytest.approx(0.4345, abs=1e-3),
    )
