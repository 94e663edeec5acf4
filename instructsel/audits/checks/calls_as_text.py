"""Rows whose calls are trained as text."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class CallsAsText(RowCheck):
    """Rows whose calls are trained as text."""

    kind: ClassVar[str] = "calls-as-text"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The row has calls that are rendered as JSON text, not in the form that the template has for them: the tuned model "
        "writes calls that its server does not read as such."
    )
    fix: ClassVar[str] = "Train with TRL on the messages and their tool_calls, or write the calls in the template's form."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return subject.renders_calls and any(turn.role == "function_call" for turn in row.example.messages)


__all__ = ["CallsAsText"]
