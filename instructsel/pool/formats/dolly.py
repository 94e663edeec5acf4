"""Dolly: `instruction`, `context`, `response`. The context goes under the instruction, after a line break."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, text
from instructsel.pool.formats._beside import ONE_TURN


class Dolly(Format):
    """`instruction` and `response`, an optional `context` (or `input`, as GPTeacher calls it). Source: databricks-dolly-15k."""

    name: ClassVar[str] = "dolly"
    precedence: ClassVar[int] = 50
    fields: ClassVar[tuple[str, ...]] = ("instruction", "context", "input", "response")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """`instruction` and `response` are there."""
        return "has 'instruction' and 'response'" if "instruction" in row and "response" in row else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        context = "\n".join(part for field in ("context", "input") if (part := _joined(row, field)))
        return [conversation(text(row, "instruction"), text(row, "response"), context=context)]


def _joined(row: Fields, field: str) -> str:
    """A text, or texts, a line each."""
    value = row.get(field)
    if isinstance(value, list) and value and all(isinstance(entry, str) for entry in value):
        return "\n".join(value)
    return text(row, field, optional=True)
