"""Rows that are no example."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.change import Change, shown_path
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.finding import Place
from instructsel.pool.sources import Source
from instructsel.read_report import Quarantined

MOST_BYTES: Final = 64 << 20
"""Of a row, by which it is known."""


@dataclass(frozen=True)
class UnreadableRow(RowCheck):
    """Rows that cannot be read."""

    number: ClassVar[str] = "IS001"
    kind: ClassVar[str] = "unreadable-row"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own account of a reading"
    asks_of_reading: ClassVar[bool] = True
    exit_code: ClassVar[int] = 3
    fix: ClassVar[str] = "Mend the row, or take it out of the file."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every quarantined row that reading lists, and one for those beyond."""
        sources = {file.source.name: file.source for file in change.pool.files}
        counts: dict[str, int] = {}
        for row in _new(change):
            mark = _mark(row, sources.get(row.file))
            counts[mark] = counts.get(mark, -1) + 1
            yield Hit(
                None,
                f"The row cannot be read: {row.reason} ({row.detail}).",
                place=Place(shown_path(row.file), row.line),
                key=row.reason,
                mark=mark + (f".{counts[mark]}" if counts[mark] else ""),
            )
        left = _not_listed(change)
        if left > 0:
            yield Hit(None, f"{left:,} more rows cannot be read, which are not listed.", value=float(left), key="not listed")

    def rows_counted(self, change: Change, listed: int) -> int:
        """All of them, those that nobody lists among them."""
        return listed + max(0, _not_listed(change) - 1)


def _new(change: Change) -> Iterator[Quarantined]:
    """The rows that reading lists, but for those that the baseline's file has as well."""
    return (row for row in change.report.quarantine if (row.file, row.offset) not in change.known.places)


def _not_listed(change: Change) -> int:
    return change.report.n_quarantined - len(change.report.quarantine)


def _mark(row: Quarantined, source: Source | None) -> str:
    """A digest of the row's bytes; of a row in a table or an array, of what is wrong with it."""
    data = f"{row.reason} {row.detail}".encode("utf-8", "surrogatepass")
    if source is not None and source.container == "lines" and source.columns is None and not source.spread:
        position = source.file.tell()
        source.file.seek(row.offset)
        data = source.file.readline(MOST_BYTES).strip()
        source.file.seek(position)
    return hashlib.blake2b(data, digest_size=8).hexdigest()
