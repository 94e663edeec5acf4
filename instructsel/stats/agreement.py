"""How far annotators agree: raw and relaxed agreement, Cohen's and Fleiss' kappa, Krippendorff's alpha, each with an interval over items.

Ratings are codes 0 … K − 1, an array of items × annotators with -1 where an annotator did not rate an item. Every measure here is a function
of sums over items, so that one bootstrap serves them all: items are drawn again, the annotators are those that there are. Intervals
generalize to other items, not to other annotators.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.stats.proportion import wilson
from instructsel.stats.student import t_quantile

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Level = Literal["nominal", "ordinal", "interval"]
Disagreement = tuple[Floats, Floats]
"""Observed and by chance, as shares: (draws,) each."""

CONFIDENCE: Final = 0.95
RESAMPLES: Final = 2_000
MISSING: Final = -1
SMALLEST: Final = 1e-12
"""Less disagreement by chance than this is none."""
CELLS: Final = 4_000_000
"""Numbers that the bootstrap has in memory at once."""
MOST_UNDEFINED: Final = 0.05
"""Share of resamples without a value up to which the others make an interval."""
NO_PAIRS: Final = "no item has two ratings"
ONE_LABEL: Final = "every rating is the same: agreement by chance is certain"
FEW_ITEMS: Final = "an interval needs two items"
UNDEFINED: Final = "too many resamples have one label alone"


@dataclass(frozen=True)
class Figure:
    """A figure with its interval."""

    value: float | None
    """None where there is a reason."""
    low: float | None
    """Lower end of the interval; None where there is a reason."""
    high: float | None
    """Upper end."""
    n: int
    """Items that it is of."""
    reason: str | None = None
    """Why there is no value, or no interval; None where there are both."""


def counts_of(ratings: Codes, n_categories: int) -> Floats:
    """(items, categories), how many annotators gave each item each label.

    >>> counts_of(np.array([[0, 0, 1], [1, -1, -1]]), 2).tolist()
    [[2.0, 1.0], [0.0, 1.0]]
    """
    _check(ratings, n_categories)
    return np.stack([(ratings == label).sum(axis=1) for label in range(n_categories)], axis=1).astype(np.float64)


def raw_agreement(counts: Floats, *, credit: Floats | None = None, confidence: float = CONFIDENCE) -> Figure:
    """The share of pairs of annotators that agree, each item counting once.

    The interval is Wilson's, at the number of independent items whose values would vary as these do.

    Args:
        counts: as of `counts_of`; items with fewer than two ratings are left out.
        credit: (categories, categories), what two labels count as agreement, in [0, 1]; 1 for equal ones and 0 for others by default.
        confidence: of the interval.

    >>> raw_agreement(np.array([[2.0, 0.0], [1.0, 1.0]])).value
    0.5
    """
    counts = counts[counts.sum(axis=1) >= 2]
    if not len(counts):
        return Figure(None, None, None, 0, NO_PAIRS)
    table = np.eye(counts.shape[1]) if credit is None else np.asarray(credit, dtype=np.float64)
    ratings = counts.sum(axis=1)
    agreed = ((counts @ table) * counts).sum(axis=1) - counts @ np.diag(table)
    return bounded_mean(agreed / (ratings * (ratings - 1)), confidence=confidence)


def bounded_mean(values: Floats, *, confidence: float = CONFIDENCE) -> Figure:
    """The mean of values in [0, 1], with Wilson's interval at the number of independent yes-or-no values that would vary as these do.

    >>> found = bounded_mean(np.array([1.0, 1.0, 1.0, 1.0]))
    >>> found.value, round(found.low, 2), found.high
    (1.0, 0.51, 1.0)
    """
    n = len(values)
    if not n:
        return Figure(None, None, None, 0, "there is no value")
    mean = float(math.fsum(values.tolist()) / n)
    variance = float(values.var(ddof=1)) if n > 1 else 0.0
    # Values between 0 and 1 vary less than ones that are either.
    independent = n if not variance > 0 else max(float(n), n * mean * (1 - mean) / variance)
    scale = t_quantile(confidence, n - 1) / NormalDist().inv_cdf(0.5 + confidence / 2) if n > 1 and 0 < mean < 1 else 1.0
    low, high = _wilson(mean, independent / scale**2, confidence)
    return Figure(mean, low, high, n)


def mean_difference(values: Floats, *, confidence: float = CONFIDENCE) -> Figure:
    """The mean of differences, with Student's interval; without one where there are fewer than two.

    Where all are equal, the interval is that of a share that was never seen to differ, as wide as Wilson's.
    """
    n = len(values)
    if not n:
        return Figure(None, None, None, 0, "there is no item that others judged, too")
    mean = float(math.fsum(values.tolist()) / n)
    if n < 2:
        return Figure(mean, None, None, n, FEW_ITEMS)
    spread = float(values.std(ddof=1))
    half = t_quantile(confidence, n - 1) * spread / math.sqrt(n) if spread > 0 else wilson(0, n, confidence=confidence)[1]
    return Figure(mean, max(-1.0, mean - half), min(1.0, mean + half), n)


def cohen_kappa(
    first: Codes,
    second: Codes,
    n_categories: int,
    *,
    weights: Literal["linear", "quadratic"] | None = None,
    clusters: Codes | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Cohen's kappa of two annotators.

    Args:
        first: (items,), codes of one; -1 where there is none.
        second: (items,), of the other.
        n_categories: K.
        weights: disagreement grows with the distance of the labels, or its square; None: any two labels differ alike.
        clusters: (items,), what is drawn again as a whole, such as a pair of responses; None: each item alone.
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Source: Cohen 1960, doi:10.1177/001316446002000104; weighted, 1968, doi:10.1037/h0026256.

    >>> cohen_kappa(np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1]), 2).value
    0.5
    """
    _check(np.stack([first, second], axis=1), n_categories)
    both = (first >= 0) & (second >= 0)
    tables = np.zeros((int(both.sum()), n_categories, n_categories))
    tables[np.arange(len(tables)), first[both], second[both]] = 1.0
    labels = np.arange(n_categories)
    distance = np.abs(labels[:, None] - labels[None, :]).astype(np.float64)
    cost = {None: (distance > 0).astype(np.float64), "linear": distance, "quadratic": distance**2}[weights]
    cost = cost / max(float(cost.max()), 1.0)

    def disagreement(sums: Floats) -> Disagreement:
        table = sums.reshape(-1, n_categories, n_categories)
        n = table.sum(axis=(1, 2))
        chance = (table.sum(axis=2)[:, :, None] * table.sum(axis=1)[:, None, :] * cost).sum(axis=(1, 2))
        return (table * cost).sum(axis=(1, 2)) / n, chance / n**2

    agreed = 1.0 - (tables * cost).sum(axis=(1, 2))
    parts, agreed = _drawn_together(tables.reshape(len(tables), n_categories**2), agreed, None if clusters is None else clusters[both])
    return _estimated(parts, disagreement, agreed, confidence=confidence, resamples=resamples, seed=seed)


