"""Where convmerge (PyPI, MIT), which reads many layouts, reads a layout as well, it reads the same messages; where not, a table says why."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest

from instructsel.mixtures.conversions import convert
from instructsel.pool.example import Example
from instructsel.pool.pool import Pool

convmerge = pytest.importorskip("convmerge.adapters")

USER, ANSWER = {"role": "user", "content": "Tide in Brest?"}, {"role": "assistant", "content": "5.1 metres."}
CALL = {"name": "get_tide", "arguments": {"port": "Brest"}}
OPENAI = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": '{"port": "Brest"}'}}
TOOLS = [{"type": "function", "function": {"name": "get_tide", "parameters": {}}}]
RESULT = {"role": "tool", "tool_call_id": "c1", "name": "get_tide", "content": '{"m": 5.1}'}

SAME: dict[str, dict[str, Any]] = {
    "messages": {"messages": [{"role": "system", "content": "Be brief."}, USER, ANSWER]},
    "messages with from and value": {"messages": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    "messages as JSON text": {"messages": json.dumps([USER, ANSWER])},
    "sharegpt": {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}], "system": "Be brief."},
    "sharegpt with calls": {
        "conversations": [
            {"from": "human", "value": "Q"},
            {"from": "function_call", "value": json.dumps(CALL)},
            {"from": "observation", "value": "5.1"},
            {"from": "gpt", "value": "A"},
        ],
        "tools": json.dumps(TOOLS),
    },
    "conversation": {"conversation": [USER, ANSWER]},
    "exchanges": {"conversation": [{"input": "Q", "output": "A"}, {"input": "Q2", "output": "A2"}]},
    "alpaca": {"instruction": "Add.", "input": "1 and 1", "output": "2", "system": "Be brief."},
    "history": {"instruction": "And now?", "input": "", "output": "Fine.", "history": [["Hello", "Hi."]]},
    "dolly": {"instruction": "Add.", "context": "1 and 1", "response": "2"},
    "question and answer": {"question": "1+1?", "answer": "2"},
    "question and context": {"question": "What?", "context": "Bees fly.", "answer": "Bees."},
    "question and response": {"system_prompt": "Be brief.", "question": "1+1?", "response": "2"},
    "prompt and completion": {"prompt": "Q", "completion": "A"},
    "openai calls": {"messages": [USER, {"role": "assistant", "content": None, "tool_calls": [OPENAI]}, RESULT, ANSWER], "tools": TOOLS},
    "parallel calls": {"messages": [USER, {"role": "assistant", "content": "Both.", "tool_calls": [OPENAI, {**OPENAI, "id": "c2"}]}]},
    "legacy call": {"messages": [USER, {"role": "assistant", "content": None, "function_call": CALL}]},
    "reasoning": {"messages": [USER, {**ANSWER, "reasoning_content": "Hm."}]},
    "thinking": {"messages": [USER, {**ANSWER, "thinking": "Hm."}]},
    "text parts": {"messages": [{"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]}, ANSWER]},
    "weights": {"messages": [USER, {**ANSWER, "weight": 0}, USER, {**ANSWER, "weight": 1}]},
    "train": {"messages": [USER, {**ANSWER, "train": False}, USER, {**ANSWER, "train": True}]},
    "FLAN": {"inputs": "Q", "targets": "A", "task": "t"},
    "Tülu": {"dataset": "lima", "id": "lima_0", "messages": [USER, ANSWER]},
    "UltraChat 200k": {"prompt": "Tide in Brest?", "prompt_id": "0", "messages": [USER, ANSWER]},
    "WildChat": {
        "conversation_hash": "0",
        "conversation": [{**USER, "language": "English", "toxic": False}, {**ANSWER, "toxic": False}],
        "turn": 1,
        "toxic": False,
    },
    "Magpie": {"instruction": "Q", "response": "A", "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    "OpenHermes": {
        "system_prompt": None,
        "category": "x",
        "conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}],
    },
    "oasst tree": {
        "message_tree_id": "t",
        "prompt": {"text": "Q", "role": "prompter", "replies": [{"text": "A", "role": "assistant", "rank": 0, "replies": []}]},
    },
}

DIFFERENT: dict[str, tuple[dict[str, Any], str]] = {
    "blank turns": (
        {"messages": [USER, {"role": "assistant", "content": ""}, USER, ANSWER]},
        "it skips turns without a text; ours keep what the row holds",
    ),
    "an unknown role": (
        {"messages": [{"role": "narrator", "content": "Once."}, USER, ANSWER]},
        "it keeps the role as it is; ours is quarantined until --role names it",
    ),
    "a bot": (
        {"messages": [USER, {"role": "bot", "content": "A"}]},
        "it takes bot for the assistant; ours is named by --role bot=assistant",
    ),
    "options": ({"question": "Which?", "options": ["A. x", "B. y"], "answer": "B"}, "it leaves options out; ours stand under the question"),
    "a list of texts": ({"conversations": ["Q", "A"]}, "it reads no lists of texts"),
    "a task of SuperNI": (
        {"Definition": ["Add."], "Positive Examples": [], "Instances": [{"id": "t-1", "input": "1 1", "output": ["2"]}]},
        "it reads no tasks",
    ),
    "instances with constraints": (
        {"instruction": "Add.", "instances": [{"input": "1", "constraints": "One digit.", "output": "2"}]},
        "it reads the instruction alone",
    ),
    "a transcript of Baize": ({"input": "[|Human|] Q\n[|AI|] A"}, "it reads no transcripts"),
    "raw UltraChat": ({"id": "0", "data": ["Q", "A"]}, "it reads no lists of texts"),
    "calls of Dolci": (
        {
            "messages": [
                {**USER, "functions": None, "function_calls": None},
                {"role": "assistant", "content": None, "functions": None, "function_calls": 'get_tide(port="Brest")'},
                {"role": "environment", "content": "5.1", "functions": None, "function_calls": None},
                {**ANSWER, "functions": None, "function_calls": None},
            ]
        },
        "it leaves the turn of a call that is written as Python out, and keeps environment as a role",
    ),
    "another system text": (
        {"messages": [{"role": "system", "content": "a"}, USER, ANSWER], "system": "b"},
        "the turn wins there; ours is quarantined",
    ),
    "images": ({"messages": [USER, ANSWER], "images": ["a.png"]}, "it keeps references to images; ours is text alone"),
    "an unwanted row": ({"prompt": "Q", "completion": "A", "kto_tag": False}, "it does not look at marks; ours are dropped"),
    "reasoning beside a prompt": (
        {"prompt": "Q", "completion": "A", "reasoning_content": "Hm."},
        "it reads such a column only where it is named",
    ),
    "text around an answer": ({"instruction": " Q ", "output": "A\n"}, "it strips the texts of flat rows"),
}


OTHER = {"messages": [USER, {"role": "assistant", "content": "the other row"}]}


def ours(row: dict[str, Any]) -> list[list[tuple[Any, ...]]]:
    """The conversations of a row; it stands beside others, as a pool whose rows are all refused is refused."""
    return [_ours(example) for example in Pool.of([row, OTHER, OTHER]).examples() if example.response != "the other row"]


def _ours(example: Example) -> list[tuple[Any, ...]]:
    return [
        (
            turn.role,
            turn.content,
            tuple((call.name, None if call.arguments is None else json.dumps(call.arguments.value), call.id) for call in turn.tool_calls),
            turn.tool_call_id,
            turn.name,
            turn.reasoning,
            turn.is_trained if turn.weight is not None else None,
        )
        for turn in example.messages
    ]


def theirs(row: dict[str, Any]) -> list[tuple[Any, ...]]:
    examples = list(convmerge.get_adapter("auto")(row))
    if not examples:
        return []
    return [
        (
            turn.role,
            turn.text,
            tuple((call.name, json.dumps(call.arguments_object()), call.id) for call in turn.tool_calls),
            turn.tool_call_id,
            turn.name,
            turn.reasoning,
            turn.train,
        )
        for turn in examples[0].messages
    ]


@pytest.mark.parametrize("name", SAME)
def test_both_read_the_same_messages(name: str) -> None:
    assert ours(SAME[name]) == [theirs(SAME[name])]


@pytest.mark.parametrize("name", DIFFERENT)
def test_what_is_read_otherwise_is_in_the_table(name: str) -> None:
    row, _ = DIFFERENT[name]
    assert ours(row) != [theirs(row)]


@pytest.mark.parametrize(
    "name", ["alpaca_gpt4_en_demo", "dolly", "evol_instruct_1k_sharegpt", "gsm8k_train", "lima_history", "glaive_toolcall_en_demo"]
)
def test_real_pools_are_read_the_same(shared_data: Path, name: str) -> None:
    pool = Pool.read(shared_data / f"pools/{name}.jsonl.zst")
    compared = 0
    for position, example in enumerate(itertools.islice(pool.examples(), 500)):
        row = pool.files[0].row(int(pool.row_of[position]))
        # It strips the texts of flat rows, and skips turns and rows without a text.
        read = [(role, content.strip(), *fields) for role, content, *fields in _ours(example) if content.strip() or fields[0]]
        other = [(role, content.strip(), *fields) for role, content, *fields in theirs(row)]
        if name == "glaive_toolcall_en_demo":
            read, other = ([turn[:2] for turn in turns if not turn[2]] for turns in (read, other))
        assert read == other
        compared += 1
    assert compared == min(500, len(pool))


@pytest.mark.parametrize(
    ("key", "name"), [("dolly", "dolly"), ("oasst1", "oasst_en_100_tree"), ("super_ni", "natural_instructions_sample")]
)
def test_what_a_conversion_writes_is_read_the_same(shared_data: Path, tmp_path: Path, key: str, name: str) -> None:
    result = convert(key, [shared_data / f"pools/{name}.jsonl.zst"])
    result.write(tmp_path / "converted.jsonl")
    pool = Pool.read(tmp_path / "converted.jsonl")
    assert len(pool) == len(result)
    rows = {row["id"]: row for row in itertools.islice(result.rows(), 300)}
    compared = 0
    for position, example in enumerate(pool.examples()):
        row = pool.files[0].row(int(pool.row_of[position]))
        if row["id"] in rows:
            assert [turn for turn in _ours(example) if turn[1].strip()] == [turn for turn in theirs(rows[row["id"]]) if turn[1].strip()]
            compared += 1
    assert compared == min(300, len(result))
