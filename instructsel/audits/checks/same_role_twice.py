"""Rows with two turns of one role in a row."""

from __future__ import annotations

import itertools
from typing import ClassVar

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject


class SameRoleTwice(RowCheck):
    """Rows with two turns of one role in a row."""

    kind: ClassVar[str] = "same-role-twice"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "Two turns of the user, or of the model, follow one another: the model learns to go on after its own end of turn, or a "
        "template refuses them."
    )
    fix: ClassVar[str] = "Join the turns, or put what stood between them back."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        roles = [turn["role"] for turn in row.turns]
        return any(first == second != "tool" for first, second in itertools.pairwise(roles))


__all__ = ["SameRoleTwice"]
