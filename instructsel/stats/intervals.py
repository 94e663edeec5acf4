"""The difference between two arms: an interval that counts items, subsets and training runs, and what it could have seen.

A value is modelled as mean of the arm + item + replicate (which subset) + seed (which training run) + what is left of item × run.
The difference between the means of two arms then varies with the items (paired: every run is graded on the same ones) and
with the runs of either side. A two-way table of runs × items tells the two apart: the variance between the means of runs
holds the residual of item × run as well, which the per-item differences have counted too, and there it is taken off.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np

from instructsel.errors import UsageError
from instructsel.stats.clusters import Sampling, effective
from instructsel.stats.correlation import Floats
from instructsel.stats.power import Needed, Spread
from instructsel.stats.variance import (
    BOTH,
    CELLS,
    CONFIDENCE,
    EFFECT,
    FEWEST_CLUSTERS,
    ITEMS,
    METHODS,
    NO_VARIANCE,
    RESAMPLES,
    RUNS,
    ArmValues,
    Estimand,
    Side,
    Squares,
    _check,
    _sides,
    item_sd,
    paired_sampling,
    pooled_arms,
)
from instructsel.text import counted


@dataclass(frozen=True)
class Interval:
    """The difference between two arms for one grader, selection less baseline, and how well it is known."""

    estimate: float
    """The difference of means over the items common to all runs; each replicate counts once. NaN without an item."""
    confidence: float
    """Of the interval, two-sided."""
    generalize_to: Estimand
    """The population it generalizes to: `both` (new items and new runs), `items` or `runs`."""
    n_items: int
    """Common to all runs of both arms."""
    n_replicates: tuple[int, int]
    """Different subsets of selection and baseline."""
    n_seeds: tuple[int, int]
    """Trained models of selection and baseline, over all replicates."""
    low: float | None = None
    """Its lower end; None where there is a reason."""
    high: float | None = None
    """Its upper end."""
    standard_error: float | None = None
    """Of the estimate."""
    df: float | None = None
    """Degrees of freedom of the t distribution whose critical value this interval has."""
    p: float | None = None
    """Two-sided, that a difference this large comes about where there is none."""
    method: str = ""
    """`mixed`, `paired t over items` or `t over replicates`."""
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
    n_clusters: int | None = None
    """The clusters of these items, over which the interval averages; None where each item stands alone."""
    pooled_seeds: tuple[str, ...] | None = None
    """The arms over which the variance between seeds is pooled, where that was asked for; none where it changes nothing."""

    @property
    def counted(self) -> str:
        """The items, and their clusters where there are any, in words."""
        items = f"{self.n_items:,} item{'s' * (self.n_items != 1)}"
        return items if self.n_clusters is None else f"{items} in {self.n_clusters:,} cluster{'s' * (self.n_clusters != 1)}"

    @cached_property
    def detectable(self) -> float | None:
        """The effect this comparison would have found with 80 % power, in the grader's unit; None without an interval."""
        return None if self.spread is None else self.spread.detectable(confidence=self.confidence)

    @property
    def assumption(self) -> str | None:
        """What this interval takes for granted and its runs cannot show, as a reason not to decide by it; None where it rests on its own runs.

        A single run says nothing of how much runs vary; where those of the other arms vary less, the interval is too short, and nobody would see it.
        """
        single = [] if self.spread is None else [side.arm for side in self.spread.sides if side.n == 1]
        if not single:
            return None
        return (
            f"{' and '.join(single)} {'has' if len(single) == 1 else 'have'} one run: how much its runs vary is taken from other arms, as if all "
            "varied alike, which one run cannot show. Train it with a second and a third seed, or generalize to items, for these models alone."
        )

    @property
    def pooling(self) -> str | None:
        """What pooling the seeds takes for granted, in a sentence; None where it was not asked for, or there is no interval."""
        return None if self.pooled_seeds is None or self.low is None else pooling(self.pooled_seeds)

    @property
    def detectable_sd(self) -> float | None:
        """The same in standard deviations over items."""
        return None if self.detectable is None or self.item_sd is None else self.detectable / self.item_sd

    def needed(self, effect: float = EFFECT) -> Needed | None:
        """The items or runs that would find an effect, in standard deviations over items; None without an interval or these."""
        if self.spread is None or self.item_sd is None:
            return None
        return self.spread.needed(effect * self.item_sd, confidence=self.confidence)

    def as_dict(self) -> dict[str, Any]:
        """Plain data: every field, what was detectable, and what would be needed for 0.1 standard deviations."""
        needed = self.needed()
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("spread", "estimate")},
            "estimate": self.estimate if math.isfinite(self.estimate) else None,
            "detectable": self.detectable,
            "detectable_sd": self.detectable_sd,
            "pooling": self.pooling,
            "needed": None if needed is None else asdict(needed),
            "variance": None if self.spread is None else asdict(self.spread),
        }


