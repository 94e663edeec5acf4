"""Rows with a user's or a tool's turn that is not in what is trained on."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class TurnDropped(RowCheck):
    """Rows with a user's or a tool's turn that is not in what is trained on."""

    kind: ClassVar[str] = "turn-dropped"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = "The template leaves out or changes the text of a user's or a tool's turn."
    fix: ClassVar[str] = "Use a template that renders the role, or rewrite the turns."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return bool(row.missing("user") or row.missing("tool"))


__all__ = ["TurnDropped"]
