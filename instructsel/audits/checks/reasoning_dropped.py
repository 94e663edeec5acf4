"""Rows whose reasoning is not trained on."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject

NAMES: Final = ("reasoning", "reasoning_content", "thinking", "thinking_content", "thought", "thoughts", "chain_of_thought", "cot")
"""Fields with the reasoning of a response."""
BLOCK: Final = re.compile(r"\s*[<\[](\w+)[>\]](.*?)[<\[]/\1[>\]]", re.DOTALL)
"""A block of tags at the head of a response: <think>…</think>, [THINK]…[/THINK]."""


class ReasoningDropped(RowCheck):
    """Rows whose reasoning is not trained on."""

    kind: ClassVar[str] = "reasoning-dropped"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The row has reasoning (a reasoning field, or a block of tags before the answer) that is not in the rendered conversation."
    )
    fix: ClassVar[str] = "Write the reasoning into the content as the template expects it, and use a template that keeps it."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        blocks = [match[2] for response in row.responses if (match := BLOCK.match(response))]
        fields = [value for name, value, _ in row.unread() if name in NAMES and isinstance(value, str)]
        return any(text.strip() and not row.is_rendered(text) for text in (*blocks, *fields))


__all__ = ["BLOCK", "ReasoningDropped"]
