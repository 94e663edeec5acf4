"""Which numbers are computed with: finite, and small enough that sums of squares stay finite.

A file may hold 1e308, which is finite and whose sum with itself is not. What is beyond LARGEST is no score, loss or weight that anything
measures; it is refused where it is read, and without a value where it is computed.
"""

from __future__ import annotations

import math
from typing import Any, Final

LARGEST: Final = 1e150
"""Of a number's magnitude: the square of it is finite, and so is the sum of 1e7 such squares."""
LARGEST_WHOLE: Final = (1 << 53) - 1
"""Of a whole number: every one up to here is a float, too."""
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


def shown(value: Any) -> str:
    """A value for a message; Python refuses to write a whole number of thousands of digits.

    >>> shown(3), shown(float("inf")), shown(10**400)
    ('3', 'inf', 'a whole number of about 401 digits')
    """
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**30:
        return f"a whole number of about {int(value.bit_length() * math.log10(2)) + 1:,} digits"
    return repr(value)[:60]


__all__ = ["LARGEST", "LARGEST_WHOLE", "RANGE", "is_usable", "shown"]
