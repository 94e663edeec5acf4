"""A template without generation marks."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class NoGenerationMarks(TemplateCheck):
    """A template without generation marks."""

    kind: ClassVar[str] = "no-generation-marks"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = (
        "The template marks no tokens as generated: TRL's assistant_only_loss stops with an error, or swaps in another template "
        "where it knows this one. instructsel needs no marks."
    )
    fix: ClassVar[str] = "Put {% generation %} and {% endgeneration %} around the response and its end of turn."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        if subject.plain is None or subject.marks is not None:
            return None
        return Seen(severity="warning" if subject.settings.loss == "assistant" else None)


__all__ = ["NoGenerationMarks"]
