"""Verdicts: better, worse, no detectable difference, not enough data, non-inferior."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from instructsel.stats.intervals import Interval

if TYPE_CHECKING:
    pass

BETTER: Final = "better"


WORSE: Final = "worse"


NO_DIFFERENCE: Final = "no detectable difference"


NOT_ENOUGH: Final = "not enough data"


Outcome = Literal["better", "worse", "no detectable difference", "not enough data"]


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

    def as_dict(self) -> dict[str, Any]:
        """Plain data, without the settings: they stand once, with the grader."""
        return {"unit": self.unit, "higher_is_better": self.higher_is_better, "truncated": self.truncated}


@dataclass(frozen=True)
class Verdict:
    """What can be said of one selection against one baseline by one grader."""

    selection: str
    """The arm asked about."""
    baseline: str
    """The arm it is compared with."""
    grader: str
    """By whose values."""
    outcome: Outcome
    """`better`, `worse`, `no detectable difference` or `not enough data`."""
    interval: Interval
    """Of selection less baseline, at the confidence that covers all comparisons of the question together (Bonferroni)."""
    scale: Scale
    """The grader's unit and direction."""
    confidence: float
    """Of the question: 1 less the chance of a wrong `better` or `worse` among all of its comparisons."""
    p_adjusted: float | None
    """The p value, adjusted for the number of comparisons (Holm); None where there is no interval."""
    comparisons: int
    """How many were adjusted for."""
    missing: int
    """Items left out because some run of either arm has no value."""
    reason: str | None = None
    """Why there is not enough data, or None."""
    leakage: bool = False
    """Whether the grader's own model ranked the rows of either arm: shown, and counted nowhere."""

    @property
    def gain(self) -> float:
        """The difference in the good direction, in the grader's unit."""
        return self.interval.estimate if self.scale.higher_is_better else -self.interval.estimate

    @property
    def statement(self) -> str:
        """The verdict in words, with the interval and what would have been seen."""
        found, unit = self.interval, f" {self.scale.unit}" if self.scale.unit else ""
        parts = [f"{self.selection} against {self.baseline} on {self.grader}: {self.outcome}."]
        if found.low is not None and found.high is not None:
            parts.append(
                f"Difference {found.estimate:+.4g}{unit}, {100 * found.confidence:.4g} % interval {found.low:+.4g} to {found.high:+.4g} "
                f"({found.method}; {found.n_items} items, {_runs(found, 0)} against {_runs(found, 1)}); "
                f"{'higher' if self.scale.higher_is_better else 'lower'} is better."
            )
        elif math.isfinite(found.estimate):
            parts.append(f"Difference {found.estimate:+.4g}{unit}, without an interval.")
        if found.detectable is not None:
            in_sd = "" if found.detectable_sd is None else f" ({found.detectable_sd:.2g} standard deviations over items)"
            parts.append(f"A difference of {found.detectable:.4g}{unit}{in_sd} would be found four times in five.")
        if self.reason is not None:
            parts.append(self.reason)
        if self.leakage:
            parts.append(f"Leakage: {self.grader} also ranked the rows of one of the arms; the verdict does not count.")
        return " ".join(parts)

    @property
    def sentence(self) -> str:
        """The statement, and what the interval speaks of."""
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
    """The verdicts that answer one question, adjusted for being several."""

    verdicts: tuple[Verdict, ...]
    """One for each baseline and grader."""

    @property
    def outcome(self) -> Outcome:
        """`worse` if any is, else `better` if any is; `no detectable difference` if all say so; else `not enough data`.

        What a circular grader says is not among them.
        """
        words = {verdict.outcome for verdict in self.verdicts if not verdict.leakage}
        if WORSE in words:
            return WORSE
        if BETTER in words:
            return BETTER
        return NO_DIFFERENCE if words == {NO_DIFFERENCE} else NOT_ENOUGH

    def against(self, baseline: str) -> Self:
        """Those against one baseline, adjusted for all."""
        return replace(self, verdicts=tuple(verdict for verdict in self.verdicts if verdict.baseline == baseline))

    def __iter__(self) -> Any:
        return iter(self.verdicts)

    def __len__(self) -> int:
        return len(self.verdicts)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"outcome": self.outcome, "verdicts": [verdict.as_dict() for verdict in self.verdicts]}


@dataclass(frozen=True)
class NonInferiority:
    """Whether a selection is shown to be at most a margin worse than a baseline (non-inferiority)."""

    margin: float
    """How much worse would still do, in the grader's unit."""
    bound: float | None
    """The one-sided bound of the gain: it is at least this, at the confidence; None without an interval."""
    p: float | None
    """One-sided, that a selection worse by the margin would come out like this."""
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
    found = interval.detectable_sd
    if found is None:
        return NOT_ENOUGH, "Without a variance over items it cannot be said how small a difference would have been found."
    if found > smallest_effect:
        missed = f"It would miss differences of up to {found:.2g} standard deviations over items; {smallest_effect:g} are asked for."
        return NOT_ENOUGH, missed + _more(interval, smallest_effect)
    return NO_DIFFERENCE, None


def _more(interval: Interval, smallest_effect: float) -> str:
    """What would be enough, as a sentence."""
    needed = interval.needed(smallest_effect)
    if needed is None or interval.spread is None:
        return ""
    ways = [f"{needed.items} items with these runs"] * (needed.items is not None)
    if needed.runs is not None:
        counted = list(dict.fromkeys(side.counted for side in interval.spread.sides))
        ways.append(f"{needed.runs} {' and '.join(counted)} a side with these items")
    return f" That takes {' or '.join(ways)}." if ways else " That takes more items and more runs."


def _runs(found: Interval, side: int) -> str:
    replicates, seeds = found.n_replicates[side], found.n_seeds[side]
    return f"{replicates} replicate{'s' * (replicates != 1)} with {seeds} run{'s' * (seeds != 1)}"
