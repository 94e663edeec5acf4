"""Lists of turns, in the spellings of public pools, into messages."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from instructsel.errors import UsageError
from instructsel.pool.formats._base import MEDIA, Fields, Turns, kind, listed
from instructsel.pool.formats._python_calls import python_calls
from instructsel.pool.json_text import parsed
from instructsel.pool.lines import RowFault
from instructsel.pool.message import ANSWERS, ROLES, Json, Message, ToolCall
from instructsel.pool.opaque import Opaque

CALL: Final = "function_call"
"""What a turn is that is a call of the model and nothing else; it becomes one of the assistant."""
ROLE_KEYS: Final = ("role", "from")
"""Names of the role of a turn."""
TEXT_KEYS: Final = ("content", "value", "text")
"""Names of its text."""
ASKS: Final = ("human", "user", "input", "prompt", "question")
REPLIES: Final = ("assistant", "gpt", "output", "response", "completion", "answer")
"""Names of the two texts of an exchange, an object that holds a turn of the user and one of the assistant."""
REASONING: Final = ("reasoning_content", "reasoning", "thinking", "thought")
"""Names of the reasoning of a turn."""
WEIGHTS: Final = ("weight", "train", "training", "trainable", "loss", "loss_mask")
"""Names of what says whether a turn is trained on: OpenAI's, Axolotl's, MS-Swift's."""
TURN_TOOLS: Final = ("functions", "tools", "available_tools")
"""Names of the tools, where a turn lists them."""
CALLS: Final = ("tool_calls", "function_call", "function_calls")
"""Names of the calls of a turn."""
ARGUMENTS: Final = ("arguments", "parameters", "input")
"""Names of the arguments of a call."""
THOUGHT: Final = ("<think>\n", "\n</think>\n\n")
"""What stands around reasoning that is part of a text."""
TEXTS: Final = ("text", "input_text", "output_text")
THOUGHTS: Final = ("thinking", "reasoning", "reasoning_text")
"""Kinds of the parts of a content."""
USE: Final = "tool_use"
RESULT: Final = "tool_result"
"""Kinds of Anthropic's parts that are a call, and the result of one."""
TURN_FIELDS: Final = frozenset({*ROLE_KEYS, *TEXT_KEYS, *ASKS, *REPLIES, *REASONING, *WEIGHTS, *TURN_TOOLS, *CALLS, "tool_call_id", "name"})
"""Fields of a turn that are read."""
TRUTHS: Final = {"true": 1.0, "false": 0.0}

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
    "function_calls": CALL,
    "tool_call": CALL,
    "tool_calls": CALL,
    "tool": "tool",
    "tools": "tool",
    "tool_response": "tool",
    "tool_result": "tool",
    "tool_results": "tool",
    "tool_output": "tool",
    "function": "tool",
    "function_response": "tool",
    "function_result": "tool",
    "observation": "tool",
    "environment": "tool",
    "ipython": "tool",
}
"""The spellings of a role in public pools → ours; a hyphen or a blank in one is an underscore."""


class UnknownRole(RowFault):
    """A turn has a role that nobody named."""

    def __init__(self, where: str, value: str) -> None:
        super().__init__("unknown_role", f"{where} has the role {value[:40]!r}")
        self.roles: tuple[str, ...] = (value[:40],)
        """The roles of the row that nobody named; the first is that of the turn."""


class Chat(NamedTuple):
    """What a list of turns holds."""

    messages: list[Message]
    tools: Json | None
    """The tools that a turn lists, as Olmo's system turns do."""


def spelled(role_name: str) -> str:
    """A role in the spelling of ROLE_OF.

    >>> spelled(" Tool-Response")
    'tool_response'
    """
    return role_name.strip().lower().replace("-", "_").replace(" ", "_")


def role(value: Any, *, where: str, roles: Mapping[str, str] | None = None) -> str:
    """Our name for a role."""
    if not isinstance(value, str):
        raise RowFault("unknown_role", f"{where} has {kind(value)} for a role")
    names = roles or ROLE_OF
    known = names.get(value) or names.get(spelled(value))
    if known is None:
        raise UnknownRole(where, value)
    return known


