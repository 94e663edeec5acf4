"""Lists of turns under other names: WildChat's `conversation`, raw UltraChat's `data`, `dialogue`, …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered
from instructsel.pool.formats._beside import TURN_LISTS
from instructsel.pool.formats._layouts import pairs, turn_list
from instructsel.pool.formats._turns import TURN_FIELDS, chat, is_exchange, is_texts, is_turn

TABLE: Final = "columns"
"""What stands beside the `data` of a table in one object, as pandas writes it; its rows are no turns."""
NAMES: Final = ("conversation", "dialogue", "dialog", "dialogs", "chat", "turns", "data", "contents")
SPEAKERS: Final = frozenset({"human", "user", "assistant", "gpt"})
"""Names of the texts of an exchange that are nothing else."""


class Dialogue(Format):
    """`conversation`, `dialogue`, `chat`, `turns`, `data` or Gemini's `contents`: a list of turns, or of texts of which the user's is the first and every
    second. Source: WildChat, UltraChat."""

    name: ClassVar[str] = "dialogue"
    precedence: ClassVar[int] = 22
    fields: ClassVar[tuple[str, ...]] = NAMES
    beside: ClassVar[frozenset[str]] = TURN_LISTS
    turn_fields: ClassVar[frozenset[str] | None] = TURN_FIELDS

    def fits(self, row: Fields) -> str | None:
        """One of the fields is a list of turns, or of two texts or more."""
        name = self._name(row)
        return None if name is None else f"has a list of turns in '{name}'"

    def conversations(self, row: Fields) -> list[Conversation]:
        """The whole conversation."""
        name = self._name(row) or next((name for name in NAMES if name in row), NAMES[0])
        messages, tools = chat(row.get(name), field=name, roles=self.roles)
        return answered(Conversation(tuple(messages), tools))

    @staticmethod
    def _name(row: Fields) -> str | None:
        names = (name for name in NAMES if name in row and not (name == "data" and isinstance(row.get(TABLE), list)))
        return next((name for name in names if _holds_turns(name, row[name])), None)


def _holds_turns(name: str, value: Any) -> bool:
    entries = turn_list(value)
    if not isinstance(entries, list) or not entries:
        return False
    if isinstance(entries[0], Mapping):
        # A list of prompts and completions in `data` is a list of rows.
        return is_turn(entries[0]) and (name != "data" or not is_exchange(entries[0]) or not SPEAKERS.isdisjoint(entries[0]))
    if isinstance(entries[0], list):
        return pairs(entries) is not None
    # The texts of MT-Bench's `turns` are the user's alone.
    return name != "turns" and is_texts(entries)
