"""Each indicator alone: its correlation with ln L, and the line through them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.rules.fit import FEWEST_DRAWS
from instructsel.rules.observations import Observations

Floats = NDArray[np.float64]

ALL: Final = "all"
"""The design of all rows together."""
FEWEST: Final = 4
"""Fisher's interval divides by the root of n − 3."""
NORMAL: Final = 1.959963984540054
"""The 97.5 % quantile of the normal distribution."""


@dataclass(frozen=True)
class Line:
    """A least-squares line of ln L on one indicator, and the 95 % interval of its mean."""

    slope: float
    """Per unit of the indicator."""
    intercept: float
    """ln L where the indicator is 0."""
    mean: float
    """Of the indicator."""
    squares: float
    """Sum of its squared deviations from the mean."""
    n: int
    """Points."""
    residual_sd: float
    """Residual standard deviation, in units of ln L."""
    critical: float
    """The 97.5 % quantile of Student's t with n − 2 degrees of freedom."""

    def at(self, values: Floats) -> tuple[Floats, Floats, Floats]:
        """The line and its interval at these values of the indicator: fitted, low, high."""
        middle = self.intercept + self.slope * values
        half = self.critical * self.residual_sd * np.sqrt(1 / self.n + (values - self.mean) ** 2 / self.squares)
        return middle, middle - half, middle + half


