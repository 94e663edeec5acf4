"""Any fields at all, named by the user: `--map instruction=QUESTION,response=ANSWER`, or `--map messages=chat[].turns,role=who,content=said`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Final, Self

from instructsel.errors import UsageError
from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, Turns, answered, listed, text
from instructsel.pool.formats._beside import after, thought_through, under
from instructsel.pool.formats._layouts import turn_list
from instructsel.pool.formats._thoughts import reasoning_of
from instructsel.pool.formats._turns import TURN_FIELDS, chat
from instructsel.pool.lines import RowFault
from instructsel.pool.message import Json

ONE_TURN: Final = ("instruction", "input", "response", "reasoning", "history")
"""Parts of an example of one turn."""
LIST: Final = ("messages", "role", "content", "user", "assistant")
"""Parts of one whose turns stand in a list."""
BOTH: Final = ("system", "context", "options", "tools")
PARTS: Final = (*ONE_TURN, *LIST, *BOTH)
STEP: Final = re.compile(r"([^.\[\]]+)((?:\[\])?)(?:\.|$)")


@dataclass(frozen=True)
class Mapped(Format):
    """A field of the row for each part of an example.

    A field may be a path: `a.b` is the field b of the object a; `a[]` is each entry of the list a, or each value of the object a.
    """

    columns: tuple[tuple[str, str], ...]
    """(part, field) pairs; the parts are those of PARTS."""

    name: ClassVar[str] = "mapped"
    precedence: ClassVar[int] = 0
    fields: ClassVar[tuple[str, ...]] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `instruction=question,response=answer`, or `messages=chat[].turns,role=who,content=said`.

        Raises:
            UsageError: a part that there is not, no instruction or no response, or a list and single fields at once.
        """
        pairs = tuple((part.strip(), column.strip()) for part, _, column in (pair.partition("=") for pair in text.split(",")))
        parts = [part for part, _ in pairs]
        for part, column in pairs:
            if part not in PARTS or not column:
                raise UsageError.named(part, PARTS, noun="part of an example")
            if not _is_path(column):
                raise UsageError(f"--map {part}={column} is no field and no path.", fix="For example: messages=chat[].turns")
        if len(set(parts)) != len(parts):
            raise UsageError(f"--map {text} names a part twice.", fix="Write --map instruction=FIELD,response=FIELD")
        if "messages" in parts:
            _check_list(text, set(parts))
        elif not {"instruction", "response"} <= set(parts) or set(parts) & set(LIST):
            raise UsageError(
                f"--map {text} does not name an instruction and a response once each.",
                fix="Write --map instruction=FIELD,response=FIELD, or --map messages=FIELD,role=KEY,content=KEY for a list of turns.",
            )
        return cls(pairs)

    @cached_property
    def of(self) -> dict[str, str]:
        """Part → field."""
        return dict(self.columns)

    def fits(self, row: Fields) -> str | None:
        """The fields of the instruction and the response are there, or that of the list of turns."""
        needed = ["messages"] if "messages" in self.of else ["instruction", "response"]
        return "as --map says" if all(_at(row, self.of[part]) is not _ABSENT for part in needed) else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn, or the turns of the list."""
        if "messages" in self.of:
            return self._of_list(row)
        one = {part: value for part, field in self.of.items() if part in ONE_TURN and (value := _at(row, field)) is not _ABSENT}
        names = {self.of[part]: value for part, value in one.items()}
        one_turn = conversation(
            text(names, self.of["instruction"]),
            text(names, self.of["response"]),
            context=text(names, self.of["input"], optional=True) if "input" in one else "",
        )
        thoughts = reasoning_of(names, "the row", [self.of["reasoning"]]) if "reasoning" in one else None
        read = [self._beside(one_turn, row, thoughts)]
        return after(read, earlier, self.of["history"], self.roles) if (earlier := one.get("history")) else read

    def read(self) -> frozenset[str]:
        """The fields of a row that it reads."""
        return frozenset(name for part, field in self.columns if part not in LIST[1:] for name in (field, STEP.findall(field)[0][0]))

    def turns_of(self, row: Fields) -> tuple[frozenset[str], list[Fields]]:
        """The fields of turns that it reads, and the turns of a row; none where it names no list."""
        if "messages" not in self.of:
            return frozenset(), []
        value = _at(row, self.of["messages"])
        turns = _joined(value) if "[]" in self.of["messages"] else turn_list(value)
        known = TURN_FIELDS.union(self.of[part] for part in LIST[1:] if part in self.of)
        return known, [turn for turn in turns if isinstance(turn, Mapping)] if isinstance(turns, list) else []

    def _of_list(self, row: Fields) -> list[Conversation]:
        field = self.of["messages"]
        value = _at(row, field)
        if value is _ABSENT:
            raise RowFault("missing_field", f"no '{field}'")
        spelling = Turns(*(self.of.get(part) for part in LIST[1:]))
        messages, tools = chat(_joined(value) if "[]" in field else value, field=field, roles=self.roles, spelling=spelling)
        conversations, thoughts = [Conversation(tuple(messages), tools)], None
        if "reasoning" in self.of and (reasoning := _at(row, self.of["reasoning"])) is not _ABSENT:
            conversations, left = thought_through(conversations, {self.of["reasoning"]: reasoning})
            thoughts = reasoning_of(left, "the row", [self.of["reasoning"]])
        return answered(self._beside(conversations[0], row, thoughts))

    def _beside(self, conversation_of_row: Conversation, row: Fields, thoughts: str | None) -> Conversation:
        values = {part: value for part in BOTH if part in self.of and (value := _at(row, self.of[part])) is not _ABSENT}
        if not values and thoughts is None:
            return conversation_of_row
        tools = values.pop("tools", None)
        (read,) = under([conversation_of_row], {part: {self.of[part]: value} for part, value in values.items()}, thoughts)
        return read if tools is None or read.tools is not None or not tools else Conversation(read.messages, Json.of(tools))


_ABSENT: Final = object()


def _is_path(field: str) -> bool:
    return "".join(step.group() for step in STEP.finditer(field)) == field and not field.endswith(".")


def _at(row: Any, field: str) -> Any:
    """The value at a path, _ABSENT where there is none; a field that has the very name of the path comes first."""
    if isinstance(row, Mapping) and field in row:
        return row[field]
    values = [row]
    several = False
    for name, entries_of in STEP.findall(field):
        values = [value[name] for value in values if isinstance(value, Mapping) and name in value]
        if entries_of:
            several = True
            entries = [listed(value) for value in values]
            values = [
                entry
                for value in entries
                for entry in (value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value])
            ]
    if several:
        return values
    return values[0] if values else _ABSENT


def _joined(values: Any) -> Any:
    """The turns of a path with several lists at its end, in one."""
    if not isinstance(values, list):
        return values
    turns: list[Any] = []
    for value in map(listed, values):
        turns.extend(value if isinstance(value, list) else [value])
    return turns


def _check_list(text: str, parts: set[str]) -> None:
    if wrong := sorted(parts & set(ONE_TURN) - {"reasoning"}):
        raise UsageError(
            f"--map {text} names a list of turns and {', '.join(wrong)}.", fix="Write --map messages=FIELD,role=KEY,content=KEY"
        )
    exchange, turn = parts & {"user", "assistant"}, parts & {"role", "content"}
    if (exchange and turn) or len(exchange) == 1 or len(turn) == 1:
        raise UsageError(
            f"--map {text} does not name what a turn is made of.",
            fix="Write --map messages=FIELD,role=KEY,content=KEY, or messages=FIELD,user=KEY,assistant=KEY where an entry holds both texts.",
        )


__all__ = ["PARTS", "Mapped"]
