"""Rows that the chat template refuses."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class TemplateRefused(RowCheck):
    """Rows that the chat template refuses."""

    kind: ClassVar[str] = "template-refused"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The template raises an error on the roles of the row or on their order: TRL stops there, and instructsel leaves the row out."
    )
    fix: ClassVar[str] = "Use a base whose template takes these roles, or rewrite the turns."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.fault == "template_refused"


__all__ = ["TemplateRefused"]
