"""Means, quantiles and shares: their intervals hold the true value as often as they say."""

from __future__ import annotations

import math

import numpy as np
import pytest

from instructsel.stats.summaries import mean, quantile, quantile_of, share, weighted_share

TRIES = 400


def test_the_interval_of_a_mean_holds_the_true_one_as_often_as_it_says() -> None:
    draws = (mean(np.random.default_rng(seed).exponential(1, 200)) for seed in range(TRIES))
    assert 0.91 <= sum(summary.low <= 1 <= summary.high for summary in draws) / TRIES <= 0.98


@pytest.mark.parametrize("q", [0.1, 0.5, 0.95])
def test_the_interval_of_a_quantile_holds_the_true_one_as_often_as_it_says(q: float) -> None:
    draws = (quantile(np.random.default_rng(seed).random(300), q) for seed in range(TRIES))
    assert 0.93 <= sum(summary.low <= q <= summary.high for summary in draws) / TRIES <= 0.995


def test_the_interval_of_a_share_of_tokens_holds_the_true_one_as_often_as_it_says() -> None:
    """A fifth of the rows, of twice the mean length: 0.4 / 1.2 of the tokens."""
    inside = 0
    for seed in range(TRIES):
        random = np.random.default_rng(seed)
        chosen = random.random(400) < 0.2
        weights = random.gamma(4, 1, 400) * np.where(chosen, 2.0, 1.0)
        summary = weighted_share(weights, chosen)
        inside += summary.low <= 1 / 3 <= summary.high
    assert 0.91 <= inside / TRIES <= 0.985


def test_few_values_have_no_bounds() -> None:
    assert quantile(np.array([1.0, 2.0]), 0.99).high == math.inf
    assert mean(np.array([1.0])).low == -math.inf
    assert share(0, 0).high == 1.0
    assert weighted_share(np.zeros(3), np.zeros(3, dtype=bool)).value == 0.0


@pytest.mark.parametrize(("weights", "rows"), [([500.0], 1), ([5.0, 5.0, 5.0], 3), ([7.0] * 40, 40)])
def test_the_share_of_tokens_of_rows_that_all_count_has_the_width_of_as_many_rows(weights: list[float], rows: int) -> None:
    every = weighted_share(np.array(weights), np.ones(rows, dtype=bool))
    none = weighted_share(np.array(weights), np.zeros(rows, dtype=bool))
    assert (every.low, every.high) == pytest.approx((share(rows, rows).low, 1.0))
    assert (none.low, none.high) == pytest.approx((0.0, share(0, rows).high))


def test_a_long_row_counts_as_one_row_in_a_share_of_tokens() -> None:
    weights = np.array([10_000.0, 1.0, 1.0, 1.0])
    assert weighted_share(weights, np.array([True, False, False, False])).low < 0.3


def test_the_names_of_quantiles_are_percents() -> None:
    assert (quantile_of("p10"), quantile_of("p99.9"), quantile_of("p100")) == (0.1, 0.999, 1.0)
    assert quantile_of("p101") is quantile_of("q10") is quantile_of("p1000") is None
