"""Rows with two begin-of-sequence tokens."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class DoubleBos(RowCheck):
    """Rows with two begin-of-sequence tokens."""

    kind: ClassVar[str] = "double-bos"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = "The row begins with two begin-of-sequence tokens, which the base has never seen."
    fix: ClassVar[str] = "Remove the token from the template, or from the text of the rows."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        bos = subject.tokenizer.bos_token_id
        return bos is not None and row.ids[:2] == [bos, bos]


__all__ = ["DoubleBos"]
