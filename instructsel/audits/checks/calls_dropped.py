"""Rows with calls that are not in what is trained on."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class CallsDropped(RowCheck):
    """Rows with calls that are not in what is trained on."""

    kind: ClassVar[str] = "calls-dropped"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = "The row has calls of tools that the chat template leaves out: the model learns to write nothing in their place."
    fix: ClassVar[str] = "Use a model whose chat template writes calls (tool_calls), or drop the rows."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        text = row.text
        return text is not None and any(
            call.name not in text for turn in row.example.messages[: row.example.last_answer + 1] for call in turn.tool_calls
        )


__all__ = ["CallsDropped"]
