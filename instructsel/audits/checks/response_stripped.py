"""Rows with a response whose white space is stripped."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class ResponseStripped(RowCheck):
    """Rows with a response whose white space is stripped."""

    kind: ClassVar[str] = "response-stripped"
    severity: ClassVar[str] = "info"
    cause: ClassVar[str] = (
        "The template strips white space at the ends of a response; code whose first line is indented changes its meaning."
    )
    fix: ClassVar[str] = "Use a template without trim, where the white space matters."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        return row.text is not None and any(
            response != response.strip() and response not in row.text for response in row.responses if response.strip()
        )


__all__ = ["ResponseStripped"]
