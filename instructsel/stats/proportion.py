"""A share with its interval."""

from __future__ import annotations

import math
from statistics import NormalDist


def wilson(count: float, n: float, *, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a share; (0, 1) of nothing.

    >>> wilson(0, 10)[0], round(wilson(0, 10)[1], 3)
    (0.0, 0.278)

    Source: Wilson 1927, J. Am. Stat. Assoc. 22, 209.
    """
    if not n:
        return 0.0, 1.0
    z = NormalDist().inv_cdf(0.5 + confidence / 2)
    share, spread = count / n, z * z / n
    center = share + spread / 2
    half = z * math.sqrt(share * (1 - share) / n + spread / (4 * n))
    low, high = (center - half) / (1 + spread), (center + half) / (1 + spread)
    return 0.0 if count == 0 else max(0.0, low), 1.0 if count == n else min(1.0, high)


__all__ = ["wilson"]
