"""Reasoning in a mode without."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.reasoning import thought_of
from instructsel.gates.turns.thinking_mode import Mode, mode_of
from instructsel.pool.message import ANSWERS


@dataclass(frozen=True)
class UnwantedReasoning(RowCheck):
    """Reasoning in rows that are to have none."""

    number: ClassVar[str] = "IS071"
    kind: ClassVar[str] = "unwanted-reasoning"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "marin-community/marin#9261; Qwen3's and Nemotron's switches"
    fix: ClassVar[str] = "Take the reasoning out of the row, or the switch that forbids it."

    mode: Mode = "any"
    """without: no row may have reasoning; any: none that says so itself, by /no_think, `detailed thinking off` or `enable_thinking: false`."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows without, in which a turn of the model has reasoning; an empty pair of marks is none."""
        for row in change.rows:
            for number, turn in enumerate(row.example.messages, 1):
                # An earlier turn may have been answered in the other mode, where the row itself says which.
                if turn.role not in ANSWERS or (self.mode == "any" and number - 1 != row.example.last_answer):
                    continue
                thought = thought_of(turn)
                if thought.is_reasoned and mode_of(row, change, self.mode) == "without":
                    text = next(text for text in thought.reasoning if text.strip())
                    yield Hit(row.position, f"Turn {number} has reasoning, and the row is to have none.", evidence=text)
                    break


__all__ = ["UnwantedReasoning"]
