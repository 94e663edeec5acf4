"""How pool files are read, as plain settings: the options that every command has that reads some, and the table of a plan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from instructsel.pool.spec import Reading


@dataclass(frozen=True)
class ReadingOptions:
    """How pool files are read."""

    form: str = "auto"
    """Row format: auto, alpaca, dolly, messages, sharegpt, …"""
    mapping: str | None = None
    """Fields of any other format: instruction=FIELD,response=FIELD[,input=FIELD][,system=FIELD][,context=FIELD][,options=FIELD][,tools=FIELD][,reasoning=FIELD][,history=FIELD],
    or a list of turns: messages=FIELD,role=KEY,content=KEY. A field may be a path: chat[].turns"""
    columns: str | None = None
    """Column names of a CSV or TSV file without a header, comma-separated."""
    delimiter: str | None = None
    """Between two fields of a CSV or TSV file, e.g. ';' or tab; told from its header by default."""
    oasst: str = "best-path"
    """Paths of OpenAssistant trees: best-path or all-paths."""
    on_duplicate_key: str = "error"
    """A row that names a key twice: error quarantines it, last keeps the last value."""
    role: tuple[str, ...] = ()
    """What an odd name of a role means, e.g. AI=assistant; once for each name."""
    reasoning: str = "out"
    """Reasoning that stands in a field of its own: out, or in: indicators read it, too."""
    undesirable: str = "drop"
    """Rows that a field marks as not wanted, as KTO's label does: drop or keep."""
    source_field: str | None = None
    """Field of a row that is its source, for quotas, studies and reports; its file by default. OBJECT.FIELD for one of an object."""

    def settled(self) -> Reading:
        """What reads the files."""
        from instructsel.pool.spec import Reading

        return Reading(
            self.form,
            self.mapping,
            self.columns,
            self.oasst,
            self.on_duplicate_key,
            self.role,
            self.reasoning,
            self.undesirable,
            self.source_field,
            self.delimiter,
        )


@dataclass(frozen=True)
class TargetReading(ReadingOptions):
    """How the files of --target are read; the pool is read as its scores record."""


DEFAULTS: Final = ReadingOptions()
"""Of a command's argument, so that its options stand where it does."""
TARGET_DEFAULTS: Final = TargetReading()

__all__ = ["DEFAULTS", "TARGET_DEFAULTS", "ReadingOptions", "TargetReading"]
