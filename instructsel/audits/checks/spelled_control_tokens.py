"""Rows whose text spells out a control token."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class SpelledControlTokens(RowCheck):
    """Rows whose text spells out a control token."""

    kind: ClassVar[str] = "spelled-control-tokens"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The text of the row spells out a special token of the tokenizer: TRL reads it as the token, which can end a turn or "
        "begin one of another role; instructsel reads its letters."
    )
    fix: ClassVar[str] = "Remove it from the text, or escape it."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.full.control


__all__ = ["SpelledControlTokens"]
