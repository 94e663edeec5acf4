"""Rows that are trained on without the end of turn of their response."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class LostEndMark(RowCheck):
    """Rows that are trained on without the end of turn of their response."""

    kind: ClassVar[str] = "lost-end-mark"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "--max-length cuts off the end of turn, so the model does not learn from the row to stop."
    fix: ClassVar[str] = "Raise --max-length, or shorten or drop the rows."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.loss_tokens > 0 and 0 < row.full.end <= row.cut_loss_tokens


__all__ = ["LostEndMark"]