def fleiss_kappa(counts: Floats, *, confidence: float = CONFIDENCE, resamples: int = RESAMPLES, seed: int = 0) -> Figure:
    """Fleiss' kappa; items may have different numbers of ratings, and those with fewer than two are left out.

    Agreement by chance is that of the labels' shares among all ratings of the items that count.

    Args:
        counts: as of `counts_of`.
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Source: Fleiss 1971, doi:10.1037/h0031619; for unequal numbers Fleiss, Levin & Paik 2003, Statistical Methods for Rates and Proportions, 18.3.

    >>> fleiss_kappa(np.array([[2.0, 0.0], [0.0, 2.0], [1.0, 1.0], [2.0, 0.0]])).value
    0.4666666666666667
    """
    counts = counts[counts.sum(axis=1) >= 2]
    ratings = counts.sum(axis=1)
    agreed = (counts * (counts - 1)).sum(axis=1) / (ratings * (ratings - 1))
    parts = np.column_stack([1.0 - agreed, np.ones(len(counts)), counts])

    def disagreement(sums: Floats) -> Disagreement:
        labels = sums[:, 2:]
        shares = labels / labels.sum(axis=1, keepdims=True)
        return sums[:, 0] / sums[:, 1], 1.0 - (shares**2).sum(axis=1)

    return _estimated(parts, disagreement, agreed, confidence=confidence, resamples=resamples, seed=seed)


