"""Variance components of graded runs: replicates, seeds, items."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.stats.clusters import Codes, Sampling, collapsed, sampling

Floats = NDArray[np.float64]


BOTH: Final = "both"


ITEMS: Final = "items"


RUNS: Final = "runs"


Estimand = Literal["both", "items", "runs"]


ESTIMANDS: Final[tuple[Estimand, ...]] = (BOTH, ITEMS, RUNS)
"""The population an interval generalizes to: new items and new training runs; new items, these checkpoints; new runs, these items."""


METHODS: Final[dict[Estimand, str]] = {BOTH: "mixed", ITEMS: "paired t over items", RUNS: "t over replicates"}


REPLICATES: Final = "replicates"


SEEDS: Final = "seeds"


CONFIDENCE: Final = 0.95


POWER: Final = 0.8
"""Of the minimum detectable effect and of the needed numbers."""


EFFECT: Final = 0.1
"""In standard deviations over items: what the needed numbers are for, unless said otherwise."""


FEWEST_CLUSTERS: Final = 5
"""Of equal size: with fewer nobody can tell how much clusters vary."""


RESAMPLES: Final = 2000
"""Of the bootstrap."""


POINTS: Final = 1024
"""Of the lattice over which power is averaged: power is within 0.01 of that over 100,000 random points."""


MOST_ITEMS: Final = 10_000_000


MOST_RUNS: Final = 1000


CELLS: Final = 1 << 22
"""Items drawn at once by the bootstrap: 32 MB."""


ROUNDING: Final = 1e-9
"""Of a mean square between runs: what is left below it is no variance."""


NO_VARIANCE: Final = 1e-12
"""Relative to the largest value; below it a standard deviation is rounding."""


@dataclass(frozen=True, eq=False)
class ArmValues:
    """What one arm's runs were graded with, on the items that count."""

    arm: str
    """Its name."""
    replicates: tuple[int, ...]
    """(runs,), the subset each run was trained on; equal numbers are seeds of one subset."""
    values: Floats
    """(runs, items), finite."""
    fixed: bool = False
    """Whether it is a fixed model, such as the base: no training variance."""
    clusters: Codes | None = None
    """(items,), the cluster of each item, numbered from 0 without a gap; None where each item stands alone."""
    weights: Floats | None = None
    """(items,), mean 1, by which the values were linearised; None where items count alike."""

    def __post_init__(self) -> None:
        if self.fixed and len(self.replicates) > 1:
            raise UsageError(f"{self.arm} is a fixed model, and has {len(self.replicates)}.")
        if self.values.ndim != 2 or len(self.values) != len(self.replicates) or not self.replicates:
            raise UsageError(f"The values of {self.arm} are {self.values.shape} for {len(self.replicates)} runs.")
        if not np.isfinite(self.values).all():
            raise UsageError(f"{self.arm} has values that are not finite.", fix="Leave out the items that not every run has.")
        for name in ("clusters", "weights"):
            labels = getattr(self, name)
            if labels is not None and labels.shape != self.values.shape[1:]:
                raise UsageError(f"{self.arm} has {self.values.shape[1]} items and {len(labels)} {name}.")

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.replicates)

    @property
    def n_replicates(self) -> int:
        """Different subsets."""
        return len(set(self.replicates))

    @property
    def n_items(self) -> int:
        """How many."""
        return int(self.values.shape[1])

    @property
    def n_units(self) -> int:
        """Clusters, or items where each stands alone."""
        return int(self.units.shape[1])

    @cached_property
    def units(self) -> Floats:
        """(runs, units), the values by cluster: their plain mean is that over items, and their variance over clusters that of it, times units."""
        return collapsed(self.values, self.clusters)

    @cached_property
    def by_replicate(self) -> Floats:
        """(replicates, items), the mean over the seeds of each replicate: a replicate counts once, however many seeds it has."""
        return self._over_seeds(self.values)

    @cached_property
    def units_by_replicate(self) -> Floats:
        """(replicates, units), the same by cluster."""
        return self._over_seeds(self.units)

    def _over_seeds(self, table: Floats) -> Floats:
        labels = np.array(self.replicates)
        return np.stack([table[labels == replicate].mean(axis=0) for replicate in sorted(set(self.replicates))])

    @cached_property
    def item_sd(self) -> float | None:
        """The standard deviation over items within a run, pooled over the runs; None with one item or where all are equal."""
        if self.n_items < 2:
            return None
        sd = math.sqrt(float(self.values.var(axis=1, ddof=1).mean()))
        return sd if sd > NO_VARIANCE * float(np.abs(self.values).max()) else None


