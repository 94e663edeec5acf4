"""A tokenizer without a padding token."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class NoPadToken(TemplateCheck):
    """A tokenizer without a padding token."""

    kind: ClassVar[str] = "no-pad-token"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "tokenizer"
    cause: ClassVar[str] = "The tokenizer has no padding token; trainers take the end of sequence for it."
    fix: ClassVar[str] = "Set pad_token in tokenizer_config.json to a token that is not the end of turn."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        return Seen() if subject.pad is None else None


__all__ = ["NoPadToken"]