def is_chat(value: Any) -> bool:
    """Whether a field holds a list of turns, or the JSON text of one."""
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip()[:1] == "[")


def is_turn(entry: Any) -> bool:
    """Whether an entry of a list is a turn, or an exchange of two."""
    if not isinstance(entry, Mapping):
        return False
    return any(key in entry for key in ROLE_KEYS) or (any(key in entry for key in ASKS) and any(key in entry for key in REPLIES))


def is_texts(value: Any) -> bool:
    """Whether a field holds texts alone, two or more, or the JSON text of a list of them."""
    return isinstance(entries := listed(value), list) and len(entries) > 1 and all(isinstance(entry, str) for entry in entries)


def chat(value: Any, *, field: str, roles: Mapping[str, str] | None = None, spelling: Turns | None = None) -> Chat:
    """A list of turns: objects with a role and a text, exchanges, or texts, of which the user's is the first and every second.

    Args:
        value: the list, or its JSON text.
        field: where it stands, for messages.
        roles: the spellings of roles.
        spelling: the names of role and text where they are not the usual ones.

    Raises:
        RowFault: it is no list, or a turn is not what it should be.
    """
    entries = listed(value)
    if not isinstance(entries, list):
        raise RowFault("not_a_list", f"'{field}' holds {kind(value)} where a list of turns belongs")
    entries = [_of_text(entry) if isinstance(entry, str) else entry for entry in entries]
    messages: list[Message] = []
    tools: Json | None = None
    texts = bool(entries) and all(isinstance(entry, str) for entry in entries)
    for number, entry in enumerate(entries, 1):
        where = f"turn {number} of '{field}'"
        if texts:
            messages.append(Message("user" if number % 2 else "assistant", entry))
            continue
        if not isinstance(entry, Mapping):
            raise RowFault("not_an_object", f"{where} is {kind(entry)}")
        try:
            entry_turns = _turns_of(entry, where, roles, spelling or Turns())
        except UnknownRole as fault:
            fault.roles = tuple(dict.fromkeys([*fault.roles, *_unknown(entries[number:], roles, spelling or Turns())]))
            raise
        messages.extend(entry_turns.messages)
        tools = tools or entry_turns.tools
    return Chat(messages, tools)


def _of_text(turn: str) -> Any:
    """A turn that a column of texts holds as its JSON, as the structure; any other text as it is."""
    if not any(f'"{key}"' in turn for key in ROLE_KEYS) or turn.lstrip()[:1] != "{":
        return turn
    try:
        value = parsed(turn)
    except ValueError:
        return turn
    return value if isinstance(value, dict) and not value.keys().isdisjoint(ROLE_KEYS) else turn


def _without_thought(content: Any, reasoning: str | None) -> Any:
    """A text without the reasoning in front of it, where the turn has the same in a field of its own."""
    if not isinstance(content, str) or reasoning is None or not content.startswith(THOUGHT[0]):
        return content
    return content.removeprefix(f"{THOUGHT[0]}{reasoning}{THOUGHT[1]}")


def _unknown(entries: Sequence[Any], roles: Mapping[str, str] | None, spelling: Turns) -> list[str]:
    """The roles of turns that nobody named."""
    keys = ROLE_KEYS if spelling.role is None else (spelling.role,)
    names = roles or ROLE_OF
    values = [entry[key] for entry in entries if isinstance(entry, Mapping) for key in keys if isinstance(entry.get(key), str)]
    return [value[:40] for value in values if value not in names and spelled(value) not in names]


