"""Conversations made up by a seeded generator: all that a message can hold, in all the ways that rows write it."""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Callable
from typing import Any, Final

WORDS: Final = (
    "tide", "Brest", "5.1 m", "", " ", "\n", "\t", "a\r\nb", "\x00", "\x1b[0m", "\x85", "\u2028", "\u200b", "ünïcödé", "日本語", "😀", "\U0010ffff",
    "\ufeff", "e\u0301", "true", "null", "0", "{}", '{"a": 1}', '"', "\\", "\\u0041", "{{ x }}", "{% if %}", "'", "</tool_call>",
)  # fmt: skip
"""Texts: white space, control characters, letters of one to four bytes, and what looks like something else."""
PLAIN: Final = ("the", "capital", "of", "france", "is", "paris", "how", "do", "i", "boil", "an", "egg", "5", "?", "é", "日", "\n", "  ")
"""Texts that chat templates write as they are."""
NUMBERS: Final = (0, 1, -1, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 0.1, 1.0, -0.0, 1e16, 1e-7, 1.5e300)
NAMES: Final = ("get_tide", "f", "ünï", "a.b-c", "search web")
REASONINGS: Final = ("reasoning_content", "reasoning", "thinking", "thought")
WEIGHTS: Final = ("weight", "train", "loss")


class Maker:
    """Makes rows from a seed."""

    def __init__(self, seed: int, *, words: tuple[str, ...] = WORDS, canonical: bool = False) -> None:
        """`canonical`: in the forms that chat templates know, as OpenAI writes them, and with texts in them that strip to something."""
        self.rng = random.Random(seed)
        self.words = words
        self.canonical = canonical

    def text(self, most: int = 4) -> str:
        words = [self.rng.choice(self.words) for _ in range(self.rng.randint(0, most))]
        text = self.rng.choice(("", " ")).join(words)
        return f"a{text}z" if self.canonical else text

    def full(self) -> str:
        """A text that is not blank."""
        return f"{self.rng.choice('abcdefgh')}{self.text()}"

    def value(self, depth: int = 0) -> Any:
        kind = self.rng.randrange(9 if depth < 3 else 6)
        if kind < 2:
            return self.text()
        if kind < 4:
            return self.rng.choice(NUMBERS)
        if kind == 4:
            return self.rng.choice((True, False))
        if kind == 5:
            return None if depth else "x"
        if kind == 6:
            return [self.value(depth + 1) for _ in range(self.rng.randint(0, 3))]
        return self.object(depth + 1)

    def number(self) -> int | float:
        return self.rng.choice((*NUMBERS, True, False))

    def object(self, depth: int = 0) -> dict[str, Any]:
        return {self.text(2) or "key": self.value(depth + 1) for _ in range(self.rng.randint(0, 3))}

    def arguments(self) -> Any:
        form = self.rng.randrange(2 if self.canonical else 8)
        if form == 0:
            return self.object()
        if form == 1:
            return json.dumps(self.object(), ensure_ascii=self.rng.random() < 0.5)
        return self.rng.choice(
            (
                self.text(),
                json.dumps(self.text()),
                "{broken",
                '{"half": "\\ud800"}',
                "NaN",
                "[" * 60 + "]" * 60,
                '{"n": 123456789012345678901}',
                '{"a": 1, "a": 2}',
                [self.value()],
                7,
                False,
                self.object(),
                "",
            )
        )

    def call(self) -> dict[str, Any]:
        function: dict[str, Any] = {"name": self.rng.choice(NAMES)}
        if self.canonical or self.rng.random() < 0.9:
            key = "arguments" if self.canonical else self.rng.choice(("arguments", "arguments", "parameters", "input"))
            function[key] = self.arguments()
        head: dict[str, Any] = {}
        if self.rng.random() < 0.7:
            head["id"] = f"call_{self.rng.randrange(100)}"
        if self.rng.random() < 0.7:
            head["type"] = "function"
        return {**head, **function} if not self.canonical and self.rng.random() < 0.3 else {**head, "function": function}

    def answer(self) -> dict[str, Any]:
        turn: dict[str, Any] = {"role": "assistant", "content": self.full() if self.rng.random() < 0.7 else self.text()}
        if self.rng.random() < 0.4:
            turn["tool_calls"] = [self.call() for _ in range(1 if self.canonical else self.rng.randint(1, 3))]
            if self.rng.random() < 0.6:
                turn["content"] = None
        if self.rng.random() < 0.3:
            turn["reasoning_content" if self.canonical else self.rng.choice(REASONINGS)] = self.full()
        if self.rng.random() < 0.2:
            key = self.rng.choice(WEIGHTS)
            turn[key] = self.rng.choice((0, 1, 0.5) if key == "weight" else (True, False))
        return turn

    def turn(self) -> dict[str, Any]:
        kind = self.rng.randrange(8)
        if kind < 3:
            turn = self.answer()
        elif kind == 3:
            is_structure = not self.canonical and self.rng.random() < 0.3
            content = (self.number() if self.rng.random() < 0.3 else self.object()) if is_structure else self.text()
            turn = {"role": "tool", "content": content, "tool_call_id": f"call_{self.rng.randrange(100)}"}
        else:
            turn = {"role": "user", "content": self.text()}
        if self.rng.random() < 0.15:
            turn["name"] = self.rng.choice(NAMES)
        if not self.canonical and isinstance(turn["content"], str) and self.rng.random() < 0.2:
            turn["content"] = [{"type": "text", "text": self.text()} for _ in range(self.rng.randint(1, 3))]
        return turn

    def tools(self) -> Any:
        schemas = [
            {
                "type": "function",
                "function": {
                    "name": self.rng.choice(NAMES),
                    "description": self.text(),
                    "parameters": {"type": "object", "properties": self.object(), "default": None},
                },
            }
            for _ in range(self.rng.randint(1, 2))
        ]
        return schemas if self.canonical or self.rng.random() < 0.7 else json.dumps(schemas)

    def row(self) -> dict[str, Any]:
        """A row of `messages` that ends in an answer, or shortly behind it."""
        turns = []
        if self.rng.random() < 0.3:
            turns.append({"role": "system" if self.canonical else self.rng.choice(("system", "developer")), "content": self.text()})
        turns.append({"role": "user", "content": self.text()})
        turns += [self.turn() for _ in range(self.rng.randint(0, 4))]
        last = self.answer()
        for key in WEIGHTS:
            last.pop(key, None)
        if last["content"] is not None:
            last["content"] = self.full()
        turns.append(last)
        if self.rng.random() < 0.1:
            turns.append({"role": "user", "content": self.text()})
        row: dict[str, Any] = {"messages": turns}
        if self.rng.random() < 0.4:
            row["tools"] = self.tools()
        return row


