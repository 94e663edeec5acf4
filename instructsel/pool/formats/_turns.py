"""Lists of turns, in the spellings of public pools, into messages."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final, NamedTuple

from instructsel.errors import UsageError
from instructsel.pool.formats._base import MEDIA, Fields, Turns, kind, listed
from instructsel.pool.formats._calls import CALLS, IDS, call_of, calls_of, optional
from instructsel.pool.formats._items import as_turns, is_item
from instructsel.pool.formats._keyed_parts import typed_parts
from instructsel.pool.formats._layouts import ROLE_KEYS, as_turn, of_columns, pairs, turn_list
from instructsel.pool.formats._results import structure_of
from instructsel.pool.formats._thoughts import REASONING, reasoning_of, thought_of
from instructsel.pool.formats._weights import WEIGHT_FIELDS, weight_of, weight_of_parts
from instructsel.pool.lines import RowFault
from instructsel.pool.message import ANSWERS, ROLES, Json, Message, ToolCall

CALL: Final = "function_call"
"""What a turn is that is a call of the model and nothing else; it becomes one of the assistant."""
TEXT_KEYS: Final = ("content", "value", "text", "message", "parts")
"""Names of its text."""
ASKS: Final = ("human", "user", "input", "prompt", "question")
REPLIES: Final = ("assistant", "gpt", "output", "response", "completion", "answer")
"""Names of the two texts of an exchange, an object that holds a turn of the user and one of the assistant."""
TURN_TOOLS: Final = ("functions", "tools", "available_tools")
"""Names of the tools, where a turn lists them."""
THOUGHT: Final = ("<think>\n", "\n</think>\n\n")
"""What stands around reasoning that is part of a text."""
TEXTS: Final = ("text", "input_text", "output_text")
THOUGHTS: Final = ("thinking", "reasoning", "reasoning_text", "think")
"""Kinds of the parts of a content."""
USE: Final = "tool_use"
RESULT: Final = "tool_result"
"""Kinds of Anthropic's parts that are a call, and the result of one."""
REFUSAL: Final = "refusal"
"""Kind of OpenAI's part that is what the model wrote where it refused, under the same name."""
RESULT_IDS: Final = tuple(key for key in reversed(IDS) if key != "id")
"""Names of the id of a call in its result."""
TURN_FIELDS: Final = frozenset(
    {*ROLE_KEYS, *TEXT_KEYS, *ASKS, *REPLIES, *REASONING, *WEIGHT_FIELDS, *TURN_TOOLS, *CALLS, *RESULT_IDS, "name", "channel", "recipient"}
)
"""Fields of a turn that are read."""
ONE_TURN_FIELDS: Final = TURN_FIELDS - {*ASKS, *REPLIES}
"""Those of a turn that is no exchange."""
PART_FIELDS: Final = frozenset(
    {
        "type",
        "text",
        "think",
        "thinking",
        "reasoning",
        "summary",
        "content",
        "id",
        "name",
        "input",
        "tool_use_id",
        REFUSAL,
        *REASONING,
        *WEIGHT_FIELDS,
    }
)
"""Fields of a part of a content that are read."""
PART_KINDS: Final = frozenset({*TEXTS, *THOUGHTS, USE, RESULT, REFUSAL})
"""Kinds of parts that are read."""
ANALYSIS: Final = "analysis"
CHANNELS: Final = frozenset({ANALYSIS, "commentary", "final"})
"""Harmony's channels of the model's turns; reasoning stands in the first, calls in the second."""
EVERYBODY: Final = ("", "all", "user", "assistant")
"""Recipients that are no tool."""
TOOL_PREFIX: Final = "functions."

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
    "chatbot": "assistant",
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


THINKERS: Final = frozenset({"thinking", "thought", "thoughts", "think", "thinker", "reasoning", "reasoner"})
"""Roles of a turn that is the reasoning of the next one that the model wrote."""


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
    """Whether a field holds a list of turns, the JSON text of one, or columns of turns."""
    if isinstance(value, dict):
        return isinstance(of_columns(value), list)
    return isinstance(value, list) or (isinstance(value, str) and value.lstrip()[:1] == "[")


def is_turn(entry: Any) -> bool:
    """Whether an entry of a list is a turn, or an exchange of two."""
    if not isinstance(entry, Mapping):
        return False
    return any(key in entry for key in ROLE_KEYS) or is_exchange(entry) or is_item(entry)


def are_turns(entries: Any) -> bool:
    """Whether a row is a bare list of turns, one conversation: objects of a role and what else a turn has, and nothing besides.

    >>> are_turns([{"role": "user", "content": "Is rain wet?"}, {"role": "assistant", "content": "Yes."}])
    True
    """
    return (
        isinstance(entries, list)
        and bool(entries)
        and all(isinstance(turn, Mapping) and not turn.keys().isdisjoint(ROLE_KEYS) and turn.keys() <= ONE_TURN_FIELDS for turn in entries)
    )


