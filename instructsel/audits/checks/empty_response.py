"""Rows whose last response is empty."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class EmptyResponse(RowCheck):
    """Rows whose last response is empty."""

    kind: ClassVar[str] = "empty-response"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The last response is empty: TRL trains the end of turn alone as the answer to its prompt, and instructsel leaves the row out."
    )
    fix: ClassVar[str] = "Drop the rows, or fill in their responses."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.fault == "no_response"


__all__ = ["EmptyResponse"]
