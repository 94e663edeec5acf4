"""Rows whose prompt alone fills the length."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class PromptFillsLength(RowCheck):
    """Rows whose prompt alone fills the length."""

    kind: ClassVar[str] = "prompt-fills-length"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The prompt alone fills --max-length, so no token of the response is left; TRL drops such a row without a word, or "
        "packs it for nothing."
    )
    fix: ClassVar[str] = "Raise --max-length, or shorten or drop the rows."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.reason == "no_loss_token"


__all__ = ["PromptFillsLength"]
