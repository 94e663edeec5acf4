"""Rows that begin with a response."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class AssistantFirst(RowCheck):
    """Rows that begin with a response."""

    kind: ClassVar[str] = "assistant-first"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "The conversation begins with a turn of the model: it learns to speak unasked."
    fix: ClassVar[str] = "Put a user's turn before it, or drop it."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        roles = [turn["role"] for turn in row.turns if turn["role"] != "system"]
        return roles[:1] == ["assistant"]


__all__ = ["AssistantFirst"]