@dataclass(frozen=True)
class Correlation:
    """One indicator against ln L, over the rows of one design."""

    indicator: str
    """Its symbol."""
    design: str
    """all, or what the column `design` says: mixture or bin."""
    n: int
    """Points: rows, or subsets where they have several seeds."""
    pearson: float | None
    """Pearson's r; None where it cannot be told."""
    pearson_low: float | None
    """Lower end of its 95 % interval, by Fisher's z."""
    pearson_high: float | None
    """Upper end."""
    spearman: float | None
    """Spearman's rank correlation."""
    spearman_low: float | None
    """Lower end of its 95 % percentile interval, by bootstrap."""
    spearman_high: float | None
    """Upper end."""
    reason: str | None
    """Why something is None."""
    line: Line | None
    """The line through the points; None where there are fewer than three, or the indicator is constant."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def univariate(
    observations: Any,
    *,
    indicators: Sequence[str] | None = None,
    target: str = "log_loss",
    bootstrap: int = 1000,
    seed: int = 0,
) -> tuple[Correlation, ...]:
    """The correlation of every indicator with ln L: over all rows and, where a column `design` is there, over each kind.

    Seeds of one subset are averaged first: they are no observations of their own.

    Args:
        observations: Observations, a frame, or a mapping of columns.
        indicators: the columns; by default those that hold indicators.
        target: as for `fit`.
        bootstrap: draws for the interval of Spearman's correlation; 0 for none.
        seed: of the bootstrap.

    Raises:
        UsageError: a column or setting that cannot be.
        ObservationsError: a value that is missing or not finite; the rows are named.
        MissingExtra: SciPy is not installed.
    """
    if bootstrap != 0 and bootstrap < FEWEST_DRAWS:
        raise UsageError(f"{bootstrap} draws give no 95 % interval.", fix=f"Take at least {FEWEST_DRAWS}, or 0 for no bootstrap.")
    table = Observations.of(observations)
    names = tuple(indicators) if indicators is not None else table.indicators()
    shown = points(table, names, target)
    return tuple(
        _correlation(name, design, x[shown.of(design)], shown.target[shown.of(design)], bootstrap, seed)
        for name, x in shown.indicators.items()
        for design in (ALL, *sorted(set(shown.designs or ())))
    )


@dataclass(frozen=True, eq=False)
class Points:
    """Observations with the seeds of each subset averaged."""

    indicators: dict[str, Floats]
    """Symbol → means (n,)."""
    target: Floats
    """ln L (n,)."""
    designs: tuple[str, ...] | None
    """mixture or bin, where the observations say."""
    labels: tuple[str, ...]
    """The subset of each point, or its row."""

    def of(self, design: str) -> NDArray[np.bool_]:
        """The points of a design, (n,)."""
        return np.array([design in (ALL, kind) for kind in self.designs or [ALL] * len(self.target)])


def points(table: Observations, names: Sequence[str], target: str) -> Points:
    """The observations as points of a chart.

    Raises:
        UsageError: there is no such column.
        ObservationsError: a value that is missing or not finite; the rows are named.
    """
    columns, y = {name: table.numbers(name) for name in names}, table.logarithm(target)
    kinds, subsets = table.labels("design"), table.labels("subset")
    if subsets is None:
        return Points(columns, y, kinds, tuple(f"row {row + 1}" for row in range(len(y))))
    # A subset is of one design; should it be of two, these are two points.
    order = {each: number for number, each in enumerate(dict.fromkeys(zip(subsets, kinds or [""] * len(y), strict=True)))}
    codes = np.array([order[each] for each in zip(subsets, kinds or [""] * len(y), strict=True)])
    counts = np.bincount(codes)
    averaged = {name: np.bincount(codes, weights=values) / counts for name, values in columns.items()}
    return Points(
        averaged,
        np.bincount(codes, weights=y) / counts,
        None if kinds is None else tuple(kind for _, kind in order),
        tuple(subset for subset, _ in order),
    )


def _correlation(name: str, design: str, x: Floats, y: Floats, bootstrap: int, seed: int) -> Correlation:
    n = len(x)
    if min(_spread(x), _spread(y)) == 0:
        which = name if _spread(x) == 0 else "the loss"
        return Correlation(name, design, n, None, None, None, None, None, None, f"{which} is the same in all {n} points", None)
    r = _pearson(x, y)
    low = high = None
    reason = None
    if n < FEWEST:
        reason = f"an interval needs {FEWEST} points; there are {n}"
    elif abs(r) >= 1:
        low = high = r
    else:
        half = NORMAL / math.sqrt(n - 3)
        low, high = math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)
    ranks = require("scipy.stats", needed_by="univariate").rankdata
    drawn = _drawn(x, y, bootstrap, seed, ranks) if n >= FEWEST and bootstrap else None
    return Correlation(
        indicator=name,
        design=design,
        n=n,
        pearson=r,
        pearson_low=low,
        pearson_high=high,
        spearman=_pearson(ranks(x), ranks(y)),
        spearman_low=None if drawn is None else drawn[0],
        spearman_high=None if drawn is None else drawn[1],
        reason=reason,
        line=_line(x, y) if n > 2 else None,
    )


def _drawn(x: Floats, y: Floats, bootstrap: int, seed: int, ranks: Any) -> tuple[float, float] | None:
    """The percentile interval of Spearman's correlation; draws in which nothing varies have none."""
    rows = np.random.default_rng(seed).integers(len(x), size=(bootstrap, len(x)))
    one, other = (ranks(values[rows], axis=1) - (len(x) + 1) / 2 for values in (x, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (one * other).sum(axis=1) / np.sqrt((one**2).sum(axis=1) * (other**2).sum(axis=1))
    found = found[np.isfinite(found)]
    if len(found) < FEWEST_DRAWS:
        return None
    low, high = np.percentile(found, [2.5, 97.5])
    return float(low), float(high)


def _line(x: Floats, y: Floats) -> Line:
    n, mean = len(x), float(x.mean())
    squares = float(((x - mean) ** 2).sum())
    slope = float((x - mean) @ (y - y.mean())) / squares
    intercept = float(y.mean()) - slope * mean
    left = float(((y - intercept - slope * x) ** 2).sum())
    critical = float(require("scipy.special", needed_by="univariate").stdtrit(n - 2, 0.975))
    return Line(slope, intercept, mean, squares, n, math.sqrt(left / (n - 2)), critical)


def _pearson(x: Floats, y: Floats) -> float:
    one, other = x - x.mean(), y - y.mean()
    return min(1.0, max(-1.0, float(one @ other) / math.sqrt(float(one @ one) * float(other @ other))))


def _spread(values: Floats) -> float:
    """Largest less smallest; 0 where that is rounding alone."""
    found = float(np.ptp(values))
    return found if found > 1e-12 * float(np.abs(values).max()) else 0.0


__all__ = ["ALL", "Correlation", "Line", "Points", "points", "univariate"]
