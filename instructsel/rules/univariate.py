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
from instructsel.stats.correlation import FEWEST_FOR_INTERVAL, FEWEST_PAIRS, Floats, fisher_interval, pearson, ranks, spearman, varies

ALL: Final = "all"
"""The design of all rows together."""


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
    """Pearson's r; None where there is none."""
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
    labels = list(zip(subsets, kinds or [""] * len(y), strict=True))
    order = {label: number for number, label in enumerate(dict.fromkeys(labels))}
    codes = np.array([order[label] for label in labels])
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
    line = _line(x, y) if n > 2 and varies(x) else None
    r = pearson(x, y) if varies(x) and varies(y) else None
    if r is None:
        constant = "the loss" if varies(x) else name
        reason = (
            f"{constant} is the same in all {n} points"
            if n >= FEWEST_PAIRS
            else f"a correlation needs {FEWEST_PAIRS} points; there are {n}"
        )
        return Correlation(name, design, n, None, None, None, None, None, None, reason, None)
    # A correlation of ±1 has no interval but itself.
    low, high = fisher_interval(r, n) or ((r, r) if n >= FEWEST_FOR_INTERVAL else (None, None))
    rank_interval = _rank_interval(x, y, bootstrap, seed) if n >= FEWEST_FOR_INTERVAL and bootstrap else (None, None)
    return Correlation(
        indicator=name,
        design=design,
        n=n,
        pearson=r,
        pearson_low=low,
        pearson_high=high,
        spearman=spearman(x, y),
        spearman_low=rank_interval[0],
        spearman_high=rank_interval[1],
        reason=None if n >= FEWEST_FOR_INTERVAL else f"an interval needs {FEWEST_FOR_INTERVAL} points; there are {n}",
        line=line,
    )


def _rank_interval(x: Floats, y: Floats, bootstrap: int, seed: int) -> tuple[float | None, float | None]:
    """The percentile interval of Spearman's correlation; resamples in which nothing varies have none."""
    resamples = np.random.default_rng(seed).integers(len(x), size=(bootstrap, len(x)))
    rx, ry = (np.apply_along_axis(ranks, 1, values[resamples]) - (len(x) + 1) / 2 for values in (x, y))
    with np.errstate(divide="ignore", invalid="ignore"):
        correlations = (rx * ry).sum(axis=1) / np.sqrt((rx**2).sum(axis=1) * (ry**2).sum(axis=1))
    correlations = correlations[np.isfinite(correlations)]
    if len(correlations) < FEWEST_DRAWS:
        return None, None
    low, high = np.percentile(correlations, [2.5, 97.5])
    return float(low), float(high)


def _line(x: Floats, y: Floats) -> Line:
    n, mean = len(x), float(x.mean())
    squares = float(((x - mean) ** 2).sum())
    slope = float((x - mean) @ (y - y.mean())) / squares
    intercept = float(y.mean()) - slope * mean
    residual_squares = float(((y - intercept - slope * x) ** 2).sum())
    critical = float(require("scipy.special", needed_by="univariate").stdtrit(n - 2, 0.975))
    return Line(slope, intercept, mean, squares, n, math.sqrt(residual_squares / (n - 2)), critical)


__all__ = ["ALL", "Correlation", "Line", "Points", "points", "univariate"]
