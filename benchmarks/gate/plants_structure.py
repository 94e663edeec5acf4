"""Defects of structure: rows that are no rows, roles, templates, tools, reasoning."""

from __future__ import annotations

import copy
import json
from typing import Any

from plants import Ground, Planted, Row, longer, plant, prompt, response, with_prompt, with_response

ROLE = ("T0-ROLE-001", "T0-ROLE-002")
BROKEN = ("T0-SCHEMA-003", "T0-SCHEMA-004", "T0-SCHEMA-001")
REASON = ("T0-REASON-001",)
WORD = " and so it goes on for a while"


# --- rows


@plant("a line that is no JSON", "unreadable-row", strengths=(1.0, 0.5, 0.2), rivals=BROKEN)
def no_json(row: Row, ground: Ground, strength: float) -> Planted:
    """Cut in two, without its last brace, with a bad escape."""
    line = json.dumps(row).encode()
    return [line[: len(line) // 2] if strength == 1 else line[:-1] if strength == 0.5 else line.replace(b': "', b': "\\x', 1)]


@plant("a role that nobody knows", "unreadable-row", strengths=(1.0, 0.5), rivals=ROLE)
def unknown_role(row: Row, ground: Ground, strength: float) -> Planted:
    """All turns of the model, or one of them."""
    changed = longer(row, ground)
    turns = [turn for turn in changed["messages"] if turn["role"] == "assistant"]
    for turn in turns if strength == 1 else turns[:1]:
        turn["role"] = "narrator"
    return [changed]


@plant("a content that is no text", "unreadable-row", strengths=(1.0, 0.5), rivals=BROKEN)
def no_text(row: Row, ground: Ground, strength: float) -> Planted:
    """An object, or a number."""
    changed = copy.deepcopy(row)
    text = response(changed)["content"]
    response(changed)["content"] = {"answer": text} if strength == 1 else 42
    return [changed]


@plant("a row without a response", "dropped-row", rivals=ROLE)
def no_response(row: Row, ground: Ground, strength: float) -> Planted:
    """The turns of the user alone."""
    return [{**row, "messages": [turn for turn in row["messages"] if turn["role"] != "assistant"]}]


# --- roles


@plant("the model speaks first", "roles", rivals=ROLE)
def model_first(row: Row, ground: Ground, strength: float) -> Planted:
    """A response of another row in front."""
    return [{**row, "messages": [response(ground.other()), *copy.deepcopy(row["messages"])]}]


@plant("two turns of the user", "roles", strengths=(1.0, 0.5), rivals=ROLE)
def user_twice(row: Row, ground: Ground, strength: float) -> Planted:
    """At the end, or deep in a conversation."""
    changed = longer(row, ground) if strength < 1 else copy.deepcopy(row)
    place = next(i for i, turn in enumerate(changed["messages"]) if turn["role"] == "user")
    changed["messages"].insert(place, prompt(ground.other()))
    return [changed]


@plant("two turns of the model", "roles", strengths=(1.0, 0.5), rivals=ROLE)
def model_twice(row: Row, ground: Ground, strength: float) -> Planted:
    """At the end, or deep in a conversation."""
    changed = longer(row, ground) if strength < 1 else copy.deepcopy(row)
    place = next(i for i, turn in enumerate(changed["messages"]) if turn["role"] == "assistant")
    changed["messages"].insert(place, response(ground.other()))
    return [changed]


@plant("a system text in the middle", "roles", rivals=ROLE)
def late_system(row: Row, ground: Ground, strength: float) -> Planted:
    """Before the last response."""
    changed = longer(row, ground)
    changed["messages"].insert(-1, {"role": "system", "content": "Answer in one sentence."})
    return [changed]


@plant("the user speaks last", "roles", rivals=ROLE)
def user_last(row: Row, ground: Ground, strength: float) -> Planted:
    """A prompt of another row behind the response."""
    return [{**row, "messages": [*copy.deepcopy(row["messages"]), prompt(ground.other())]}]


@plant("an empty turn in the middle", "roles", strengths=(1.0, 0.5), rivals=ROLE)
def empty_turn(row: Row, ground: Ground, strength: float) -> Planted:
    """Of the model, or of the user."""
    changed = longer(row, ground)
    changed["messages"][1 if strength == 1 else 2]["content"] = ""
    return [changed]


# --- templates


@plant("a row longer than the trainer takes", "truncated", strengths=(1.0, 0.5), rivals=("T0-TRUNC-001",))
def too_long(row: Row, ground: Ground, strength: float) -> Planted:
    """Several times as long, or a little."""
    text = response(row)["content"]
    return [with_response(row, text + WORD * (900 if strength == 1 else 320))]


@plant("a prompt that fills the length", "no-loss-token", rivals=("T0-MASK-001", "T0-TRUNC-001"))
def prompt_fills(row: Row, ground: Ground, strength: float) -> Planted:
    """So that nothing of the response is left."""
    return [with_prompt(row, prompt(row)["content"] + WORD * 600)]


# --- reasoning

MARKS = {1.0: ("<think>", "</think>"), 0.6: ("<thinking>", "</thinking>"), 0.3: ("[THINK]", "[/THINK]")}
THOUGHT = "The question asks for a short answer. I look at each part and put them together."


@plant("reasoning that is never closed", "unclosed-reasoning", strengths=(1.0, 0.6, 0.3), rivals=REASON)
def unclosed(row: Row, ground: Ground, strength: float) -> Planted:
    """In three pairs of marks."""
    return [with_response(row, f"{MARKS[strength][0]}\n{THOUGHT}\n\n{response(row)['content']}")]


@plant("reasoning that was never opened", "unclosed-reasoning", strengths=(1.0, 0.6, 0.3), rivals=REASON)
def unopened(row: Row, ground: Ground, strength: float) -> Planted:
    """In three pairs of marks."""
    return [with_response(row, f"{THOUGHT}\n{MARKS[strength][1]}\n\n{response(row)['content']}")]


@plant("reasoning inside of reasoning", "unclosed-reasoning", strengths=(1.0, 0.6, 0.3), rivals=REASON)
def nested(row: Row, ground: Ground, strength: float) -> Planted:
    """In three pairs of marks."""
    opening, closing = MARKS[strength]
    return [with_response(row, f"{opening}\n{THOUGHT}\n{opening}\n{THOUGHT}\n{closing}\n{closing}\n\n{response(row)['content']}")]


@plant("reasoning in a mode without", "unwanted-reasoning", strengths=(1.0, 0.5), rivals=REASON)
def unwanted(row: Row, ground: Ground, strength: float) -> Planted:
    """Qwen3's switch, or Nemotron's in the system text."""
    changed = with_response(row, f"<think>\n{THOUGHT}\n</think>\n\n{response(row)['content']}")
    if strength == 1:
        return [with_prompt(changed, prompt(changed)["content"] + " /no_think")]
    return [{**changed, "messages": [{"role": "system", "content": "detailed thinking off"}, *changed["messages"]]}]


@plant("reasoning without an answer", "reasoning-without-answer", strengths=(1.0, 0.5), rivals=REASON)
def no_answer(row: Row, ground: Ground, strength: float) -> Planted:
    """Between marks, or in a field."""
    text = f"{THOUGHT} {response(row)['content']}"
    if strength == 1:
        return [with_response(row, f"<think>\n{text}\n</think>\n")]
    changed = with_response(row, "")
    response(changed)["reasoning_content"] = text
    return [changed]


@plant("no reasoning in a mode with", "missing-reasoning", strengths=(1.0, 0.5))
def missing(row: Row, ground: Ground, strength: float) -> Planted:
    """Nothing, or an empty pair of marks."""
    changed = with_prompt(row, prompt(row)["content"] + " /think")
    return [changed if strength == 1 else with_response(changed, f"<think>\n\n</think>\n\n{response(row)['content']}")]


# --- tools

TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "find_train",
        "description": "Finds a train.",
        "parameters": {
            "type": "object",
            "properties": {
                "start": {"type": "string"},
                "end": {"type": "string"},
                "seats": {"type": "integer"},
                "class": {"type": "string", "enum": ["first", "second"]},
            },
            "required": ["start", "end"],
        },
    },
}


