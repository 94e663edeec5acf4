"""Conversations of every kind that a row can hold, drawn from a seed."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

from instructsel.pool.pool import Pool

WORDS: Final = (
    "tide", "Brest", "5.1", "2021-05-06", "null", "true", "[1, 2]", '{"a": 1}', "é", "日本", "🎈", "a\nb", "  padded  ", "<think>", "</think>",
    "<think>\nx\n</think>\n\n", "\u2028", "\\", '"', "{{ x }}", "---", "'", "#", "\t", "0x1f", "=1+1", "human", "gpt", "",
)  # fmt: skip
ARGUMENTS: Final[tuple[Any, ...]] = (
    {"port": "Brest"}, {"port": 3}, {"when": None}, {"port": ["Brest", "Dover"], "deep": {"x": [{"y": 1.5}, {}]}}, {}, {"b": 1, "a": 2},
    '{"port": "Brest"}', '{"b":1, "a":2}', "no json", [1, 2], None, {"n": 1 << 70}, {"n": 0.12345678901234567}, {"n": 1e-30}, {"t": "2021-05-06"},
)  # fmt: skip


def text(draw: random.Random) -> str:
    """A few words."""
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(1, 5)))


def tool(draw: random.Random) -> dict[str, Any]:
    """The description of a tool."""
    properties = {f"p{number}": {"type": draw.choice(("string", "integer"))} for number in range(draw.randint(0, 3))}
    function = {
        "name": draw.choice(("get_tide", "find")),
        "description": text(draw),
        "parameters": {"type": "object", "properties": properties},
    }
    return {"type": "function", "function": function}


def call(draw: random.Random) -> dict[str, Any]:
    """A call of a tool."""
    function: dict[str, Any] = {"name": draw.choice(("get_tide", "find"))}
    if draw.random() < 0.95:
        function["arguments"] = draw.choice(ARGUMENTS[:6] if draw.random() < 0.7 else ARGUMENTS)
    entry: dict[str, Any] = {"function": function} if draw.random() < 0.8 else function
    if draw.random() < 0.5:
        entry = {"id": f"c{draw.randint(1, 3)}", "type": "function", **entry}
    return entry


def answer(draw: random.Random) -> dict[str, Any]:
    """A turn of the assistant."""
    turn: dict[str, Any] = {"role": "assistant", "content": text(draw)}
    if draw.random() < 0.3:
        turn["tool_calls"] = [call(draw) for _ in range(1 if draw.random() < 0.7 else 2)]
        if draw.random() < 0.8:
            turn["content"] = None
    if draw.random() < 0.25:
        turn["reasoning_content"] = text(draw)
    if draw.random() < 0.2:
        turn["weight"] = draw.choice((0, 0, 1, 1, 0.5))
    if draw.random() < 0.03:
        turn["content"] = [{"type": "text", "text": text(draw)}, {"type": "text", "text": text(draw)}]
    return turn


def conversation(draw: random.Random) -> dict[str, Any]:
    """A row of `messages`."""
    turns: list[dict[str, Any]] = []
    if draw.random() < 0.3:
        turns.append({"role": draw.choice(("system", "system", "developer")), "content": text(draw)})
    for _ in range(draw.choice((1, 1, 2, 3))):
        if draw.random() < 0.95:
            turns.append({"role": "user", "content": text(draw)})
        turns.append(answer(draw))
        if turns[-1].get("tool_calls"):
            for number in range(len(turns[-1]["tool_calls"])):
                result: dict[str, Any] = {"role": "tool", "content": text(draw)}
                if draw.random() < 0.5:
                    result |= {"tool_call_id": f"c{number + 1}", "name": "get_tide"}
                turns.append(result)
            turns.append({"role": "assistant", "content": text(draw)})
    if draw.random() < 0.05:
        turns.append({"role": "user", "content": text(draw)})
    if draw.random() < 0.05:
        draw.choice(turns)["name"] = "Ada"
    if draw.random() < 0.02:
        draw.choice(turns)["weight"] = 0
    row: dict[str, Any] = {"messages": turns}
    if draw.random() < 0.3:
        row["tools"] = [tool(draw) for _ in range(draw.randint(1, 3))]
    if draw.random() < 0.02:
        row["tools"] = draw.choice(('[{"name": "get_tide"}]', "no json", {"name": "get_tide"}))
    return row


def rows(count: int, seed: int) -> list[dict[str, Any]]:
    """So many, the same for the same seed."""
    draw = random.Random(seed)
    return [conversation(draw) for _ in range(count)]


ASKED = {"role": "user", "content": "Tide in Brest?"}
SAID = {"role": "assistant", "content": "5.1 metres."}
CALLED = {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "get_tide", "arguments": {"port": "Brest"}}}]}
RESULT = {"role": "tool", "content": "5.1"}
TOOLS = [{"type": "function", "function": {"name": "get_tide", "parameters": {"type": "object"}}}]

CALLED_TWICE = {**CALLED, "tool_calls": [{"id": "c1", **CALLED["tool_calls"][0]}, {"id": "c2", **CALLED["tool_calls"][0]}]}
HOLDING: dict[str, dict[str, Any]] = {
    "no_prompt": {"messages": [SAID]},
    "no_response": {"messages": [ASKED, {**SAID, "content": ""}]},
    "later_turns": {"messages": [ASKED, SAID, ASKED]},
    "several_turns": {"messages": [ASKED, SAID, ASKED, SAID]},
    "not_alternating": {"messages": [ASKED, ASKED, SAID]},
    "system": {"messages": [{"role": "system", "content": "Be brief."}, ASKED, SAID]},
    "empty_system": {"messages": [{"role": "system", "content": ""}, ASKED, SAID]},
    "developer": {"messages": [{"role": "developer", "content": "Be brief."}, ASKED, SAID]},
    "late_system": {"messages": [ASKED, {"role": "system", "content": "Be brief."}, SAID]},
    "tools": {"messages": [ASKED, SAID], "tools": TOOLS},
    "odd_tools": {"messages": [ASKED, SAID], "tools": "no json"},
    "calls": {"messages": [ASKED, CALLED], "tools": TOOLS},
    "parallel_calls": {"messages": [ASKED, {**CALLED, "tool_calls": CALLED["tool_calls"] * 2}]},
    "text_and_calls": {"messages": [ASKED, {**CALLED, "content": "I look."}]},
    "odd_arguments": {"messages": [ASKED, {**CALLED, "tool_calls": [{"function": {"name": "get_tide", "arguments": "Brest"}}]}]},
    "call_ids": {"messages": [ASKED, {**CALLED, "tool_calls": [{"id": "c1", **CALLED["tool_calls"][0]}]}]},
    "results": {"messages": [ASKED, CALLED, RESULT, SAID], "tools": TOOLS},
    "result_names": {"messages": [ASKED, CALLED, {**RESULT, "name": "get_tide"}, SAID]},
    "structured_results": {"messages": [ASKED, CALLED, {**RESULT, "content": {"m": 5.1}}, SAID]},
    "results_out_of_order": {"messages": [ASKED, CALLED_TWICE, {**RESULT, "tool_call_id": "c2"}, {**RESULT, "tool_call_id": "c1"}, SAID]},
    "unpaired_results": {"messages": [ASKED, CALLED_TWICE, {**RESULT, "tool_call_id": "c2"}, SAID]},
    "reasoning": {"messages": [ASKED, {**SAID, "reasoning_content": "In metres."}]},
    "marked_reasoning": {"messages": [ASKED, {**SAID, "reasoning_content": "In </think> metres."}]},
    "untrained": {"messages": [ASKED, {**SAID, "weight": 0}, ASKED, SAID]},
    "weights": {"messages": [ASKED, {**SAID, "weight": 0.5}]},
    "weights_of_others": {"messages": [{**ASKED, "weight": 0}, SAID]},
    "names": {"messages": [{**ASKED, "name": "Ada"}, SAID]},
    "parts": {"messages": [{**ASKED, "content": [{"type": "text", "text": "Tide"}, {"type": "text", "text": "in Brest?"}]}, SAID]},
    "huge_numbers": {"messages": [ASKED, {**CALLED, "tool_calls": [{"function": {"name": "f", "arguments": {"n": 1 << 70}}}]}]},
    "long_numbers": {"messages": [ASKED, {**CALLED, "tool_calls": [{"function": {"name": "f", "arguments": {"n": 0.12345678901234567}}}]}]},
}
"""What a conversation may hold → a row that holds it."""


def pool(path: Path, *listed: dict[str, Any]) -> Pool:
    """A pool of these rows."""
    path.write_text("".join(json.dumps(row) + "\n" for row in listed), encoding="utf-8")
    return Pool.read(path)


def pool_of(path: Path, count: int, seed: int) -> Pool:
    """A pool of drawn conversations."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows(count, seed)), encoding="utf-8")
    return Pool.read(path, format="messages")