def krippendorff_alpha(
    counts: Floats,
    level: Level = "nominal",
    *,
    clusters: Codes | None = None,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> Figure:
    """Krippendorff's alpha, for any number of annotators and missing ratings.

    Args:
        counts: as of `counts_of`; items with fewer than two ratings are left out.
        level: nominal, any two labels differ alike; ordinal, by the ratings that lie between them; interval, by the square of the distance.
        clusters: (items,), what is drawn again as a whole; None: each item alone.
        confidence: of the interval.
        resamples: of the bootstrap.
        seed: of the bootstrap.

    Source: Krippendorff 2011, "Computing Krippendorff's alpha-reliability", from the coincidences of labels within items.

    >>> krippendorff_alpha(np.array([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])).value
    1.0
    """
    rated = counts.sum(axis=1) >= 2
    counts, clusters = counts[rated], None if clusters is None else clusters[rated]
    k = counts.shape[1]
    ratings = counts.sum(axis=1)
    pairs = counts[:, :, None] * counts[:, None, :] - counts[:, :, None] * np.eye(k)
    coincidences = pairs / (ratings - 1)[:, None, None]

    def disagreement(sums: Floats) -> Disagreement:
        table = sums.reshape(-1, k, k)
        labels = table.sum(axis=2)
        n = labels.sum(axis=1)
        if level == "ordinal":
            middle = labels.cumsum(axis=1) - labels / 2
            cost = (middle[:, :, None] - middle[:, None, :]) ** 2
        elif level == "interval":
            cost = np.broadcast_to((np.arange(k)[:, None] - np.arange(k)[None, :]) ** 2.0, table.shape)
        else:
            cost = np.broadcast_to(1.0 - np.eye(k), table.shape)
        cost = cost / np.maximum(cost.max(axis=(1, 2), keepdims=True), 1e-300)
        chance = (labels[:, :, None] * labels[:, None, :] * cost).sum(axis=(1, 2))
        return (table * cost).sum(axis=(1, 2)) / n, chance / (n * (n - 1))

    agreed = (counts * (counts - 1)).sum(axis=1) / (ratings * (ratings - 1))
    parts, agreed = _drawn_together(coincidences.reshape(len(counts), k * k), agreed, clusters)
    return _estimated(parts, disagreement, agreed, confidence=confidence, resamples=resamples, seed=seed)


def _check(ratings: Codes, n_categories: int) -> None:
    if ratings.ndim != 2 or (ratings.size and not ((ratings >= MISSING) & (ratings < n_categories)).all()):
        raise UsageError(
            f"Ratings are codes from 0 to {n_categories - 1}, or {MISSING} where there is none.", fix="Give items × annotators."
        )


def _wilson(share: float, n: float, confidence: float) -> tuple[float, float]:
    """Wilson's interval of a share of any number of independent values; `proportion.wilson` takes whole counts."""
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    spread = z * z / n
    center, half = share + spread / 2, z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low, high = (center - half) / (1 + spread), (center + half) / (1 + spread)
    return 0.0 if share <= 0 else max(0.0, low), 1.0 if share >= 1 else min(1.0, high)


def _drawn_together(parts: Floats, agreed: Floats, clusters: Codes | None) -> tuple[Floats, Floats]:
    """The parts and the agreement of clusters, where items are in any."""
    if clusters is None or not len(parts):
        return parts, agreed
    _, codes = np.unique(clusters, return_inverse=True)
    sums, least = np.zeros((int(codes.max()) + 1, parts.shape[1])), np.ones(int(codes.max()) + 1)
    np.add.at(sums, codes, parts)
    np.minimum.at(least, codes, agreed)
    return sums, least


def _one_less(disagreement: Disagreement) -> Floats:
    """1 − observed / expected disagreement, NaN where none is expected."""
    observed, expected = disagreement
    ratio: Floats = np.divide(observed, expected, out=np.full(len(observed), np.nan), where=expected > SMALLEST)
    return 1.0 - ratio


def _estimated(
    parts: Floats, disagreement: Callable[[Floats], Disagreement], agreed: Floats, *, confidence: float, resamples: int, seed: int
) -> Figure:
    """Agreement beyond chance, with the bias-corrected and accelerated interval of a bootstrap over items.

    Where all items agree, no resample can differ: the lower end then takes the disagreement that Wilson's interval leaves possible.

    Args:
        parts: (items, m).
        disagreement: (draws, m), sums of parts → observed and by chance, each (draws,) in [0, 1].
        agreed: (items,), the agreement of each, in [0, 1].
        confidence: of the interval.
        resamples: draws.
        seed: of the draws.

    Source: Efron 1987, doi:10.1080/01621459.1987.10478410.
    """
    n = len(parts)
    if not n:
        return Figure(None, None, None, 0, NO_PAIRS)
    total = parts.sum(axis=0)
    observed, expected = disagreement(total[None, :])
    value = float(_one_less((observed, expected))[0])
    if math.isnan(value):
        return Figure(None, None, None, n, ONE_LABEL)
    if n < 2:
        return Figure(value, None, None, n, FEW_ITEMS)
    if (agreed >= 1.0).all():
        possible = 1.0 - wilson(n, n, confidence=confidence)[0]
        return Figure(value, max(-1.0, 1.0 - possible / float(expected[0])), 1.0, n)
    drawn = _resampled(parts, disagreement, resamples, seed)
    defined = np.sort(drawn[~np.isnan(drawn)])
    if len(defined) < (1 - MOST_UNDEFINED) * resamples:
        return Figure(value, None, None, n, UNDEFINED)
    left_out = _one_less(disagreement(total[None, :] - parts))
    left_out = left_out[~np.isnan(left_out)]
    deviation = left_out.mean() - left_out if len(left_out) else np.zeros(1)
    squares = float((deviation**2).sum())
    acceleration = float((deviation**3).sum()) / (6 * squares**1.5) if squares > 0 else 0.0
    normal = NormalDist()
    least = 0.5 / len(defined)
    below = float((defined < value).sum() + (defined == value).sum() / 2) / len(defined)
    bias = normal.inv_cdf(min(max(below, least), 1 - least))
    ends = []
    for tail in ((1 - confidence) / 2, (1 + confidence) / 2):
        reach = bias + normal.inv_cdf(tail)
        ends.append(float(np.quantile(defined, normal.cdf(bias + reach / max(1 - acceleration * reach, 0.1)))))
    return Figure(value, min(ends[0], value), max(ends[1], value), n)


def _resampled(parts: Floats, disagreement: Callable[[Floats], Disagreement], resamples: int, seed: int) -> Floats:
    """Agreement beyond chance of items drawn again."""
    generator = np.random.default_rng(seed)
    n = len(parts)
    step = max(1, CELLS // max(n, 4 * parts.shape[1]))
    values = []
    for start in range(0, resamples, step):
        weights = generator.multinomial(n, np.full(n, 1.0 / n), size=min(step, resamples - start)).astype(np.float64)
        values.append(_one_less(disagreement(weights @ parts)))
    return np.concatenate(values)


__all__ = [
    "CONFIDENCE",
    "RESAMPLES",
    "Figure",
    "bounded_mean",
    "cohen_kappa",
    "counts_of",
    "fleiss_kappa",
    "krippendorff_alpha",
    "mean_difference",
    "raw_agreement",
]
