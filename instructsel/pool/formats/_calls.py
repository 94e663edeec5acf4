"""The calls of a turn, in the spellings of public pools."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.pool.formats._base import kind
from instructsel.pool.formats._python_calls import python_calls
from instructsel.pool.json_text import parsed
from instructsel.pool.lines import RowFault
from instructsel.pool.message import Json, ToolCall

CALLS: Final = ("tool_calls", "function_call", "function_calls")
"""Names of the calls of a turn."""
FUNCTIONS: Final = ("function", "functionCall", "function_call", "tool")
"""Names of the object in a call that has name and arguments."""
NAMES: Final = ("name", "function", "function_name", "tool_name", "tool", "action")
"""Names of the name of a tool in a call."""
ARGUMENTS: Final = ("arguments", "parameters", "input", "args", "kwargs", "tool_input", "action_input")
"""Names of the arguments of a call."""
IDS: Final = ("id", "call_id", "tool_call_id", "tool_use_id")
"""Names of the id of a call."""
CALL_FIELDS: Final = frozenset({*FUNCTIONS, *NAMES, *ARGUMENTS, *IDS, "type"})
"""Fields of a call that are read."""


def calls_of(value: Any, where: str) -> list[ToolCall]:
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
    return [call_of(_of_text(call), where) for call in (value if isinstance(value, list) else [value])]


def call_of(value: Any, where: str) -> ToolCall:
    """A call: an object with name and arguments, or with an object that has them."""
    held = next((value[key] for key in FUNCTIONS if isinstance(value.get(key), dict)), None) if isinstance(value, dict) else None
    flat = isinstance(value, dict) and held is None
    function = value if flat else held
    name = next((function[key] for key in NAMES if isinstance(function.get(key), str) and function[key]), None) if function else None
    if function is None or name is None:
        raise RowFault("bad_tool_call", f"{where} has a call without a name")
    # Where null stands for what is not there, the first of the names that has a value counts.
    arguments = next((function[key] for key in ARGUMENTS if function.get(key) is not None), None)
    kind_of = value.get("type")
    return ToolCall(
        name,
        None if arguments is None else Json.of(arguments),
        next((text for key in IDS if (text := optional(value, key, where)) is not None), None),
        kind_of if isinstance(kind_of, str) else None,
        flat,
    )


def optional(fields: Mapping[str, Any], key: str, where: str) -> str | None:
    """A text, or a whole number as a text; None for null and for an empty text."""
    value = fields.get(key)
    if value is None or isinstance(value, str):
        return value or None
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise RowFault("not_text", f"{where} has {kind(value)} for '{key}'")


def _of_text(call: Any) -> Any:
    """A call that a list of texts holds as its JSON, as the structure."""
    if not isinstance(call, str) or call.lstrip()[:1] != "{":
        return call
    try:
        return parsed(call)
    except ValueError:
        return call


def _calls_of_lines(text: str) -> list[Any] | None:
    """Calls of which each line is the JSON of one."""
    try:
        return [parsed(line) for line in text.splitlines() if line.strip()]
    except ValueError:
        return None


__all__ = ["CALLS", "CALL_FIELDS", "FUNCTIONS", "IDS", "call_of", "calls_of", "optional"]
