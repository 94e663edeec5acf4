"""Rows with the tokens of an earlier row."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class DuplicateTokens(RowCheck):
    """Rows with the tokens of an earlier row."""

    kind: ClassVar[str] = "duplicate-tokens"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The row has the same tokens and loss tokens as an earlier one, once rendered and cut: it is trained on twice per epoch."
    )
    fix: ClassVar[str] = "Drop it; select removes duplicates."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.duplicate and row.loss_tokens > 0


__all__ = ["DuplicateTokens"]
