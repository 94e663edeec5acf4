"""Rows without the reasoning that the template opens at the end of a prompt."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject
from instructsel.grading.chat import tools


class ReasoningOpened(RowCheck):
    """Rows without the reasoning that the template opens at the end of a prompt."""

    kind: ClassVar[str] = "reasoning-opened"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The template ends a prompt in an opened mark of reasoning, and the rendered response follows without it: the model is trained "
        "on responses behind another text than the one that it is asked with, and never on closing the mark."
    )
    fix: ClassVar[str] = "Give the rows reasoning, or use a template that opens none (of Qwen3, enable_thinking: false)."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        header = subject.template.header
        if header is None or not header.opened or row.text is None or len(row.turns) < 2:
            return False
        prompt = subject.render(row.turns[:-1], generation=True, tools=tools(row.example))
        return prompt is not None and not row.text.startswith(prompt) and row.text.startswith(header.without(prompt))


__all__ = ["ReasoningOpened"]
