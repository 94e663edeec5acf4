"""A tokenizer without a chat template."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class TemplateMissing(TemplateCheck):
    """A tokenizer without a chat template."""

    kind: ClassVar[str] = "template-missing"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "tokenizer"
    cause: ClassVar[str] = "The tokenizer has no chat template: TRL fails on conversations, and instructsel takes Tülu's."
    fix: ClassVar[str] = "Nothing, where Tülu's format is meant; else set a template, or train with instructsel.adapters.chat_tokenizer."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        return Seen() if subject.template.fallback else None


__all__ = ["TemplateMissing"]
