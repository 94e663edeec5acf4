"""ShareGPT: `conversations`, a list of `from` and `value`; tool turns keep their roles."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered
from instructsel.pool.formats._beside import TURN_LISTS
from instructsel.pool.formats._turns import TURN_FIELDS, chat, is_chat


class ShareGPT(Format):
    """`conversations` with `from` (human, gpt, system, function_call, observation, …) and `value`, with `role` and `content`, or a list of
    texts as LIMA has. Source: ShareGPT, LLaMA-Factory."""

    name: ClassVar[str] = "sharegpt"
    precedence: ClassVar[int] = 20
    fields: ClassVar[tuple[str, ...]] = ("conversations",)
    beside: ClassVar[frozenset[str]] = TURN_LISTS
    turn_fields: ClassVar[frozenset[str] | None] = TURN_FIELDS

    def fits(self, row: Fields) -> str | None:
        """`conversations` is a list, or the JSON text of one."""
        return "has a list of 'conversations'" if is_chat(row.get("conversations")) else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """The whole conversation; a `system` field goes first."""
        messages, tools = chat(row.get("conversations"), field="conversations", roles=self.roles)
        return answered(Conversation(tuple(messages), tools))