def pooling(arms: Sequence[str]) -> str:
    """What pooling the seeds of arms takes for granted, in a sentence.

    >>> pooling(["longest", "random", "selection"])
    'The variance between seeds is pooled over longest, random and selection, as if all of them varied alike; where one varies more than the others, its interval is too short.'
    """
    if not arms:
        return "Pooling seeds changes nothing here: no variance between seeds is one that several arms have."
    names = " and ".join([*([", ".join(arms[:-1])] if len(arms) > 1 else []), arms[-1]])
    return (
        f"The variance between seeds is pooled over {names}, as if all of them varied alike; where one varies more than the others, "
        "its interval is too short."
    )


def compare(
    selection: ArmValues,
    baseline: ArmValues,
    *,
    others: Sequence[ArmValues] = (),
    confidence: float = CONFIDENCE,
    generalize_to: Estimand = BOTH,
    n_resamples: int = 0,
    seed: int = 0,
    pool_seeds: bool = False,
) -> Interval:
    """The difference between two arms that were graded on the same items, with its interval.

    The variance is that over items of the per-item difference, less the residual of item × run in it, / n; plus that between the means of
    runs of either side, which has that residual, / runs. Items of one cluster are averaged first, as `clusters` describes: the mean
    counts every item alike, the variance and the degrees of freedom count clusters. Runs are replicates where an arm has
    several, and else its seeds: then the interval holds for this subset. From two runs on each side's own variance is used; a single run takes
    that of the other arms' seeds, as if all varied alike, and without any that between the replicates of the others, which is
    larger. The critical value is that of `critical`, which knows how few runs there are.

    Args:
        selection: values (runs, items).
        baseline: of the same items.
        others: further arms with the same grader, whose runs say how much runs vary.
        confidence: of the two-sided interval.
        generalize_to: `both`, `items` (these checkpoints: with one run a side the paired t interval) or `runs` (these items).
        n_resamples: of the nested bootstrap; 0 for none.
        seed: of the bootstrap.
        pool_seeds: take how much seeds vary from all arms with several, as if all varied alike, for an arm with several seeds, too: two seeds
            in each of eight arms are eight degrees of freedom instead of one. Where arms vary unlike, such intervals are too short for some and
            too long for others.

    Raises:
        UsageError: arms with different numbers of items, a confidence outside (0, 1), or an unknown estimand.
        MissingExtra: scipy is not installed.

    Source: Welch 1947, doi:10.1093/biomet/34.1-2.28; for pairing by item, Miller 2024, arXiv:2411.00640.
    """
    _check(confidence, generalize_to)
    if selection.n_items != baseline.n_items:
        raise UsageError(f"{selection.arm} has {counted(selection.n_items, 'item')}, {baseline.arm} {baseline.n_items}.")
    estimate = float(selection.by_replicate.mean() - baseline.by_replicate.mean()) if baseline.n_items else math.nan
    interval = Interval(
        estimate,
        confidence,
        generalize_to,
        baseline.n_items,
        (selection.n_replicates, baseline.n_replicates),
        (selection.runs, baseline.runs),
        item_sd=item_sd(selection, baseline),
        method=METHODS[generalize_to],
        n_clusters=None if baseline.clusters is None or not baseline.n_items else baseline.n_units,
    )
    drawn = paired_sampling(selection, baseline)
    if (reason := _too_few(interval, drawn)) is not None:
        return replace(interval, reason=reason)
    sides: tuple[Side, ...] = ()
    if generalize_to != ITEMS:
        # One item has no residual; what of another arm is to be compared must have one where it is taken off.
        lending = [arm for arm in others if arm.n_units > 1 or (generalize_to == RUNS and arm.n_units)]
        squares = [Squares.of(arm, factor=drawn.factor) for arm in (selection, baseline, *lending)]
        chosen, notes = _sides(squares, pool_seeds=pool_seeds)
        interval = replace(interval, notes=notes, pooled_seeds=pooled_arms(chosen or ()) if pool_seeds else None)
        if chosen is None:
            reason = "With one run a side, and no arm with several, it is unknown how much runs vary."
            return replace(interval, reason=reason)
        sides = chosen
    else:
        note = "The interval generalizes to new items, not to new runs: it holds for these checkpoints."
        interval = replace(interval, notes=(note,), pooled_seeds=() if pool_seeds else None)
    of_units = selection.units_by_replicate.mean(axis=0) - baseline.units_by_replicate.mean(axis=0)
    items = float(of_units.var(ddof=1)) * drawn.factor if baseline.n_units > 1 else 0.0
    equal = drawn.df == baseline.n_units - 1
    spread = Spread(baseline.n_units, items, sides, generalize_to, items_df=None if equal else drawn.df)
    variance = spread.variance
    largest = max(float(np.abs(arm.values).max()) for arm in (selection, baseline))
    if math.sqrt(variance) <= NO_VARIANCE * largest:
        return replace(interval, reason="The difference is the same in every item and run; there is nothing to estimate a variance from.")
    error = math.sqrt(variance)
    half = spread.critical(confidence) * error
    low, high = (
        bootstrap(selection, baseline, confidence=confidence, generalize_to=generalize_to, n_resamples=n_resamples, seed=seed)
        if n_resamples
        else (None, None)
    )
    return replace(
        interval,
        low=estimate - half,
        high=estimate + half,
        standard_error=error,
        df=spread.df_at(confidence),
        p=spread.p_value(estimate),
        bootstrap_low=low,
        bootstrap_high=high,
        spread=spread,
    )


