"""A mean, a quantile or a share of some values, with an interval."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.stats.proportion import wilson

Floats = NDArray[np.float64]
QUANTILE: Final = re.compile(r"p(?P<percent>[0-9]{1,2}(\.[0-9]{1,3})?|100)")
"""p10 is the tenth percentile, p99.5 leaves out one row in 200."""
STATISTICS: Final = ("mean", "median", "pXX", "share", "count")


@dataclass(frozen=True)
class Summary:
    """A figure with its interval."""

    value: float
    low: float
    high: float


def quantile_of(statistic: str) -> float | None:
    """The quantile that the name of a statistic means, in [0, 1]; None where it means none.

    >>> quantile_of("p99.5"), quantile_of("median"), quantile_of("mean")
    (0.995, 0.5, None)
    """
    if statistic == "median":
        return 0.5
    match = QUANTILE.fullmatch(statistic)
    return None if match is None else round(float(match["percent"]) / 100, 6)


def mean(values: Floats, *, confidence: float = 0.95) -> Summary:
    """The mean, with the interval of the normal distribution.

    >>> mean(np.array([1.0, 2.0, 3.0])).value
    2.0
    """
    value = float(values.mean())
    if len(values) < 2:
        return Summary(value, -math.inf, math.inf)
    half = _z(confidence) * float(values.std(ddof=1)) / math.sqrt(len(values))
    return Summary(value, value - half, value + half)


def quantile(values: Floats, q: float, *, confidence: float = 0.95) -> Summary:
    """A quantile, with the interval between two of the ordered values; infinite where there are too few of them on a side.

    Source: Conover 1999, Practical Nonparametric Statistics, 3.2, by the normal approximation of the binomial distribution.

    >>> quantile(np.arange(101.0), 0.5).value
    50.0
    """
    ordered = np.sort(values)
    n = len(ordered)
    spread = _z(confidence) * math.sqrt(n * q * (1 - q))
    low, high = math.floor(n * q - spread), math.ceil(n * q + spread) + 1
    return Summary(
        float(np.quantile(ordered, q)),
        float(ordered[low - 1]) if low >= 1 else -math.inf,
        float(ordered[high - 1]) if high <= n else math.inf,
    )


def share(count: int, n: int, *, confidence: float = 0.95) -> Summary:
    """A share of rows, with Wilson's interval."""
    low, high = wilson(count, n, confidence=confidence)
    return Summary(count / n if n else 0.0, low, high)


def weighted_share(weights: Floats, chosen: NDArray[np.bool_], *, confidence: float = 0.95) -> Summary:
    """The share of some rows in the sum of all weights, with the interval of a ratio of two sums.

    The interval is Wilson's, of as many rows as a share by count with this variance would need, at most as many as their weights are worth.
    Of one row it is wide.

    Source: Cochran 1977, Sampling Techniques, 2.11 (the linearised variance of a ratio); Korn and Graubard 1998, Survey Methodology 24, 193 (the
    effective number of rows); Kish 1965, Survey Sampling, 11.2 (that of weights).

    >>> weighted_share(np.array([1.0, 3.0]), np.array([True, False])).value
    0.25
    """
    total, n = float(weights.sum()), len(weights)
    if not total:
        return Summary(0.0, 0.0, 1.0)
    value = float(weights[chosen].sum()) / total
    residuals = weights * (chosen - value)
    variance = n / max(1, n - 1) * float(residuals @ residuals) / total**2
    worth = total**2 / float(weights @ weights)
    rows = min(worth, value * (1 - value) / variance) if variance > 0 and 0 < value < 1 else worth
    low, high = wilson(value * rows, rows, confidence=confidence)
    return Summary(value, min(low, value), max(high, value))


def _z(confidence: float) -> float:
    return NormalDist().inv_cdf(0.5 + confidence / 2)


__all__ = ["STATISTICS", "Summary", "mean", "quantile", "quantile_of", "share", "weighted_share"]
