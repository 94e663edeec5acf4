"""Rows longer than the base's context."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class BeyondContext(RowCheck):
    """Rows longer than the base's context."""

    kind: ClassVar[str] = "beyond-context"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The row, cut to --max-length, is longer than the base's context: positions that were never trained, or an error in the "
        "middle of the training."
    )
    fix: ClassVar[str] = "Set --max-length to the context, or below it."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return subject.context is not None and min(row.length, subject.settings.max_length) > subject.context

    def detail(self, row: AuditedRow, subject: Subject) -> str:
        """The base's context."""
        return f"the context is {subject.context:,} tokens"


__all__ = ["BeyondContext"]
