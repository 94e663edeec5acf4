"""Which numbers are computed with: finite, and small enough that sums of squares stay finite.

A file may hold 1e308, which is finite and whose sum with itself is not. What is beyond LARGEST is no loss, weight or predicted value that
anything measures; it is refused where it is read, and without a value where it is computed.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LARGEST: Final = 1e150
"""Of a number's magnitude: the square of it is finite, and so is the sum of 1e7 such squares."""
LARGEST_WHOLE: Final = (1 << 53) - 1
"""Of a whole number: every one up to here is a float, too."""
PIECE: Final = 65_536
"""Numbers of an array that are made floats at a time."""
RANGE: Final = f"up to {LARGEST:g} in magnitude"
"""In words."""


def is_usable(value: Any) -> bool:
    """Whether a value is a number that can be computed with; true and false are none.

    >>> [is_usable(value) for value in (1, -2.5, True, "1", float("nan"), 1e308, 10**400)]
    [True, True, False, False, False, False, False]
    """
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    if isinstance(value, int):
        return abs(value) <= LARGEST_WHOLE
    return math.isfinite(value) and abs(value) <= LARGEST


def each(values: Iterable[float]) -> Iterator[float]:
    """Numbers one after the other: of an array, which as a list takes four times its memory, some at a time."""
    if not hasattr(values, "tolist"):
        yield from values
        return
    for begin in range(0, len(values), PIECE):  # type: ignore[arg-type]
        yield from values[begin : begin + PIECE].tolist()  # type: ignore[index]


def mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """The mean of finite numbers, rounded once, so that it does not depend on their order; also where their sum is infinite.

    >>> mean([0.1] * 10), mean([1.5e308, 1.5e308])
    (0.1, 1.5e+308)
    """
    try:
        return math.fsum(each(values)) / len(values)
    except OverflowError:
        # By a power of two, which loses nothing of numbers of this size.
        return math.fsum(math.ldexp(value, -64) for value in each(values)) / len(values) * 2.0**64


__all__ = ["LARGEST", "LARGEST_WHOLE", "PIECE", "RANGE", "each", "is_usable", "mean"]
