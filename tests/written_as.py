"""The same conversation as the rows of other formats, written by their documentation and not by an export."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

Row = dict[str, Any]
TAGS: Final = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}


def as_openai(row: Row) -> Row | None:
    """OpenAI's: arguments are JSON texts, weights are 0 and 1; nothing but its fields."""
    turns: list[Row] = []
    for turn in row["messages"]:
        turn = dict(turn)
        if turn.get("weight", 0) not in (0, 1) or ("weight" in turn and turn["role"] != "assistant"):
            return None
        if "tool_calls" in turn:
            calls = [
                {"type": "function", **({"id": call["id"]} if "id" in call else {}), "function": _function(call)}
                for call in turn["tool_calls"]
            ]
            turn["tool_calls"] = calls
        turns.append(turn)
    return {**row, "messages": turns}


def as_trl(row: Row) -> Row | None:
    """TRL's prompt and completion, both lists of messages; the tools as JSON text."""
    turns = row["messages"]
    answers = [number for number, turn in enumerate(turns) if turn["role"] == "assistant" and turn.get("weight") != 0]
    if not answers:
        return None
    last = answers[-1]
    tools = (
        {"tools": json.dumps(row["tools"])} if isinstance(row.get("tools"), list) else {name: row[name] for name in row if name == "tools"}
    )
    return {"prompt": turns[:last], "completion": turns[last:], **tools}


def as_sharegpt(row: Row) -> Row | None:
    """ShareGPT's turns; calls as the text of a function_call, reasoning and weights as fields of a turn."""
    turns: list[Row] = []
    for turn in row["messages"]:
        if turn["role"] == "developer" or not isinstance(turn["content"], str | None) or (turn.get("tool_calls") and turn["content"]):
            return None
        tag, value = TAGS[turn["role"]], turn["content"]
        if turn.get("tool_calls"):
            calls = [{**_function(call, parsed=True), **({"id": call["id"]} if "id" in call else {})} for call in turn["tool_calls"]]
            tag, value = "function_call", json.dumps(calls if len(calls) > 1 else calls[0])
        more = {key: turn[key] for key in ("reasoning_content", "weight", "name", "tool_call_id") if key in turn}
        turns.append({"from": tag, "value": value, **more})
    return {"conversations": turns, **{key: row[key] for key in row if key == "tools"}}


def as_llama_factory(row: Row) -> Row | None:
    """The same with the system text in a field of its own and the tools as a text."""
    written = as_sharegpt(row)
    if written is None:
        return None
    first = written["conversations"][0]
    if first["from"] == "system" and first.keys() != {"from", "value"}:
        return None
    system = first["value"] if first["from"] == "system" else ""
    turns = written["conversations"][bool(system) :]
    tools = row.get("tools", "")
    return {"conversations": turns, "system": system, "tools": tools if isinstance(tools, str) else json.dumps(tools)}


def as_messages(row: Row) -> Row:
    """As it is."""
    return row


def _function(call: Row, *, parsed: bool = False) -> Row:
    function = call.get("function") or {key: call[key] for key in ("name", "arguments") if key in call}
    arguments = function.get("arguments")
    if parsed or arguments is None or isinstance(arguments, str):
        return dict(function)
    return {**function, "arguments": json.dumps(arguments)}


WRITERS: Final[dict[str, Callable[[Row], Row | None]]] = {
    "messages": as_messages,
    "openai": as_openai,
    "trl": as_trl,
    "sharegpt": as_sharegpt,
    "llamafactory": as_llama_factory,
}
"""Format → a row in it; None where the format has no place for what the row holds."""
