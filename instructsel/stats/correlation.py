"""Correlations: Pearson, Spearman, partial, and their intervals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from statistics import NormalDist
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.stats.variance import LEVEL


def fisher_interval(r: float, n: int, *, level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of a correlation by Fisher's z; None with fewer than four pairs, or where r is ±1."""
    if n < 4 or not abs(r) < 1.0:
        return None
    half = NormalDist().inv_cdf(0.5 + level / 2.0) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


Floats = NDArray[np.float64]


Mask = NDArray[np.bool_]


BLOCK: Final = 1 << 16
"""Values summed at a time."""


def blocks(values: Floats) -> Iterator[Floats]:
    """Parts of at most BLOCK values, in order."""
    for begin in range(0, len(values), BLOCK):
        yield values[begin : begin + BLOCK]


def total_of(values: Floats) -> float:
    """Exactly rounded, and a block of numbers at a time."""
    return math.fsum(itertools.chain.from_iterable(block.tolist() for block in blocks(values)))


def mean_of(values: Floats) -> float | None:
    """None where there is no value."""
    return total_of(values) / len(values) if len(values) else None


def pearson(x: Floats, y: Floats) -> float | None:
    """None with fewer than three values, or where one does not vary."""
    if len(x) < 3:
        return None
    a, b = x - total_of(x) / len(x), y - total_of(y) / len(y)
    one, other = total_of(a * a), total_of(b * b)
    floor = [1e-24 * len(x) * max(1e-300, float(np.abs(values).max())) ** 2 for values in (x, y)]
    if one <= floor[0] or other <= floor[1]:
        return None
    return max(-1.0, min(1.0, total_of(a * b) / (math.sqrt(one) * math.sqrt(other))))


def ranks(values: Floats) -> Floats:
    """Ranks, ties at their mean."""
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2.0)[places] if len(values) else values


def partial(x: Floats, value: Floats, length: Floats, rows: Mask) -> tuple[Any, ...]:
    """Rows, both correlations of an indicator, the partial one, and why there is none."""
    n = int(rows.sum())
    with_value, with_length = pearson(x[rows], value[rows]), pearson(x[rows], length[rows])
    between = pearson(value[rows], length[rows])
    if with_value is None or with_length is None or between is None:
        reason = "fewer than three rows" if n < 3 else "something is the same in all rows"
        return n, with_value, with_length, None, reason
    left = (1 - with_length**2) * (1 - between**2)
    if left < 1e-9:
        return (
            n,
            with_value,
            with_length,
            None,
            "the value is len alone" if 1 - between**2 < 1e-9 else "the indicator goes with len exactly",
        )
    return n, with_value, with_length, max(-1.0, min(1.0, (with_value - with_length * between) / math.sqrt(left))), None


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
    level: float
    """Of the interval."""
    reason: str | None = None
    """Why there is no correlation, or None."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def length_bias(lengths: Sequence[float], wins: Sequence[float], *, level: float = LEVEL) -> LengthBias:
    """The correlation of mean response length with win rate, one pair an arm or data set.

    A selection rewarded by a judge who likes length will drift towards long responses; near 1, the judge says little else.

    Args:
        lengths: above 0, in tokens or characters.
        wins: win rates, in per cent or as a share.
        level: of the interval.

    Raises:
        UsageError: sequences of different lengths, or a value that cannot be.
    """
    if len(lengths) != len(wins):
        raise UsageError(f"There are {len(lengths)} lengths and {len(wins)} win rates.", fix="Give one of each for each arm.")
    x, y = np.array(lengths, dtype=np.float64), np.array(wins, dtype=np.float64)
    if not (np.isfinite(x).all() and np.isfinite(y).all() and (x > 0).all()):
        raise UsageError("A length is not above 0, or a value is not finite.", fix="Leave that pair out.")
    if not 0.0 < level < 1.0:
        raise UsageError(f"A level of {level} cannot be.", fix="Give a number between 0 and 1, e.g. 0.95.")
    n = len(x)
    if n < 3 or len(np.unique(x)) == 1 or len(np.unique(y)) == 1:
        reason = f"There are {n} pairs; it takes three." if n < 3 else "All lengths or all win rates are equal."
        return LengthBias(None, None, None, None, None, n, level, reason)
    r = _pearson(x, y)
    low, high = fisher_interval(r, n, level=level) or (None, None)
    return LengthBias(r, low, high, _pearson(np.log(x), y), _pearson(_ranks(x), _ranks(y)), n, level)


def _pearson(x: Any, y: Any) -> float:
    a, b = x - x.mean(), y - y.mean()
    return max(-1.0, min(1.0, float((a * b).sum() / math.sqrt(float((a * a).sum() * (b * b).sum())))))


def _ranks(values: Any) -> Any:
    """Ranks from 1, ties at their mean."""
    found, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((2 * last - counts + 1) / 2.0)[places] if len(found) else values
