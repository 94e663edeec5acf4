"""Rows with a response that is trained otherwise than it is written."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.checks.reasoning_dropped import BLOCK
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class ResponseChanged(RowCheck):
    """Rows with a response that is trained otherwise than it is written."""

    kind: ClassVar[str] = "response-changed"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The text of a response is not in the rendered conversation as it is written: the template drops or changes a part of it."
    )
    fix: ClassVar[str] = "Use a template that writes responses as they are."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        # A block of reasoning that is left out as a whole is a finding of its own.
        return any(
            not row.is_rendered(content[match.end() :] if (match := BLOCK.match(content)) else content)
            for content in row.missing("assistant")
        )


__all__ = ["ResponseChanged"]
