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
        if unknown is None or row.text is None:
            return False
        # The token may have another use, e.g. as the begin of sequence: then it stands in the text itself.
        return row.full.ids.count(unknown) > row.text.count(subject.tokenizer.unk_token)


__all__ = ["UnknownTokens"]