def called(row: Row, arguments: Any, name: str = "find_train", *, ids: bool = True) -> Row:
    """The row with an exchange in front of it that calls a tool, and the tool among its own."""
    call = {"type": "function", "function": {"name": name, "arguments": arguments}} | ({"id": "call_1"} if ids else {})
    turns = [
        {"role": "user", "content": "Is there a train from Ulm to Bonn?"},
        {"role": "assistant", "content": "", "tool_calls": [call]},
        {"role": "tool", "content": '{"train": "ICE 614"}'} | ({"tool_call_id": "call_1"} if ids else {}),
        {"role": "assistant", "content": "Yes, the ICE 614."},
    ]
    tools = row.get("tools") or []
    tools = json.loads(tools) if isinstance(tools, str) else tools
    return {**copy.deepcopy(row), "messages": [*turns, *copy.deepcopy(row["messages"])], "tools": [*tools, copy.deepcopy(TOOL)]}


GOOD = {"start": "Ulm", "end": "Bonn", "seats": 2, "class": "first"}


def schema(row: Row) -> dict[str, Any]:
    """The last tool's schema, to be changed in place."""
    parameters: dict[str, Any] = row["tools"][-1]["function"]["parameters"]
    return parameters


@plant("a tool whose types are none", "tool-schema", strengths=(1.0, 0.5), on_tools=True)
def wrong_types(row: Row, ground: Ground, strength: float) -> Planted:
    """Python's names of types, or a text in a schema's place."""
    changed = called(row, GOOD)
    schema(changed)["properties"]["seats"] = {"type": "int"} if strength == 1 else "integer"
    return [changed]


