"""OpenAI's chat format: `messages`, a list of `role` and `content`; also as TRL and open-instruct use it."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered, tools_of, turns


class Messages(Format):
    """`messages` with `role` and `content` (text or text parts); tool calls are kept as JSON in a turn of their own. Source: OpenAI."""

    name: ClassVar[str] = "messages"
    precedence: ClassVar[int] = 10
    fields: ClassVar[tuple[str, ...]] = ("messages", "tools")

    def fits(self, row: Fields) -> str | None:
        """`messages` is a list."""
        return "has a list of 'messages'" if isinstance(row.get("messages"), list) else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """The whole conversation."""
        messages = turns(row.get("messages"), field="messages", role_key="role", text_key="content")
        return answered(Conversation(tuple(messages), tools_of(row.get("tools"))))
