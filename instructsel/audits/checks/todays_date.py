"""A template that writes today's date."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import Pooled, Seen, TemplateCheck
from instructsel.audits.subject import Subject


class TodaysDate(TemplateCheck):
    """A template that writes today's date."""

    kind: ClassVar[str] = "todays-date"
    severity: ClassVar[str] = "warning"
    unit: ClassVar[str] = "template"
    cause: ClassVar[str] = (
        "The template asks for today's date: the same rows train other tokens tomorrow, and all of them say the day of the training."
    )
    fix: ClassVar[str] = (
        "Fix the date in the template, or pass date_string to one that reads it. With instructsel train it is told one date on every day."
    )

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        return Seen() if subject.writes_date else None


__all__ = ["TodaysDate"]
