"""Verdicts: better, worse, no detectable difference, not enough data, non-inferior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, Self

from instructsel.kinds import VERDICTS, head
from instructsel.stats.intervals import Interval
from instructsel.stats.variance import BOTH, CONFIDENCE, RESAMPLES, Estimand
from instructsel.text import signed

BETTER: Final = "better"
WORSE: Final = "worse"
NO_DIFFERENCE: Final = "no detectable difference"
NOT_ENOUGH: Final = "not enough data"

Outcome = Literal["better", "worse", "no detectable difference", "not enough data"]

SMALLEST_EFFECT: Final = 0.1
"""The smallest effect of interest, in standard deviations over items: no difference is stated only where this would be detected."""
MAX_MISSING: Final = 0.05
"""The largest acceptable share of items without a value in some run."""


NO_SPREAD: Final = (
    "The difference is not significant; whether there is none cannot be said, since results per run have no standard deviation over items "
    "by which the smallest effect of interest is measured."
)
"""Why results per run that do not differ significantly are not enough data."""


@dataclass(frozen=True)
class ComparisonSettings:
    """How arms are compared."""

    confidence: float = CONFIDENCE
    """Family-wise confidence level (1 − α) over all comparisons."""
    generalize_to: Estimand = BOTH
    """Estimand: both (new runs and new items), items (for finished results with one run each), or runs."""
    weighted: bool = False
    """Whether items count by their weight (tokens, for a loss) instead of alike."""
    smallest_effect: float = SMALLEST_EFFECT
    """Of interest, in standard deviations of both arms' values over items, pooled."""
    max_missing: float = MAX_MISSING
    """The largest acceptable share of items without a value in some run."""
    n_resamples: int = RESAMPLES
    """Of the bootstrap; 0 for none."""
    seed: int = 0
    """Of the bootstrap."""
    pool_seeds: bool = False
    """Whether seeds of all arms are taken to vary alike, so that two an arm are enough; to be decided before the runs."""


@dataclass(frozen=True)
class Scale:
    """What a grader's values mean."""

    unit: str = ""
    """E.g. nats per token."""
    higher_is_better: bool = False
    """The direction of every verdict."""
    truncated: int = 0
    """Items of which a model did not see everything, over all runs."""
    settings: Mapping[str, Any] | None = None
    """How all models were graded: the judge and its reference, or the tasks with their versions, hashes and shots; None where unknown."""
    unlike: tuple[str, ...] = ()
    """Where batch size, number format, device, backend or release differ from run to run, and that was allowed."""
    unit_note: str = ""
    """Of a loss: why it is compared in this unit, where the models' tokenizers or chat templates differ or are not known."""

    aggregated: bool = False
    """Whether values are of whole runs, so that there are no items to generalize from."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without what stands once, with the grader: settings, and how models were computed."""
        return {"unit": self.unit, "higher_is_better": self.higher_is_better, "truncated": self.truncated}


