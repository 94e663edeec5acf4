"""Prompt and completion, as texts or as TRL's two lists of messages; `response` is read where there is no `completion`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, answered, first_field, listed, text
from instructsel.pool.formats._beside import ONE_TURN
from instructsel.pool.formats._layouts import ROLE_KEYS
from instructsel.pool.formats._turns import TURN_FIELDS, chat
from instructsel.pool.message import Message


class PromptCompletion(Format):
    """`prompt` and `completion` (or `response`). Source: TRL's prompt-completion type."""

    name: ClassVar[str] = "prompt_completion"
    precedence: ClassVar[int] = 60
    fields: ClassVar[tuple[str, ...]] = ("prompt", "completion", "response")
    beside: ClassVar[frozenset[str]] = ONE_TURN
    turn_fields: ClassVar[frozenset[str] | None] = TURN_FIELDS

    def fits(self, row: Fields) -> str | None:
        """`prompt` and `completion` are there; or `prompt` and `response`."""
        answer = self._answer(row)
        return f"has 'prompt' and '{answer}'" if "prompt" in row and answer is not None else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn, or the messages of both lists."""
        answer = self._answer(row) or "completion"
        prompt, completion = _turns(row.get("prompt")), _turns(row.get(answer))
        if not isinstance(prompt, list) and not isinstance(completion, list):
            return [conversation(text(row, "prompt"), text(row, answer))]
        messages: list[Message] = []
        tools = None
        for field, value, who in (("prompt", prompt, "user"), (answer, completion, "assistant")):
            if isinstance(value, list) and not _is_column(value):
                turns = chat(value, field=field, roles=self.roles)
                messages.extend(turns.messages)
                tools = tools or turns.tools
            else:
                messages.append(Message(who, text(row, field)))
        return answered(Conversation(tuple(messages), tools))

    @staticmethod
    def _answer(row: Fields) -> str | None:
        return first_field(row, ("completion", "response"))


def _is_column(entries: list[Any]) -> bool:
    """Whether a list holds texts that are no turns: a table's column, where the file is one object of columns."""
    return bool(entries) and all(isinstance(entry, str) and entry.lstrip()[:1] != "{" for entry in entries)


def _turns(value: Any) -> Any:
    """The turns of a field, also where it is their JSON text; a text that begins with a bracket and holds no turns is a text."""
    if not isinstance(value, str):
        return value
    entries = listed(value)
    is_turns = isinstance(entries, list) and entries and all(isinstance(turn, Mapping) and turn.keys() & set(ROLE_KEYS) for turn in entries)
    return entries if is_turns else value
