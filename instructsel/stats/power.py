"""Power: the minimum detectable effect of a comparison, and how many runs a smaller one needs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from instructsel.errors import UsageError
from instructsel.extras import require
from instructsel.stats.correlation import Floats
from instructsel.stats.critical import Shares, critical, equivalent_df, p_value
from instructsel.stats.variance import (
    BOTH,
    CONFIDENCE,
    ITEMS,
    MOST_ITEMS,
    MOST_RUNS,
    POINTS,
    POWER,
    REPLICATES,
    RUNS,
    SEEDS,
    Components,
    Estimand,
    Side,
    Squares,
    _beyond,
    _check,
    _sides,
)


@dataclass(frozen=True)
class Needed:
    """How large a comparison would have to be to see an effect, one number at a time, the others as they are."""

    effect: float
    """In the grader's unit."""
    items: int | None
    """With these runs; None where no number of items is enough, or the items are fixed."""
    runs: int | None
    """Of either side that is trained (replicates where there are several, else seeds), with these items; None where none up to 1,000 is enough."""
    power: float = POWER
    """With which it would be seen."""


@dataclass(frozen=True)
class Spread:
    """Where the variance of a difference comes from; from it the interval, its power, and what a larger comparison would see."""

    n_items: int
    """Graded in all runs: clusters, where items are clustered."""
    items: float
    """The variance over items (clusters) of the difference between the arms' means over runs."""
    sides: tuple[Side, ...]
    """Selection and baseline, without one that is a model as it is; empty where the inference is over items only."""
    generalize_to: Estimand = BOTH
    """To what the interval speaks."""
    items_df: float | None = None
    """Degrees of freedom of `items`; None for n_items − 1, fewer where unequal clusters or weights make them fewer."""

    @property
    def variance(self) -> float:
        """Of the estimated difference."""
        return float(self._estimate[0])

    @property
    def df(self) -> float:
        """Degrees of freedom of the t distribution whose critical value an interval at 95 % has."""
        return self.df_at(CONFIDENCE)

    def df_at(self, confidence: float) -> float:
        """Degrees of freedom of the t distribution whose critical value an interval with this confidence has.

        Raises:
            MissingExtra: scipy is not installed.
        """
        most = sum((df for *_, df in self._terms), 0.0 if self.generalize_to == RUNS else self._items_df)
        return equivalent_df(1.0 - confidence, self.critical(confidence), most)

    def critical(self, confidence: float) -> float:
        """Half the width of an interval, in standard errors.

        Raises:
            MissingExtra: scipy is not installed.
        """
        return float(critical(1.0 - confidence, self._estimate[1]))

    def p_value(self, difference: float) -> float:
        """Two-sided, of a difference in the grader's unit.

        Raises:
            MissingExtra: scipy is not installed.
        """
        return p_value(difference / math.sqrt(self.variance), self._estimate[1])

    @property
    def _estimate(self) -> tuple[Any, Shares]:
        return self._variance(self.items, [(between, residual) for _, between, residual, _ in self._terms])

    @property
    def _items_df(self) -> float:
        return self.n_items - 1 if self.items_df is None else self.items_df

    @cached_property
    def _terms(self) -> list[tuple[float, float, float, int]]:
        """Coefficient, between, residual, df: one a source, for two sides may draw on one."""
        terms: dict[tuple[str, ...], tuple[float, float, float, int]] = {}
        for side in self.sides:
            coefficient = terms[side.source][0] if side.source in terms else 0.0
            terms[side.source] = (coefficient + 1.0 / side.n, side.between, side.residual, side.df)
        return list(terms.values())

    def _variance(self, items: Any, squares: Sequence[tuple[Any, Any]]) -> tuple[Any, Shares]:
        """The estimate of the variance, and its parts, from mean squares; numbers or arrays of one shape.

        The mean squares between runs are whole, and the residual in them is taken off the one over items, which is known much better: taken off
        where there are few runs, it would count them as many whenever their means happen to lie close together.
        """
        taken_off, total = np.zeros_like(items), np.zeros_like(items)
        parts = []
        for (coefficient, _, _, df), (between, residual) in zip(self._terms, squares, strict=True):
            parts.append((coefficient * between, df))
            total = total + coefficient * between
            taken_off = taken_off + coefficient * residual
        if self.generalize_to != RUNS:
            total = total + _beyond(items, taken_off) / self.n_items

        def share(part: Any) -> Any:
            with np.errstate(divide="ignore", invalid="ignore"):
                return np.where(total > 0, part / total, 0.0)

        of_items = None if self.generalize_to == RUNS else share(items / self.n_items)
        return total, Shares(of_items, self._items_df, [(share(part), df) for part, df in parts])

    @cached_property
    def _sampled(self) -> tuple[float, Floats, Shares]:
        """The true variance, were the estimates true, and (POINTS,) estimates of it with their parts.

        The mean squares of a balanced normal table are independent multiples of χ². Power is averaged over a lattice of their
        quantiles instead of random ones: the same in every run, and exact to the third digit.
        """
        terms = self._terms
        quantiles = iter(_lattice(POINTS, 1 + 2 * len(terms)))
        over_items = self.items * _chi_squared(next(quantiles), self._items_df) if self.generalize_to != RUNS else np.zeros(POINTS)
        squares = []
        truth, taken_off = 0.0, 0.0
        for coefficient, between, residual, df in terms:
            # What is estimated to be less than its residual is 0 between runs.
            between_runs = between if self.generalize_to == RUNS else max(between, residual / self.n_items)
            truth += coefficient * between_runs
            taken_off += coefficient * residual
            runs, left = next(quantiles), next(quantiles)
            squares.append((between_runs * _chi_squared(runs, df), residual * _chi_squared(left, max(df * self._items_df, 1))))
        if self.generalize_to != RUNS:
            truth += max(self.items - taken_off, 0.0) / self.n_items
        variances, shares = self._variance(over_items, squares)
        return truth, variances, shares

    def power(self, effect: float, *, confidence: float = CONFIDENCE) -> float:
        """How often such a comparison would find an effect (in the grader's unit) in its true direction, two-sided.

        Raises:
            MissingExtra: scipy is not installed.
        """
        special = require("scipy.special", needed_by="the power of a comparison")
        truth, variances, shares = self._sampled
        if truth <= 0:
            return 1.0 if effect else 0.0
        margins = critical(1.0 - confidence, shares) * np.sqrt(variances)
        return float(special.ndtr((abs(effect) - margins) / math.sqrt(truth)).mean())

    def detectable(self, *, confidence: float = CONFIDENCE, power: float = POWER) -> float:
        """The effect, in the grader's unit, that such a comparison would find with this power.

        Raises:
            MissingExtra: scipy is not installed.
        """
        special = require("scipy.special", needed_by="the minimum detectable effect")
        truth, variances, shares = self._sampled
        if truth <= 0:
            return 0.0
        margins = critical(1.0 - confidence, shares) * np.sqrt(variances)
        low, high = 0.0, float(margins.max()) + 10.0 * math.sqrt(truth)
        for _ in range(60):
            middle = (low + high) / 2.0
            share = special.ndtr((middle - margins) / math.sqrt(truth)).mean()
            low, high = (middle, high) if share < power else (low, middle)
        return high

    def needed(self, effect: float, *, confidence: float = CONFIDENCE, power: float = POWER) -> Needed:
        """The number of items, or of runs, with which an effect (in the grader's unit) would be found."""
        items = runs = None
        if self.generalize_to != RUNS:
            items = _least(lambda n: self.scaled(n_items=n).power(effect, confidence=confidence) >= power, 2, MOST_ITEMS)
        if self.generalize_to != ITEMS and self.sides and all(side.n > 1 for side in self.sides):
            runs = _least(lambda n: self.scaled(runs=n).power(effect, confidence=confidence) >= power, 2, MOST_RUNS)
        return Needed(abs(effect), items, runs, power)

    def scaled(self, *, n_items: int | None = None, runs: int | None = None) -> Spread:
        """The same sources of variance with another number of items, or of runs a side."""
        n_items = self.n_items if n_items is None else n_items
        left = self.items - sum(side.residual / side.n for side in self.sides)
        sides = []
        for side in self.sides:
            n = side.n if runs is None else runs
            # Items are fixed there: the residual stays in the mean of a run.
            between = side.between if self.generalize_to == RUNS else side.variance(self.n_items) + side.residual / n_items
            replaced = runs is not None and runs > 2
            df, source = side.df, side.source
            if replaced:
                # Further runs of one arm add to what several arms have together.
                df, source = (n - 1, (side.arm,)) if len(source) == 2 else (df + max(n - side.n, 0), source)
            sides.append(replace(side, n=n, between=between, df=df, source=source))
        items = self.items if runs is None else max(left, 0.0) + sum(side.residual / side.n for side in sides)
        # As unequal as these, more clusters have more degrees of freedom in proportion.
        items_df = None if self.items_df is None else self.items_df * (n_items - 1) / (self.n_items - 1)
        return replace(self, n_items=n_items, items=items, sides=tuple(sides), items_df=items_df)


