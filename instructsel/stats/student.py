"""Student's t: the quantile, without a library."""

from __future__ import annotations

import math
from statistics import NormalDist


def t_quantile(confidence: float, df: float) -> float:
    """What |t| stays below with a probability, to about six digits.

    Args:
        confidence: the probability, two-sided, in (0, 1).
        df: degrees of freedom, at least 1.

    >>> round(t_quantile(0.95, 1), 3), round(t_quantile(0.95, 10), 3), round(t_quantile(0.95, 1e6), 3)
    (12.706, 2.228, 1.96)

    Source: Hill 1970, Algorithm 396, Comm. ACM 13, 619.
    """
    tail = 1.0 - confidence
    if df <= 1.0:
        return 1.0 / math.tan(tail * math.pi / 2)
    if df == 2.0:
        return math.sqrt(2.0 / (tail * (2.0 - tail)) - 2.0)
    a = 1.0 / (df - 0.5)
    b = 48.0 / (a * a)
    c = ((20700.0 * a / b - 98.0) * a - 16.0) * a + 96.36
    d = ((94.5 / (b + c) - 3.0) / b + 1.0) * math.sqrt(a * math.pi / 2) * df
    y = (d * tail) ** (2.0 / df)
    if y > 0.05 + a:
        x = NormalDist().inv_cdf(tail / 2)
        y = x * x
        if df < 5.0:
            c += 0.3 * (df - 4.5) * (x + 0.6)
        c = (((0.05 * d * x - 5.0) * x - 7.0) * x - 2.0) * x + b + c
        y = (((((0.4 * y + 6.3) * y + 36.0) * y + 94.5) / c - y - 3.0) / b + 1.0) * x
        y = math.expm1(a * y * y)
    else:
        y = ((1.0 / (((df + 6.0) / (df * y) - 0.089 * d - 0.822) * (df + 2.0) * 3.0) + 0.5 / (df + 4.0)) * y - 1.0) * (df + 1.0) / (
            df + 2.0
        ) + 1.0 / y
    return math.sqrt(df * y)


__all__ = ["t_quantile"]
