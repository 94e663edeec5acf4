"""Marks of reasoning that do not fit together."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.reasoning import Fault, thought_of
from instructsel.gates.wording.texts import around
from instructsel.pool.message import ANSWERS
from instructsel.text import neutral

SHOWN: Final = 80
"""Characters from a mark on that evidence shows, beside those around them."""
MESSAGES: Final = {
    "unclosed": "{mark} is opened and never closed",
    "unopened": "{mark} closes what was never opened",
    "nested": "{mark} stands inside reasoning that is open already",
    "doubled": "reasoning stands in a field of its own and between marks, too{mark}",
}


@dataclass(frozen=True)
class UnclosedReasoning(RowCheck):
    """Reasoning that is not opened and closed once."""

    number: ClassVar[str] = "IS070"
    kind: ClassVar[str] = "unclosed-reasoning"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = (
        "the chat templates of reasoning models, which cut reasoning at its closing mark (DeepSeek-R1, Qwen3, Magistral, gpt-oss)"
    )
    fix: ClassVar[str] = "Put the missing mark where the reasoning begins or ends, or take the row out."
    of_row: ClassVar[bool] = True

    opened_by_template: bool = False
    """Whether the template writes the opening mark, so that a text begins inside of the reasoning and only closes it."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each turn of the model with such a mark, once a kind of fault."""
        for row in change.rows:
            for number, turn in enumerate(row.example.messages, 1):
                if turn.role not in ANSWERS:
                    continue
                faults = {fault.kind: fault for fault in reversed(thought_of(turn).faults)}
                if self.opened_by_template:
                    faults.pop("unopened", None)
                for kind, fault in faults.items():
                    text = turn.content if fault.mark in turn.content else turn.reasoning or ""
                    excerpt = around(text, fault.place, min(len(text), fault.place + SHOWN))
                    yield Hit(row.position, f"In turn {number} {_message(fault)}.", evidence=excerpt, key=f"{kind} {number}")


def _message(fault: Fault) -> str:
    mark = neutral(fault.mark)
    return MESSAGES[fault.kind].format(mark=f" ({mark})" if fault.kind == "doubled" and mark else mark)


__all__ = ["UnclosedReasoning"]