@plant("two tools of one name", "tool-schema", on_tools=True)
def two_names(row: Row, ground: Ground, strength: float) -> Planted:
    """The same tool twice."""
    changed = called(row, GOOD)
    return [{**changed, "tools": [*changed["tools"], copy.deepcopy(TOOL)]}]


@plant("a tool with an illegal name", "tool-schema", strengths=(1.0, 0.5), on_tools=True)
def illegal_name(row: Row, ground: Ground, strength: float) -> Planted:
    """With spaces, or none."""
    changed = called(row, GOOD)
    changed["tools"][-1]["function"]["name"] = "find a train" if strength == 1 else ""
    return [changed]


@plant("a required argument that there is not", "tool-schema", on_tools=True)
def required_nothing(row: Row, ground: Ground, strength: float) -> Planted:
    """Misspelled in `required`."""
    changed = called(row, GOOD)
    schema(changed)["required"] = ["start", "ende"]
    return [changed]


@plant("tools that are no JSON", "tool-schema", on_tools=True)
def tools_text(row: Row, ground: Ground, strength: float) -> Planted:
    """A text in their place."""
    return [{**called(row, GOOD), "tools": "find_train(start, end)"}]


@plant("a call of a tool that there is not", "tool-arguments", strengths=(1.0, 0.5), on_tools=True)
def undeclared(row: Row, ground: Ground, strength: float) -> Planted:
    """Of another name, or nearly the same."""
    return [called(row, GOOD, "book_hotel" if strength == 1 else "find_trains")]


@plant("a call without a required argument", "tool-arguments", on_tools=True)
def lacking(row: Row, ground: Ground, strength: float) -> Planted:
    """One of two."""
    return [called(row, {"start": "Ulm"})]


@plant("an argument of another type", "tool-arguments", strengths=(1.0, 0.5), on_tools=True)
def other_type(row: Row, ground: Ground, strength: float) -> Planted:
    """A list, or a number as a text."""
    return [called(row, {**GOOD, "seats": [2] if strength == 1 else "2"})]


@plant("an argument that is none of its values", "tool-arguments", on_tools=True)
def other_value(row: Row, ground: Ground, strength: float) -> Planted:
    """A third class."""
    return [called(row, {**GOOD, "class": "third"})]


@plant("an argument that there is not", "tool-arguments", on_tools=True)
def unknown_argument(row: Row, ground: Ground, strength: float) -> Planted:
    """Beside the others."""
    return [called(row, {**GOOD, "bicycle": True})]


@plant("arguments that are no JSON", "tool-arguments", strengths=(1.0, 0.5), on_tools=True)
def broken_arguments(row: Row, ground: Ground, strength: float) -> Planted:
    """Cut off, or with single quotes."""
    text = json.dumps(GOOD)
    return [called(row, text[:-8] if strength == 1 else text.replace('"', "'"))]


@plant("a call that is made again for nothing", "repeated-call", strengths=(1.0, 0.5), on_tools=True)
def again(row: Row, ground: Ground, strength: float) -> Planted:
    """Several times, or once with its arguments in another order."""
    changed = called(row, GOOD, ids=False)
    call, result = changed["messages"][1:3]
    other = copy.deepcopy(call)
    other["tool_calls"][0]["function"]["arguments"] = dict(reversed(GOOD.items()))
    changed["messages"][3:3] = [other, result] * (3 if strength == 1 else 1)
    return [changed]


@plant("a call without a result", "unanswered-call", strengths=(1.0, 0.5), on_tools=True)
def unanswered(row: Row, ground: Ground, strength: float) -> Planted:
    """The only one, or one of two."""
    changed = called(row, GOOD)
    if strength == 1:
        del changed["messages"][2]
    else:
        changed["messages"][1]["tool_calls"].append(
            {"id": "call_2", "type": "function", "function": {"name": "find_train", "arguments": GOOD}}
        )
    return [changed]


@plant("a result without a call", "unanswered-call", strengths=(1.0, 0.5), on_tools=True)
def unasked(row: Row, ground: Ground, strength: float) -> Planted:
    """Without any call, or one too many."""
    changed = called(row, GOOD)
    if strength == 1:
        del changed["messages"][1]
    else:
        changed["messages"].insert(3, copy.deepcopy(changed["messages"][2]))
    return [changed]


@plant("a result with the id of no call", "unanswered-call", on_tools=True)
def other_id(row: Row, ground: Ground, strength: float) -> Planted:
    """One figure is another."""
    changed = called(row, GOOD)
    changed["messages"][2]["tool_call_id"] = "call_7"
    return [changed]