def is_exchange(entry: Fields) -> bool:
    """Whether an object has no role and holds what is asked and what is answered."""
    return not any(key in entry for key in ROLE_KEYS) and any(key in entry for key in ASKS) and any(key in entry for key in REPLIES)


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
    entries = turn_list(value)
    if not isinstance(entries, list):
        raise RowFault("not_a_list", f"'{field}' holds {kind(value)} where a list of turns belongs")
    names = roles or ROLE_OF
    if spelling is None and (plain := _plain_turns(entries, names)) is not None:
        return Chat(plain, None)
    if spelling is None and any(map(is_item, entries)):
        entries = as_turns(entries)
    entries = [entry if type(entry) is dict and len(entry) > 1 else as_turn(entry, names) for entry in entries]
    entries = pairs(entries) or entries
    messages: list[Message] = []
    tools: Json | None = None
    texts = bool(entries) and all(isinstance(entry, str) for entry in entries)
    by_channel = False
    for number, entry in enumerate(entries, 1):
        where = f"turn {number} of '{field}'"
        if texts:
            messages.append(Message("user" if number % 2 else "assistant", str(entry)))
            continue
        if not isinstance(entry, Mapping):
            raise RowFault("not_an_object", f"{where} is {kind(entry)}")
        entry = _of_thinker(entry, names, spelling or Turns())
        try:
            entry_turns = _turns_of(entry, where, roles, spelling or Turns())
        except UnknownRole as fault:
            fault.roles = tuple(dict.fromkeys([*fault.roles, *_unknown(entries[number:], roles, spelling or Turns())]))
            raise
        messages.extend(entry_turns.messages)
        by_channel = by_channel or entry.get("channel") == ANALYSIS
        tools = tools or entry_turns.tools
    return Chat(_with_analysis(messages) if by_channel else messages, tools)


def _of_thinker(turn: Fields, names: Mapping[str, str], spelling: Turns) -> Fields:
    """A turn whose role is to think as Harmony has it: one of the model in the channel of reasoning. Any other as it is."""
    key = spelling.role or next((key for key in ROLE_KEYS if key in turn), None)
    who = None if key is None else turn.get(key)
    if key is None or not isinstance(who, str) or who in names or spelled(who) not in THINKERS or spelled(who) in names:
        return turn
    return {**turn, key: "assistant", "channel": ANALYSIS}


def _plain_turns(entries: list[Any], names: Mapping[str, str]) -> list[Message] | None:
    """The turns of a list of objects with a role and a text each and nothing else, which most lists are; None of any other."""
    messages: list[Message] = []
    for entry in entries:
        if type(entry) is not dict or len(entry) != 2:
            return None
        named, content = entry.get("role"), entry.get("content")
        if type(named) is not str or type(content) is not str:
            return None
        who = names.get(named, CALL)
        if who == CALL:
            return None
        messages.append(Message(who, content))
    return messages


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
    return [value[:40] for value in values if value not in names and spelled(value) not in {*names, *THINKERS}]


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
        if isinstance(kind_of := turn.get("type"), str):
            raise RowFault("missing_field", f"{where} has no role, and what it is by its type is not read: {kind_of[:40]!r}")
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
    if isinstance(content, list) and not all(isinstance(part, str) for part in content):
        content = typed_parts(content, of_tool=who == "tool")
        turn = {**turn, text_key: content}
    elif isinstance(content, dict) and who != "tool" and (of_key := typed_parts([content])) != [content]:
        content = of_key
        turn = {**turn, text_key: content}
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
    structure = structure_of(content)
    if structure is not None:
        content = structure
    elif isinstance(content, dict):
        content = [content]
    if isinstance(content, list):
        texts, thoughts, _ = _parts(content, where)
        content = "\n".join(texts)
        if thoughts:
            raise RowFault("not_text", f"{where} has a result with reasoning in it")
    if not isinstance(content, str | None):
        raise RowFault("not_text", f"{where} has a result that is {kind(content)}")
    answered_call = optional(part, "tool_use_id", where) or _call_id(turn, where)
    parts = tuple(texts) if len(texts) > 1 else ()
    weight = weight_of(turn, where, is_answer=False)
    return Message("tool", content or "", (), answered_call, optional(part, "name", where), None, weight, parts, structure is not None)


def _call_id(turn: Fields, where: str) -> str | None:
    """Of a result: the id of the call."""
    return next((text for key in RESULT_IDS if (text := optional(turn, key, where)) is not None), None)


