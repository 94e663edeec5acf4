"""The difference between two arms: an interval that counts items, subsets and training runs, and what it could have seen.

A value is modelled as mean of the arm + item + draw (which subset) + seed (which training run) + what is left of item × run.
The difference between the means of two arms then varies with the items (paired: every run is graded on the same ones) and
with the runs of either side. A two-way table of runs × items tells the two apart: the variance between the means of runs
holds the residual of item × run as well, which the per-item differences have counted already, and it is taken off once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property, lru_cache
from statistics import NormalDist
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.extras import require

Floats = NDArray[np.float64]

NEW_RUNS: Final = "new runs"
THESE_MODELS: Final = "these models"
THESE_ITEMS: Final = "these items"
Target = Literal["new runs", "these models", "these items"]
TARGETS: Final[tuple[Target, ...]] = (NEW_RUNS, THESE_MODELS, THESE_ITEMS)
"""To what the interval speaks: new items and new training runs; new items, but these checkpoints; new runs, but these items."""

METHODS: Final[dict[Target, str]] = {NEW_RUNS: "mixed", THESE_MODELS: "paired t over items", THESE_ITEMS: "t over draws"}

DRAWS: Final = "draws"
SEEDS: Final = "seeds"

LEVEL: Final = 0.95
POWER: Final = 0.8
"""Of the minimal detectable effect and of the needed numbers."""
EFFECT: Final = 0.1
"""In standard deviations over items: what the needed numbers are for, unless said otherwise."""
REPEATS: Final = 2000
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
    draws: tuple[int, ...]
    """(runs,), the subset each run was trained on; equal numbers are seeds of one subset."""
    values: Floats
    """(runs, items), finite."""
    fixed: bool = False
    """Whether it is one model as it is, such as the base: no training could have come out otherwise."""

    def __post_init__(self) -> None:
        if self.fixed and len(self.draws) > 1:
            raise UsageError(f"{self.arm} is one model as it is, and has {len(self.draws)}.")
        if self.values.ndim != 2 or len(self.values) != len(self.draws) or not self.draws:
            raise UsageError(f"The values of {self.arm} are {self.values.shape} for {len(self.draws)} runs.")
        if not np.isfinite(self.values).all():
            raise UsageError(f"{self.arm} has values that are not finite.", fix="Leave out the items that not every run has.")

    @property
    def runs(self) -> int:
        """How many."""
        return len(self.draws)

    @property
    def n_draws(self) -> int:
        """Different subsets."""
        return len(set(self.draws))

    @property
    def n_items(self) -> int:
        """How many."""
        return int(self.values.shape[1])

    @cached_property
    def by_draw(self) -> Floats:
        """(draws, items), the mean over the seeds of each draw: a draw counts once, however many seeds it has."""
        labels = np.array(self.draws)
        return np.stack([self.values[labels == draw].mean(axis=0) for draw in sorted(set(self.draws))])

    @cached_property
    def item_sd(self) -> float | None:
        """The standard deviation over items within a run, pooled over the runs; None with one item or where all are equal."""
        if self.n_items < 2:
            return None
        found = math.sqrt(float(self.values.var(axis=1, ddof=1).mean()))
        return found if found > NO_VARIANCE * float(np.abs(self.values).max()) else None


@dataclass(frozen=True)
class Squares:
    """The mean squares of one arm's table of runs × items, between its draws and between the seeds within them."""

    arm: str
    """Its name."""
    draws: int
    """Subsets."""
    runs: int
    """Trained models."""
    between: float = 0.0
    """The variance between the means of draws; of 1 / (n items) of the residual, too."""
    residual: float = 0.0
    """Of an item in a draw, when item and draw are taken off."""
    within: float = 0.0
    """The variance between the means of seeds within a draw, pooled over draws; of 1 / (n items) of the residual, too."""
    within_residual: float = 0.0
    """Of an item in a run, when item × draw and run are taken off."""
    within_df: int = 0
    """Runs less draws."""
    fixed: bool = False
    """Whether it is one model as it is."""

    @classmethod
    def of(cls, arm: ArmValues) -> Self:
        """The mean squares of what was graded; 0 where there is one of a kind."""
        between, residual = _mean_squares([arm.by_draw])
        labels = np.array(arm.draws)
        within, within_residual = _mean_squares([arm.values[labels == draw] for draw in sorted(set(arm.draws))])
        return cls(arm.arm, arm.n_draws, arm.runs, between, residual, within, within_residual, arm.runs - arm.n_draws, arm.fixed)


