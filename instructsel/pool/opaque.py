"""Values of Parquet and Arrow files that JSON has no form for: dates, decimals, bytes; and texts too long to be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from instructsel.pool.lines import RowFault

NOT_TEXT: Final = "not_text"
TOO_LONG: Final = "line_too_long"
MEDIA: Final = "a picture, sound or film: the row is about more than text"
"""What a column holds that `datasets` stores such things in."""


@dataclass(frozen=True, slots=True)
class Opaque:
    """A value that no format reads: it is neither text, number, list nor object, so that whoever reads it refuses the row."""

    kind: str
    """What it is, in words: a date, bytes, …"""
    text: str | None = None
    """It as text, for exports; None where it has no such form."""
    code: str = NOT_TEXT
    """The reason under which a row that needs it is counted."""

    def fault(self, field: str) -> RowFault:
        """What is wrong with a row whose field this is."""
        if self.code == TOO_LONG:
            return RowFault(TOO_LONG, f"'{field}' holds {self.kind}")
        return RowFault(NOT_TEXT, f"'{field}' holds {self.kind} where a text belongs")


def as_text(value: Any) -> Any:
    """A value with the texts of those in it that have a form as text; bytes stay `Opaque`."""
    if isinstance(value, Opaque):
        return value if value.text is None else value.text
    if isinstance(value, list):
        return [as_text(item) for item in value]
    return {key: as_text(item) for key, item in value.items()} if isinstance(value, dict) else value


__all__ = ["MEDIA", "NOT_TEXT", "TOO_LONG", "Opaque", "as_text"]