def _turn(turn: Fields, who: str, text_key: str, where: str) -> Message:
    content = turn.get(text_key)
    if isinstance(content, str) and len(turn) == 2 and who != CALL:
        return Message(who, content)
    if any(turn.get(name) for name in MEDIA):
        raise RowFault("not_text", f"{where} holds images, sound or video")
    parts: tuple[str, ...] = ()
    calls: list[ToolCall] = []
    reasoning = reasoning_of(turn, where)
    weight = weight_of(turn, where, is_answer=who in ANSWERS or who == CALL)
    content = _without_thought(content, reasoning)
    structure = structure_of(content) if who == "tool" else None
    if structure is not None:
        content = structure
    if isinstance(content, dict) and who != CALL:
        content = [content]
    if isinstance(content, list) and who != CALL:
        of_parts = weight_of_parts(content, where) if who in ANSWERS else None
        weight = of_parts if weight is None else weight
        texts, thoughts, calls = _parts(content, where, with_calls=who in ANSWERS)
        content = "\n".join(texts)
        parts = tuple(texts) if len(texts) > 1 else ()
        reasoning = reasoning if reasoning is not None else "\n".join(thoughts) if thoughts else None
    else:
        _check_one_text(turn, text_key, where)
    # LangChain's turns have their calls twice, in the parts and beside them.
    in_parts = [call.id or call.canonical for call in calls]
    calls += [call for key in CALLS for call in calls_of(turn.get(key), where) if (call.id or call.canonical) not in in_parts]
    if who == CALL:
        # ShareGPT's turn that is a call: its text is the JSON of one call, or of several.
        calls = [*calls_of(content, where), *calls]
        if not calls:
            raise RowFault("bad_tool_call", f"{where} is a call, and its text is no JSON with a name")
        who, content = "assistant", ""
    if content is None and (calls or reasoning is not None or text_key in turn):
        content = ""
    if not isinstance(content, str):
        raise RowFault("missing_field" if content is None else "not_text", f"{where} has {kind(content)} for '{text_key}'")
    name, answered_call = optional(turn, "name", where), _call_id(turn, where)
    message = Message(who, content, tuple(calls), answered_call, name, reasoning, weight, parts, structure is not None)
    return _in_channel(message, turn) if "channel" in turn or "recipient" in turn else message


def _check_one_text(turn: Fields, text_key: str, where: str) -> None:
    """Refuse a turn that has one text under a name and another under another."""
    content = turn.get(text_key)
    for key in TEXT_KEYS[:3]:
        if key != text_key and isinstance(other := turn.get(key), str) and isinstance(content, str) and other and other != content:
            raise RowFault("two_texts", f"{where} has one text for '{text_key}' and another for '{key}'")


def is_channel(value: Any) -> bool:
    """Whether a value is one of Harmony's channels."""
    return isinstance(value, str) and value in CHANNELS


def _in_channel(message: Message, turn: Fields) -> Message:
    """A turn of Harmony's channels: analysis is reasoning, and what is sent to a tool is a call of it."""
    channel, recipient = turn.get("channel"), turn.get("recipient")
    if channel is not None and not is_channel(channel):
        return message
    if message.role == "tool" and message.name is not None:
        return replace(message, name=message.name.removeprefix(TOOL_PREFIX))
    if message.role not in ANSWERS:
        return message
    if isinstance(recipient, str) and recipient not in EVERYBODY:
        call = ToolCall(recipient.removeprefix(TOOL_PREFIX), Json.of(message.content))
        return replace(message, content="", parts=(), tool_calls=(*message.tool_calls, call))
    if channel == ANALYSIS and message.reasoning is None and not message.tool_calls:
        return replace(message, content="", parts=(), reasoning=message.content)
    return message


def _with_analysis(messages: Sequence[Message]) -> list[Message]:
    """Turns of which those that are reasoning alone are part of the next one that the model wrote."""
    joined: list[Message] = []
    for message in messages:
        before = joined[-1] if joined else None
        is_thought = before is not None and before.role in ANSWERS and not (before.content or before.tool_calls)
        if before is None or not is_thought or message.role not in ANSWERS or before.weight != message.weight:
            joined.append(message)
            continue
        reasoning = "\n".join(text for text in (before.reasoning, message.reasoning) if text)
        joined[-1] = replace(message, reasoning=reasoning)
    return joined


def _parts(parts: list[Any], where: str, *, with_calls: bool = False) -> tuple[list[str], list[str], list[ToolCall]]:
    """The texts of a content in parts, and the reasoning and the calls among them."""
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[ToolCall] = []
    for part in parts:
        form = part.get("type", "text") if isinstance(part, dict) else None
        thought = thought_of({key: held for key, held in part.items() if key != "type"}) if form in THOUGHTS else None
        if form == USE and with_calls:
            # As other pools spell a call, which is how templates and trainers take it.
            calls.append(replace(call_of(part, where), kind="function", flat=False))
            continue
        if isinstance(part, str):
            target, text = texts, part
        elif thought is not None:
            target, text = thoughts, thought
        elif form in TEXTS and isinstance(part, dict) and isinstance(part.get("text"), str):
            target, text = texts, part["text"]
        elif form == REFUSAL and with_calls and isinstance(part.get(REFUSAL), str):
            target, text = texts, part[REFUSAL]
        else:
            wrong = (part.get("type") if isinstance(part, dict) else None) or kind(part)
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
    "PART_FIELDS",
    "PART_KINDS",
    "ROLE_OF",
    "TURN_FIELDS",
    "UnknownRole",
    "chat",
    "is_channel",
    "is_chat",
    "is_exchange",
    "is_texts",
    "is_turn",
    "role",
    "with_roles",
]