def reordered(value: Any, rng: random.Random, *, within: bool = True) -> Any:
    """A row with the fields of its objects in another order, but for those of arguments, results and tools, whose order is theirs."""
    if isinstance(value, list):
        return [reordered(item, rng) for item in value]
    if not isinstance(value, dict):
        return value
    names = list(value)
    rng.shuffle(names)
    fixed = ("arguments", "parameters", "input", "tools")
    is_fixed = {name for name in names if name in fixed or (name == "content" and isinstance(value[name], dict))}
    return {name: value[name] if name in is_fixed else reordered(value[name], rng) for name in names}


def respelled(row: dict[str, Any], rng: random.Random) -> dict[str, Any]:
    """The same conversation, written in another way that is documented to be the same."""
    row = copy.deepcopy(row)
    for turn in row["messages"]:
        if turn["role"] == "assistant" and not any(key in turn for key in WEIGHTS) and rng.random() < 0.5:
            turn[rng.choice(WEIGHTS)] = 1
        for key in REASONINGS:
            if key in turn and rng.random() < 0.5:
                turn[rng.choice(REASONINGS)] = turn.pop(key)
                break
        if isinstance(turn["content"], str) and rng.random() < 0.2:
            turn["content"] = [{"type": "text", "text": turn["content"]}]
        if turn.get("tool_calls") and turn["content"] in (None, ""):
            turn["content"] = rng.choice((None, ""))
        calls = []
        for call in turn.get("tool_calls", []):
            function = dict(call.get("function") or {key: item for key, item in call.items() if key not in ("id", "type")})
            if isinstance(function.get("arguments"), dict) and rng.random() < 0.5:
                function["arguments"] = json.dumps(function["arguments"])
            head = {"id": call["id"]} if "id" in call else {}
            kind = {"type": "function"} if rng.random() < 0.5 else {}
            calls.append({**head, **kind, **function} if rng.random() < 0.5 else {**head, **kind, "function": function})
        if calls:
            turn["tool_calls"] = calls
        if rng.random() < 0.2:
            turn |= {"name": turn.get("name"), "unread": 7}
    if isinstance(row.get("tools"), list) and rng.random() < 0.5:
        row["tools"] = json.dumps(row["tools"])
    return row


Change = Callable[[dict[str, Any], random.Random], bool]


