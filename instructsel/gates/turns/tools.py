"""The tools of a row, the calls that its turns make, and the results that answer them.

Tools stand in a field of the row, or between <tools> and </tools> in its system text; calls in a field of a turn, or between <tool_call> and
</tool_call> in its text, as Hermes, Qwen and Glaive write them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from instructsel.gates.turns.json_schema import faults
from instructsel.pool.example import Example
from instructsel.pool.json_text import parsed
from instructsel.pool.message import Json, Message, ToolCall
from instructsel.shapes import shown
from instructsel.text import neutral

NAME: Final = re.compile(r"[A-Za-z0-9_.:/-]{1,64}")
"""OpenAI's names, with the dots and slashes of name spaces."""
SCHEMAS: Final = ("parameters", "input_schema", "inputSchema")
"""Names of the schema of the arguments: OpenAI's, Anthropic's, MCP's."""
TOOLS_TEXT: Final = re.compile(r"<tools>(.*?)</tools>", re.DOTALL)
CALL_TEXT: Final = re.compile(r"<(?P<name>tool_call|functioncall)>\s*(?P<body>.*?)\s*(?:</(?P=name)>|\Z)", re.DOTALL)
CALL_HINTS: Final = (
    "<tool_call",
    "<functioncall",
    "<function=",
    "<function_call",
    "[TOOL_CALLS]",
    "<|python_tag|>",
    "tool_code",
    "Action:",
    '{"name"',
)
"""What stands in a text that calls in a form of its own."""


@dataclass(frozen=True)
class ToolFault:
    """What is wrong with a tool."""

    key: str
    message: str


@dataclass(frozen=True)
class Declared:
    """The tools of a row."""

    schemas: Mapping[str, Any] = field(default_factory=dict)
    """Name → the schema of its arguments; None where it has none."""
    faults: tuple[ToolFault, ...] = ()
    is_known: bool = False
    """Whether the row says which tools there are."""


@dataclass(eq=False)
class CallMade:
    """A call that a turn makes."""

    turn: int
    """From 1."""
    number: int
    """In its turn, from 1."""
    call: ToolCall
    is_json: bool = True
    """Whether a call in a text is JSON."""
    result: str | None = None
    """What answers it; None where nothing does."""


@dataclass(frozen=True)
class Mismatch:
    """A call and a result that do not belong together."""

    kind: str
    """unanswered, unasked, unknown-id, repeated-id, other-tool."""
    turn: int
    message: str


@dataclass
class Exchanges:
    """The calls of a conversation in order, with their results."""

    calls: list[CallMade] = field(default_factory=list)
    mismatches: list[Mismatch] = field(default_factory=list)


def has_tools(example: Example) -> bool:
    """Whether a row has tools, calls, or results; most have none."""
    if example.tools is not None:
        return True
    return any(
        turn.role == "tool"
        or turn.tool_calls
        or (turn.role == "assistant" and ("<tool_call>" in turn.content or "<functioncall>" in turn.content))
        for turn in example.messages
    )


def declared(example: Example) -> Declared:
    """The tools of a row, with what is wrong with them."""
    if example.tools is not None:
        return _declared(example.tools.value)
    listed: list[Any] = []
    for turn in example.messages:
        if turn.role in ("system", "developer"):
            for match in TOOLS_TEXT.finditer(turn.content):
                listed += _in_text(match[1])
    return _declared(listed) if listed else Declared()


