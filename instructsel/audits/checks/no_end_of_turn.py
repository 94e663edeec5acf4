"""A template that ends no response."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class NoEndOfTurn(TemplateCheck):
    """A template that ends no response."""

    kind: ClassVar[str] = "no-end-of-turn"
    severity: ClassVar[str] = "error"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = "The template writes no end of turn behind a response, or only white space: the model never learns to stop."
    fix: ClassVar[str] = "Let the template write the end-of-sequence token behind each response."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        if subject.end is None or subject.template.closing.strip():
            return None
        return Seen(detail=f"behind a response: {subject.named(subject.end) or 'nothing'}")


__all__ = ["NoEndOfTurn"]
