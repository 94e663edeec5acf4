"""Distances between distributions: their values, what chance alone makes of them, and areas under curves with their intervals."""

from __future__ import annotations

import numpy as np
import pytest

from instructsel.stats.auc import auc, separability
from instructsel.stats.drift import METHODS, adjusted, drift, label_drift


def test_a_shift_by_one_standard_deviation_is_a_distance_of_one() -> None:
    pool = np.random.default_rng(1).normal(5, 2, 4000)
    assert drift(pool + pool.std(), pool, "wasserstein", draws=1).distance == pytest.approx(1.0)
    scipy = pytest.importorskip("scipy.stats")
    values = np.random.default_rng(2).normal(6, 3, 500)
    assert drift(values, pool, "wasserstein", draws=1).distance == pytest.approx(scipy.wasserstein_distance(values, pool) / pool.std())
    assert drift(values, pool, "ks", draws=1).distance == pytest.approx(scipy.ks_2samp(values, pool).statistic)


def test_shares_without_anything_in_common_are_as_far_as_can_be() -> None:
    pool = [*"aabb"] * 50
    assert label_drift([*"cc"] * 50, pool, "jensen-shannon", draws=1).distance == pytest.approx(1.0)
    assert label_drift([*"cc"] * 50, pool, "wasserstein", draws=1).distance == pytest.approx(1.0)
    # Shares 0.75 and 0.25 beside 0.5 and 0.5: 0.25 ln 1.5 − 0.25 ln 0.5.
    assert label_drift([*"aaab"] * 50, pool, "psi", draws=1).distance == pytest.approx(0.25 * np.log(3.0))
    with pytest.raises(ValueError, match="no order"):
        label_drift(pool, pool, "ks")


@pytest.mark.parametrize("method", METHODS)
def test_equal_distributions_have_no_distance(method: str) -> None:
    pool = np.random.default_rng(3).integers(0, 9, 500).astype(float)
    assert drift(pool, pool, method, draws=5).distance == 0.0
    assert drift(np.full(30, 2.0), np.full(90, 2.0), method, draws=5).p_value == 1.0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("sizes", [(200, 400), (150, 6000)])
def test_rows_of_the_same_distribution_lie_in_the_null_band_as_often_as_it_says(method: str, sizes: tuple[int, int]) -> None:
    """150 pairs of draws of one lognormal with ties: 95 % are below the upper end of the band, within what 150 tries allow (six standard errors below)."""
    inside, small = 0, 0
    for seed in range(150):
        random = np.random.default_rng(seed)
        values, pool = (np.round(random.lognormal(3, 0.7, size)) for size in sizes)
        measured = drift(values, pool, method, draws=100, seed=seed)
        inside += measured.distance <= measured.band[1]
        small += measured.p_value <= 0.05
    assert 0.905 <= inside / 150 <= 1.0
    assert small / 150 <= 0.11


def test_a_drift_is_the_same_for_the_same_seed_and_the_order_of_rows_does_not_matter() -> None:
    random = np.random.default_rng(0)
    values, pool = random.normal(0, 1, 300), random.normal(0, 1, 900)
    assert drift(values, pool, "psi") == drift(random.permutation(values), random.permutation(pool), "psi")


def test_adjusted_p_values_are_those_of_benjamini_and_hochberg() -> None:
    p_values = [0.001, 0.2, 0.04, 0.03, 0.9]
    assert adjusted(p_values) == pytest.approx([0.005, 0.25, 0.2 / 3, 0.2 / 3, 0.9])
    assert adjusted([]) == []


def test_an_area_counts_the_pairs_in_the_right_order() -> None:
    random = np.random.default_rng(5)
    first, second = np.round(random.normal(1, 1, 40), 1), np.round(random.normal(0, 1, 30), 1)
    pairs = (first[:, None] > second).mean() + (first[:, None] == second).mean() / 2
    assert auc(first, second)[0] == pytest.approx(pairs)


def test_the_interval_of_an_area_holds_the_true_one_as_often_as_it_says() -> None:
    """Binormal scores one standard deviation apart: the area is Φ(1/√2) = 0.7602."""
    inside = 0
    for seed in range(400):
        random = np.random.default_rng(seed)
        value, variance = auc(random.normal(1, 1, 80), random.normal(0, 1, 120))
        inside += abs(value - 0.7602499) <= 1.959964 * variance**0.5
    assert 0.92 <= inside / 400 <= 0.98


def test_vectors_of_one_cloud_cannot_be_told_apart_and_those_of_two_can() -> None:
    inside = 0
    for seed in range(100):
        random = np.random.default_rng(seed)
        first, second = (random.normal(0, 1, (size, 8)).astype(np.float32) for size in (60, 150))
        area = separability(first, second, seed=seed)
        inside += area.low <= 0.5 <= area.high
    assert 0.89 <= inside / 100 <= 1.0
    random = np.random.default_rng(0)
    apart = separability(random.normal(1, 1, (60, 8)).astype(np.float32), random.normal(0, 1, (150, 8)).astype(np.float32))
    assert apart.low > 0.9


@pytest.mark.parametrize("method", ["psi", "jensen-shannon"])
def test_values_below_those_that_the_pool_has_most_are_seen(method: str) -> None:
    for pool in (np.full(400, 2.0), np.concatenate([np.full(380, 2.0), np.full(20, 4.0)])):
        assert drift(np.ones(300), pool, method).distance > 0.9
        assert drift(pool[100:], pool, method).distance < 0.1
