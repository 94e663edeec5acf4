"""OpenAI's Responses API: `input` and `output`, lists of messages, calls, results and reasoning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered, text
from instructsel.pool.formats._beside import TURN_LISTS, under
from instructsel.pool.formats._items import FIELDS, is_item
from instructsel.pool.formats._layouts import turn_list
from instructsel.pool.formats._turns import TURN_FIELDS, chat


class Responses(Format):
    """`input`, a text or a list of items, and `output`, a list of items or a text; `instructions` go first. Source: OpenAI's Responses API."""

    name: ClassVar[str] = "responses"
    precedence: ClassVar[int] = 58
    fields: ClassVar[tuple[str, ...]] = ("instructions", "input", "output")
    beside: ClassVar[frozenset[str]] = TURN_LISTS
    turn_fields: ClassVar[frozenset[str] | None] = TURN_FIELDS | FIELDS

    def fits(self, row: Fields) -> str | None:
        """`input` and `output` are there, and one of them is a list of items or of turns with a role."""
        if "input" not in row or "output" not in row or not (_holds_items(row["input"]) or _holds_items(row["output"])):
            return None
        return "has items of a response in 'input' and 'output'"

    def conversations(self, row: Fields) -> list[Conversation]:
        """What was given, and what the model made of it."""
        turns: list[Any] = []
        for field, who in (("input", "user"), ("output", "assistant")):
            entries = turn_list(row.get(field))
            turns += entries if entries == [] or _holds_items(entries) else [{"role": who, "content": text(row, field)}]
        messages, tools = chat(turns, field="input and output", roles=self.roles)
        conversations = answered(Conversation(tuple(messages), tools))
        return under(conversations, {"system": {"instructions": row["instructions"]}}) if row.get("instructions") else conversations


def _holds_items(value: Any) -> bool:
    entries = turn_list(value)
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(
            is_item(entry) or (isinstance(entry, Mapping) and isinstance(entry.get("role", entry.get("type")), str)) for entry in entries
        )
    )