def _turns_of(turn: Fields, where: str, roles: Mapping[str, str] | None, spelling: Turns) -> Chat:
    """The turn that an object is, or the two that an exchange is."""
    role_key = spelling.role or next((key for key in ROLE_KEYS if key in turn), None)
    if role_key is None or spelling.user is not None:
        asks = spelling.user or next((key for key in ASKS if key in turn), None)
        replies = spelling.assistant or next((key for key in REPLIES if key in turn), None)
        if asks in turn and replies in turn and asks is not None and replies is not None:
            reply = {key: value for key, value in turn.items() if key not in (asks, replies)}
            return Chat(
                [
                    *_split({"text": turn[asks]}, "user", "text", where),
                    *_split({**reply, "text": turn[replies]}, "assistant", "text", where),
                ],
                None,
            )
        raise RowFault("missing_field", f"{where} has no '{asks if asks not in turn and asks else replies or 'role'}'")
    if role_key not in turn:
        raise RowFault("missing_field", f"{where} has no '{role_key}'")
    text_key = spelling.text or next((key for key in TEXT_KEYS if turn.get(key) is not None), None)
    text_key = text_key or next((key for key in TEXT_KEYS if key in turn), "content" if role_key == "role" else "value")
    messages = _split(turn, role(turn[role_key], where=where, roles=roles), text_key, where)
    return Chat(messages, next((Json.of(turn[key]) for key in TURN_TOOLS if turn.get(key)), None))


def _split(turn: Fields, who: str, text_key: str, where: str) -> list[Message]:
    """A turn; one with results among the parts of its content as several in their order, a result and a run of texts each."""
    content = turn.get(text_key)
    if who not in ("user", "tool") or not isinstance(content, list) or not any(map(_is_result, content)):
        return [_turn(turn, who, text_key, where)]
    messages: list[Message] = []
    for is_result, run in itertools.groupby(content, _is_result):
        if is_result:
            messages += [_result(part, turn, where) for part in run]
            continue
        message = _turn({**turn, text_key: list(run)}, who, text_key, where)
        if not message.is_empty:
            messages.append(message)
    return messages


def _is_result(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") == RESULT


def _result(part: Fields, turn: Fields, where: str) -> Message:
    """The result of a call that a part of a content is."""
    content = part.get("content")
    texts: list[str] = []
    if isinstance(content, list):
        texts, thoughts, _ = _parts(content, where)
        content = "\n".join(texts)
        if thoughts:
            raise RowFault("not_text", f"{where} has a result with reasoning in it")
    if not isinstance(content, str | None):
        raise RowFault("not_text", f"{where} has a result that is {kind(content)}")
    answered_call = _optional(part, "tool_use_id", where) or _optional(turn, "tool_call_id", where)
    parts = tuple(texts) if len(texts) > 1 else ()
    return Message("tool", content or "", (), answered_call, _optional(part, "name", where), None, weight_of(turn, where), parts)


def _turn(turn: Fields, who: str, text_key: str, where: str) -> Message:
    content = turn.get(text_key)
    if isinstance(content, str) and len(turn) == 2 and who != CALL:
        return Message(who, content)
    if any(turn.get(name) for name in MEDIA):
        raise RowFault("not_text", f"{where} holds images, sound or video")
    parts: tuple[str, ...] = ()
    calls: list[ToolCall] = []
    reasoning = reasoning_of(turn, where)
    content = _without_thought(content, reasoning)
    if isinstance(content, list) and who != CALL:
        texts, thoughts, calls = _parts(content, where, with_calls=who in ANSWERS)
        content = "\n".join(texts)
        parts = tuple(texts) if len(texts) > 1 else ()
        reasoning = reasoning if reasoning is not None else "\n".join(thoughts) if thoughts else None
    # LangChain's turns have their calls twice, in the parts and beside them.
    in_parts = [call.id or call.canonical for call in calls]
    calls += [call for key in CALLS for call in _calls(turn.get(key), where) if (call.id or call.canonical) not in in_parts]
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
        weight_of(turn, where),
        parts,
    )


def _optional(turn: Fields, key: str, where: str) -> str | None:
    value = turn.get(key)
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowFault("not_text", f"{where} has {kind(value)} for '{key}'")


def reasoning_of(turn: Fields, where: str, names: Sequence[str] = REASONING) -> str | None:
    """The reasoning of a turn or a row, under the first of its names that holds any: a text, or texts, a line each."""
    for key in names:
        value = turn.get(key)
        if isinstance(value, str) and value:
            return value
        if isinstance(value, list) and value:
            texts = [text for entry in value if isinstance(text := entry.get("text") if isinstance(entry, Mapping) else entry, str)]
            if len(texts) != len(value):
                raise RowFault("not_text", f"{where} has a '{key}' that is no text")
            return "\n".join(texts) or None
        if isinstance(value, Opaque) or (isinstance(value, Mapping) and value):
            raise RowFault("not_text", f"{where} has {kind(value)} for '{key}'")
    return None


