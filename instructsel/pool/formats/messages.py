"""OpenAI's chat format: `messages`, a list of `role` and `content`; also as TRL and open-instruct use it."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered
from instructsel.pool.formats._beside import TURN_LISTS
from instructsel.pool.formats._turns import TURN_FIELDS, chat, is_chat


class Messages(Format):
    """`messages` with `role` and `content` (text or text parts), or with `from` and `value`; tool calls stay calls. Source: OpenAI."""

    name: ClassVar[str] = "messages"
    precedence: ClassVar[int] = 10
    fields: ClassVar[tuple[str, ...]] = ("messages",)
    beside: ClassVar[frozenset[str]] = TURN_LISTS
    turn_fields: ClassVar[frozenset[str] | None] = TURN_FIELDS

    def fits(self, row: Fields) -> str | None:
        """`messages` is a list, or the JSON text of one."""
        return "has a list of 'messages'" if is_chat(row.get("messages")) else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """The whole conversation."""
        messages, tools = chat(row.get("messages"), field="messages", roles=self.roles)
        return answered(Conversation(tuple(messages), tools))
