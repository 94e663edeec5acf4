"""Rows that are no example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change, shown_path
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.finding import Place


@dataclass(frozen=True)
class UnreadableRow(RowCheck):
    """Rows that cannot be read."""

    number: ClassVar[str] = "IS001"
    kind: ClassVar[str] = "unreadable-row"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own account of a reading"
    exit_code: ClassVar[int] = 3
    fix: ClassVar[str] = "Mend the row, or take it out of the file."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every quarantined row."""
        for row in change.report.quarantine:
            yield Hit(
                None, f"The row cannot be read: {row.reason} ({row.detail}).", place=Place(shown_path(row.file), row.line), key=row.reason
            )
