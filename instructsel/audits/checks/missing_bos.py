"""A begin of sequence that the tokenizer adds and the template does not write."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class MissingBos(TemplateCheck):
    """A begin of sequence that the tokenizer adds and the template does not write."""

    kind: ClassVar[str] = "missing-bos"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = (
        "The tokenizer adds a begin of sequence to every text and the template writes none: chat training does without it, "
        "where the base was pretrained with it."
    )
    fix: ClassVar[str] = "Put {{ bos_token }} at the head of the template."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        missing = subject.plain is not None and subject.adds_bos and not subject.writes_bos
        return Seen(detail=subject.named([subject.tokenizer.bos_token_id])) if missing else None


__all__ = ["MissingBos"]
