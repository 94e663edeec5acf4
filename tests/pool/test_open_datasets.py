"""Rows of open datasets, with the columns that they have on the Hub or in their repository: they go in without a flag, from lines and from Parquet."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import polars
import pytest

from instructsel.errors import PoolError
from instructsel.pool.formats._python_calls import python_calls
from instructsel.pool.message import Json, Message, ToolCall
from instructsel.pool.pool import Pool

NOW = datetime.datetime(2024, 1, 1, tzinfo=datetime.UTC)
HELLO = [("user", "Hello"), ("assistant", "Hi.")]
LONGER = [*HELLO, ("user", "And now?"), ("assistant", "Fine.")]


def turns(*pairs: tuple[str, str]) -> list[dict[str, Any]]:
    return [{"role": who, "content": text} for who, text in pairs]


def senders(*pairs: tuple[str, str], **more: Any) -> list[dict[str, Any]]:
    return [{"from": {"user": "human", "assistant": "gpt"}.get(who, who), "value": text, **more} for who, text in pairs]


def olmo(*pairs: tuple[str, str], **more: Any) -> list[dict[str, Any]]:
    return [{"content": text, "function_calls": None, "functions": None, "role": who, **more} for who, text in pairs]


def wildchat(who: str, text: str) -> dict[str, Any]:
    of_user = who == "user"
    return {
        "content": text,
        "country": "France" if of_user else None,
        "hashed_ip": "0f" if of_user else None,
        "header": {"accept-language": "fr", "user-agent": "x"} if of_user else None,
        "language": "English",
        "redacted": False,
        "role": who,
        "state": None,
        "timestamp": None if of_user else NOW,
        "toxic": False,
        "turn_identifier": 7,
    }


MAGPIE = {
    "uuid": "u",
    "model": "m",
    "gen_input_configs": {"temperature": 1.0, "top_p": 1.0, "input_generator": "m", "seed": None, "pre_query_template": "<|user|>"},
    "intent": "greeting",
    "knowledge": "none",
    "difficulty": "easy",
    "input_quality": "good",
    "task_category": "Others",
    "other_task_category": ["Advice"],
    "llama_guard_2": "safe",
    "instruct_reward": -1.5,
    "min_neighbor_distance": 0.2,
    "repeat_count": 1,
    "language": "EN",
}
"""Columns of Magpie beside the turns."""

ROWS: dict[str, tuple[dict[str, Any], list[list[tuple[str, str]]]]] = {
    "SuperNI, a task": (
        {
            "Contributors": ["A"],
            "Source": ["x"],
            "Definition": ["Add."],
            "Positive Examples": [{"input": "1 1", "output": "2", "explanation": "Counted."}],
            "Negative Examples": [],
            "Instances": [{"id": "t-1", "input": "2 2", "output": ["4", "four"]}, {"id": "t-2", "input": "3 3", "output": ["6"]}],
            "Instance License": ["MIT"],
        },
        [[("user", "Add.\n2 2"), ("assistant", "4")], [("user", "Add.\n3 3"), ("assistant", "6")]],
    ),
    "SuperNI, on the Hub": (
        {"task_name": "t", "id": "t-1", "definition": "Add.", "inputs": "2 2", "targets": "4"},
        [[("user", "Add.\n2 2"), ("assistant", "4")]],
    ),
    "FLAN": ({"inputs": "Hello", "targets": "Hi.", "task": "greet"}, [HELLO]),
    "FLAN, with its templates": (
        {"inputs": "Hello", "targets": "Hi.", "_template_idx": 3, "_task_source": "CoT", "_task_name": "t", "_template_type": "zs_opt"},
        [HELLO],
    ),
    "Unnatural Instructions": (
        {
            "instruction": "Add.",
            "instances": [
                {"instruction_with_input": "Add. 1", "input": "1", "constraints": "None.", "output": "2"},
                {"instruction_with_input": "Add. 3", "input": "3", "constraints": "One digit.", "output": "4"},
                {"instruction_with_input": "Add. 5", "input": "5", "constraints": None, "output": "6"},
            ],
        },
        [
            [("user", "Add.\n1"), ("assistant", "2")],
            [("user", "Add.\nOne digit.\n3"), ("assistant", "4")],
            [("user", "Add.\n5"), ("assistant", "6")],
        ],
    ),
    "Baize": (
        {"topic": "hello", "input": "A chat.\n[|Human|] Hello\n[|AI|] Hi.\n[|Human|]  \n[|Human|] And now?\n[|AI|] Fine.\n[|Human|] "},
        [LONGER],
    ),
    "Tülu 2": ({"dataset": "lima", "id": "lima_0", "messages": turns(*HELLO)}, [HELLO]),
    "Tülu 3": (
        {"id": "x_0", "messages": turns(("system", "Be kind."), *HELLO), "source": "ai2-adapt-dev/x"},
        [[("system", "Be kind."), *HELLO]],
    ),
    "Dolci": ({"id": "x", "messages": olmo(*HELLO), "source_dataset": "WildChat", "domain": "Other"}, [HELLO]),
    "smoltalk": ({"messages": turns(*LONGER), "source": "smol-magpie-ultra"}, [LONGER]),
    "UltraChat 200k": ({"prompt": "Hello", "prompt_id": "0f", "messages": turns(*LONGER)}, [LONGER]),
    "UltraChat": ({"id": "0", "data": ["Hello", "Hi.", "And now?", "Fine."]}, [LONGER]),
    "OpenHermes 2.5": (
        {
            "custom_instruction": None,
            "topic": None,
            "model_name": None,
            "model": None,
            "skip_prompt_formatting": False,
            "category": "orca",
            "views": None,
            "language": None,
            "id": None,
            "title": None,
            "idx": None,
            "hash": None,
            "avatarUrl": None,
            "system_prompt": None,
            "source": "airoboros2.2",
            "conversations": senders(("system", "Be kind."), *HELLO, weight=None),
        },
        [[("system", "Be kind."), *HELLO]],
    ),
    "WildChat": (
        {
            "conversation_hash": "0f",
            "model": "gpt-4-0314",
            "timestamp": NOW,
            "conversation": [wildchat(*pair) for pair in LONGER],
            "turn": 2,
            "language": "English",
            "openai_moderation": [{"categories": {"hate": False}, "category_scores": {"hate": 0.1}, "flagged": False}],
            "detoxify_moderation": [{"toxicity": 0.1}],
            "toxic": False,
            "redacted": False,
            "state": "Brittany",
            "country": "France",
            "hashed_ip": "0f",
            "header": {"accept-language": "fr", "user-agent": "x"},
        },
        [LONGER],
    ),
    "LIMA": ({"conversations": ["Hello", "Hi."], "source": "stackexchange"}, [HELLO]),
    "Magpie": ({**MAGPIE, "instruction": "Hello", "response": "Hi.", "conversations": senders(*HELLO)}, [HELLO]),
    "Magpie, two turns": (
        {
            **MAGPIE,
            "conversations": senders(*LONGER),
            "instruction": "Hello",
            "response": "Hi.",
            "instruction_2": "And now?",
            "response_2": "Fine.",
        },
        [LONGER],
    ),
}


def written(folder: Path, row: dict[str, Any], container: str) -> Path:
    path = folder / f"pool.{container}"
    if container == "parquet":
        polars.DataFrame([row], infer_schema_length=None).write_parquet(path)
    else:
        path.write_text(json.dumps(row, default=str) + "\n", encoding="utf-8")
    return path


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_an_open_dataset_goes_in_without_a_flag(tmp_path: Path, name: str, container: str) -> None:
    row, expected = ROWS[name]
    pool = Pool.read(written(tmp_path, row, container))
    conversations = [[(turn.role, turn.content) for turn in example.messages] for example in pool.examples()]
    assert sorted(conversations) == sorted(expected)
    assert (pool.report.read, pool.report.kept, pool.report.examples) == (1, 1, len(expected))


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_the_functions_and_calls_of_dolci_are_tools_and_calls(tmp_path: Path, container: str) -> None:
    functions = '[{"name": "get_tide", "parameters": {"type": "object"}}]'
    messages = [
        *olmo(("system", "You call functions."), functions=functions),
        *olmo(("user", "Tide?")),
        *olmo(("assistant", ""), function_calls='get_tide(port="Brest", exact=true)\nget_tide(port="Lorient", from=null)'),
        *olmo(("environment", "5.1"), ("assistant", "5.1 metres.")),
    ]
    pool = Pool.read(written(tmp_path, {"id": "x", "messages": messages, "source_dataset": "x", "domain": "Tool Use"}, container))
    (example,) = pool.examples()
    assert example.tools == Json(functions, is_text=True)
    assert example.messages == (
        Message("system", "You call functions."),
        Message("user", "Tide?"),
        Message(
            "assistant",
            "",
            (
                ToolCall("get_tide", Json('{"port":"Brest","exact":true}'), flat=True),
                ToolCall("get_tide", Json('{"port":"Lorient","from":null}'), flat=True),
            ),
        ),
        Message("tool", "5.1"),
        Message("assistant", "5.1 metres."),
    )


@pytest.mark.parametrize(
    ("text", "calls"),
    [
        ("f()", [("f", {})]),
        ("f(a=1, b='x, y')", [("f", {"a": 1, "b": "x, y"})]),
        ("[f(a=1), g(b=True)]", [("f", {"a": 1}), ("g", {"b": True})]),
        ('get-tide(in={"a": [1, null]}, x="a)(\\"b")', [("get-tide", {"in": {"a": [1, None]}, "x": 'a)("b'})]),
        ("a.b(class='c')\n\nd.e(x=None)", [("a.b", {"class": "c"}), ("d.e", {"x": None})]),
        ("f(1)", None),
        ("f(a=)", None),
        ("f(a=1, a=2)", None),
        ("f(a=g(b=1))", None),
        ("f(in=[1)", None),
        ("no call", None),
        ("", None),
    ],
)
def test_calls_as_python_writes_them_are_read_or_not_at_all(text: str, calls: list[tuple[str, dict[str, Any]]] | None) -> None:
    expected = None if calls is None else [{"name": name, "arguments": arguments} for name, arguments in calls]
    assert python_calls(text) == expected


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"conversations": [{"from": "narrator", "value": "Once."}, *senders(*HELLO)]}, "unknown_role"),
        ({"topic": "x", "input": "[|Human|] Hello [|AI|] Hi. [|AI|] Hi again."}, "bad_transcript"),
        ({"topic": "x", "input": "[|AI|] Hi. [|Human|] Hello"}, "no_turns"),
        ({"Definition": [], "Instances": [{"id": "t-1", "input": "a", "output": ["b"]}]}, "missing_field"),
        ({"Definition": ["Add."], "Instances": [{"id": "t-1", "input": "a", "output": []}]}, "missing_field"),
        ({"Definition": ["Add."], "Instances": [{"id": "t-1", "input": "a", "output": [4]}]}, "not_text"),
        ({"Definition": ["Add."], "Instances": ["a"]}, "not_an_object"),
        ({"Definition": ["Add."], "Instances": []}, "no_answer"),
        ({"inputs": "Hello", "targets": ["Hi."]}, "not_text"),
        ({"instruction": "Add.", "instances": [{"input": "1", "constraints": ["None"], "output": "2"}]}, "not_text"),
        ({"conversations": ["Hello"], "source": "other"}, "no_answer"),
    ],
)
def test_a_row_that_cannot_be_a_conversation_has_a_reason(tmp_path: Path, row: dict[str, Any], reason: str) -> None:
    with pytest.raises(PoolError, match=reason) as refusal:
        Pool.read(written(tmp_path, row, "jsonl"))
    assert refusal.value.report is not None
    assert refusal.value.report.read == 1


@pytest.mark.parametrize("container", ["jsonl", "parquet"])
def test_a_mixture_of_tulu_keeps_dataset_id_and_source_of_each_row(tmp_path: Path, container: str) -> None:
    first = {"dataset": "lima", "id": "lima_0", "messages": turns(*HELLO)}
    third = {"id": "x_0", "messages": turns(*LONGER), "source": "ai2-adapt-dev/x"}
    for number, (row, field) in enumerate(((first, "dataset"), (third, "source"))):
        (tmp_path / f"{number}").mkdir()
        pool = Pool.read(written(tmp_path / f"{number}", row, container), source_field=field)
        assert list(pool.sources) == [row[field]]
        # The whole row is there again, and is written as it was.
        assert pool.row(pool.ids[0]) == row
        pool.write(tmp_path / f"{number}" / f"out.{container}", [0])
        (again,) = Pool.read(tmp_path / f"{number}" / f"out.{container}").files
        assert again.plain(0) == row
