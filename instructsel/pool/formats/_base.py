"""What a format offers, and the few readings of a field that several formats share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from instructsel.pool.example import Conversation, Message
from instructsel.pool.lines import RowDropped, RowFault

Fields = Mapping[str, Any]

ROLE_OF: Final = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": "function_call",
    "tool_call": "function_call",
    "tool": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "function": "tool",
    "function_response": "tool",
    "observation": "tool",
    "ipython": "tool",
}
"""The spellings of a role in public pools → ours."""


class Format(ABC):
    """A way of writing examples down, one row at a time."""

    name: ClassVar[str]
    """What `--format` calls it."""
    precedence: ClassVar[int]
    """Where two formats fit a row, the lower one is taken: the one that reads more of the row."""
    fields: ClassVar[tuple[str, ...]]
    """The fields it reads; others are carried along in the original bytes and take no part."""

    @abstractmethod
    def fits(self, row: Fields) -> str | None:
        """Why the row looks like this format, in a few words; None when it does not."""

    @abstractmethod
    def conversations(self, row: Fields) -> list[Conversation]:
        """The conversations of a row.

        Raises:
            RowFault: a field is missing or is not what the format says.
            RowDropped: the row is well formed and holds no answer.
        """


@dataclass(frozen=True)
class Chain:
    """One conversation whose turns stand in several rows."""

    rows: tuple[int, ...]
    """The rows (0-based, counting readable rows), in the order of the turns."""


class TableFormat(Format):
    """A format whose conversations are linked across the rows of a file."""

    @abstractmethod
    def link(self, rows: Iterable[Fields]) -> tuple[list[Chain], dict[int, str], dict[int, RowFault]]:
        """The chains of a file; the rows that are in none, with the reason; the rows that are malformed."""

    @abstractmethod
    def joined(self, rows: Sequence[Fields]) -> Conversation:
        """The conversation of one chain."""

    def conversations(self, row: Fields) -> list[Conversation]:
        """Never called: a row of a table is a turn, not a conversation."""
        raise TypeError(f"{self.name} rows are read together, through link and joined.")


def text(row: Fields, field: str, *, optional: bool = False) -> str:
    """A field that must be text. Null and absent read as "" where the field is optional.

    A list or a number is a fault: it is never turned into its Python text.
    """
    value = row.get(field)
    if isinstance(value, str):
        return value
    if value is None:
        if optional or field in row:
            return ""
        raise RowFault("missing_field", f"no '{field}'")
    raise RowFault("not_text", f"'{field}' holds {kind(value)} where a text belongs")


def kind(value: Any) -> str:
    """A JSON value's kind, in words."""
    kinds = {
        dict: "an object",
        list: "a list",
        bool: "true or false",
        int: "a number",
        float: "a number",
        str: "a text",
        type(None): "null",
    }
    return kinds.get(type(value), type(value).__name__)


def raw_json(value: Any) -> str | None:
    """Tools and calls as JSON text: text is kept as it is, structures are written out canonically."""
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":")) if value else None


def role(value: Any, *, where: str) -> str:
    """Our name for a role."""
    if not isinstance(value, str):
        raise RowFault("unknown_role", f"{where} has {kind(value)} for a role")
    known = ROLE_OF.get(value.strip().lower())
    if known is None:
        raise RowFault("unknown_role", f"{where} has the role {value[:40]!r}")
    return known


def turns(value: Any, *, field: str, role_key: str, text_key: str) -> list[Message]:
    """A list of turns, each an object with a role and a text."""
    if not isinstance(value, list):
        raise RowFault("not_a_list", f"'{field}' holds {kind(value)} where a list of turns belongs")
    messages: list[Message] = []
    for number, turn in enumerate(value, 1):
        where = f"turn {number} of '{field}'"
        if not isinstance(turn, dict):
            raise RowFault("not_an_object", f"{where} is {kind(turn)}")
        if role_key not in turn:
            raise RowFault("missing_field", f"{where} has no '{role_key}'")
        messages.extend(_turn(turn, role(turn[role_key], where=where), text_key, where))
    return messages


def _turn(turn: Fields, who: str, text_key: str, where: str) -> list[Message]:
    content = turn.get(text_key)
    calls = raw_json(turn.get("tool_calls")) or raw_json(turn.get("function_call"))
    if isinstance(content, list):
        content = _parts(content, where)
    if content is None and (calls is not None or text_key in turn):
        content = ""
    if not isinstance(content, str):
        raise RowFault("missing_field" if content is None else "not_text", f"{where} has {kind(content)} for '{text_key}'")
    messages = [] if calls is not None and not content else [Message(who, content)]
    return [*messages, Message("function_call", calls)] if calls is not None else messages


def _parts(parts: list[Any], where: str) -> str:
    texts: list[str] = []
    for part in parts:
        if not isinstance(part, dict) or part.get("type", "text") != "text" or not isinstance(part.get("text"), str):
            wrong = part.get("type") if isinstance(part, dict) else kind(part)
            raise RowFault("not_text", f"{where} has a part that is no text ({str(wrong)[:40]})")
        texts.append(part["text"])
    return "\n".join(texts)


def answered(conversation: Conversation) -> list[Conversation]:
    """The conversation, if the model wrote any of it."""
    if not conversation.messages:
        raise RowDropped("no_turns")
    if not conversation.answered:
        raise RowDropped("no_answer")
    return [conversation]
