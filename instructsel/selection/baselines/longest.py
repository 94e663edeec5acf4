"""`longest`: the longest responses."""

from __future__ import annotations

from typing import ClassVar

from instructsel.rules.catalog import load
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.candidates import Ranking, ScoredCandidates


class Longest(Baseline):
    """The longest responses first."""

    name: ClassVar[str] = "longest"
    title: ClassVar[str] = "longest responses first"
    unit: ClassVar[str] = "minus tokens of the response"
    needs: ClassVar[tuple[str, ...]] = ("len",)
    source: ClassVar[str] = "Zhao et al. 2024, arXiv:2402.04833"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """By the preset of that name."""
        return rule_ranking(candidates, self.name)


def rule_ranking(candidates: ScoredCandidates, name: str) -> Ranking:
    """The candidates by a preset. Rows it cannot score are left out and say so."""
    rule = load(name)
    rule.check_columns(candidates.table)
    prediction = rule.combine({symbol: candidates.column(symbol) for symbol in rule.indicators})
    unscored = candidates.unscored(rule.indicators)
    return Ranking(name, rule.target, prediction.values, prediction.contributions, unscored, indicators=rule.indicators)


__all__ = ["Longest", "rule_ranking"]
