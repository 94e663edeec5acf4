"""FLAN's and P3's `inputs` and `targets`, also with the `definition` that Natural Instructions has on the Hub."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, text
from instructsel.pool.formats._beside import ONE_TURN


class Flan(Format):
    """`inputs` and `targets`; a `definition` stands above the inputs, unless they hold it. Source: The Flan Collection, 2023."""

    name: ClassVar[str] = "flan"
    precedence: ClassVar[int] = 55
    fields: ClassVar[tuple[str, ...]] = ("inputs", "targets", "definition")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """`inputs` and `targets` are there."""
        return "has 'inputs' and 'targets'" if "inputs" in row and "targets" in row else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        inputs, definition = text(row, "inputs"), text(row, "definition", optional=True)
        prompt = f"{definition}\n{inputs}" if definition and definition not in inputs else inputs
        return [conversation(prompt, text(row, "targets"))]
