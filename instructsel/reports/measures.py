"""Numbers over the columns of a pool: exact sums a block at a time, so that a column is all the memory they take."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.magnitude import LARGEST
from instructsel.stats.correlation import Floats, blocks

BINS: Final = 40
OUTER: Final = (0.005, 0.995)
"""Quantiles of the pool between which the bins lie."""


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
    # What lies beyond is counted as below or above: between edges of that size nothing can be computed.
    values = np.clip(values, -LARGEST, LARGEST)
    low, high = (float(quantile) for quantile in np.quantile(values, OUTER))
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
    counts = np.sum([part.counts for part in found], axis=0)
    return Binned(counts, sum(part.n for part in found), sum(part.below for part in found), sum(part.above for part in found))


def median_of(values: Floats) -> float | None:
    """None where there is no value."""
    return float(np.median(values)) if len(values) else None


def average_of(found: Sequence[float | None]) -> float | None:
    """The mean of those that are known; None where none is."""
    known = [value for value in found if value is not None]
    return math.fsum(known) / len(known) if known else None


def place(values: Floats, of: float | None) -> float | None:
    """The share of the values below a number, half of those equal to it included."""
    return None if of is None else (float((values < of).sum()) + float((values == of).sum()) / 2) / len(values)


__all__ = ["Binned", "average_of", "binned", "edges_of", "median_of", "place", "together"]
