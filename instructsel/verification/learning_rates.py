"""Whether a verdict depends on the learning rate: the same comparison at several multiples of the recipe's.

Verdicts of published studies flip with it (arXiv 2503.04807, 2512.24503). The arms of a plan with `learning_rates` are trained at every
multiple; the confidence is shared out among the multiples, so that the intervals of all of them hold together.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from instructsel.verification.run import Verified
from instructsel.verification.verdict import BETTER, NO_DIFFERENCE, NOT_ENOUGH, WORSE, Verdict, Verdicts

SAME_SIGN: Final = "same sign"
DEPENDS: Final = "depends on the learning rate"
UNKNOWN: Final = "cannot be said"
"""Of the signs: they differ, and no multiple's difference is distinguishable from 0; or a difference is not known yet."""


@dataclass(frozen=True, eq=False)
class AtRate:
    """A verification at one multiple of the recipe's learning rate."""

    multiple: float
    learning_rate: float
    verified: Verified | None
    """None while no run of it is graded."""
    summary: Mapping[str, Any] | None
    verdicts: Verdicts

    @property
    def outcome(self) -> str:
        """Against the plan's baseline; not enough data while runs are pending."""
        return NOT_ENOUGH if self.summary is None else str(self.summary["outcome"])

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        summary = self.summary or {}
        return {
            "multiple": self.multiple,
            "learning_rate": self.learning_rate,
            "outcome": self.outcome,
            "missing": summary.get("missing") or {},
            "verdicts": self.verdicts.as_dict(),
            "means": {grader: scale["means"] for grader, scale in (summary.get("graders") or {}).items()},
            "pending": list(summary.get("pending") or ()),
            "failures": list(summary.get("failures") or ()),
        }


def confidence_at_each(confidence: float, n: int) -> float:
    """The family-wise confidence at each of n multiples with which the intervals of all of them hold together (Bonferroni).

    >>> round(confidence_at_each(0.95, 2), 3)
    0.975
    """
    return 1 - (1 - confidence) / max(1, n)


def at_multiple(multiple: float) -> str:
    """What runs at a multiple of the learning rate are called, after their seed.

    >>> at_multiple(0.33)
    'at 0.33 times the learning rate'
    """
    return f"at {multiple:g} times the learning rate"


def with_rate(trainer: Any, learning_rate: float) -> Any:
    """The trainer at another learning rate."""
    return replace(trainer, recipe=replace(trainer.recipe, learning_rate=learning_rate))


def overall(outcomes: Sequence[str]) -> str:
    """The outcome over all multiples: what holds at each of them, and nothing that holds at one alone.

    >>> overall(["better", "better"]), overall(["better", "worse"]), overall(["better", "not enough data"])
    ('better', 'depends on the learning rate', 'not enough data')
    """
    distinct = set(outcomes)
    if len(distinct) == 1:
        return outcomes[0]
    if distinct <= {BETTER, WORSE, NO_DIFFERENCE} or {BETTER, WORSE} <= distinct:
        return DEPENDS
    return NOT_ENOUGH


def dependence(rates: Sequence[AtRate], against: str) -> list[dict[str, Any]]:
    """Of every grader, whether the sign of the difference from the baseline is the same at all multiples, and where it is distinguishable.

    Args:
        rates: the verification at each multiple.
        against: the plan's baseline.

    Returns:
        `grader`, `dependence` (`same sign`, `depends on the learning rate` or `cannot be said`), `statement`, and by multiple the gain
        (the difference in the good direction, None where it is not known) and the outcome.
    """
    graders = list(dict.fromkeys(verdict.grader for rate in rates for verdict in rate.verdicts.against(against)))
    return [_of_grader(grader, rates, against) for grader in graders]


def _of_grader(grader: str, rates: Sequence[AtRate], against: str) -> dict[str, Any]:
    verdicts: list[Verdict | None] = [
        next((verdict for verdict in rate.verdicts.against(against) if verdict.grader == grader), None) for rate in rates
    ]
    gains = [None if verdict is None or not math.isfinite(verdict.gain) else verdict.gain for verdict in verdicts]
    outcomes = [NOT_ENOUGH if verdict is None else str(verdict.outcome) for verdict in verdicts]
    multiples = [f"{rate.multiple:g}" for rate in rates]
    shown = [multiple for multiple, outcome in zip(multiples, outcomes, strict=True) if outcome in (BETTER, WORSE)]
    signs = {None if gain is None else (gain > 0) - (gain < 0) for gain in gains}
    both = "both" if len(rates) == 2 else "all"
    where = (
        f"distinguishable from 0 at {both}"
        if len(shown) == len(rates)
        else f"distinguishable from 0 at {', '.join(shown)} alone"
        if shown
        else "distinguishable from 0 at none"
    )
    if None in signs:
        unknown = [multiple for multiple, gain in zip(multiples, gains, strict=True) if gain is None]
        kind, words = UNKNOWN, f"cannot be said: no difference is known at {', '.join(unknown)}"
    elif len(signs) == 1 and 0 not in signs:
        kind, words = SAME_SIGN, f"same sign at {both}, {where}"
    elif shown:
        kind, words = DEPENDS, f"depends on the learning rate, {where}"
    else:
        kind, words = UNKNOWN, f"cannot be said: signs differ, {where}"
    return {
        "grader": grader,
        "against": against,
        "dependence": kind,
        "statement": f"{grader}, at {' and '.join(multiples)} times the learning rate: {words}.",
        "multiples": {
            multiple: {"gain": gain, "outcome": outcome} for multiple, gain, outcome in zip(multiples, gains, outcomes, strict=True)
        },
    }


__all__ = ["DEPENDS", "SAME_SIGN", "UNKNOWN", "AtRate", "at_multiple", "confidence_at_each", "dependence", "overall", "with_rate"]
