"""Rows whose prompts are trained on, too."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class PromptsTrained(RowCheck):
    """Rows whose prompts are trained on, too."""

    kind: ClassVar[str] = "prompts-trained"
    severity: ClassVar[str] = "info"
    cause: ClassVar[str] = "With --loss all the loss falls on the turns of the user and of the system as well."
    fix: ClassVar[str] = "Use --loss completion or --loss assistant, unless that is meant."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return subject.settings.loss == "all" and row.loss_tokens > 0


__all__ = ["PromptsTrained"]
