"""A template that rewrites earlier turns."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class TemplateRewrites(TemplateCheck):
    """A template that rewrites earlier turns."""

    kind: ClassVar[str] = "template-rewrites"
    severity: ClassVar[str] = "info"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = (
        "The template is no prefix of itself: it writes an earlier turn differently once others follow, so a conversation "
        "trained as a whole is not what the model sees turn by turn."
    )
    fix: ClassVar[str] = "Train single-turn rows or --loss completion, or use a template that leaves earlier turns as they are."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        if not subject.rewrites:
            return None
        concerned = subject.settings.loss == "assistant" and pooled.several_responses > 0
        return Seen(severity="warning" if concerned else None)


__all__ = ["TemplateRewrites"]
