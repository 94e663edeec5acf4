"""Baize: a transcript a row, cut at its marks of turns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome, digest
from instructsel.pool.formats._base import text
from instructsel.pool.formats.baize import turns_of
from instructsel.pool.lines import RowDropped


@dataclass(frozen=True)
class Baize(Conversion):
    """Transcripts with marks of turns; blank exchanges, and those without a turn of the model, are left out."""

    name: ClassVar[str] = "baize"

    def content(self, row: InputRow) -> bytes:
        """The transcript: nothing is drawn."""
        return digest([text(row.fields, "input")])

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """One conversation."""
        turns = tuple(turns_of(text(row.fields, "input")))
        if not turns:
            raise RowDropped("no_turns")
        return Outcome((Converted(self.content(row).hex(), turns),))
