"""Dolly: `instruction`, `context`, `response`. The context goes under the instruction, after a line break."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, text


class Dolly(Format):
    """`instruction` and `response`, an optional `context` (or `input`, as GPTeacher calls it). Source: databricks-dolly-15k."""

    name: ClassVar[str] = "dolly"
    precedence: ClassVar[int] = 50
    fields: ClassVar[tuple[str, ...]] = ("instruction", "context", "input", "response")

    def fits(self, row: Fields) -> str | None:
        """`instruction` and `response` are there."""
        return "has 'instruction' and 'response'" if "instruction" in row and "response" in row else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        context = "\n".join(part for field in ("context", "input") if (part := text(row, field, optional=True)))
        return [conversation(text(row, "instruction"), text(row, "response"), context=context)]
