"""What a format offers, and the few readings of a field that several formats share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from instructsel.pool.example import Conversation
from instructsel.pool.json_text import parsed
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.message import Json, Message, ToolCall
from instructsel.pool.opaque import Opaque

Fields = Mapping[str, Any]

CALL: Final = "function_call"
"""What a turn is that is a call of the model and nothing else; it becomes one of the assistant."""
REASONING: Final = ("reasoning_content", "reasoning", "thinking", "thought")
"""Names of the reasoning of a turn."""
WEIGHTS: Final = ("weight", "train", "loss")
"""Names of what says whether a turn is trained on: OpenAI's, Axolotl's, TRL-like loaders'."""
ARGUMENTS: Final = ("arguments", "parameters", "input")
"""Names of the arguments of a call."""
TEXTS: Final = ("text", "input_text", "output_text")
THOUGHTS: Final = ("thinking", "reasoning", "reasoning_text")
"""Kinds of the parts of a content."""

ROLE_OF: Final = {
    "system": "system",
    "developer": "developer",
    "user": "user",
    "human": "user",
    "prompter": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "model": "assistant",
    "function_call": CALL,
    "tool_call": CALL,
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
    if isinstance(value, Opaque):
        raise value.fault(field)
    raise RowFault("not_text", f"'{field}' holds {kind(value)} where a text belongs")


def kind(value: Any) -> str:
    """A JSON value's kind, in words."""
    if isinstance(value, Opaque):
        return value.kind
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


def tools_of(value: Any) -> Json | None:
    """The tools of a row, as a list or as the JSON text of one; None where there are none."""
    return Json.of(value) if value else None


def role(value: Any, *, where: str, roles: Mapping[str, str] = ROLE_OF) -> str:
    """Our name for a role."""
    if not isinstance(value, str):
        raise RowFault("unknown_role", f"{where} has {kind(value)} for a role")
    known = roles.get(value.strip().lower())
    if known is None:
        raise RowFault("unknown_role", f"{where} has the role {value[:40]!r}")
    return known


def turns(value: Any, *, field: str, role_key: str, text_key: str, roles: Mapping[str, str] = ROLE_OF) -> list[Message]:
    """A list of turns, each an object with a role and a text, and whatever else a message holds."""
    if not isinstance(value, list):
        raise RowFault("not_a_list", f"'{field}' holds {kind(value)} where a list of turns belongs")
    messages: list[Message] = []
    for number, turn in enumerate(value, 1):
        where = f"turn {number} of '{field}'"
        if not isinstance(turn, dict):
            raise RowFault("not_an_object", f"{where} is {kind(turn)}")
        if role_key not in turn:
            raise RowFault("missing_field", f"{where} has no '{role_key}'")
        messages.append(_turn(turn, role(turn[role_key], where=where, roles=roles), text_key, where))
    return messages


def _turn(turn: Fields, who: str, text_key: str, where: str) -> Message:
    content = turn.get(text_key)
    if isinstance(content, str) and len(turn) == 2 and who != CALL:
        return Message(who, content)
    parts: tuple[str, ...] = ()
    reasoning = _reasoning(turn)
    if isinstance(content, list):
        texts, thoughts = _parts(content, where)
        content = "\n".join(texts)
        parts = tuple(texts) if len(texts) > 1 else ()
        reasoning = reasoning if reasoning is not None else "\n".join(thoughts) if thoughts else None
    calls = [*_calls(turn.get("tool_calls"), where), *_calls(turn.get("function_call"), where)]
    if who == CALL:
        # ShareGPT's turn that is a call: its text is the JSON of one call, or of several.
        calls = [*_calls(content, where), *calls]
        if not calls:
            raise RowFault("bad_tool_call", f"{where} is a call, and its text is no JSON with a name")
        who, content = "assistant", ""
    if content is None and (calls or reasoning is not None or text_key in turn):
        content = ""
    if not isinstance(content, str):
        raise RowFault("missing_field" if content is None else "not_text", f"{where} has {kind(content)} for '{text_key}'")
    return Message(
        who,
        content,
        tuple(calls),
        _optional(turn, "tool_call_id", where),
        _optional(turn, "name", where),
        reasoning,
        _weight(turn, where),
        parts,
    )


def _optional(turn: Fields, key: str, where: str) -> str | None:
    value = turn.get(key)
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowFault("not_text", f"{where} has {kind(value)} for '{key}'")


def _reasoning(turn: Fields) -> str | None:
    """The reasoning of a turn, under the first of its names that holds any."""
    for key in REASONING:
        value = turn.get(key)
        if isinstance(value, str) and value:
            return value
    return None


def _weight(turn: Fields, where: str) -> float | None:
    """Whether a turn is trained on, under the first of its names that says so: a truth value, or a number from 0."""
    for key in WEIGHTS:
        value = turn.get(key)
        if value is None:
            continue
        if not isinstance(value, bool | int | float) or not 0 <= value < float("inf"):
            raise RowFault("bad_weight", f"{where} has a '{key}' that is neither true nor false nor a number from 0")
        return float(value)
    return None


def _calls(value: Any, where: str) -> list[ToolCall]:
    """The calls of a turn: a list of calls or one, or the JSON text of either."""
    if isinstance(value, str) and value.strip():
        try:
            value = parsed(value)
        except ValueError:
            raise RowFault("bad_tool_call", f"{where} has calls that are no JSON") from None
    if not value:
        return []
    return [_call(call, where) for call in (value if isinstance(value, list) else [value])]


def _call(value: Any, where: str) -> ToolCall:
    flat = isinstance(value, dict) and not isinstance(value.get("function"), dict)
    function = value if flat else value["function"] if isinstance(value, dict) else None
    name = function.get("name") if isinstance(function, dict) else None
    if not isinstance(function, dict) or not isinstance(name, str) or not name:
        raise RowFault("bad_tool_call", f"{where} has a call without a name")
    # Where null stands for what is not there, the first of the names that has a value counts.
    arguments = next((function[key] for key in ARGUMENTS if function.get(key) is not None), None)
    kind_of = value.get("type")
    return ToolCall(
        name,
        None if arguments is None else Json.of(arguments),
        _optional(value, "id", where),
        kind_of if isinstance(kind_of, str) else None,
        flat,
    )


def _parts(parts: list[Any], where: str) -> tuple[list[str], list[str]]:
    """The texts of a content in parts, and the reasoning among them."""
    texts: list[str] = []
    thoughts: list[str] = []
    for part in parts:
        form = part.get("type", "text") if isinstance(part, dict) else None
        key = next((key for key in ("text", *REASONING) if isinstance(part, dict) and isinstance(part.get(key), str)), None)
        if isinstance(part, str):
            texts.append(part)
        elif form in THOUGHTS and key is not None:
            thoughts.append(part[key])
        elif form in TEXTS and key == "text":
            texts.append(part["text"])
        else:
            wrong = part.get("type") if isinstance(part, dict) else kind(part)
            raise RowFault("not_text", f"{where} has a part that is no text ({str(wrong)[:40]})")
    return texts, thoughts


def answered(conversation: Conversation) -> list[Conversation]:
    """The conversation, if the model wrote any of it that is to be trained on."""
    if not conversation.messages:
        raise RowDropped("no_turns")
    if not conversation.trained:
        raise RowDropped("no_trained_response" if conversation.answered else "no_answer")
    return [conversation]
