"""Whether a selection rule would still take most of the new rows."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Limit
from instructsel.gates.limits import beside, check_enough
from instructsel.gates.ruling import RuleCheck, substitutes
from instructsel.stats.summaries import share


@dataclass(frozen=True)
class RuleShare(RuleCheck):
    """The selection rule would take fewer of the new rows than it should."""

    number: ClassVar[str] = "IS084"
    kind: ClassVar[str] = "rule-share"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "instructsel's own rule; interval: Wilson 1927"
    fix: ClassVar[str] = "Leave out the rows that the rule ranks last, or ask for a smaller share."
    needs: ClassVar[tuple[str, ...]] = ("a baseline with the rule's indicators; a score table for indicators of models",)
    by_default: ClassVar[bool] = False

    fraction: float = field(default=0.5, metadata=between(0.0001, 1))
    """The part of the pool that the rule selects: the new rows are measured by the value of the last one of it."""
    min_share: float = field(default=0.25, metadata=between(0, 1))
    """Share of the new rows that it has to take at least."""

    def limits(self, change: Change) -> list[Limit]:
        """The share of the new rows that are at least as good as the last one of the pool's best.

        Raises:
            NotEnough: no row is new, or no row of the pool has a value.
        """
        check_enough(len(change.pool), 1)
        values = self.ruled(change)
        new, pool = values.scored
        check_enough(len(pool), 1, "of the pool have all indicators of the rule")
        cut = float(np.sort(pool)[max(0, int(np.ceil(self.fraction * len(pool))) - 1)])
        # A row without a value is not selected.
        selected = share(int((new <= cut).sum()), len(values.new))
        subject = (
            f"{self.rule}, share of the new rows that it takes where it takes {self.fraction:.0%} of the pool (value {cut:.4g} or lower)"
        )
        limit = beside(subject, selected, self.min_share, None, nightly=change.nightly, key=self.rule, percent=True)
        words = substitutes(change, values.rule)
        return [Limit(limit.passed, limit.statement + words, limit.value, limit.low, limit.high, limit.key)]
