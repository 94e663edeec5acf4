"""`reward-only`: the highest rewards."""

from __future__ import annotations

from typing import ClassVar

from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.baselines.longest import rule_ranking
from instructsel.selection.candidates import Ranking, ScoredCandidates


class RewardOnly(Baseline):
    """The highest rewards first."""

    name: ClassVar[str] = "reward-only"
    title: ClassVar[str] = "highest rewards first"
    unit: ClassVar[str] = "minus the reward"
    needs: ClassVar[tuple[str, ...]] = ("rew",)

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """By the preset of that name."""
        return rule_ranking(candidates, self.name)


__all__ = ["RewardOnly"]
