"""Rows that are the same conversation as another row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.duplicates.repeats import Repeats, copies, copies_in_pool, hits_of, place_in_pool


@dataclass(frozen=True)
class ExactDuplicate(Repeats):
    """The same conversation as another row, to a trainer."""

    number: ClassVar[str] = "IS030"
    kind: ClassVar[str] = "exact-duplicate"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's ids: turns, reasoning, calls and tools; fields that no trainer reads make no difference"
    fix: ClassVar[str] = "Take the row out: instructsel dedup FILE --exact-only -o CLEAN.jsonl"

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every copy but one; every copy of a row of the baseline. Of equal rows the first by content, then by file and line, is none."""
        in_pool = copies_in_pool(change)
        for position, row in in_pool.items():
            place = place_in_pool(change, row)
            yield Hit(position, f"The row is the same as {place} of the baseline.", 1.0, related=place)
        yield from hits_of(change, [pair for pair in copies(change) if pair.removed not in in_pool], "The row is the same as {other}.")
