"""Rows with tokens that the base does not embed."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class OutsideVocabulary(RowCheck):
    """Rows with tokens that the base does not embed."""

    kind: ClassVar[str] = "outside-vocabulary"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "The tokenizer makes tokens beyond the base's embedding: it is another model's, and the training ends in an index error."
    )
    fix: ClassVar[str] = "Use the tokenizer the base was trained with, or resize its embedding."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return subject.embedded is not None and max(row.ids, default=0) >= subject.embedded

    def detail(self, row: AuditedRow, subject: Subject) -> str:
        """The tokens of the base, and the highest one here."""
        return f"the base embeds {subject.embedded:,} tokens; token {max(row.ids):,} is in the row"


__all__ = ["OutsideVocabulary"]
