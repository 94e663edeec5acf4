"""What the new rows do to the pool's mean predicted loss."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Limit
from instructsel.gates.limits import check_enough, shown
from instructsel.gates.ruling import RuleCheck, substitutes
from instructsel.stats.summaries import mean


@dataclass(frozen=True)
class PredictedLoss(RuleCheck):
    """The pool's mean predicted log loss rises by the new rows."""

    number: ClassVar[str] = "IS085"
    kind: ClassVar[str] = "predicted-loss"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "the rule that is named; a prediction of a rule, and no measured loss: nothing is trained"
    fix: ClassVar[str] = "Leave out the rows that the rule ranks last, or allow a larger rise."
    needs: ClassVar[tuple[str, ...]] = ("a baseline with the rule's indicators; a score table for indicators of models",)
    by_default: ClassVar[bool] = False

    rule: str = "eq4-without-reward"
    """A preset or a rule file."""
    max_increase: float = field(default=0.0, metadata=between(-1e9, 1e9))
    """By how much the mean of pool and new rows together may be above the pool's."""

    def limits(self, change: Change) -> list[Limit]:
        """The mean before and after, and the interval of the difference: new rows are a draw of those that may come, the pool is what it is.

        Raises:
            NotEnough: no row of the pool has a value, or too few new ones: of one alone there is no interval.
        """
        check_enough(len(change.pool), 1)
        values = self.ruled(change)
        new, pool = values.scored
        check_enough(len(pool), 1, "of the pool have all indicators of the rule")
        check_enough(len(new), 1 if change.nightly else 2, "have all indicators of the rule")
        before, weight, of_new = float(pool.mean()), len(new) / (len(new) + len(pool)), mean(new)
        rise, low, high = (weight * (figure - before) for figure in (of_new.value, of_new.low, of_new.high))
        decided = rise if change.nightly else low
        target = values.rule.target or "the rule's value"
        statement = (
            f"{self.rule}: the mean predicted {target} is {before:.4f} for the pool and {before + rise:.4f} with the new rows, a change of {rise:+.5f} "
            f"(95 % interval {low:+.5f} to {high:+.5f}; {len(new):,} of {len(values.new):,} new rows have a value); at most {shown(self.max_increase)} allowed, "
            f"and {'the figure counts' if change.nightly else 'the lower bound counts'}. It is a prediction of the rule, not a measured loss."
        )
        finite = {"low": low, "high": high} if len(new) > 1 else {}
        return [Limit(decided <= self.max_increase, statement + substitutes(change, values.rule), rise, **finite, key=self.rule)]