@dataclass(frozen=True)
class Side:
    """One arm's part in the variance of a difference."""

    arm: str
    """Its name."""
    counted: str
    """draws or seeds: what varies from one of its runs to the next."""
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
        """Between the means over infinitely many items: what is left without the residual, and never below 0."""
        return float(_beyond(self.between, self.residual / n_items))


@dataclass(frozen=True)
class Needed:
    """How large a comparison would have to be to see an effect, one number at a time, the others as they are."""

    effect: float
    """In the grader's unit."""
    items: int | None
    """With these runs; None where no number of items is enough, or the items are fixed."""
    runs: int | None
    """Of either side that is trained (draws where there are several, else seeds), with these items; None where none up to 1,000 is enough."""
    power: float = POWER
    """With which it would be seen."""


@dataclass(frozen=True)
class Spread:
    """Where the variance of a difference comes from; from it the interval, its power, and what a larger comparison would see."""

    n_items: int
    """Graded in all runs."""
    items: float
    """The variance over items of the difference between the arms' means over runs."""
    sides: tuple[Side, ...]
    """Selection and baseline, without one that is a model as it is; empty where the inference is over items only."""
    target: Target = NEW_RUNS
    """To what the interval speaks."""

    @property
    def variance(self) -> float:
        """Of the estimated difference."""
        return float(self._variance(self.items, [(between, residual) for _, between, residual, _ in self._terms])[0])

    @property
    def df(self) -> float:
        """Satterthwaite's degrees of freedom."""
        return float(self._variance(self.items, [(between, residual) for _, between, residual, _ in self._terms])[1])

    @cached_property
    def _terms(self) -> list[tuple[float, float, float, int]]:
        """Coefficient, between, residual, df: one a source, for two sides may draw on one."""
        found: dict[tuple[str, ...], tuple[float, float, float, int]] = {}
        for side in self.sides:
            coefficient = found[side.source][0] if side.source in found else 0.0
            found[side.source] = (coefficient + 1.0 / side.n, side.between, side.residual, side.df)
        return list(found.values())

    def _variance(self, items: Any, squares: Sequence[tuple[Any, Any]]) -> tuple[Any, Any]:
        """The estimate of the variance, and its degrees of freedom, from mean squares; numbers or arrays of one shape.

        The degrees of freedom are Satterthwaite's, with the mean squares between runs whole: taking the residual off in them,
        too, would count few runs as many whenever their means happen to lie close together.
        """
        total, spread, least = np.zeros_like(items), np.zeros_like(items), math.inf
        if self.target != THESE_ITEMS:
            # A copy: an array of mean squares stays as it was.
            total = total + items / self.n_items
            spread = spread + (items / self.n_items) ** 2 / (self.n_items - 1)
            least = self.n_items - 1
        for (coefficient, _, _, df), (between, residual) in zip(self._terms, squares, strict=True):
            taken_off = 0.0 if self.target == THESE_ITEMS else residual / self.n_items
            total = total + coefficient * _beyond(between, taken_off)
            spread = spread + (coefficient * between) ** 2 / df
            least = min(least, df)
        with np.errstate(divide="ignore", invalid="ignore"):
            return total, np.maximum(np.where(spread > 0, total**2 / spread, least), least)

    @cached_property
    def _sampled(self) -> tuple[float, Floats, Floats]:
        """The true variance, were the estimates true, and (POINTS,) estimates of it with their degrees of freedom.

        The mean squares of a balanced normal table are independent multiples of χ². Power is averaged over a lattice of their
        quantiles instead of random ones: the same in every run, and exact to the third digit.
        """
        terms = self._terms
        quantiles = iter(_lattice(POINTS, 1 + 2 * len(terms)))
        over_items = self.items * _chi_squared(next(quantiles), self.n_items - 1) if self.target != THESE_ITEMS else np.zeros(POINTS)
        squares = []
        truth = 0.0 if self.target == THESE_ITEMS else self.items / self.n_items
        for coefficient, between, residual, df in terms:
            # What is estimated to be less than its residual is 0 between runs.
            whole = between if self.target == THESE_ITEMS else max(between, residual / self.n_items)
            taken_off = 0.0 if self.target == THESE_ITEMS else residual / self.n_items
            truth += coefficient * (whole - taken_off)
            runs, left = next(quantiles), next(quantiles)
            squares.append((whole * _chi_squared(runs, df), residual * _chi_squared(left, max(df * (self.n_items - 1), 1))))
        variances, degrees = self._variance(over_items, squares)
        return truth, variances, degrees

    def power(self, effect: float, *, level: float = LEVEL) -> float:
        """How often such a comparison would find an effect (in the grader's unit) in its true direction, two-sided.

        Raises:
            MissingExtra: scipy is not installed.
        """
        special = require("scipy.special", needed_by="the power of a comparison")
        truth, variances, degrees = self._sampled
        if truth <= 0:
            return 1.0 if effect else 0.0
        critical = special.stdtrit(degrees, 0.5 + level / 2.0)
        return float(special.ndtr((abs(effect) - critical * np.sqrt(variances)) / math.sqrt(truth)).mean())

    def detectable(self, *, level: float = LEVEL, power: float = POWER) -> float:
        """The effect, in the grader's unit, that such a comparison would find with this power.

        Raises:
            MissingExtra: scipy is not installed.
        """
        special = require("scipy.special", needed_by="the minimal detectable effect")
        truth, variances, degrees = self._sampled
        if truth <= 0:
            return 0.0
        margins = special.stdtrit(degrees, 0.5 + level / 2.0) * np.sqrt(variances)
        low, high = 0.0, float(margins.max()) + 10.0 * math.sqrt(truth)
        for _ in range(60):
            middle = (low + high) / 2.0
            found = special.ndtr((middle - margins) / math.sqrt(truth)).mean()
            low, high = (middle, high) if found < power else (low, middle)
        return high

    def needed(self, effect: float, *, level: float = LEVEL, power: float = POWER) -> Needed:
        """The number of items, or of runs, with which an effect (in the grader's unit) would be found."""
        items = runs = None
        if self.target != THESE_ITEMS:
            items = _least(lambda n: self.scaled(n_items=n).power(effect, level=level) >= power, 2, MOST_ITEMS)
        if self.target != THESE_MODELS and self.sides and all(side.n > 1 for side in self.sides):
            runs = _least(lambda n: self.scaled(runs=n).power(effect, level=level) >= power, 2, MOST_RUNS)
        return Needed(abs(effect), items, runs, power)

    def scaled(self, *, n_items: int | None = None, runs: int | None = None) -> Spread:
        """The same sources of variance with another number of items, or of runs a side."""
        n_items = self.n_items if n_items is None else n_items
        left = self.items - sum(side.residual / side.n for side in self.sides)
        sides = []
        for side in self.sides:
            n = side.n if runs is None else runs
            # Items are fixed there: the residual stays in the mean of a run.
            between = side.between if self.target == THESE_ITEMS else side.variance(self.n_items) + side.residual / n_items
            own = runs is not None and runs > 2
            sides.append(replace(side, n=n, between=between, df=n - 1 if own else side.df, source=(side.arm,) if own else side.source))
        items = self.items if runs is None else max(left, 0.0) + sum(side.residual / side.n for side in sides)
        return replace(self, n_items=n_items, items=items, sides=tuple(sides))


