"""A padding token that is the end of turn."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class PadIsEndOfTurn(TemplateCheck):
    """A padding token that is the end of turn."""

    kind: ClassVar[str] = "pad-is-end-of-turn"
    severity: ClassVar[str] = "warning"
    unit: ClassVar[str] = "tokenizer"
    cause: ClassVar[str] = (
        "The padding token is the end of turn: a collator that masks padding by its token masks every end of turn, and the "
        "model never learns to stop. TRL 1.16 and instructsel mask by position."
    )
    fix: ClassVar[str] = "Set a padding token of its own (pad_token in tokenizer_config.json)."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        return Seen(detail=subject.named([subject.pad])) if subject.pad is not None and subject.pad in (subject.end or ()) else None


__all__ = ["PadIsEndOfTurn"]
