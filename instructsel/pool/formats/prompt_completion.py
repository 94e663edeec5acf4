"""Prompt and completion, as texts or as TRL's two lists of messages; `response` is read where there is no `completion`."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, answered, text, tools_of, turns
from instructsel.pool.message import Message


class PromptCompletion(Format):
    """`prompt` and `completion` (or `response`). Source: TRL's prompt-completion type."""

    name: ClassVar[str] = "prompt_completion"
    precedence: ClassVar[int] = 60
    fields: ClassVar[tuple[str, ...]] = ("prompt", "completion", "response", "tools")

    def fits(self, row: Fields) -> str | None:
        """`prompt` and `completion` are there; or `prompt` and `response`."""
        answer = self._answer(row)
        return f"has 'prompt' and '{answer}'" if "prompt" in row and answer is not None else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn, or the messages of both lists."""
        answer = self._answer(row) or "completion"
        tools = tools_of(row.get("tools"))
        if not isinstance(row.get("prompt"), list) and not isinstance(row.get(answer), list):
            return [conversation(text(row, "prompt"), text(row, answer), tools=tools)]
        messages: list[Message] = []
        for field, who in (("prompt", "user"), (answer, "assistant")):
            if isinstance(row.get(field), list):
                messages.extend(turns(row[field], field=field, role_key="role", text_key="content"))
            else:
                messages.append(Message(who, text(row, field)))
        return answered(Conversation(tuple(messages), tools))

    @staticmethod
    def _answer(row: Fields) -> str | None:
        return next((field for field in ("completion", "response") if field in row), None)
