"""Stanford Alpaca: `instruction`, `input`, `output`. The input goes under the instruction, after a line break."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, text
from instructsel.pool.formats._beside import ONE_TURN


class Alpaca(Format):
    """`instruction` and `output`, an optional `input`; a `system` text goes first. Source: Stanford Alpaca, 2023."""

    name: ClassVar[str] = "alpaca"
    precedence: ClassVar[int] = 40
    fields: ClassVar[tuple[str, ...]] = ("instruction", "input", "output")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """`instruction` and `output` are there."""
        return "has 'instruction' and 'output'" if "instruction" in row and "output" in row else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        return [conversation(text(row, "instruction"), text(row, "output"), context=text(row, "input", optional=True))]
