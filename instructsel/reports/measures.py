"""Numbers over the columns of a pool: exact sums a block at a time, so that a column is all the memory they take."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

BINS: Final = 40
OUTER: Final = (0.005, 0.995)
"""Quantiles of the pool between which the bins lie."""
BLOCK: Final = 1 << 16
"""Values summed at a time."""


@dataclass(frozen=True, eq=False)
class Binned:
    """How values lie in bins: shares of all of them."""

    counts: NDArray[np.int64]
    """(bins,)."""
    n: int
    """All values."""
    below: int
    """Values below the first edge."""
    above: int
    """Values above the last."""


def edges_of(values: Floats, bins: int = BINS) -> Floats:
    """The bins of a histogram, (bins + 1,): equal, between the 0.5 % and the 99.5 % quantile of the values; None of them may be missing."""
    low, high = (float(each) for each in np.quantile(values, OUTER))
    if not high > low:
        low, high = float(values.min()), float(values.max())
    if not high > low:
        free = abs(high) / 2 or 0.5
        low, high = low - free, high + free
    return np.linspace(low, high, bins + 1)


def binned(values: Floats, edges: Floats) -> Binned:
    """Count values in bins, a block at a time: beside them it takes the memory of one block."""
    counts = np.zeros(len(edges) - 1, dtype=np.int64)
    below = above = 0
    for block in blocks(values):
        counts += np.histogram(block, bins=edges)[0]
        below += int((block < edges[0]).sum())
        above += int((block > edges[-1]).sum())
    return Binned(counts, len(values), below, above)


def together(found: Sequence[Binned]) -> Binned:
    """Several counts over the same bins as one."""
    counts = np.sum([each.counts for each in found], axis=0)
    return Binned(counts, sum(each.n for each in found), sum(each.below for each in found), sum(each.above for each in found))


def blocks(values: Floats) -> Iterator[Floats]:
    for begin in range(0, len(values), BLOCK):
        yield values[begin : begin + BLOCK]


def total_of(values: Floats) -> float:
    """Exactly rounded, and a block of numbers at a time."""
    return math.fsum(itertools.chain.from_iterable(block.tolist() for block in blocks(values)))


def mean_of(values: Floats) -> float | None:
    """None where there is no value."""
    return total_of(values) / len(values) if len(values) else None


def median_of(values: Floats) -> float | None:
    """None where there is no value."""
    return float(np.median(values)) if len(values) else None


def average_of(found: Sequence[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [each for each in found if each is not None]
    return math.fsum(known) / len(known) if known else None


def place(values: Floats, of: float | None) -> float | None:
    """The share of the values below a number, half of those equal to it included."""
    return None if of is None else (float((values < of).sum()) + float((values == of).sum()) / 2) / len(values)


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


__all__ = [
    "Binned",
    "Floats",
    "Mask",
    "average_of",
    "binned",
    "edges_of",
    "mean_of",
    "median_of",
    "partial",
    "pearson",
    "place",
    "ranks",
    "together",
    "total_of",
]
