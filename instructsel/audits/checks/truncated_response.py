"""Rows whose response is cut off."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class TruncatedResponse(RowCheck):
    """Rows whose response is cut off."""

    kind: ClassVar[str] = "truncated-response"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The row is longer than --max-length and its response is cut off: the model learns a response that stops in the middle."
    )
    fix: ClassVar[str] = "Raise --max-length, or shorten or drop the rows."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.loss_tokens > 0 and row.cut_loss_tokens > row.full.end


__all__ = ["TruncatedResponse"]
