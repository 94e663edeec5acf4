"""Rows whose system turn is not in what is trained on."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class SystemDropped(RowCheck):
    """Rows whose system turn is not in what is trained on."""

    kind: ClassVar[str] = "system-dropped"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = "The template leaves the system turn out without an error: the model is trained as if nobody had written it."
    fix: ClassVar[str] = "Write it into the first user turn, or use a template that takes system turns."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return bool(row.missing("system"))


__all__ = ["SystemDropped"]
