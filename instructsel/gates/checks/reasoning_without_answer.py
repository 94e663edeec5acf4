"""Reasoning behind which no answer stands."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.reasoning import thought_of


@dataclass(frozen=True)
class ReasoningWithoutAnswer(RowCheck):
    """Turns of the model that reason and say nothing."""

    number: ClassVar[str] = "IS072"
    kind: ClassVar[str] = "reasoning-without-answer"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "marin-community/marin#9243"
    fix: ClassVar[str] = "Write the answer behind the reasoning, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Turns that are trained on, with reasoning and neither a text nor a call behind it; what is never closed is another finding."""
        for row in change.rows:
            for number, turn in enumerate(row.example.messages, 1):
                if not turn.is_trained or turn.tool_calls:
                    continue
                thought = thought_of(turn)
                is_open = any(fault.kind == "unclosed" for fault in thought.faults)
                if thought.is_reasoned and not thought.is_answered and not is_open:
                    text = next(text for text in reversed(thought.reasoning) if text.strip())
                    yield Hit(row.position, f"Turn {number} has reasoning and no answer.", evidence=text, key=str(number))


__all__ = ["ReasoningWithoutAnswer"]