@dataclass(frozen=True)
class Verdict:
    """The comparison of one selection with one baseline by one grader."""

    selection: str
    """The arm under test."""
    baseline: str
    """The arm it is compared with."""
    grader: str
    """Whose values are compared."""
    outcome: Outcome
    """`better`, `worse`, `no detectable difference` or `not enough data`."""
    interval: Interval
    """Of selection minus baseline, at the confidence level that holds for all comparisons together (Bonferroni)."""
    scale: Scale
    """The grader's unit and direction."""
    confidence: float
    """Family-wise confidence level (1 − α) over all comparisons."""
    p_adjusted: float | None
    """The p value, adjusted for the number of comparisons (Holm); None where there is no interval."""
    comparisons: int
    """How many were adjusted for."""
    missing: int
    """Items left out because some run of either arm has no value."""
    reason: str | None = None
    """Why there is not enough data, or None."""
    leakage: bool = False
    """Whether the grader's own model ranked the rows of either arm: the verdict is shown and does not count."""

    @property
    def gain(self) -> float:
        """The difference in the good direction, in the grader's unit."""
        return self.interval.estimate if self.scale.higher_is_better else -self.interval.estimate

    @property
    def by_holm_alone(self) -> bool:
        """Whether better or worse is shown by Holm's correction, while the interval, at Bonferroni's level, holds 0."""
        low, high = self.interval.low, self.interval.high
        return self.outcome in (BETTER, WORSE) and low is not None and high is not None and low <= 0 <= high

    @property
    def statement(self) -> str:
        """The verdict in sentences, with its interval and the minimum detectable effect."""
        interval, unit = self.interval, f" {self.scale.unit}" if self.scale.unit else ""
        parts = [f"{self.selection} vs {self.baseline}, {self.grader}: {self.outcome}."]
        if interval.low is not None and interval.high is not None:
            estimate, low, high = signed(interval.estimate, interval.low, interval.high)
            parts.append(
                f"Difference {estimate}{unit}, {100 * interval.confidence:.4g} % interval [{low}, {high}] ({interval.method}; "
                f"{'results per run' if self.scale.aggregated else interval.counted}; {_runs(interval, 0)} vs "
                f"{_runs(interval, 1)}); {'higher' if self.scale.higher_is_better else 'lower'} is better."
            )
            parts += [] if interval.pooling is None else [interval.pooling]
        elif math.isfinite(interval.estimate):
            parts.append(f"Difference {interval.estimate:+.4g}{unit}, without an interval.")
        if self.by_holm_alone:
            parts.append(
                f"This interval holds 0: it is as wide as all {self.comparisons} comparisons need to hold together (Bonferroni). "
                f"The outcome is by Holm's correction, which takes them one after the other: adjusted p {self.p_adjusted:.2g}."
            )
        if interval.detectable is not None:
            in_sd = "" if interval.detectable_sd is None else f" ({interval.detectable_sd:.2g} standard deviations over items)"
            parts.append(f"Minimum detectable effect (80 % power): {interval.detectable:.4g}{unit}{in_sd}.")
        if self.reason is not None:
            parts.append(self.reason)
        if self.leakage:
            parts.append(f"Leakage: {self.grader} also ranked the rows of one of the arms; the verdict does not count.")
        return " ".join(parts)

    @property
    def sentence(self) -> str:
        """The statement, and the notes on its interval."""
        return " ".join((self.statement, *self.interval.notes))

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            **{name: getattr(self, name) for name in self.__dataclass_fields__ if name not in ("interval", "scale")},
            "interval": self.interval.as_dict(),
            "scale": self.scale.as_dict(),
            "statement": self.statement,
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Verdicts:
    """The verdicts on one selection, with p values and intervals adjusted for their number."""

    verdicts: tuple[Verdict, ...]
    """One for each baseline and grader."""

    @property
    def outcome(self) -> Outcome:
        """`worse` if any is, else `better` if any is; `no detectable difference` if all say so; else `not enough data`.

        Verdicts with leakage do not count.
        """
        outcomes = {verdict.outcome for verdict in self.verdicts if not verdict.leakage}
        if WORSE in outcomes:
            return WORSE
        if BETTER in outcomes:
            return BETTER
        return NO_DIFFERENCE if outcomes == {NO_DIFFERENCE} else NOT_ENOUGH

    def against(self, baseline: str) -> Self:
        """Those against one baseline, adjusted for all."""
        return replace(self, verdicts=tuple(verdict for verdict in self.verdicts if verdict.baseline == baseline))

    def __iter__(self) -> Any:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**head(VERDICTS), "outcome": self.outcome, "verdicts": [verdict.as_dict() for verdict in self.verdicts]}


@dataclass(frozen=True)
class NonInferiority:
    """Non-inferiority: whether a selection is shown to be at most a margin worse than a baseline."""

    margin: float
    """Non-inferiority margin, in the grader's unit."""
    bound: float | None
    """The one-sided bound of the gain: it is at least this, at the confidence; None without an interval."""
    p: float | None
    """One-sided p value of the hypothesis that the selection is worse by the margin or more."""
    confidence: float
    """One-sided."""
    interval: Interval
    """Two-sided at 2 · confidence − 1: the bound is its bad end."""
    reason: str | None = None
    """Why nothing can be said, or None."""

    @property
    def shown(self) -> bool:
        """Whether the bound is above − margin. False says that it was not shown, not that the selection is worse."""
        return self.bound is not None and self.bound > -self.margin


def _judged(
    interval: Interval, scale: Scale, p: float | None, confidence: float, smallest_effect: float, reason: str | None
) -> tuple[Outcome, str | None]:
    """The outcome, and why there is not enough data."""
    if reason is not None or p is None:
        return NOT_ENOUGH, reason
    if p < 1 - confidence:
        return (BETTER if (interval.estimate > 0) == scale.higher_is_better else WORSE), None
    detectable = interval.detectable_sd
    if scale.aggregated:
        return NOT_ENOUGH, NO_SPREAD
    if detectable is None:
        return NOT_ENOUGH, "The minimum detectable effect is unknown: values do not vary over items."
    if detectable > smallest_effect:
        sentence = (
            f"The minimum detectable effect, {detectable:.2g} standard deviations over items, is larger than the smallest effect of "
            f"interest, {smallest_effect:g}."
        )
        return NOT_ENOUGH, sentence + _needed(interval, smallest_effect)
    return NO_DIFFERENCE, None


def _needed(interval: Interval, smallest_effect: float) -> str:
    """What would be enough, as a sentence."""
    needed = interval.needed(smallest_effect)
    if needed is None or interval.spread is None:
        return ""
    units = "items" if interval.n_clusters is None else "clusters"
    ways = [] if needed.items is None else [f"{needed.items:,} {units} with these runs"]
    if needed.runs is not None:
        counted = list(dict.fromkeys(side.counted for side in interval.spread.sides))
        ways.append(f"{needed.runs} {' and '.join(counted)} a side with these items")
    return f" That takes {' or '.join(ways)}." if ways else f" That takes more {units} and more runs."


def _runs(interval: Interval, side: int) -> str:
    """Replicates and runs of one side, in words."""
    replicates, runs = interval.n_replicates[side], interval.n_seeds[side]
    return f"{replicates} replicate{'s' * (replicates != 1)} with {runs} run{'s' * (runs != 1)}"