@dataclass(frozen=True)
class Interval:
    """The difference between two arms for one grader, selection less baseline, and how well it is known."""

    estimate: float
    """The difference of means over the items common to all runs; each draw counts once. NaN without an item."""
    level: float
    """Of the interval, two-sided."""
    target: Target
    """To what it speaks."""
    n_items: int
    """Common to all runs of both arms."""
    n_draws: tuple[int, int]
    """Different subsets of selection and baseline."""
    n_seeds: tuple[int, int]
    """Trained models of selection and baseline, over all draws."""
    low: float | None = None
    """Its lower end; None where there is a reason."""
    high: float | None = None
    """Its upper end."""
    standard_error: float | None = None
    """Of the estimate."""
    df: float | None = None
    """Degrees of freedom of the standard error."""
    p: float | None = None
    """Two-sided, that a difference this large comes about where there is none."""
    method: str = ""
    """`mixed`, `paired t over items` or `t over draws`."""
    bootstrap_low: float | None = None
    """The lower end by resampling items and runs; with few runs it is too high, for it does not know how few they are."""
    bootstrap_high: float | None = None
    """The upper end by resampling."""
    item_sd: float | None = None
    """The standard deviation of both arms' values over items, pooled."""
    reason: str | None = None
    """Why there is no interval, or None."""
    notes: tuple[str, ...] = ()
    """What has to be said beside it."""
    spread: Spread | None = field(default=None, repr=False)
    """Where its variance comes from."""

    @cached_property
    def detectable(self) -> float | None:
        """The effect this comparison would have found with 80 % power, in the grader's unit; None without an interval."""
        return None if self.spread is None else self.spread.detectable(level=self.level)

    @property
    def detectable_sd(self) -> float | None:
        """The same in standard deviations over items."""
        return None if self.detectable is None or self.item_sd is None else self.detectable / self.item_sd

    def needed(self, effect: float = EFFECT) -> Needed | None:
        """The items or runs that would find an effect, in standard deviations over items; None without an interval or these."""
        if self.spread is None or self.item_sd is None:
            return None
        return self.spread.needed(effect * self.item_sd, level=self.level)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: every field, what was detectable, and what would be needed for 0.1 standard deviations."""
        needed = self.needed()
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("spread", "estimate")},
            "estimate": self.estimate if math.isfinite(self.estimate) else None,
            "detectable": self.detectable,
            "detectable_sd": self.detectable_sd,
            "needed": None if needed is None else asdict(needed),
            "variance": None if self.spread is None else asdict(self.spread),
        }


@dataclass(frozen=True)
class Components:
    """Variances of a grader's values, for planning. From a pilot, or given."""

    items: float
    """Over items, of the true difference between two arms: how differently they do on different items."""
    residual: float
    """Of an item in a run, beyond all else."""
    seeds: float | None
    """Between training runs on the same subset; None where no subset had two."""
    draws: float | None
    """Between random subsets, beyond seeds; None where no arm had two."""
    item_sd: float | None = None
    """The standard deviation of values over items in a run."""

    def __post_init__(self) -> None:
        for name in ("items", "residual", "seeds", "draws"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise UsageError(
                    f"The variance {name} is {value}.", fix="A variance is a number of at least 0, or None where it is unknown."
                )


@dataclass(frozen=True)
class Plan:
    """How large a comparison is to be."""

    items: int
    """Graded in every run."""
    draws: int = 1
    """Subsets of the selection."""
    seeds: int = 3
    """Trainings on each."""
    baseline_draws: int = 3
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
    level: float
    """Of the two-sided interval."""
    plan: Plan
    """What was planned."""
    components: Components
    """What was assumed."""
    notes: tuple[str, ...] = ()
    """What has to be said beside it."""


def compare(
    selection: ArmValues,
    baseline: ArmValues,
    *,
    others: Sequence[ArmValues] = (),
    level: float = LEVEL,
    target: Target = NEW_RUNS,
    repeats: int = 0,
    seed: int = 0,
) -> Interval:
    """The difference between two arms that were graded on the same items, with its interval.

    The variance is that over items of the per-item difference, / n; plus that between the means of runs of either side, / runs,
    less the residual of item × run that the first has counted. Runs are draws where an arm has several, and else its seeds: then
    the interval speaks of this subset. Fewer than three seeds take the variance of all arms' seeds, as if all varied
    alike: where the selection's runs vary twice as much as the others', an interval at 95 % covers about 89 %. A single run without
    any takes that between the draws of the others, which is larger. Degrees of freedom are Satterthwaite's.

    Args:
        selection: values (runs, items).
        baseline: of the same items.
        others: further arms with the same grader, whose runs say how much runs vary.
        level: of the two-sided interval.
        target: `new runs`, `these models` (inference over items only: with one run a side the paired t interval) or
            `these items` (over runs only).
        repeats: of the nested bootstrap; 0 for none.
        seed: of the bootstrap.

    Raises:
        UsageError: arms with different numbers of items, a level outside (0, 1), or another target.
        MissingExtra: scipy is not installed.

    Source: Satterthwaite 1946, doi:10.2307/3002019; for pairing by item, Miller 2024, arXiv:2411.00640.
    """
    _check(level, target)
    if selection.n_items != baseline.n_items:
        raise UsageError(f"{selection.arm} has {selection.n_items} items, {baseline.arm} {baseline.n_items}.")
    estimate = float(selection.by_draw.mean() - baseline.by_draw.mean()) if baseline.n_items else math.nan
    found = Interval(
        estimate,
        level,
        target,
        baseline.n_items,
        (selection.n_draws, baseline.n_draws),
        (selection.runs, baseline.runs),
        item_sd=item_sd(selection, baseline),
        method=METHODS[target],
    )
    if baseline.n_items < (1 if target == THESE_ITEMS else 2):
        reason = f"There are {baseline.n_items} items; their variance cannot be estimated."
        return replace(found, reason=reason)
    sides: tuple[Side, ...] = ()
    if target != THESE_MODELS:
        # One item has no residual; what of another arm is to be compared must have one where it is taken off.
        lending = [arm for arm in others if arm.n_items > 1 or (target == THESE_ITEMS and arm.n_items)]
        squares = [Squares.of(arm) for arm in (selection, baseline, *lending)]
        chosen, notes = _sides(squares)
        found = replace(found, notes=notes)
        if chosen is None:
            reason = "With one run a side, and no arm with several, it is unknown how much runs vary."
            return replace(found, reason=reason)
        sides = chosen
    else:
        found = replace(found, notes=("Inference over items only: it speaks of these checkpoints, not of the selection.",))
    items = float((selection.by_draw.mean(axis=0) - baseline.by_draw.mean(axis=0)).var(ddof=1)) if baseline.n_items > 1 else 0.0
    spread = Spread(baseline.n_items, items, sides, target)
    variance = spread.variance
    largest = max(float(np.abs(arm.values).max()) for arm in (selection, baseline))
    if math.sqrt(variance) <= NO_VARIANCE * largest:
        return replace(found, reason="The difference is the same in every item and run; there is nothing to estimate a variance from.")
    special = require("scipy.special", needed_by="an interval with few runs")
    error, df = math.sqrt(variance), spread.df
    half = float(special.stdtrit(df, 0.5 + level / 2.0)) * error
    low, high = bootstrap(selection, baseline, level=level, target=target, repeats=repeats, seed=seed) if repeats else (None, None)
    return replace(
        found,
        low=estimate - half,
        high=estimate + half,
        standard_error=error,
        df=df,
        p=2.0 * float(special.stdtr(df, -abs(estimate) / error)),
        bootstrap_low=low,
        bootstrap_high=high,
        spread=spread,
    )


def bootstrap(
    selection: ArmValues, baseline: ArmValues, *, level: float = LEVEL, target: Target = NEW_RUNS, repeats: int = REPEATS, seed: int = 0
) -> tuple[float, float]:
    """The percentile interval of the difference when items, draws and seeds within draws are drawn again with replacement.

    Items are the same for both arms in a repeat. An arm with one draw keeps it and has its seeds drawn again; a single run stays.
    With m runs it is narrower than it should be by about √((m − 1) / m); it is shown, and decides nothing.
    """
    generator = np.random.default_rng(seed)
    n = baseline.n_items
    found = np.empty(repeats)
    step = max(1, CELLS // n)
    for start in range(0, repeats, step):
        count = min(step, repeats - start)
        if target == THESE_ITEMS:
            weights = np.full((count, n), 1.0 / n)
        else:
            rows = np.arange(count)[:, None] * n
            weights = np.bincount((generator.integers(n, size=(count, n)) + rows).ravel(), minlength=count * n).reshape(count, n) / n
        means = [
            np.einsum("rc,cr->c", arm.values @ weights.T, _run_weights(arm, count, generator if target != THESE_MODELS else None))
            for arm in (selection, baseline)
        ]
        found[start : start + count] = means[0] - means[1]
    low, high = np.quantile(found, [0.5 - level / 2.0, 0.5 + level / 2.0])
    return float(low), float(high)


def item_sd(selection: ArmValues, baseline: ArmValues) -> float | None:
    """The standard deviation over items within a run, pooled over both arms; None where all values are equal.

    Of both, since one may have none: a judge's preference for the reference's own answers is a tie everywhere.
    """
    if selection.n_items < 2:
        return None
    found = math.sqrt(sum((arm.item_sd or 0.0) ** 2 for arm in (selection, baseline)) / 2.0)
    return found or None


def components(selection: ArmValues, baseline: ArmValues, *, others: Sequence[ArmValues] = ()) -> Components:
    """Variance components of what was graded, pooled over the arms, for planning another comparison.

    Raises:
        UsageError: fewer than two items.
    """
    if baseline.n_items < 2:
        raise UsageError("Variance components need at least two items.", fix="Grade item by item.")
    squares = [Squares.of(arm) for arm in (selection, baseline, *others) if arm.n_items > 1]
    n = baseline.n_items
    within = _pooled([(each.within, each.within_residual, each.within_df) for each in squares])
    between = _pooled([(each.between, each.residual, each.draws - 1) for each in squares])
    seeds = None if within is None else max(within[0] - within[1] / n, 0.0)
    draws = None
    if between is not None:
        per_draw = [each.runs / each.draws for each in squares if each.draws > 1]
        noise = 0.0 if seeds is None else seeds / (sum(per_draw) / len(per_draw))
        draws = max(between[0] - between[1] / n - noise, 0.0)
    # With one run a side the residual stays among the per-item differences, where it counts as much.
    residual = within[1] if within is not None else between[1] if between is not None else 0.0
    # What is left of the per-item differences when the residual's share in them is taken off.
    raw = float((selection.by_draw.mean(axis=0) - baseline.by_draw.mean(axis=0)).var(ddof=1))
    items = max(raw - residual / selection.runs - residual / baseline.runs, 0.0)
    return Components(items, residual, seeds, draws, item_sd(selection, baseline))


def power(plan: Plan, components: Components, *, effect: float, level: float = LEVEL, target: Target = NEW_RUNS) -> Power:
    """How often a planned comparison would find an effect, and the least effect it would find with 80 % power.

    Averaged over what the comparison would estimate, few degrees of freedom and all; not the normal approximation.

    Args:
        plan: items, draws and seeds.
        components: from `Verification.components` of a pilot, or given.
        effect: in the grader's unit.
        level: of the two-sided interval; for the verdict over several graders or baselines, 1 − 0.05 / their number.
        target: as of `compare`.

    Raises:
        UsageError: a plan in which runs cannot be told apart, or a variance it needs is not among the components.
        MissingExtra: scipy is not installed.
    """
    _check(level, target)
    spread, notes = _expected(plan, components, target)
    if target != THESE_ITEMS and plan.items < 2:
        raise UsageError("A plan needs at least two items.", fix="Grade more items, or ask for the target 'these items'.")
    found = spread.power(effect, level=level)
    return Power(effect, found, spread.detectable(level=level), math.sqrt(spread.variance), level, plan, components, notes)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for being several, in their order; None stays None and is not counted.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    order = sorted((value, at) for at, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, at) in enumerate(order):
        largest = max(largest, min(1.0, value * (len(order) - rank)))
        adjusted[at] = largest
    return adjusted


def fisher_interval(r: float, n: int, *, level: float = LEVEL) -> tuple[float, float] | None:
    """The interval of a correlation by Fisher's z; None with fewer than four pairs, or where r is ±1."""
    if n < 4 or not abs(r) < 1.0:
        return None
    half = NormalDist().inv_cdf(0.5 + level / 2.0) / math.sqrt(n - 3)
    return math.tanh(math.atanh(r) - half), math.tanh(math.atanh(r) + half)


def _check(level: float, target: str) -> None:
    if not 0.0 < level < 1.0:
        raise UsageError(f"A level of {level} cannot be.", fix="Give a number between 0 and 1, e.g. 0.95.")
    if target not in TARGETS:
        raise UsageError.named(target, TARGETS, noun="target")


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
    df = sum(each[2] for each in squares)
    if not df:
        return None
    return sum(each[0] * each[2] for each in squares) / df, sum(each[1] * each[2] for each in squares) / df, df


def _sides(squares: Sequence[Squares]) -> tuple[tuple[Side, ...] | None, tuple[str, ...]]:
    """The part of the first two arms in the variance, and notes; None where it is unknown how much the runs of one vary."""
    sides: list[Side] = []
    notes: list[str] = []
    for own, other in ((squares[0], squares[1]), (squares[1], squares[0])):
        if own.fixed:
            notes.append(f"{own.arm} is one model as it is: it has no part in how much runs vary.")
            continue
        side, said = _side(own, other, squares)
        notes += said
        if side is None:
            return None, tuple(notes)
        sides.append(side)
    return tuple(sides), tuple(dict.fromkeys(notes))


def _side(own: Squares, other: Squares, squares: Sequence[Squares]) -> tuple[Side | None, list[str]]:
    few = f"{own.arm} has 2 {{0}}: 1 degree of freedom, for which an interval at 95 % covers 89 to 98 %."
    if own.draws > 1:
        side = Side(own.arm, DRAWS, own.draws, own.between, own.residual, own.draws - 1, (DRAWS, own.arm))
        return side, [few.format(DRAWS)] if own.draws == 2 else []
    notes = [f"{own.arm} has one draw: the interval speaks of this subset, not of new ones."]
    if own.within_df > 1:
        return Side(own.arm, SEEDS, own.runs, own.within, own.within_residual, own.within_df, (SEEDS, own.arm)), notes
    lending = [each for each in squares if each.within_df]
    pooled = _pooled([(each.within, each.within_residual, each.within_df) for each in lending])
    if pooled is not None and (pooled[2] > 1 or own.within_df == 0):
        names = ", ".join(sorted(each.arm for each in lending))
        count = f"{own.runs} seed{'s' * (own.runs > 1)}"
        notes.append(f"{own.arm} has {count}: how much seeds vary is taken from all arms with several ({names}), as if all varied alike.")
        return Side(own.arm, SEEDS, own.runs, *pooled, (SEEDS, *(each.arm for each in lending))), notes
    if own.within_df:
        notes.append(few.format(SEEDS))
        return Side(own.arm, SEEDS, own.runs, own.within, own.within_residual, own.within_df, (SEEDS, own.arm)), notes
    drawn = [other] if other.draws > 1 else [each for each in squares if each.draws > 1]
    borrowed = _pooled([(each.between, each.residual, each.draws - 1) for each in drawn])
    if borrowed is None:
        return None, notes
    names = ", ".join(sorted(each.arm for each in drawn))
    notes.append(f"{own.arm} has 1 seed, and so has every draw: the variance between the draws of {names} stands in, which is larger.")
    return Side(own.arm, SEEDS, 1, *borrowed, (DRAWS, *(each.arm for each in drawn))), notes


def _expected(plan: Plan, given: Components, target: Target) -> tuple[Spread, tuple[str, ...]]:
    """The spread a plan would have if every mean square came out as expected."""
    shapes = (("selection", plan.draws, plan.seeds), ("baseline", plan.baseline_draws, plan.baseline_seeds))
    squares = []
    for arm, draws, seeds in shapes:
        # Unknown stays NaN until it is clear that it is needed. Draws of one seed each have the seeds' variance in theirs.
        over_seeds = math.nan if given.seeds is None else given.seeds
        over_draws = math.nan if given.draws is None else given.draws + (given.seeds or 0.0) / seeds
        residual = given.residual / seeds
        between = over_draws + residual / plan.items if draws > 1 else 0.0
        within = over_seeds + given.residual / plan.items if seeds > 1 else 0.0
        squares.append(Squares(arm, draws, draws * seeds, between, residual, within, given.residual, draws * (seeds - 1)))
    items = given.items + sum(given.residual / each.runs for each in squares)
    if target == THESE_MODELS:
        return Spread(plan.items, items, (), target), ()
    sides, notes = _sides(squares)
    if sides is None:
        raise UsageError(
            "With one run a side it is unknown how much runs vary.", fix="Plan more seeds or draws, or ask for the target 'these models'."
        )
    unknown = [name for name in (SEEDS, DRAWS) if getattr(given, name) is None]
    if any(math.isnan(side.between) for side in sides):
        raise UsageError(
            f"The plan needs the variance between {' and '.join(unknown)}, which the components lack.",
            fix="Give it, or run a pilot with several.",
        )
    return Spread(plan.items, items, sides, target), notes


def _run_weights(arm: ArmValues, count: int, generator: np.random.Generator | None) -> Floats:
    """(count, runs), what each run counts in each repeat: draws drawn again, and seeds within each; without a generator, as they are."""
    places = [np.flatnonzero(np.array(arm.draws) == draw) for draw in sorted(set(arm.draws))]
    weights = np.zeros((count, arm.runs))
    m = len(places)
    repeats = np.arange(count)
    for at, place in enumerate(places):
        if generator is None:
            weights[:, place] += 1.0 / (m * len(place))
            continue
        picked = generator.integers(m, size=count) if m > 1 else np.full(count, at)
        for choice, runs in enumerate(places):
            rows = repeats[picked == choice]
            drawn = runs[generator.integers(len(runs), size=(len(rows), len(runs)))]
            np.add.at(weights, (rows[:, None], drawn), 1.0 / (m * len(runs)))
    return weights


@lru_cache(maxsize=8)
def _lattice(points: int, dimensions: int) -> Floats:
    """(dimensions, points) in (0, 1), evenly spread: Roberts' additive recurrence, the golden ratio in more dimensions."""
    ratio = 2.0
    for _ in range(60):
        ratio = (1.0 + ratio) ** (1.0 / (dimensions + 1))
    steps = ratio ** -np.arange(1.0, dimensions + 1.0)
    found: Floats = (0.5 + steps[:, None] * np.arange(1, points + 1)) % 1.0
    return found


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


__all__ = [
    "ArmValues",
    "Components",
    "Interval",
    "Needed",
    "Plan",
    "Power",
    "Side",
    "Spread",
    "bootstrap",
    "compare",
    "components",
    "fisher_interval",
    "holm",
    "power",
]