def _texts(row: dict[str, Any], rng: random.Random) -> bool:
    turn = rng.choice(row["messages"])
    if isinstance(turn["content"], list):
        part = rng.choice(turn["content"])
        part["text"] += rng.choice(("x", " ", "\u200b", "\x00"))
    elif isinstance(turn["content"], dict):
        turn["content"]["one more"] = rng.choice((1, 1.0, "1", None, True))
    else:
        turn["content"] = (turn["content"] or "") + rng.choice(("x", " ", "\u200b", "\x00"))
    return True


def _role(row: dict[str, Any], rng: random.Random) -> bool:
    turn = rng.choice(row["messages"][:-1])
    others = [role for role in ("system", "developer", "user", "tool") if role != turn["role"]]
    if turn["role"] not in ("system", "developer", "user", "tool"):
        return False
    turn["role"] = rng.choice(others)
    return True


def _swap(row: dict[str, Any], rng: random.Random) -> bool:
    turns = row["messages"]
    row["messages"] = [turns[0], *turns]
    return True


def _calls(row: dict[str, Any], rng: random.Random) -> list[dict[str, Any]]:
    return [call for turn in row["messages"] for call in turn.get("tool_calls", [])]


def _call_name(row: dict[str, Any], rng: random.Random) -> bool:
    if not (calls := _calls(row, rng)):
        return False
    call = rng.choice(calls)
    (call.get("function") or call)["name"] += "x"
    return True


def _call_id(row: dict[str, Any], rng: random.Random) -> bool:
    if not (calls := _calls(row, rng)):
        return False
    rng.choice(calls)["id"] = "another"
    return True


def _arguments(row: dict[str, Any], rng: random.Random) -> bool:
    if not (calls := _calls(row, rng)):
        return False
    call = rng.choice(calls)
    function = call.get("function") or call
    key = next((key for key in ("arguments", "parameters", "input") if key in function), None)
    if key is None:
        function["arguments"] = {}
    elif isinstance(function[key], dict):
        function[key] = {**function[key], "one more": rng.choice((1, 1.0, "1", None, True))}
    elif isinstance(function[key], str) and function[key]:
        function[key] = json.dumps(function[key])
    else:
        function[key] = {"other": [function[key]]}
    return True


def _more_calls(row: dict[str, Any], rng: random.Random) -> bool:
    if not (calls := _calls(row, rng)):
        return False
    turn = rng.choice([turn for turn in row["messages"] if turn.get("tool_calls")])
    turn["tool_calls"] = [*turn["tool_calls"], copy.deepcopy(calls[0])]
    return True


def _reasoning(row: dict[str, Any], rng: random.Random) -> bool:
    turn = rng.choice(row["messages"])
    key = next((key for key in REASONINGS if key in turn), "reasoning")
    turn[key] = turn.get(key, "") + "hm"
    return True


def _name(row: dict[str, Any], rng: random.Random) -> bool:
    turn = rng.choice(row["messages"])
    turn["name"] = (turn.get("name") or "") + "x"
    return True


def _result_id(row: dict[str, Any], rng: random.Random) -> bool:
    results = [turn for turn in row["messages"] if turn["role"] == "tool"]
    if results:
        rng.choice(results)["tool_call_id"] = "another"
    return bool(results)


def _weight(row: dict[str, Any], rng: random.Random) -> bool:
    turn = rng.choice(row["messages"][:-1])
    if turn["role"] != "assistant" or any(turn.get(key) == 0 for key in WEIGHTS):
        return False
    for key in WEIGHTS:
        turn.pop(key, None)
    turn[rng.choice(WEIGHTS)] = 0
    return True


def _parts(row: dict[str, Any], rng: random.Random) -> bool:
    turn = rng.choice(row["messages"])
    if not isinstance(turn["content"], str):
        return False
    turn["content"] = [{"type": "text", "text": turn["content"]}, {"type": "text", "text": ""}]
    return True


def _tools(row: dict[str, Any], rng: random.Random) -> bool:
    tools = row.get("tools")
    if tools is None:
        row["tools"] = [{"name": "f"}]
    else:
        row["tools"] = [*(json.loads(tools) if isinstance(tools, str) else tools), {"name": "g"}]
    return True


CHANGES: Final[tuple[Change, ...]] = (
    _texts, _role, _swap, _call_name, _call_id, _arguments, _more_calls, _reasoning, _name, _result_id, _weight, _parts, _tools,
)  # fmt: skip
"""Each makes another conversation of a row, and says whether it could."""


def changed(row: dict[str, Any], rng: random.Random) -> tuple[str, dict[str, Any]]:
    """A row that differs from another in one thing, and what it is."""
    while True:
        change, other = rng.choice(CHANGES), copy.deepcopy(row)
        if change(other, rng):
            return change.__name__.strip("_"), other


__all__ = ["CHANGES", "PLAIN", "WORDS", "Maker", "changed", "reordered", "respelled"]
