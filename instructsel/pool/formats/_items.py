"""Items of OpenAI's Responses API: calls, their results and reasoning have a type where a turn has a role."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

CALLS: Final = ("function_call", "custom_tool_call")
RESULTS: Final = ("function_call_output", "custom_tool_call_output")
REASONING: Final = "reasoning"
TYPES: Final = frozenset({*CALLS, *RESULTS, REASONING})
"""Types of items that are read, beside messages, which have a role."""
FIELDS: Final = frozenset({"type", "call_id", "name", "arguments", "input", "output", "summary", "content"})
"""Fields of items that are read."""


def is_item(entry: Any) -> bool:
    """Whether an entry of a list of turns is such an item.

    >>> is_item({"type": "function_call", "name": "get_tide", "arguments": "{}"}), is_item({"type": "message", "role": "user"})
    (True, False)
    """
    return isinstance(entry, Mapping) and entry.get("role") is None and isinstance(entry.get("type"), str) and entry["type"] in TYPES


def as_turns(entries: Sequence[Any]) -> list[Any]:
    """A list with items as turns: what the model thought before it wrote or called is in that turn, and so are calls behind its text."""
    turns: list[Any] = []
    thoughts: list[Any] = []
    for entry in entries:
        kind = entry["type"] if is_item(entry) else None
        is_own = kind in CALLS or (kind is None and isinstance(entry, Mapping) and entry.get("role") == "assistant")
        if kind == REASONING:
            thoughts += [part for name in ("summary", "content") for part in _listed(entry.get(name))]
            continue
        if thoughts and not is_own:
            turns.append({"role": "assistant", "content": None, "reasoning": thoughts})
            thoughts = []
        thinking = {"reasoning": thoughts} if thoughts else {}
        if kind in CALLS:
            last = turns[-1] if turns and not thoughts else None
            if not isinstance(last, Mapping) or last.get("role") != "assistant":
                turns.append(last := {"role": "assistant", "content": None, **thinking})
            turns[-1] = {**last, "tool_calls": [*_listed(last.get("tool_calls")), _call(entry)]}
        elif kind in RESULTS:
            turns.append({"role": "tool", "content": entry.get("output"), "tool_call_id": entry.get("call_id"), "name": entry.get("name")})
        else:
            turns.append({**entry, **thinking} if thinking else entry)
        thoughts = []
    if thoughts:
        turns.append({"role": "assistant", "content": None, "reasoning": thoughts})
    return turns


def _call(item: Mapping[str, Any]) -> dict[str, Any]:
    arguments = item.get("arguments") if item["type"] == CALLS[0] else item.get("input")
    return {"id": item.get("call_id"), "type": "function", "function": {"name": item.get("name"), "arguments": arguments}}


def _listed(value: Any) -> list[Any]:
    """The entries of a list; another value, where there is one, as the only entry."""
    return value if isinstance(value, list) else [] if value is None else [value]


__all__ = ["FIELDS", "TYPES", "as_turns", "is_item"]
