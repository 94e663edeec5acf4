"""A selection rule applied to the new rows and to the pool of a baseline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from instructsel.gates import measures
from instructsel.gates.change import Change
from instructsel.gates.checks.base import PoolCheck
from instructsel.gates.comparing import baseline_of, pool_numbers
from instructsel.gates.measures import Floats

if TYPE_CHECKING:
    from instructsel.rules.linear import LinearRule


@dataclass(frozen=True, eq=False)
class Ruled:
    """What a rule makes of both: lower is better."""

    rule: LinearRule
    new: Floats
    """(n,), NaN where an indicator has no value."""
    pool: Floats

    @property
    def scored(self) -> tuple[Floats, Floats]:
        """Both without rows that have no value."""
        return self.new[np.isfinite(self.new)], self.pool[np.isfinite(self.pool)]


def rule_named(name: str) -> LinearRule:
    """A preset, a rule file, or `by SYMBOL` for one indicator, `by -SYMBOL` the highest first.

    Raises:
        UnknownRule, UsageError: there is none, or its file is none.
    """
    from instructsel.rules.by_indicator import by
    from instructsel.rules.catalog import load

    return by(name.removeprefix("by ").strip()) if name.startswith("by ") else load(name)


@dataclass(frozen=True)
class RuleCheck(PoolCheck):
    """A question about what a rule makes of the new rows and of the pool."""

    rule: str = "longest"
    """A preset or a rule file; `by SYMBOL` for one indicator, `by -SYMBOL` the highest first."""
    scores: str = ""
    """A score table of the new rows, for indicators that a gate does not compute."""

    def locked(self, change: Change) -> str | None:
        """Both have the rule's indicators."""
        return locked(change, rule_named(self.rule), self.scores)

    def ruled(self, change: Change) -> Ruled:
        """The rule's values of both.

        Raises:
            EnvironmentFault, ScoresError: an indicator of the new rows cannot be had.
        """
        return ruled(change, rule_named(self.rule), self.scores)


def locked(change: Change, rule: LinearRule, scores: str) -> str | None:
    """What would let a rule be applied to both; None where it can."""
    reason = change.without("measures")
    if reason is not None:
        return reason
    columns = baseline_of(change).part("measures").about["columns"]
    missing = [symbol for symbol in rule.indicators if symbol not in columns]
    if missing:
        return (
            f"The baseline has no {' and no '.join(missing)}, which the rule {rule.name} needs. Score the pool, and make it again: "
            f"instructsel score POOL --indicators {','.join(missing)} -o POOL.scores.parquet; instructsel gate baseline create POOL --scores "
            "POOL.scores.parquet -o FILE"
        )
    return measures.locked(change, rule.indicators, scores)


def ruled(change: Change, rule: LinearRule, scores: str) -> Ruled:
    """The rule's values of both; see `LinearRule.combine`.

    Raises:
        EnvironmentFault, ScoresError: an indicator of the new rows cannot be had.
    """

    def values(columns: Mapping[str, Floats]) -> Floats:
        prediction = rule.combine({symbol: (np.nan_to_num(column), np.isfinite(column)) for symbol, column in columns.items()})
        return np.where(prediction.valid, prediction.values, np.nan)

    return Ruled(
        rule,
        values({symbol: measures.numbers(change, symbol, scores) for symbol in rule.indicators}),
        values({symbol: pool_numbers(change, symbol) for symbol in rule.indicators}),
    )


def substitutes(change: Change, rule: LinearRule) -> str:
    """In words, where the pool's scores were made with other models than the rule assumes; "" where not."""
    from instructsel.scores.table import ScoreTable

    made_with: Mapping[str, Any] = baseline_of(change).part("measures").about["made_with"]
    mismatches = rule.check_models(ScoreTable.from_columns([], {}, {"indicators": dict(made_with)}), allow_mismatch=True)
    return f" Substitute models: {'; '.join(map(str, mismatches))}." if mismatches else ""


__all__ = ["RuleCheck", "Ruled", "substitutes"]
