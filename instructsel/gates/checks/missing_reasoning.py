"""Responses without reasoning in a mode with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.reasoning import thought_of
from instructsel.gates.turns.thinking_mode import Mode, mode_of

SOME: Final = 0.02
"""Share of rows from which those with reasoning, or without, are no exception."""


@dataclass(frozen=True)
class MissingReasoning(RowCheck):
    """Responses without reasoning in rows that are to have some, and the fewer of two kinds where rows do not say their mode."""

    number: ClassVar[str] = "IS073"
    kind: ClassVar[str] = "missing-reasoning"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Qwen3's and Nemotron's switches; a model that is trained on both learns to leave its reasoning out at random"
    fix: ClassVar[str] = "Write the reasoning, take the switch that asks for it out, or leave the row to a set without reasoning."

    mode: Mode = "any"
    """with: every response has reasoning; any: where the row says so itself, by /think, `detailed thinking on` or `enable_thinking: true`."""
    min_n: int = field(default=200, metadata=between(2, 1 << 40))
    """Rows that do not say their mode below which none of them is held against the others."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows with, whose response has no reasoning; and of those that do not say it, the fewer."""
        silent: list[tuple[int, int, bool]] = []
        for row in change.rows:
            answer = row.example.last_answer
            is_reasoned = thought_of(row.example.messages[answer]).is_reasoned
            mode = "without" if self.mode == "without" else mode_of(row, change, self.mode)
            if mode == "any":
                silent.append((row.position, answer, is_reasoned))
            elif mode == "with" and not is_reasoned:
                yield Hit(row.position, f"Turn {answer + 1}, the response, has no reasoning, and the row is to have some.")
        share = sum(is_reasoned for _, _, is_reasoned in silent) / max(1, len(silent))
        if len(silent) < self.min_n or not SOME <= share <= 1 - SOME:
            return
        fewer = share < 0.5
        for position, answer, is_reasoned in silent:
            if is_reasoned == fewer:
                has, others = ("has", 1 - share) if fewer else ("has no", share)
                have = "have none" if fewer else "have some"
                yield Hit(
                    position,
                    f"Turn {answer + 1}, the response, {has} reasoning, and {others:.0%} of the rows that do not say their mode {have}.",
                )


__all__ = ["MissingReasoning"]
