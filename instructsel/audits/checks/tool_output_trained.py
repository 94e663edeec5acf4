"""Rows whose tool outputs are trained on."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class ToolOutputTrained(RowCheck):
    """Rows whose tool outputs are trained on."""

    kind: ClassVar[str] = "tool-output-trained"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "The loss falls on what tools returned: the model learns to invent it."
    fix: ClassVar[str] = "Use --loss completion or --loss assistant."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return subject.settings.loss == "all" and row.loss_tokens > 0 and any(turn["role"] == "tool" for turn in row.turns)


__all__ = ["ToolOutputTrained"]
