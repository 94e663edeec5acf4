"""The critical value of a difference whose variance is a sum of few mean squares: over items, and between the runs of either side.

Welch's and Satterthwaite's degrees of freedom are right to the second order in 1 / df. With one or two degrees of freedom a side they are not:
an interval at 95 % from two seeds a side covers 87 to 97 %, by how unlike the sides are and how much items vary beside them, and at the level
of thirty comparisons it errs up to thirty times as often as it says. The critical value here is exact where one mean square is the whole variance,
exact where two mean squares between runs stand as their degrees of freedom do, and equal to Welch's to the second order in between,

    c² = z² + (t₀² − z²) w₀² + (t₊² − z²) (W² − e²) + (t² − z²) e²,

with w₀ the share of items in the variance and t₀ their quantile, W = w₁ + w₂ the share of both sides' runs and t₊ the quantile of their
degrees of freedom together, and e the part of one side beyond what the other's degrees of freedom account for, with that side's own t. The
constants below change this where a side has one to three degrees of freedom. Intervals at 95 % then cover 93 to 97 % (93.2 to 97.5) whatever
items weigh, where the variance between runs of one side is at most nine times that of the other, by integration over the distributions of the
mean squares: `benchmarks/coverage.py`.

Source: Welch 1947, doi:10.1093/biomet/34.1-2.28; Graybill & Wang 1980, "Confidence intervals on nonnegative linear combinations of variances", for squared quantiles weighted by
squared parts.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import numpy as np

from instructsel.extras import require

NEEDED_BY: Final = "an interval with few runs"
LESS_POWER: Final = 0.35
"""By which the power of a part is below 2 at one degree of freedom and 95 %, and less with more: a mean square of few is often far too small,
and then has to count for more than its square."""
MORE_POWER: Final = 1.15
"""By which the power rises at one degree of freedom with every standard deviation that the normal quantile lies beyond that of 95 %, and less
with more: else an interval for several comparisons would be far too wide where runs hardly vary."""
USUAL: Final = 1.96
MORE_CHANCE: Final = 4.0
"""By which two sides with one degree of freedom each may differ beyond their degrees of freedom, and no excess: so unlike they are by chance."""
LESS_CHANCE: Final = 0.7
"""Where one side has one degree of freedom and the other three or more, the share of what they account for that is no excess: rather too wide."""
LEAST_P: Final = 1e-150
"""Below it a p value is this: the squares of quantiles are numbers still."""
STEPS: Final = 60
"""Halvings of the logarithm of a p value: its relative error is then that of the quantiles."""


class Shares(NamedTuple):
    """The parts of an estimated variance, as shares of it; numbers, or arrays of one shape."""

    items: Any
    """Of the mean square over items; None where items are fixed."""
    items_df: float
    """Its degrees of freedom."""
    runs: Sequence[tuple[Any, int]]
    """The share and the degrees of freedom of every mean square between runs, at most two."""


def critical(alpha: float, shares: Shares) -> Any:
    """The number of standard errors that a difference exceeds with probability `alpha` where there is none, two-sided.

    Raises:
        MissingExtra: scipy is not installed.
    """
    special = require("scipy.special", needed_by=NEEDED_BY)
    normal = -float(special.ndtri(alpha / 2.0))

    def beyond(part: Any, df: float) -> Any:
        """What a part of the variance adds to the square of the normal quantile."""
        power = 2.0 - LESS_POWER / df**3 + MORE_POWER / df * max(normal - USUAL, 0.0)
        return (float(special.stdtrit(df, alpha / 2.0)) ** 2 - normal**2) * part**power

    square = normal**2
    if shares.items is not None:
        square = square + beyond(np.minimum(shares.items, 1.0), shares.items_df)
    if len(shares.runs) == 1:
        square = square + beyond(*shares.runs[0])
    elif shares.runs:
        (first, first_df), (second, second_df) = shares.runs
        by_chance = _by_chance(first_df, second_df)
        own = [
            np.maximum(first - by_chance * second * first_df / second_df, 0.0),
            np.maximum(second - by_chance * first * second_df / first_df, 0.0),
        ]
        df = first_df + second_df
        square = square + beyond(first + second, df) - beyond(own[0] + own[1], df) + beyond(own[0], first_df) + beyond(own[1], second_df)
    return np.sqrt(square)


def p_value(statistic: float, shares: Shares) -> float:
    """The two-sided p value of a difference of so many standard errors: the least level at which its interval leaves out 0.

    Raises:
        MissingExtra: scipy is not installed.
    """
    special = require("scipy.special", needed_by=NEEDED_BY)
    if not shares.runs:
        return 2.0 * float(special.stdtr(shares.items_df, -abs(statistic)))
    low, high = math.log(LEAST_P), 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2.0
        low, high = (middle, high) if critical(math.exp(middle), shares) > abs(statistic) else (low, middle)
    return math.exp((low + high) / 2.0)


def equivalent_df(alpha: float, value: float, most: float) -> float:
    """The degrees of freedom of the t distribution that has this critical value; `most` where there are no fewer."""
    special = require("scipy.special", needed_by=NEEDED_BY)
    if value <= -float(special.stdtrit(most, alpha / 2.0)):
        return most
    return float(special.stdtridf(1.0 - alpha / 2.0, value))


def _by_chance(first_df: int, second_df: int) -> float:
    """How many times what the other side's degrees of freedom account for a side's part may be, and no excess."""
    if first_df == second_df:
        return 1.0 + MORE_CHANCE / first_df**6
    return LESS_CHANCE if min(first_df, second_df) == 1 and max(first_df, second_df) > 2 else 1.0


__all__ = ["Shares", "critical", "equivalent_df", "p_value"]
