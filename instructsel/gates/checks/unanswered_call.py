"""Calls without a result, and results without a call."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.tools import exchanges, has_tools

FIXES: Final = {
    "unanswered": "Put the result behind the call, or take the call out.",
    "unasked": "Take the result out, or put the call back that it answers.",
    "unknown-id": "Give the result the id of its call.",
    "repeated-id": "Give each call of the row an id of its own.",
    "other-tool": "Name the tool of the call, or put the result behind its own call.",
}


@dataclass(frozen=True)
class UnansweredCall(RowCheck):
    """Calls and results that do not belong together."""

    number: ClassVar[str] = "IS063"
    kind: ClassVar[str] = "unanswered-call"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "OpenAI's function calling: every call is answered by a result with its id before the conversation goes on"
    fix: ClassVar[str] = "Put calls and results together, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each call and each result without the other; a call that ends the row waits for nothing."""
        for row in change.rows:
            if has_tools(row.example):
                for number, mismatch in enumerate(exchanges(row.example).mismatches):
                    yield Hit(
                        row.position,
                        mismatch.message,
                        evidence=row.example.messages[mismatch.turn - 1].text,
                        key=f"{mismatch.kind} {mismatch.turn} {number}",
                        fix=FIXES[mismatch.kind],
                    )


__all__ = ["UnansweredCall"]
