"""Rows with characters that the tokenizer does not know."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class UnknownTokens(RowCheck):
    """Rows with characters that the tokenizer does not know."""

    kind: ClassVar[str] = "unknown-tokens"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "Characters of the row become the unknown token: what they were is lost."
    fix: ClassVar[str] = "Use a tokenizer that knows them, or drop the rows."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        unknown = subject.tokenizer.unk_token_id
        return unknown is not None and unknown not in subject.stops and unknown in row.ids


__all__ = ["UnknownTokens"]
