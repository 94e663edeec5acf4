"""Calls that do not fit the tool they name."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change, ChangedRow
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.turns.json_schema import misfits
from instructsel.gates.turns.tools import CallMade, Declared, declared, exchanges, has_tools, mentions
from instructsel.text import neutral


@dataclass(frozen=True)
class ToolArguments(RowCheck):
    """Calls of tools that there are not, or with arguments that the tool does not take."""

    number: ClassVar[str] = "IS061"
    kind: ClassVar[str] = "tool-arguments"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "OpenAI's function calling; the schema that the row itself gives"
    fix: ClassVar[str] = "Mend the call or the tool, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Each argument of a call that does not fit."""
        for row in change.rows:
            if not has_tools(row.example):
                continue
            known = declared(row.example)
            for one in exchanges(row.example).calls:
                for number, message in enumerate(_faults(one, known, row)):
                    words = f"In turn {one.turn} {message}"
                    yield Hit(row.position, words, evidence=one.call.text, key=f"{one.turn} {one.number} {number}")


def _faults(one: CallMade, known: Declared, row: ChangedRow) -> Iterator[str]:
    call = one.call
    name = neutral(call.name, 60)
    if not one.is_json:
        yield f"a call is no JSON with a name: {name}."
        return
    if call.name not in known.schemas:
        if known.is_known and known.schemas:
            close = difflib.get_close_matches(call.name, known.schemas, n=1)
            hint = f"; {neutral(close[0], 60)} is one" if close else ""
            yield f"{name} is called, which is no tool of the row{hint}."
        elif known.is_known or (not known.faults and not mentions(row.example.messages[: one.turn - 1], call.name)):
            yield f"{name} is called, and the row has no tools."
    value = {} if call.arguments is None else call.arguments.value
    if not isinstance(value, dict):
        kind = "no JSON" if isinstance(value, str) else "no JSON object"
        if value not in ("", None, []) or _is_asked(known, call.name):
            yield f"the arguments of {name} are {kind}."
        return
    yield from misfits(value, known.schemas.get(call.name), name)


def _is_asked(known: Declared, name: str) -> bool:
    """Whether a tool asks for an argument."""
    schema = known.schemas.get(name)
    return isinstance(schema, dict) and bool(schema.get("required"))


__all__ = ["ToolArguments"]
