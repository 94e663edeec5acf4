"""A begin of sequence that the template writes and the tokenizer adds again."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class BosAddedAgain(TemplateCheck):
    """A begin of sequence that the template writes and the tokenizer adds again."""

    kind: ClassVar[str] = "bos-added-again"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "tokenizer"
    cause: ClassVar[str] = (
        "The template writes the begin of sequence and the tokenizer adds another to every text: a trainer that renders first "
        "and tokenizes then, with special tokens added, trains on two. TRL 1.16 and instructsel do not."
    )
    fix: ClassVar[str] = "Tokenize rendered text with add_special_tokens=False."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        return Seen(detail=subject.named([subject.tokenizer.bos_token_id])) if subject.writes_bos and subject.adds_bos else None


__all__ = ["BosAddedAgain"]
