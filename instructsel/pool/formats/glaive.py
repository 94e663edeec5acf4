"""Glaive's function calling: a transcript with `USER:`, `ASSISTANT:` and `FUNCTION RESPONSE:`, calls as `<functioncall>`, tools in the system text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered, text
from instructsel.pool.formats._beside import TURN_LISTS
from instructsel.pool.formats._calls import call_of
from instructsel.pool.json_text import nested_too_deeply, parsed
from instructsel.pool.lines import RowFault
from instructsel.pool.message import Json, Message, ToolCall

NAMES: Final = ("chat", "sample")
"""The field of the transcript in the second release, and in the first one, where the system text is part of it."""
ROLES: Final = {"SYSTEM": "system", "USER": "user", "ASSISTANT": "assistant", "FUNCTION RESPONSE": "tool"}
MARK: Final = re.compile(r"^[ \t]*(SYSTEM|USER|ASSISTANT|FUNCTION RESPONSE):", re.MULTILINE)
CALL: Final = "<functioncall>"
END: Final = "<|endoftext|>"
BEFORE: Final = 32
"""Characters before a mark that are looked at."""
QUOTED: Final = re.compile(r"""\{\s*"name"\s*:\s*"(?P<name>[^"\\]+)"\s*,\s*"arguments"\s*:\s*'(?P<arguments>.*)'\s*\}""", re.DOTALL)
"""A call whose arguments are a text between single quotes, as Glaive writes them."""
TOOL: Final = re.compile(r"^[ \t]*[\[{]", re.MULTILINE)


class Glaive(Format):
    """`chat`, a transcript, and `system`; or both in `sample`. Tools that the system text ends in become those of the conversation.
    Source: glaive-function-calling, v2 and v1."""

    name: ClassVar[str] = "glaive"
    precedence: ClassVar[int] = 46
    fields: ClassVar[tuple[str, ...]] = (*NAMES, "system")
    beside: ClassVar[frozenset[str]] = TURN_LISTS - {"system"}

    def fits(self, row: Fields) -> str | None:
        """`chat` or `sample` is a text with the marks of both speakers."""
        name = self._name(row)
        return None if name is None else f"has marks of turns in '{name}'"

    def conversations(self, row: Fields) -> list[Conversation]:
        """The whole transcript."""
        name = self._name(row) or next((name for name in NAMES if name in row), NAMES[0])
        messages = list(turns_of(text(row, name)))
        if given := text(row, "system", optional=True).strip().removeprefix("SYSTEM:").strip():
            if messages and messages[0].role == "system" and messages[0].content != given:
                raise RowFault("two_system_texts", f"the row has a system text and '{name}' begins with another one")
            messages = [Message("system", given), *(messages[1:] if messages and messages[0].role == "system" else messages)]
        tools = None
        if messages and messages[0].role == "system":
            system, tools = without_tools(messages[0].content)
            messages = [Message("system", system), *messages[1:]] if system else messages[1:]
        return answered(Conversation(tuple(messages), tools))

    @staticmethod
    def _name(row: Fields) -> str | None:
        return next(
            (name for name in NAMES if isinstance(value := row.get(name), str) and "USER:" in value and "ASSISTANT:" in value), None
        )


def turns_of(transcript: str) -> Iterator[Message]:
    """The turns of a transcript.

    Raises:
        RowFault: a text stands before the first mark or behind the end of a turn, or a call cannot be read.

    >>> [turn.text for turn in turns_of('USER: Tide?\\n\\n\\nASSISTANT: <functioncall> {"name": "tide", "arguments": \\'{"x": 1}\\'} <|endoftext|>')]
    ['Tide?', 'tide {"x": 1}']
    """
    marks = list(_marks(transcript))
    if transcript[: marks[0].start() if marks else None].strip():
        raise RowFault("bad_transcript", "a text stands before the first mark of a turn")
    ends = [mark.start() for mark in marks[1:]] + [len(transcript)] * bool(marks)
    for number, (mark, end) in enumerate(zip(marks, ends, strict=True), 1):
        where, content = f"turn {number} of the transcript", transcript[mark.end() : end].strip().removesuffix(END).strip()
        if END in content:
            raise RowFault("bad_transcript", f"{where} goes on behind its end")
        who = ROLES[mark[1]]
        if who != "assistant" or CALL not in content:
            if content or end < len(transcript):
                yield Message(who, content)
            continue
        said, *calls = content.split(CALL)
        yield Message(who, said.strip(), tuple(_call(call.strip(), where) for call in calls))


def _marks(transcript: str) -> Iterator[re.Match[str]]:
    """The marks of turns: where turns are set apart by blank lines, only those behind such, or behind the end of a turn."""
    is_apart = "\n\n\n" in transcript.replace("\r", "")
    for mark in MARK.finditer(transcript):
        before = transcript[max(0, mark.start() - BEFORE) : mark.start()]
        if not is_apart or not before.strip() or before.replace("\r", "").endswith("\n\n\n") or before.rstrip().endswith(END):
            yield mark


def _call(body: str, where: str) -> ToolCall:
    value: Any = None
    try:
        value = parsed(body)
    except ValueError:
        if quoted := QUOTED.fullmatch(body):
            value = {"name": quoted["name"], "arguments": quoted["arguments"].replace("\\'", "'")}
    if not isinstance(value, dict):
        raise RowFault("bad_tool_call", f"{where} has a call that is no JSON, or a text behind it")
    return call_of(value, where)


def without_tools(system: str) -> tuple[str, Json | None]:
    """A system text without the descriptions of tools that it ends in, and these as a list; the text as it is where it ends in anything else.

    >>> without_tools('Use them if required -\\n{"name": "get_tide"}')
    ('Use them if required -', Json(text='[{"name":"get_tide"}]', is_text=False))
    """
    begin = TOOL.search(system)
    if begin is None or nested_too_deeply(system):
        return system, None
    tools: list[Any] = []
    place = begin.start()
    while system[place:].strip(" \t\r\n,"):
        place += len(system[place:]) - len(system[place:].lstrip(" \t\r\n,"))
        try:
            end = json.JSONDecoder(parse_int=str).raw_decode(system, place)[1]
            value = parsed(system[place:end])
        except (ValueError, RecursionError):
            return system, None
        tools += value if isinstance(value, list) else [value]
        place = end
    if not tools or not all(isinstance(tool, dict) and (tool.keys() & {"name", "function"}) for tool in tools):
        return system, None
    return system[: begin.start()].strip(), Json.of(tools)