def _in_text(text: str) -> list[Any]:
    """The tools of a system text: a JSON list, or JSON a line; none where it is neither."""
    try:
        value = parsed(text)
        return value if isinstance(value, list) else [value]
    except ValueError:
        pass
    try:
        return [parsed(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return []


def _declared(value: Any) -> Declared:
    if not isinstance(value, list):
        return Declared(faults=(ToolFault("tools", f"tools is {shown(value)}; a list of objects is expected."),))
    schemas: dict[str, Any] = {}
    wrong: list[ToolFault] = []
    for number, entry in enumerate(value, 1):
        name, schema, messages = _tool(entry, f"tool {number}")
        if name is not None and name in schemas:
            messages = [*messages, f"tool {number} is called {neutral(name)}, as one before it."]
        wrong += [ToolFault(f"{number} {position}", message) for position, message in enumerate(messages)]
        if name is not None:
            schemas.setdefault(name, schema)
    return Declared(schemas, tuple(wrong), True)


def _tool(entry: Any, place: str) -> tuple[str | None, Any, list[str]]:
    """Name and schema of a tool, and what is wrong with it."""
    if not isinstance(entry, dict):
        return None, None, [f"{place} is {shown(entry)}; an object with name and parameters is expected."]
    wrong: list[str] = []
    function = entry
    if "function" in entry:
        function = entry["function"]
        if not isinstance(function, dict):
            return None, None, [f"{place}.function is {shown(function)}; an object with name and parameters is expected."]
        if entry.get("type", "function") != "function":
            wrong.append(f'{place}.type is {shown(entry["type"])}; "function" is expected.')
    name = function.get("name")
    if not isinstance(name, str) or not name:
        wrong.append(f"{place} has {'no name' if name in (None, '') else f'the name {shown(name)}'}; a text is expected.")
        name = None
    elif not NAME.fullmatch(name):
        wrong.append(f"{place} is called {neutral(name)}; a name is of 1 to 64 letters, figures, _ and -.")
    if function.get("description") is not None and not isinstance(function["description"], str):
        wrong.append(f"{place}.description is {shown(function['description'])}; a text is expected.")
    key = next((key for key in SCHEMAS if function.get(key) is not None), None)
    schema = None if key is None else _as_schema(function[key])
    if key is not None:
        wrong += [f"{place}: {message}" for message in _schema_faults(schema, key)]
    return name, schema, wrong


def _schema_faults(schema: Any, key: str) -> Iterator[str]:
    if isinstance(schema, dict) and "type" in schema and schema["type"] != "object":
        yield f'{key}.type is {shown(schema["type"])}; "object" is expected.'
    elif isinstance(schema, bool):
        yield f"{key} is {shown(schema)}; a JSON schema, which is an object, is expected."
    else:
        yield from faults(schema, key)


def _as_schema(value: Any) -> Any:
    """A schema as it is; of arguments by name, as xLAM's pools describe tools, the schema that they mean."""
    if (
        not isinstance(value, dict)
        or not value
        or {"type", "properties", "$ref", "anyOf", "oneOf", "allOf"} & value.keys() - _inner_names(value)
    ):
        return value
    if not all(isinstance(entry, dict) and ("type" in entry or "description" in entry) for entry in value.values()):
        return value
    properties, required = {}, []
    for name, entry in value.items():
        stated = str(entry.get("type", ""))
        properties[name] = {key: part for key, part in entry.items() if key in ("description", "enum")}
        if "optional" not in stated and "default" not in entry and entry.get("required") is not False:
            required.append(name)
        word = WORDS.get(stated.partition(",")[0].strip().lower())
        if word is not None:
            properties[name]["type"] = word
    return {"type": "object", "properties": properties, "required": required}


WORDS: Final = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "list": "array", "dict": "object"} | {
    name: name for name in ("string", "integer", "number", "boolean", "array", "object")
}
"""Python's names of types, and JSON Schema's."""


def _inner_names(value: Mapping[str, Any]) -> set[str]:
    """Of keywords those that are arguments: an argument called `type` is an object with a type of its own."""
    return {key for key in ("type", "properties") if isinstance(value.get(key), dict) and isinstance(value[key].get("type"), str)}


def calls_of(turn: Message) -> list[tuple[ToolCall, bool]]:
    """The calls of a turn, each with whether it is JSON: those of its field, or else those of its text."""
    if turn.tool_calls:
        return [(call, True) for call in turn.tool_calls]
    if turn.role != "assistant" or ("<tool_call>" not in turn.content and "<functioncall>" not in turn.content):
        return []
    return [_call(match["body"]) for match in CALL_TEXT.finditer(turn.content)]


def _call(body: str) -> tuple[ToolCall, bool]:
    # Glaive writes the arguments of a call as a text between single quotes.
    text = re.sub(r"\"arguments\":\s*'(.*)'\s*\}\s*$", r'"arguments": \1}', body, flags=re.DOTALL)
    try:
        value = parsed(text)
    except ValueError:
        return ToolCall(neutral(body, 40)), False
    name = value.get("name") if isinstance(value, dict) else None
    if not isinstance(name, str):
        return ToolCall(neutral(body, 40)), False
    arguments = value.get("arguments", value.get("parameters"))
    return ToolCall(name, None if arguments is None else Json.of(arguments)), True


def exchanges(example: Example) -> Exchanges:
    """The calls of a row with their results: by id where both have one, else in order."""
    walk = _Walk()
    for number, turn in enumerate(example.messages, 1):
        walk.add(number, turn)
    return walk.seen


@dataclass
class _Walk:
    seen: Exchanges = field(default_factory=Exchanges)
    pending: list[CallMade] = field(default_factory=list)
    """Calls that nothing answered yet."""
    batch: int = 0
    """Results since the last call."""
    is_free: bool = False
    """Whether the last turn of the model calls in a form of its own."""
    ids: dict[str, CallMade] = field(default_factory=dict)

    def add(self, number: int, turn: Message) -> None:
        """The next turn."""
        if turn.role == "tool":
            self._answer(number, turn)
            return
        calls = [CallMade(number, place, call, is_json) for place, (call, is_json) in enumerate(calls_of(turn), 1)]
        # Several turns with a call each are calls side by side, as ShareGPT writes them, until a result comes.
        if self.batch or not calls or turn.role != "assistant":
            self._give_up()
        self.batch = 0
        self.is_free = turn.role == "assistant" and not calls and any(hint in turn.content for hint in CALL_HINTS)
        for call in calls:
            name = call.call.id
            if name is not None and name in self.ids:
                self._mismatch(
                    "repeated-id", number, f"Turn {number} calls {_named(call)} with the id {neutral(name)}, which another call has."
                )
            if name is not None:
                self.ids[name] = call
        self.pending += calls
        self.seen.calls += calls

    def _give_up(self) -> None:
        """The conversation goes on: what is pending is unanswered; one result may answer several calls that have no ids."""
        if not (self.batch == 1 and all(call.call.id is None for call in self.pending)):
            for call in self.pending:
                self._mismatch(
                    "unanswered", call.turn, f"Turn {call.turn} calls {_named(call)}, and the conversation goes on without a result."
                )
        self.pending.clear()

    def _answer(self, number: int, turn: Message) -> None:
        self.batch += 1
        if self.is_free:
            return
        call = self._asked(number, turn)
        if call is None:
            return
        self.pending.remove(call)
        call.result = turn.content
        if turn.name is not None and turn.name != call.call.name and call.is_json:
            names = f"the tool {neutral(turn.name)}, and the call is of {_named(call)}"
            self._mismatch("other-tool", number, f"Turn {number} is a result of {names}.")

    def _asked(self, number: int, turn: Message) -> CallMade | None:
        """The call that a result answers."""
        name = turn.tool_call_id
        if name is not None:
            if (call := self.ids.get(name)) in self.pending:
                return call
            if call is not None:
                self._mismatch("unasked", number, f"Turn {number} answers the call {neutral(name)}, which has a result already.")
                return None
            self._mismatch(
                "unknown-id", number, f"Turn {number} is the result of the call {neutral(name)}, and no call before it has that id."
            )
            return self.pending[0] if self.pending else None
        if not self.pending:
            self._mismatch("unasked", number, f"Turn {number} is a result, and no call before it waits for one.")
            return None
        return next((call for call in self.pending if call.call.name == turn.name), self.pending[0])

    def _mismatch(self, kind: str, turn: int, message: str) -> None:
        self.seen.mismatches.append(Mismatch(kind, turn, message))


def _named(call: CallMade) -> str:
    return neutral(call.call.name, 60)


def signature(call: ToolCall) -> str:
    """Name and arguments, the same for the same arguments in another order."""
    value = None if call.arguments is None else call.arguments.value
    return f"{call.name}\0{json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)}"


def mentions(turns: Sequence[Message], name: str) -> bool:
    """Whether a text of these turns has the name of a tool."""
    return any(name in turn.content for turn in turns)


__all__ = [
    "CallMade",
    "Declared",
    "Exchanges",
    "Mismatch",
    "ToolFault",
    "calls_of",
    "declared",
    "exchanges",
    "has_tools",
    "mentions",
    "signature",
]
