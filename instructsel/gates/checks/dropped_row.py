"""Rows that are well formed and no training example."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.change import Change, shown_path
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.finding import Place
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.reader import PoolFile
from instructsel.pool.stretches import UNWANTED

CAUSES: Final = {
    "no_answer": "no turn of it answers",
    "no_turns": "it has no turns",
    "no_trained_response": "none of its responses is trained on",
    UNWANTED: "a field says that it is not wanted",
}
"""Reason → in words."""
IN_A_TABLE: Final = "no conversation that is read goes through it (it is beside the best path, deleted, or behind the last answer)"


@dataclass(frozen=True)
class DroppedRow(RowCheck):
    """Rows that are no training example: without an answer, or marked as not wanted."""

    number: ClassVar[str] = "IS002"
    kind: ClassVar[str] = "dropped-row"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "instructsel's own account of a reading"
    fix: ClassVar[str] = "Take the row out of the file, or complete it."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every row that reading dropped; one that a field says is not wanted is milder."""
        if not change.report.n_dropped:
            return
        example_rows: list[set[int]] = [set() for _ in change.pool.files]
        for number, row in change.pool.rows_of(range(len(change.pool))):
            example_rows[number].add(row)
        unread = {(row.file, row.line) for row in change.report.quarantine}
        known = change.known.places
        for file, rows in zip(change.pool.files, example_rows, strict=True):
            counts: dict[str, int] = {}
            for row in range(len(file.lines)):
                line = int(file.lines[row])
                if row in rows or (file.source.name, line) in unread or (file.source.name, int(file.offsets[row])) in known:
                    continue
                reason = self._reason(change, file, row)
                if reason is None:
                    continue
                mark = f"{int(file.digests[row]):016x}"
                counts[mark] = counts.get(mark, -1) + 1
                yield Hit(
                    None,
                    f"The row is no training example: {CAUSES.get(reason, reason)}.",
                    place=Place(shown_path(file.source.name), line),
                    key=reason,
                    mark=mark + (f".{counts[mark]}" if counts[mark] else ""),
                    is_mild=reason == UNWANTED,
                )

    @staticmethod
    def _reason(change: Change, file: PoolFile, row: int) -> str | None:
        """Why a row that no example stands in was dropped; None where it cannot be said."""
        if file.chains:
            return IN_A_TABLE
        value = file.row(row)
        try:
            (file.rows or file.format).conversations(value)
        except RowDropped as dropped:
            return dropped.reason
        except RowFault:
            return None
        return UNWANTED if change.report.dropped.get(UNWANTED) else None