@dataclass(frozen=True)
class Plan:
    """How large a comparison is to be."""

    items: int
    """Graded in every run."""
    replicates: int = 1
    """Subsets of the selection."""
    seeds: int = 3
    """Trainings on each."""
    baseline_replicates: int = 3
    """Subsets of the baseline."""
    baseline_seeds: int = 3
    """Trainings on each."""

    def __post_init__(self) -> None:
        for name in self.__dataclass_fields__:
            if getattr(self, name) < 1:
                raise UsageError(f"A plan with {getattr(self, name)} {name} cannot be.", fix="Give a whole number of at least 1.")


@dataclass(frozen=True)
class Power:
    """What a planned comparison would see."""

    effect: float
    """In the grader's unit."""
    power: float
    """How often it would be found, in [0, 1]."""
    detectable: float
    """The effect that would be found with 80 % power, in the grader's unit."""
    standard_error: float
    """Of the difference, expected."""
    confidence: float
    """Of the two-sided interval."""
    plan: Plan
    """What was planned."""
    components: Components
    """What was assumed."""
    notes: tuple[str, ...] = ()
    """What has to be said beside it."""


def power(
    plan: Plan,
    components: Components,
    *,
    effect: float,
    confidence: float = CONFIDENCE,
    generalize_to: Estimand = BOTH,
    pooled_with: Sequence[tuple[int, int]] | None = None,
) -> Power:
    """How often a planned comparison would find an effect, and the least effect it would find with 80 % power.

    Averaged over what the comparison would estimate, few degrees of freedom and all; not the normal approximation.

    Args:
        plan: items, replicates and seeds.
        components: from `Verification.components` of a pilot, or given.
        effect: in the grader's unit.
        confidence: of the two-sided interval; for the verdict over several graders or baselines, 1 − 0.05 / their number.
        generalize_to: as of `compare`.
        pooled_with: replicates and seeds of each further arm, over which seeds are pooled as by `pool_seeds` of `compare`; None where they are not.

    Raises:
        UsageError: a plan in which runs cannot be told apart, or a variance it needs is not among the components.
        MissingExtra: scipy is not installed.
    """
    _check(confidence, generalize_to)
    spread, notes = _expected(plan, components, generalize_to, pooled_with)
    if generalize_to != RUNS and plan.items < 2:
        raise UsageError("A plan needs at least two items.", fix="Grade more items, or generalize to runs.")
    probability = spread.power(effect, confidence=confidence)
    return Power(
        effect, probability, spread.detectable(confidence=confidence), math.sqrt(spread.variance), confidence, plan, components, notes
    )


