"""Generation marks that leave the end of turn out."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class MarksWithoutEnd(TemplateCheck):
    """Generation marks that leave the end of turn out."""

    kind: ClassVar[str] = "marks-without-end"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = (
        "The template's generation marks end before the end of turn: TRL's assistant_only_loss never trains the model to stop."
    )
    fix: ClassVar[str] = "Move {% endgeneration %} behind the end of turn."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        if not subject.marks or subject.end_token is None:
            return None
        ends = {subject.end_token} & (set(subject.marks_differ[0]) | ({subject.end_token} - set(subject.marks)))
        if not ends:
            return None
        return Seen(
            detail=f"not marked: {subject.named(sorted(ends))}", severity="warning" if subject.settings.loss == "assistant" else None
        )


__all__ = ["MarksWithoutEnd"]