def _too_few(interval: Interval, drawn: Sampling) -> str | None:
    """Why the items are too few for an interval over them, or None."""
    if interval.generalize_to == RUNS:
        return None if interval.n_items else "There are 0 items; their variance cannot be estimated."
    if interval.n_items < 2:
        return (
            "There is 1 item; its variance cannot be estimated."
            if interval.n_items
            else "There are 0 items; their variance cannot be estimated."
        )
    if interval.n_clusters is None or drawn.df >= FEWEST_CLUSTERS - 1:
        return None
    unequal = "" if drawn.units < FEWEST_CLUSTERS else f", which are so unequal that they say no more than {effective(drawn)} equal ones"
    return f"There are {interval.counted}{unequal}; an interval takes {FEWEST_CLUSTERS} clusters at least."


def bootstrap(
    selection: ArmValues,
    baseline: ArmValues,
    *,
    confidence: float = CONFIDENCE,
    generalize_to: Estimand = BOTH,
    n_resamples: int = RESAMPLES,
    seed: int = 0,
) -> tuple[float, float]:
    """The percentile interval of the difference when items, replicates and seeds within replicates are drawn again with replacement.

    Clusters are drawn in place of items where items are clustered. Items are the same for both arms in a repeat. An arm with one replicate keeps it and has its seeds drawn again; a single run stays.
    With m runs it is narrower than it should be by about √((m − 1) / m); it is shown, and decides nothing.
    """
    generator = np.random.default_rng(seed)
    n = baseline.n_units
    differences = np.empty(n_resamples)
    step = max(1, CELLS // n)
    for start in range(0, n_resamples, step):
        count = min(step, n_resamples - start)
        if generalize_to == RUNS:
            weights = np.full((count, n), 1.0 / n)
        else:
            rows = np.arange(count)[:, None] * n
            weights = np.bincount((generator.integers(n, size=(count, n)) + rows).ravel(), minlength=count * n).reshape(count, n) / n
        means = [
            np.einsum("rc,cr->c", arm.units @ weights.T, _run_weights(arm, count, generator if generalize_to != ITEMS else None))
            for arm in (selection, baseline)
        ]
        differences[start : start + count] = means[0] - means[1]
    low, high = np.quantile(differences, [0.5 - confidence / 2.0, 0.5 + confidence / 2.0])
    return float(low), float(high)


def holm(values: Sequence[float | None]) -> list[float | None]:
    """p values adjusted for being several, in their order; None stays None and is not counted.

    Source: Holm 1979, "A simple sequentially rejective multiple test procedure".

    >>> holm([0.01, None, 0.04])
    [0.02, None, 0.04]
    """
    order = sorted((value, position) for position, value in enumerate(values) if value is not None)
    adjusted: list[float | None] = [None] * len(values)
    largest = 0.0
    for rank, (value, position) in enumerate(order):
        largest = max(largest, min(1.0, value * (len(order) - rank)))
        adjusted[position] = largest
    return adjusted


Key = TypeVar("Key")


@dataclass(frozen=True)
class Adjusted(Generic[Key]):
    """Comparisons adjusted for their number."""

    p_values: Mapping[Key, float | None]
    """Holm's p value of each comparison; None where it has none."""
    confidence: float
    """The level at which all of their intervals hold together (Bonferroni)."""
    comparisons: int
    """How many have a p value; at least 1."""


def adjust(p_values: Mapping[Key, float | None], confidence: float) -> Adjusted[Key]:
    """One family of comparisons, adjusted for being several.

    Args:
        p_values: comparison → its own p value; None where it has none, which is not counted.
        confidence: family-wise, 1 − α.

    >>> adjusted = adjust({"a": 0.01, "b": None, "c": 0.04}, 0.95)
    >>> adjusted.p_values, adjusted.confidence, adjusted.comparisons
    ({'a': 0.02, 'b': None, 'c': 0.04}, 0.975, 2)
    """
    comparisons = max(sum(p is not None for p in p_values.values()), 1)
    adjusted = dict(zip(p_values, holm(list(p_values.values())), strict=True))
    return Adjusted(adjusted, 1 - (1 - confidence) / comparisons, comparisons)


def _run_weights(arm: ArmValues, count: int, generator: np.random.Generator | None) -> Floats:
    """(count, runs), what each run counts in each repeat: replicates drawn again, and seeds within each; without a generator, as they are."""
    places = [np.flatnonzero(np.array(arm.replicates) == replicate) for replicate in sorted(set(arm.replicates))]
    weights = np.zeros((count, arm.runs))
    m = len(places)
    n_resamples = np.arange(count)
    for number, place in enumerate(places):
        if generator is None:
            weights[:, place] += 1.0 / (m * len(place))
            continue
        picked = generator.integers(m, size=count) if m > 1 else np.full(count, number)
        for choice, runs in enumerate(places):
            rows = n_resamples[picked == choice]
            drawn = runs[generator.integers(len(runs), size=(len(rows), len(runs)))]
            np.add.at(weights, (rows[:, None], drawn), 1.0 / (m * len(runs)))
    return weights


__all__ = ["Adjusted", "Interval", "adjust", "bootstrap", "compare", "holm", "pooling"]