def _expected(
    plan: Plan, components: Components, generalize_to: Estimand, pooled_with: Sequence[tuple[int, int]] | None
) -> tuple[Spread, tuple[str, ...]]:
    """The spread a plan would have if every mean square came out as expected."""
    shapes = [("selection", plan.replicates, plan.seeds), ("baseline", plan.baseline_replicates, plan.baseline_seeds)]
    shapes += [(f"other {number}", *counts) for number, counts in enumerate(pooled_with or (), start=1)]
    squares = []
    for arm, replicates, seeds in shapes:
        # Unknown stays NaN until it is clear that it is needed. Draws of one seed each have the seeds' variance in theirs.
        over_seeds = math.nan if components.seeds is None else components.seeds
        over_draws = math.nan if components.replicates is None else components.replicates + (components.seeds or 0.0) / seeds
        residual = components.residual / seeds
        between = over_draws + residual / plan.items if replicates > 1 else 0.0
        within = over_seeds + components.residual / plan.items if seeds > 1 else 0.0
        squares.append(
            Squares(arm, replicates, replicates * seeds, between, residual, within, components.residual, replicates * (seeds - 1))
        )
    items = components.items + sum(components.residual / square.runs for square in squares[:2])
    if generalize_to == ITEMS:
        return Spread(plan.items, items, (), generalize_to), ()
    sides, notes = _sides(squares, pool_seeds=pooled_with is not None)
    if sides is None:
        raise UsageError(
            "With one run a side it is unknown how much runs vary.", fix="Plan more seeds or replicates, or generalize to items."
        )
    unknown = [name for name in (SEEDS, REPLICATES) if getattr(components, name) is None]
    if any(math.isnan(side.between) for side in sides):
        raise UsageError(
            f"The plan needs the variance between {' and '.join(unknown)}, which the components lack.",
            fix="Give it, or run a pilot with several.",
        )
    return Spread(plan.items, items, sides, generalize_to), notes


@lru_cache(maxsize=8)
def _lattice(points: int, dimensions: int) -> Floats:
    """(dimensions, points) in (0, 1), evenly spread: Roberts' additive recurrence, the golden ratio in more dimensions."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1.0)
    points_inside: Floats = (0.5 + steps[:, None] * np.arange(1, points + 1)) % 1.0
    return points_inside


def _chi_squared(quantiles: Floats, df: float) -> Floats:
    """Quantiles of χ² / df: exact below 50 degrees of freedom, Wilson and Hilferty's from there on."""
    special = require("scipy.special", needed_by="the power of a comparison")
    if df < 50:
        exact: Floats = 2.0 * special.gammaincinv(df / 2.0, quantiles) / df
        return exact
    approximate: Floats = (1.0 - 2.0 / (9.0 * df) + special.ndtri(quantiles) * math.sqrt(2.0 / (9.0 * df))) ** 3
    return approximate


def _least(enough: Callable[[int], bool], low: int, high: int) -> int | None:
    """The least whole number in [low, high] that is enough, where more is never worse; None where `high` is not."""
    if not enough(high):
        return None
    while low < high:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle) else (middle + 1, high)
    return low