@dataclass(frozen=True)
class Squares:
    """The mean squares of one arm's table of runs × items, between its replicates and between the seeds within them.

    Where items are clustered, `item` reads `cluster`, the sampling unit.
    """

    arm: str
    """Its name."""
    replicates: int
    """Subsets."""
    runs: int
    """Trained models."""
    between: float = 0.0
    """The variance between the means of replicates; of 1 / (n items) of the residual, too."""
    residual: float = 0.0
    """Of an item in a replicate, when item and replicate are taken off."""
    within: float = 0.0
    """The variance between the means of seeds within a replicate, pooled over replicates; of 1 / (n items) of the residual, too."""
    within_residual: float = 0.0
    """Of an item in a run, when item × replicate and run are taken off."""
    within_df: int = 0
    """Runs less replicates."""
    fixed: bool = False
    """Whether it is a fixed model."""

    @classmethod
    def of(cls, arm: ArmValues, *, factor: float = 1.0) -> Self:
        """The mean squares of what was graded; 0 where there is one of a kind.

        Args:
            arm: its values; the residual is that of a cluster in a run where items are clustered.
            factor: of `Sampling`, by which a variance over units is too small.
        """
        between, residual = _mean_squares([arm.units_by_replicate])
        labels = np.array(arm.replicates)
        within, within_residual = _mean_squares([arm.units[labels == replicate] for replicate in sorted(set(arm.replicates))])
        within_df = arm.runs - arm.n_replicates
        return cls(arm.arm, arm.n_replicates, arm.runs, between, residual * factor, within, within_residual * factor, within_df, arm.fixed)


@dataclass(frozen=True)
class Side:
    """One arm's part in the variance of a difference."""

    arm: str
    """Its name."""
    counted: str
    """replicates or seeds: what varies from one of its runs to the next."""
    n: int
    """How many of them."""
    between: float
    """The variance between their means over items."""
    residual: float
    """The variance of item × run."""
    df: int
    """Degrees of freedom of `between`."""
    source: tuple[str, ...]
    """What the variance was estimated from: `counted` and the arms."""

    def variance(self, n_items: int) -> float:
        """Between the means over infinitely many items (clusters): what is left without the residual, and never below 0."""
        return float(_beyond(self.between, self.residual / n_items))