def weight(value: Any, field: str, where: str) -> float:
    """A truth value or a number from 0, or the text of either."""
    number = value
    if isinstance(value, str):
        try:
            number = TRUTHS[value.strip().lower()] if value.strip().lower() in TRUTHS else float(value)
        except ValueError:
            number = None
    if not isinstance(number, bool | int | float) or not 0 <= number < float("inf"):
        raise RowFault("bad_weight", f"{where} has a '{field}' that is neither true nor false nor a number from 0")
    return float(number)


def weight_of(turn: Fields, where: str) -> float | None:
    """Whether a turn is trained on, under the first of its names that says so; 0 where any of them says that it is not."""
    weights = [weight(turn[key], key, where) for key in WEIGHTS if turn.get(key) is not None]
    return None if not weights else 0.0 if 0 in weights else weights[0]


def _calls(value: Any, where: str) -> list[ToolCall]:
    """The calls of a turn: a list of calls or one, or the JSON text of either, or of one a line; or calls as Python writes them."""
    if isinstance(value, str) and value.strip():
        text = value
        try:
            value = parsed(text)
        except ValueError:
            value = _calls_of_lines(text) or python_calls(text)
            if value is None:
                raise RowFault("bad_tool_call", f"{where} has calls that are no JSON") from None
    if not value:
        return []
    return [_call(call, where) for call in (value if isinstance(value, list) else [value])]


def _calls_of_lines(text: str) -> list[Any] | None:
    """Calls of which each line is the JSON of one."""
    try:
        return [parsed(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return None


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


def _parts(parts: list[Any], where: str, *, with_calls: bool = False) -> tuple[list[str], list[str], list[ToolCall]]:
    """The texts of a content in parts, and the reasoning and the calls among them."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for part in parts:
        form = part.get("type", "text") if isinstance(part, dict) else None
        key = next((key for key in ("text", *REASONING) if isinstance(part, dict) and isinstance(part.get(key), str)), None)
        if form == USE and with_calls:
            # As other pools spell a call, which is how templates and trainers take it.
            calls.append(replace(_call(part, where), kind="function", flat=False))
            continue
        if isinstance(part, str):
            target, text = texts, part
        elif form in THOUGHTS and key is not None:
            target, text = thoughts, part[key]
        elif form in TEXTS and key == "text":
            target, text = texts, part["text"]
        else:
            wrong = part.get("type") if isinstance(part, dict) else kind(part)
            raise RowFault("not_text", f"{where} has a part that is no text ({str(wrong)[:40]})")
        if calls and not text.strip():
            continue
        if calls:
            raise RowFault("bad_tool_call", f"{where} has a text behind a call")
        target.append(text)
    return texts, thoughts, calls


def with_roles(named: Sequence[str]) -> Mapping[str, str]:
    """ROLE_OF and further spellings, each `SPELLING=ROLE`.

    Raises:
        UsageError: one is not of this form, or names a role that there is not.
    """
    roles = dict(ROLE_OF)
    for pair in named:
        spelling, sign, known = pair.rpartition("=")
        if not sign or not spelling.strip() or not known.strip():
            raise UsageError(f"--role {pair} is not of the form SPELLING=ROLE.", fix="For example: --role AI=assistant")
        if spelled(known) not in ROLE_OF:
            raise UsageError.named(known.strip(), ROLES, noun="role")
        roles[spelled(spelling)] = roles[spelling.strip()] = ROLE_OF[spelled(known)]
    return roles


__all__ = [
    "CALL",
    "REASONING",
    "ROLE_OF",
    "TURN_FIELDS",
    "WEIGHTS",
    "UnknownRole",
    "chat",
    "is_chat",
    "is_texts",
    "is_turn",
    "role",
    "with_roles",
]
