"""Agreement of annotators, next to reference implementations and worked examples."""

from __future__ import annotations

import numpy as np
import pytest

from instructsel.errors import UsageError
from instructsel.stats.agreement import (
    Figure,
    bounded_mean,
    cohen_kappa,
    counts_of,
    fleiss_kappa,
    krippendorff_alpha,
    mean_difference,
    raw_agreement,
)
from instructsel.stats.student import t_quantile


def ratings(seed: int, items: int, annotators: int, k: int, *, missing: float = 0.0, noise: float = 0.4) -> np.ndarray:
    """Codes around a true label of each item."""
    generator = np.random.default_rng(seed)
    truth = generator.integers(k, size=(items, 1))
    codes = np.where(generator.random((items, annotators)) < noise, generator.integers(k, size=(items, annotators)), truth)
    return np.where(generator.random((items, annotators)) < missing, -1, codes)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("weights", [None, "linear", "quadratic"])
def test_cohens_kappa_is_that_of_statsmodels_and_scikit_learn(seed: int, weights: str | None) -> None:
    reference = pytest.importorskip("statsmodels.stats.inter_rater")
    k = 2 + seed % 4
    codes = ratings(seed, 60, 2, k)
    table = np.zeros((k, k))
    np.add.at(table, (codes[:, 0], codes[:, 1]), 1)
    found = cohen_kappa(codes[:, 0], codes[:, 1], k, weights=weights, resamples=50)
    expected = reference.cohens_kappa(table, return_results=False, wt={None: None, "linear": "linear", "quadratic": "quadratic"}[weights])
    assert found.value == pytest.approx(expected, abs=1e-12)
    metrics = pytest.importorskip("sklearn.metrics")
    assert found.value == pytest.approx(metrics.cohen_kappa_score(codes[:, 0], codes[:, 1], weights=weights, labels=range(k)), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
def test_fleiss_kappa_is_that_of_statsmodels(seed: int) -> None:
    reference = pytest.importorskip("statsmodels.stats.inter_rater")
    counts = counts_of(ratings(seed, 40, 2 + seed % 5, 2 + seed % 4), 2 + seed % 4)
    assert fleiss_kappa(counts, resamples=50).value == pytest.approx(reference.fleiss_kappa(counts), abs=1e-12)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("level", ["nominal", "ordinal", "interval"])
def test_krippendorffs_alpha_is_that_of_the_package_with_missing_ratings(seed: int, level: str) -> None:
    reference = pytest.importorskip("krippendorff")
    k = 2 + seed % 4
    codes = ratings(seed, 50, 3, k, missing=0.3)
    data = np.where(codes < 0, np.nan, codes.astype(float)).T
    expected = reference.alpha(reliability_data=data, level_of_measurement=level, value_domain=list(range(k)))
    assert krippendorff_alpha(counts_of(codes, k), level, resamples=50).value == pytest.approx(expected, abs=1e-10)


def test_krippendorffs_own_example_with_four_observers() -> None:
    # Krippendorff 2011, the table of section C: 12 units, four observers, missing ratings; 0.743 nominal, 0.815 ordinal, 0.849 interval.
    rows = [
        [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
        [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
        [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
        [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
    ]
    counts = counts_of(np.array(rows).T - 1, 5)
    values = [krippendorff_alpha(counts, level, resamples=50).value for level in ("nominal", "ordinal", "interval")]
    assert [round(value, 3) for value in values] == [0.743, 0.815, 0.849]


def test_fleiss_own_shape_of_example() -> None:
    # Ten subjects, fourteen ratings each, five labels: the example of the textbooks, 0.210.
    rows = "0 0 0 0 14;0 2 6 4 2;0 0 3 5 6;0 3 9 2 0;2 2 8 1 1;7 7 0 0 0;3 2 6 3 0;2 5 3 2 2;6 5 2 1 0;0 2 2 3 7"
    counts = np.array([[float(cell) for cell in row.split()] for row in rows.split(";")])
    assert round(fleiss_kappa(counts, resamples=50).value, 3) == 0.210


def test_raw_agreement_counts_pairs_within_items_and_a_tie_for_half() -> None:
    # Labels: first, tie, second. Agreements of the pairs: 1; 0; 0; and of three annotators one pair of three.
    counts = np.array([[2.0, 0, 0], [1, 1, 0], [1, 0, 1], [2, 1, 0], [1, 0, 0]])
    assert raw_agreement(counts).value == pytest.approx((1 + 0 + 0 + 1 / 3) / 4)
    credit = np.array([[1, 0.5, 0], [0.5, 1, 0.5], [0, 0.5, 1]])
    assert raw_agreement(counts, credit=credit).value == pytest.approx((1 + 0.5 + 0 + (1 + 0.5 + 0.5) / 3) / 4)
    assert raw_agreement(counts).n == 4


def test_what_cannot_be_computed_has_a_reason_and_no_value() -> None:
    alone = counts_of(np.array([[0, -1], [1, -1]]), 2)
    for measure in (raw_agreement, fleiss_kappa, krippendorff_alpha):
        assert measure(alone) == Figure(None, None, None, 0, "no item has two ratings")
    same = counts_of(np.zeros((5, 2), dtype=np.int64), 2)
    assert fleiss_kappa(same).value is None and "certain" in str(fleiss_kappa(same).reason)
    assert krippendorff_alpha(same).value is None
    assert raw_agreement(same).value == 1.0
    assert mean_difference(np.array([])).value is None and mean_difference(np.array([0.5])).low is None
    with pytest.raises(UsageError):
        counts_of(np.array([[0, 2]]), 2)


def test_agreement_of_all_items_is_no_certainty() -> None:
    codes = np.repeat(np.array([0, 1] * 5), 2).reshape(-1, 2)
    for found in (cohen_kappa(codes[:, 0], codes[:, 1], 2), fleiss_kappa(counts_of(codes, 2)), krippendorff_alpha(counts_of(codes, 2))):
        assert found.value == pytest.approx(1.0) and found.high == 1.0
        assert found.low is not None and 0.3 < found.low < 0.7
    assert bounded_mean(np.ones(10)).low == pytest.approx(0.7225, abs=1e-4)


def test_the_same_seed_gives_the_same_interval_and_more_items_a_narrower_one() -> None:
    few, many = (counts_of(ratings(1, items, 3, 3), 3) for items in (40, 640))
    assert krippendorff_alpha(few, seed=3) == krippendorff_alpha(few, seed=3)
    widths = [found.high - found.low for found in map(krippendorff_alpha, (few, many))]
    assert widths[1] < widths[0] / 3


@pytest.mark.parametrize("name", ["raw", "cohen", "fleiss", "alpha", "ordinal"])
def test_intervals_cover_the_agreement_of_a_large_population(name: str) -> None:
    def figure(codes: np.ndarray, resamples: int) -> Figure:
        counts = counts_of(codes, 3)
        return {
            "raw": lambda: raw_agreement(counts),
            "cohen": lambda: cohen_kappa(codes[:, 0], codes[:, 1], 3, resamples=resamples),
            "fleiss": lambda: fleiss_kappa(counts, resamples=resamples),
            "alpha": lambda: krippendorff_alpha(counts, resamples=resamples),
            "ordinal": lambda: krippendorff_alpha(counts, "ordinal", resamples=resamples),
        }[name]()

    truth = figure(ratings(0, 40_000, 3, 3), 2).value
    found = [figure(ratings(seed, 60, 3, 3), 400) for seed in range(1, 161)]
    covered = sum(one.low <= truth <= one.high for one in found)
    # 95 % of 160 is 152; fewer than 142 happen once in 500.
    assert covered >= 142


@pytest.mark.parametrize("df", [1, 2, 3, 4, 5, 7, 12, 40, 300.5])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99, 0.999])
def test_students_quantile_is_that_of_scipy(df: float, confidence: float) -> None:
    stats = pytest.importorskip("scipy.stats")
    assert t_quantile(confidence, df) == pytest.approx(stats.t.ppf(0.5 + confidence / 2, df), rel=2e-4)
