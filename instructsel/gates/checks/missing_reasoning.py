"""Responses without reasoning in a mode with."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.reasoning import thought_of
from instructsel.gates.thinking_mode import Mode, mode_of


@dataclass(frozen=True)
class MissingReasoning(RowCheck):
    """Responses without reasoning in rows that are to have some."""

    number: ClassVar[str] = "IS073"
    kind: ClassVar[str] = "missing-reasoning"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Qwen3's and Nemotron's switches; a model that is trained on both learns to leave its reasoning out at random"
    fix: ClassVar[str] = "Write the reasoning, take the switch that asks for it out, or leave the row to a set without reasoning."

    mode: Mode = "any"
    """with: every response has reasoning; any: where the row says so itself, by /think, `detailed thinking on` or `enable_thinking: true`."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows with, whose response has no reasoning."""
        for row in change.rows:
            if mode_of(row, change, self.mode) != "with":
                continue
            answer = row.example.last_answer
            if not thought_of(row.example.messages[answer]).is_reasoned:
                yield Hit(row.position, f"Turn {answer + 1}, the response, has no reasoning, and the row is to have some.")


__all__ = ["MissingReasoning"]
