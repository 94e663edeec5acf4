"""ShareGPT: `conversations`, a list of `from` and `value`; tool turns keep their roles."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered, text, tools_of, turns
from instructsel.pool.message import Message


class ShareGPT(Format):
    """`conversations` with `from` (human, gpt, system, function_call, observation, …) and `value`. Source: ShareGPT, LLaMA-Factory."""

    name: ClassVar[str] = "sharegpt"
    precedence: ClassVar[int] = 20
    fields: ClassVar[tuple[str, ...]] = ("conversations", "system", "tools")

    def fits(self, row: Fields) -> str | None:
        """`conversations` is a list."""
        return "has a list of 'conversations'" if isinstance(row.get("conversations"), list) else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """The whole conversation; a `system` field goes first."""
        entries = row.get("conversations")
        openai = isinstance(entries, list) and all(isinstance(turn, dict) and "role" in turn for turn in entries)
        keys = ("role", "content") if openai and entries else ("from", "value")
        messages = turns(entries, field="conversations", role_key=keys[0], text_key=keys[1])
        system = text(row, "system", optional=True)
        first = [Message("system", system)] if system else []
        return answered(Conversation((*first, *messages), tools_of(row.get("tools"))))