@dataclass(frozen=True)
class Components:
    """Variances of a grader's values, for planning. From a pilot, or given."""

    items: float
    """Over items (clusters, where items are clustered) of the true difference between two arms: how differently they do on different ones."""
    residual: float
    """Of an item in a run, beyond all else."""
    seeds: float | None
    """Between training runs on the same subset; None where no subset had two."""
    replicates: float | None
    """Between random subsets, beyond seeds; None where no arm had two."""
    item_sd: float | None = None
    """The standard deviation of values over items in a run."""

    def __post_init__(self) -> None:
        for name in ("items", "residual", "seeds", "replicates"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(
                    f"The variance {name} is {value}.", fix="A variance is a number of at least 0, or None where it is unknown."
                )


def item_sd(selection: ArmValues, baseline: ArmValues) -> float | None:
    """The standard deviation over items within a run, pooled over both arms; None where all values are equal.

    Of both, since one may have none: a judge's preference for the reference's own answers is a tie everywhere.
    """
    if selection.n_items < 2:
        return None
    sd = math.sqrt(sum((arm.item_sd or 0.0) ** 2 for arm in (selection, baseline)) / 2.0)
    return sd or None


def paired_sampling(selection: ArmValues, baseline: ArmValues) -> Sampling:
    """The sampling units of two arms' common items, by the difference between their means over runs."""
    difference = selection.by_replicate.mean(axis=0) - baseline.by_replicate.mean(axis=0)
    centered = difference - difference.mean() if len(difference) else difference
    return sampling(centered, baseline.clusters, baseline.weights)


def components(selection: ArmValues, baseline: ArmValues, *, others: Sequence[ArmValues] = ()) -> Components:
    """Variance components of what was graded, pooled over the arms, for planning another comparison.

    Where items are clustered, `items` and `residual` are of a cluster's mean, and a plan counts clusters as its items.

    Raises:
        UsageError: fewer than two items.
    """
    if baseline.n_units < 2:
        raise UsageError("Variance components need at least two items.", fix="Grade item by item.")
    drawn = paired_sampling(selection, baseline)
    squares = [Squares.of(arm, factor=drawn.factor) for arm in (selection, baseline, *others) if arm.n_units > 1]
    n = baseline.n_units
    within = _pooled([(square.within, square.within_residual, square.within_df) for square in squares])
    between = _pooled([(square.between, square.residual, square.replicates - 1) for square in squares])
    seeds = None if within is None else max(within[0] - within[1] / n, 0.0)
    replicates = None
    if between is not None:
        per_replicate = [square.runs / square.replicates for square in squares if square.replicates > 1]
        noise = 0.0 if seeds is None else seeds / (sum(per_replicate) / len(per_replicate))
        replicates = max(between[0] - between[1] / n - noise, 0.0)
    # With one run a side the residual stays among the per-item differences, where it counts as much.
    residual = within[1] if within is not None else between[1] if between is not None else 0.0
    # What is left of the per-item differences when the residual's share in them is taken off.
    raw = float((selection.units_by_replicate.mean(axis=0) - baseline.units_by_replicate.mean(axis=0)).var(ddof=1)) * drawn.factor
    items = max(raw - residual / selection.runs - residual / baseline.runs, 0.0)
    return Components(items, residual, seeds, replicates, item_sd(selection, baseline))


def _check(confidence: float, generalize_to: str) -> None:
    if not 0.0 < confidence < 1.0:
        raise UsageError(f"The confidence is {confidence}; it lies between 0 and 1.", fix="For example: 0.95")
    if generalize_to not in ESTIMANDS:
        raise UsageError.named(generalize_to, ESTIMANDS, noun="estimand")


def _beyond(between: Any, residual: Any) -> Any:
    """What is left of a mean square between runs without the residual in it: never below 0, and 0 where only rounding is left."""
    left = between - residual
    return np.where(left > ROUNDING * np.abs(between), left, 0.0)


def _mean_squares(tables: Sequence[Floats]) -> tuple[float, float]:
    """Between rows, and row × column, of tables (rows, columns) of one width, pooled by degrees of freedom; 0 without any."""
    df = sum(len(table) - 1 for table in tables)
    if not df:
        return 0.0, 0.0
    between = residual = 0.0
    for table in tables:
        rows = table.mean(axis=1)
        between += float(((rows - rows.mean()) ** 2).sum())
        residual += float(((table - rows[:, None] - table.mean(axis=0) + rows.mean()) ** 2).sum())
    n = tables[0].shape[1]
    return between / df, residual / (df * (n - 1)) if n > 1 else 0.0


def _pooled(squares: Sequence[tuple[float, float, int]]) -> tuple[float, float, int] | None:
    """Mean squares (between, residual, df) pooled by their degrees of freedom; None where there are none."""
    df = sum(entry[2] for entry in squares)
    if not df:
        return None
    return sum(entry[0] * entry[2] for entry in squares) / df, sum(entry[1] * entry[2] for entry in squares) / df, df


def _sides(squares: Sequence[Squares], *, pool_seeds: bool = False) -> tuple[tuple[Side, ...] | None, tuple[str, ...]]:
    """The part of the first two arms in the variance, and notes; None where it is unknown how much the runs of one vary."""
    sides: list[Side] = []
    notes: list[str] = []
    for arm, other in ((squares[0], squares[1]), (squares[1], squares[0])):
        if arm.fixed:
            notes.append(f"{arm.arm} is a fixed model: it adds no variance between runs.")
            continue
        side, side_notes = _side(arm, other, squares, pool_seeds=pool_seeds)
        notes += side_notes
        if side is None:
            return None, tuple(notes)
        sides.append(side)
    if sides and all(side.source[1:] == (side.arm,) for side in sides):
        counts = " and ".join(f"{side.n} {side.counted} of {side.arm}" for side in sides)
        notes.insert(0, f"Each side's own variance between runs was used: {counts}.")
    return tuple(sides), tuple(dict.fromkeys(notes))


def pooled_arms(sides: Sequence[Side]) -> tuple[str, ...]:
    """The arms whose runs are taken to vary alike from seed to seed, sorted; none where each side's variance is its own."""
    shared = [side for side in sides if side.source[0] == SEEDS and side.source[1:] != (side.arm,)]
    return tuple(sorted({arm for side in shared for arm in (side.arm, *side.source[1:])}))


def _side(arm: Squares, other: Squares, squares: Sequence[Squares], *, pool_seeds: bool) -> tuple[Side | None, list[str]]:
    few = f"{arm.arm} has 2 {{0}}, 1 degree of freedom: an interval is wide, and narrower with a third."
    if arm.replicates > 1:
        side = Side(arm.arm, REPLICATES, arm.replicates, arm.between, arm.residual, arm.replicates - 1, (REPLICATES, arm.arm))
        return side, [few.format(REPLICATES)] if arm.replicates == 2 else []
    notes = [f"{arm.arm} has one replicate: the interval holds for this subset, not for new ones."]
    lending = [square for square in squares if square.within_df]
    if arm.within_df and not (pool_seeds and len(lending) > 1):
        notes += [few.format(SEEDS)] if arm.within_df == 1 else []
        return Side(arm.arm, SEEDS, arm.runs, arm.within, arm.within_residual, arm.within_df, (SEEDS, arm.arm)), notes
    pooled = _pooled([(square.within, square.within_residual, square.within_df) for square in lending])
    if pooled is not None:
        if not pool_seeds:
            names = ", ".join(sorted(square.arm for square in lending))
            notes.append(
                f"{arm.arm} has 1 seed: how much seeds vary is taken from all arms with several ({names}), as if all varied alike."
            )
        return Side(arm.arm, SEEDS, arm.runs, *pooled, (SEEDS, *(square.arm for square in lending))), notes
    drawn = [other] if other.replicates > 1 else [square for square in squares if square.replicates > 1]
    borrowed = _pooled([(square.between, square.residual, square.replicates - 1) for square in drawn])
    if borrowed is None:
        return None, notes
    names = ", ".join(sorted(square.arm for square in drawn))
    notes.append(
        f"{arm.arm} has 1 seed, and so has every replicate: the variance between the replicates of {names} stands in, which is larger."
    )
    return Side(arm.arm, SEEDS, 1, *borrowed, (REPLICATES, *(square.arm for square in drawn))), notes
