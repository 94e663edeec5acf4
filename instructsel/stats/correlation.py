"""Correlations: Pearson's, Spearman's, partial, and Fisher's interval.

Sums are exactly rounded, so that a figure depends neither on the order of the rows nor on the processor.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.kinds import LENGTH_BIAS, head
from instructsel.magnitude import LARGEST, mean
from instructsel.stats.variance import CONFIDENCE
from instructsel.text import counted

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BLOCK: Final = 1 << 16
"""Values summed at a time."""
FEWEST_PAIRS: Final = 3
"""Two pairs always lie on a line."""
FEWEST_FOR_INTERVAL: Final = 4
"""Fisher's interval divides by the root of n − 3."""


def blocks(values: Floats) -> Iterator[Floats]:
    """Parts of at most BLOCK values, in order."""
    for begin in range(0, len(values), BLOCK):
        yield values[begin : begin + BLOCK]


def total_of(values: Floats) -> float:
    """Exactly rounded, and a block of numbers at a time."""
    return math.fsum(itertools.chain.from_iterable(block.tolist() for block in blocks(values)))


def mean_of(values: Floats) -> float | None:
    """None where there is no value."""
    if not len(values):
        return None
    try:
        return total_of(values) / len(values)
    except OverflowError:
        # The sum is infinite, and the mean is not.
        return mean(values.tolist())


def varies(values: Floats) -> bool:
    """Whether values differ by more than rounding."""
    return len(values) > 1 and float(np.ptp(values)) > 1e-12 * float(np.abs(values).max())


def _scaled(values: Floats) -> Floats:
    """Values whose squares are finite; a correlation is the same at every scale."""
    largest = float(np.abs(values).max(initial=0.0))
    return values / largest if largest > LARGEST else values


def pearson(x: Floats, y: Floats) -> float | None:
    """Pearson's correlation, in [−1, 1]; None with fewer than three pairs, or where one side does not vary.

    >>> pearson(np.array([1.0, 2.0, 4.0]), np.array([1.0, 2.0, 4.0]))
    1.0
    """
    if len(x) < FEWEST_PAIRS:
        return None
    x, y = _scaled(x), _scaled(y)
    dx, dy = x - total_of(x) / len(x), y - total_of(y) / len(y)
    squares_x, squares_y = total_of(dx * dx), total_of(dy * dy)
    least_x, least_y = (1e-24 * len(x) * max(1e-300, float(np.abs(values).max())) ** 2 for values in (x, y))
    if squares_x <= least_x or squares_y <= least_y:
        return None
    product = squares_x * squares_y
    # One root where the product neither over- nor underflows: exactly 1 for points on a line of whole numbers.
    scale = math.sqrt(product) if 1e-290 < product < 1e290 else math.sqrt(squares_x) * math.sqrt(squares_y)
    return max(-1.0, min(1.0, total_of(dx * dy) / scale))


def ranks(values: Floats) -> Floats:
    """Ranks from 1, ties at their mean.

    >>> ranks(np.array([3.0, 1.0, 3.0])).tolist()
    [2.5, 1.0, 2.5]
    """
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2.0)[places] if len(values) else values


def spearman(x: Floats, y: Floats) -> float | None:
    """Spearman's rank correlation, ties at their mean; None where Pearson's is."""
    return pearson(ranks(x), ranks(y))


def fisher_interval(r: float, n: int, *, confidence: float = CONFIDENCE) -> tuple[float, float] | None:
    """The interval of a correlation by Fisher's z; None with fewer than four pairs, or where r is ±1."""
    if n < FEWEST_FOR_INTERVAL or not abs(r) < 1.0:
        return None
    half = NormalDist().inv_cdf(0.5 + confidence / 2.0) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


class PartialCorrelation(NamedTuple):
    """How an indicator goes with a value among rows of equal length."""

    n: int
    """Rows."""
    with_value: float | None
    """Its correlation with the value."""
    with_length: float | None
    """Its correlation with length."""
    partial: float | None
    """With the value, length held fixed; None where there is a reason."""
    reason: str | None
    """Why there is no partial correlation, or None."""


def partial(x: Floats, value: Floats, length: Floats, rows: Mask) -> PartialCorrelation:
    """The correlation of an indicator with a value, length held fixed, over some rows.

    Args:
        x: the indicator, (n,).
        value: (n,).
        length: (n,).
        rows: the rows where all three are known, (n,).
    """
    n = int(rows.sum())
    with_value, with_length = pearson(x[rows], value[rows]), pearson(x[rows], length[rows])
    value_with_length = pearson(value[rows], length[rows])
    if with_value is None or with_length is None or value_with_length is None:
        reason = "fewer than three rows" if n < FEWEST_PAIRS else "something is the same in all rows"
        return PartialCorrelation(n, with_value, with_length, None, reason)
    unexplained = (1 - with_length**2) * (1 - value_with_length**2)
    if unexplained < 1e-9:
        alone = 1 - value_with_length**2 < 1e-9
        reason = "the value is len alone" if alone else "the indicator goes with len exactly"
        return PartialCorrelation(n, with_value, with_length, None, reason)
    r = (with_value - with_length * value_with_length) / math.sqrt(unexplained)
    return PartialCorrelation(n, with_value, with_length, max(-1.0, min(1.0, r)), None)


@dataclass(frozen=True)
class LengthBias:
    """How closely win rates follow the length of the responses trained on, over arms or data sets."""

    r: float | None
    """Pearson's correlation; None where there is a reason."""
    low: float | None
    """Its interval by Fisher's z; None with fewer than four pairs."""
    high: float | None
    """The upper end."""
    r_log: float | None
    """With the logarithm of length."""
    rank: float | None
    """Spearman's: of the ranks, ties at their mean."""
    n: int
    """Pairs."""
    confidence: float
    """Of the interval."""
    reason: str | None = None
    """Why there is no correlation, or None."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**head(LENGTH_BIAS), **asdict(self)}


def length_bias(lengths: Sequence[float], wins: Sequence[float], *, confidence: float = CONFIDENCE) -> LengthBias:
    """The correlation of mean response length with win rate, one pair an arm or data set.

    A selection rewarded by a judge who likes length will drift towards long responses; near 1, the judge says little else.

    Args:
        lengths: above 0, in tokens or characters.
        wins: win rates, in per cent or as a share.
        confidence: of the interval.

    Raises:
        UsageError: sequences of different lengths, or a value that cannot be.
    """
    if len(lengths) != len(wins):
        raise UsageError(f"There are {len(lengths)} lengths and {len(wins)} win rates.", fix="Give one of each for each arm.")
    x, y = np.array(lengths, dtype=np.float64), np.array(wins, dtype=np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all()):
        raise UsageError("A length is not above 0, or a value is not finite.", fix="Leave that pair out.")
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"A confidence of {confidence} cannot be.", fix="Give a number between 0 and 1, e.g. 0.95.")
    n = len(x)
    if n < FEWEST_PAIRS or len(np.unique(x)) == 1 or len(np.unique(y)) == 1:
        reason = (
            f"{counted(n, 'pair')} of length and win rate {'is' if n == 1 else 'are'} too few; it takes three."
            if n < FEWEST_PAIRS
            else "All lengths or all win rates are equal."
        )
        return LengthBias(None, None, None, None, None, n, confidence, reason)
    r = pearson(x, y)
    low, high = (None, None) if r is None else fisher_interval(r, n, confidence=confidence) or (None, None)
    return LengthBias(r, low, high, pearson(np.log(x), y), spearman(x, y), n, confidence)
