"""Rows in which a token reaches from the prompt into the response."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class BoundaryMerged(RowCheck):
    """Rows in which a token reaches from the prompt into the response."""

    kind: ClassVar[str] = "boundary-merged"
    severity: ClassVar[str] = "info"
    cause: ClassVar[str] = (
        "The prompt's tokens are no beginning of the row's: a token merges its end with the first characters of the response. "
        "TRL trains on that token, instructsel does not, and neither is what the model sees when it is asked."
    )
    fix: ClassVar[str] = "Strip white space at the head of responses, or end the prompt on a token of its own."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        prompt = row.prompt
        return (
            prompt is not None
            and row.fault is None
            and bool(row.full.ids)
            and not row.full.control
            and tuple(row.full.ids[: len(prompt)]) != prompt
        )


__all__ = ["BoundaryMerged"]
