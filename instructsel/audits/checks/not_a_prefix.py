"""Rows whose prompt is no beginning of the whole conversation."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class NotAPrefix(RowCheck):
    """Rows whose prompt is no beginning of the whole conversation."""

    kind: ClassVar[str] = "not-a-prefix"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The template writes what stands before a response differently once the response follows, so where the response begins "
        "is not known. The row is left out by instructsel; TRL trains on what follows the first difference."
    )
    fix: ClassVar[str] = "Use a template that renders a prompt alike with and without what follows it, or --loss completion."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.fault == "not_a_prefix"


__all__ = ["NotAPrefix"]
