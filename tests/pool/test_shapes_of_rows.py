"""The fields and shapes of public pools: each is read, refused with a reason, or named as not read."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import polars
import pytest

from instructsel.errors import PoolError, UsageError
from instructsel.pool.example import Conversation, Example
from instructsel.pool.formats import Format
from instructsel.pool.formats._base import Fields
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.message import Json, Message, ToolCall
from instructsel.pool.pool import Pool
from instructsel.pool.spec import Reading

ASKED = {"role": "user", "content": "Tide in Brest?"}
CHAT = [ASKED, {"role": "assistant", "content": "5.1 metres."}]
PLAIN = [("user", "Tide in Brest?"), ("assistant", "5.1 metres.")]


def pool_of(folder: Path, *rows: Any, name: str = "pool.jsonl", **options: Any) -> Pool:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Pool.read(path, **options)


def examples(pool: Pool) -> list[Example]:
    """In the order of the rows."""
    return sorted(pool.examples(), key=lambda example: pool.locate(pool.position(example.id)))


def turns(pool: Pool) -> list[list[tuple[str, str]]]:
    return [[(turn.role, turn.content) for turn in example.messages] for example in examples(pool)]


def note(pool: Pool) -> str:
    return next(iter(pool.report.formats.values()))


# Lists of turns

LAYOUTS: list[dict[str, Any]] = [
    {"messages": CHAT},
    {"messages": [{"from": "human", "value": "Tide in Brest?"}, {"from": "gpt", "value": "5.1 metres."}]},
    {"conversations": ["Tide in Brest?", "5.1 metres."], "source": "ours"},
    {"conversations": CHAT},
    {"conversation": CHAT, "model": "m"},
    {"conversation": [{"human": "Tide in Brest?", "assistant": "5.1 metres."}]},
    {"data": ["Tide in Brest?", "5.1 metres."]},
    {"dialogue": [{"role": "user", "text": "Tide in Brest?"}, {"role": "assistant", "text": "5.1 metres."}]},
    {"conversation": [{"input": "Tide in Brest?", "output": "5.1 metres."}, *[]], "chat": CHAT},
    {"prompt": [ASKED], "completion": [CHAT[1]]},
]


@pytest.mark.parametrize("row", LAYOUTS)
@pytest.mark.parametrize("as_text", [False, True])
def test_a_list_of_turns_is_read_in_every_layout_also_as_json_text(tmp_path: Path, row: dict[str, Any], as_text: bool) -> None:
    written = {key: json.dumps(value) if as_text and isinstance(value, list) else value for key, value in row.items()}
    assert turns(pool_of(tmp_path, written)) == [PLAIN]


def test_json_text_in_a_table_is_a_list_of_turns(tmp_path: Path) -> None:
    with (tmp_path / "pool.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerows([["id", "messages"], ["1", json.dumps(CHAT)]])
    polars.DataFrame({"messages": [json.dumps(CHAT)]}).write_parquet(tmp_path / "pool.parquet")
    assert turns(Pool.read(tmp_path / "pool.csv")) == turns(Pool.read(tmp_path / "pool.parquet")) == [PLAIN]
    history = {"instruction": "And Dover?", "output": "6.", "history": json.dumps([["Tide in Brest?", "5.1 metres."]])}
    assert turns(pool_of(tmp_path, history)) == [[*PLAIN, ("user", "And Dover?"), ("assistant", "6.")]]


def test_a_prompt_that_begins_with_a_bracket_is_a_text(tmp_path: Path) -> None:
    rows = [{"prompt": '["b", "a"]', "completion": '["a", "b"]'}, {"prompt": "[INST] Sort.", "completion": "[]"}]
    assert turns(pool_of(tmp_path, *rows)) == [
        [("user", '["b", "a"]'), ("assistant", '["a", "b"]')],
        [("user", "[INST] Sort."), ("assistant", "[]")],
    ]


def test_a_text_that_is_no_list_of_turns_is_quarantined(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, {"messages": CHAT}, {"messages": "[{'role': 'user'"}, {"messages": json.dumps("text")})
    assert (len(pool), sum(pool.report.quarantined.values())) == (1, 2)


# A mapping of lists

MOSS = {"chat": {"turn_1": {"Human": "Tide in Brest?", "MOSS": "5.1 metres."}, "turn_2": {"Human": "Dover?", "MOSS": "6."}}, "n": 2}


@pytest.mark.parametrize(
    ("mapping", "row", "expected"),
    [
        ("messages=log,role=who,content=said", {"log": [{"who": "user", "said": "Q"}, {"who": "assistant", "said": "A"}]}, None),
        ("messages=a.b.log", {"a": {"b": {"log": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]}}}, None),
        ("messages=chat[].turns", {"chat": [{"turns": [{"role": "user", "content": "Q"}]}, {"turns": ["no", "texts"][:0]}]}, []),
        (
            "messages=chat[].turns,role=r,content=t",
            {
                "chat": [
                    {"turns": [{"r": "user", "t": "Q"}, {"r": "gpt", "t": "A"}]},
                    {"turns": [{"r": "user", "t": "Q2"}, {"r": "gpt", "t": "A2"}]},
                ]
            },
            [("user", "Q"), ("assistant", "A"), ("user", "Q2"), ("assistant", "A2")],
        ),
        (
            "messages=chat[],user=Human,assistant=MOSS",
            MOSS,
            [*PLAIN, ("user", "Dover?"), ("assistant", "6.")],
        ),
        ("messages=chosen", {"chosen": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}], "rejected": []}, None),
        ("messages=log", {"log": ["Q", "A"]}, None),
        ("messages=log", {"log": '["Q", "A"]'}, None),
        ("instruction=a.q,response=a.r", {"a": {"q": "Q", "r": "A"}}, None),
        ("instruction=a.q,response=r", {"a.q": "Q", "r": "A", "a": {"q": "no"}}, None),
    ],
)
def test_a_mapping_reads_lists_and_paths(tmp_path: Path, mapping: str, row: dict[str, Any], expected: list[tuple[str, str]] | None) -> None:
    if expected == []:
        with pytest.raises(PoolError, match="no_answer"):
            pool_of(tmp_path, row, format=Mapped.parse(mapping))
        return
    assert turns(pool_of(tmp_path, row, format=Mapped.parse(mapping))) == [expected or [("user", "Q"), ("assistant", "A")]]


def test_a_file_of_one_conversation_is_read_by_a_path(tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text(json.dumps(MOSS, indent=2), encoding="utf-8")
    with pytest.raises(PoolError, match=r"one JSON object.*--map messages"):
        Pool.read(tmp_path / "one.json")
    pool = Pool.read(tmp_path / "one.json", format=Mapped.parse("messages=chat[],user=Human,assistant=MOSS"))
    assert turns(pool) == [[*PLAIN, ("user", "Dover?"), ("assistant", "6.")]]


def test_a_mapping_names_reasoning_context_options_and_tools(tmp_path: Path) -> None:
    row = {
        "q": "Which?",
        "a": "B",
        "cot": "Not A.",
        "ctx": "Look.",
        "opts": {"A": "chalk", "B": "zinc"},
        "fns": [{"name": "f"}],
        "sys": "Be brief.",
    }
    mapping = Mapped.parse("instruction=q,response=a,reasoning=cot,context=ctx,options=opts,tools=fns,system=sys")
    pool = pool_of(tmp_path, row, format=mapping)
    (example,) = examples(pool)
    assert example.messages == (
        Message("system", "Be brief."),
        Message("user", "Which?\nLook.\nA. chalk\nB. zinc"),
        Message("assistant", "B", reasoning="Not A."),
    )
    assert example.tools == Json.of([{"name": "f"}])
    assert "not read" not in note(pool)


@pytest.mark.parametrize(
    "mapping",
    [
        "messages=m,role=r",
        "messages=m,instruction=q",
        "instruction=q,response=a,role=r",
        "messages=m,user=u",
        "messages=m[,response=a",
        "messages=m,role=r,content=c,user=u,assistant=a",
    ],
)
def test_a_mapping_of_a_list_that_is_not_whole_is_refused(mapping: str) -> None:
    with pytest.raises(UsageError):
        Mapped.parse(mapping)


def test_a_mapping_says_which_fields_it_does_not_read(tmp_path: Path) -> None:
    row = {"query": "And snow?", "response": "Cold, too.", "history": [["Is rain wet?", "Yes."]], "system": "Be brief."}
    pool = pool_of(tmp_path, row, format=Mapped.parse("instruction=query,response=response"))
    assert note(pool) == "mapped: as --map says; not read: history, system"


# Roles

ODD = [
    {"conversations": [{"from": "human", "value": "Q"}, {"from": "AI", "value": "A"}]},
    {"conversations": [{"from": "customer", "value": "Q"}, {"from": "agent", "value": "A"}]},
    {"conversations": [{"from": "hummany", "value": "Q"}, {"from": "gpt", "value": "A"}]},
]


def test_odd_roles_are_named_by_a_message_and_read_where_they_are_named(tmp_path: Path) -> None:
    with pytest.raises(PoolError) as caught:
        pool_of(tmp_path, *ODD)
    fix = str(caught.value.fix)
    assert all(name in fix for name in ("AI=assistant", "customer=user", "agent=assistant", "hummany", "did you mean 'human'"))
    roles = ["AI=assistant", "customer=user", "Agent=assistant", "hummany=human"]
    pool = pool_of(tmp_path, *ODD, roles=roles)
    assert turns(pool) == [[("user", "Q"), ("assistant", "A")]] * 3
    assert Reading.of(pool.spec.reading.as_dict()).read([str(tmp_path / "pool.jsonl")]).ids == pool.ids


def test_roles_that_some_rows_have_are_named_beside_the_account(tmp_path: Path) -> None:
    pool_of(tmp_path, {"messages": CHAT}, *ODD[:1])
    lines: list[str] = []
    Reading().read([str(tmp_path / "pool.jsonl")], message=lines.append)
    assert any("roles that nobody named: AI" in line and "--role AI=assistant" in line for line in lines)


@pytest.mark.parametrize("named", ["AI", "=assistant", "AI=", "AI=robot"])
def test_a_role_that_there_is_not_is_refused(tmp_path: Path, named: str) -> None:
    with pytest.raises(UsageError):
        pool_of(tmp_path, *ODD, roles=[named])


@pytest.mark.parametrize("spelling", ["tool-response", "Tool Response", "function-response", "OBSERVATION", "environment", "ipython"])
def test_hyphens_blanks_and_capitals_in_roles_are_of_no_matter(tmp_path: Path, spelling: str) -> None:
    row = {"conversations": [{"from": "human", "value": "Q"}, {"from": spelling, "value": "{}"}, {"from": "gpt", "value": "A"}]}
    assert turns(pool_of(tmp_path, row)) == [[("user", "Q"), ("tool", "{}"), ("assistant", "A")]]


# Calls and tools

FUNCTION = {"name": "get_tide", "arguments": {"port": "Brest"}}
OPENAI = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": '{"port": "Brest"}'}}
CALLS: list[tuple[dict[str, Any], ToolCall]] = [
    (
        {"role": "assistant", "content": None, "tool_calls": [OPENAI]},
        ToolCall("get_tide", Json('{"port": "Brest"}', True), "c1", "function"),
    ),
    ({"role": "assistant", "tool_calls": json.dumps([FUNCTION])}, ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True)),
    ({"role": "assistant", "content": "", "tool_calls": [FUNCTION]}, ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True)),
    ({"role": "assistant", "content": None, "function_call": FUNCTION}, ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True)),
    (
        {"role": "assistant", "content": None, "function_calls": 'get_tide(port="Brest")'},
        ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True),
    ),
    ({"role": "function-call", "content": json.dumps(FUNCTION)}, ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True)),
    ({"role": "tool_call", "content": FUNCTION}, ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True)),
    (
        {"role": "function_call", "content": f"{json.dumps(FUNCTION)}\n{json.dumps(FUNCTION)}"},
        ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True),
    ),
    ({"role": "function_call", "content": json.dumps([FUNCTION, FUNCTION])}, ToolCall("get_tide", Json.of({"port": "Brest"}), flat=True)),
]


@pytest.mark.parametrize(("turn", "call"), CALLS)
def test_a_call_is_read_in_every_spelling(tmp_path: Path, turn: dict[str, Any], call: ToolCall) -> None:
    (example,) = examples(pool_of(tmp_path, {"messages": [ASKED, turn]}))
    assert set(example.messages[1].tool_calls) == {call}
    assert example.messages[1].content == ""
    assert example.response.splitlines()[0] == 'get_tide {"port": "Brest"}'


@pytest.mark.parametrize("calls", ["no json", "f(1)", "import os", '[{"arguments": {}}]', "get_tide(port=open('x'))"])
def test_calls_without_a_name_or_form_are_quarantined(tmp_path: Path, calls: str) -> None:
    pool = pool_of(tmp_path, {"messages": CHAT}, {"messages": [ASKED, {"role": "assistant", "content": None, "function_calls": calls}]})
    assert pool.report.quarantined == {"bad_tool_call": 1}


TOOLS = [{"type": "function", "function": {"name": "get_tide", "parameters": {}}}]


@pytest.mark.parametrize("name", ["tools", "functions", "available_tools"])
@pytest.mark.parametrize("as_text", [False, True])
@pytest.mark.parametrize("place", ["row", "turn"])
def test_tools_are_kept_under_every_name_as_they_came(tmp_path: Path, name: str, as_text: bool, place: str) -> None:
    tools = json.dumps(TOOLS) if as_text else TOOLS
    system = {"role": "system", "content": "Be brief.", **({name: tools} if place == "turn" else {})}
    row = {"messages": [system, *CHAT], **({name: tools} if place == "row" else {})}
    pool = pool_of(tmp_path, row)
    (example,) = examples(pool)
    assert example.tools is not None and example.tools.as_given == tools
    assert "not read" not in note(pool)


@pytest.mark.parametrize("tools", [None, [], ""])
def test_no_tools_are_none(tmp_path: Path, tools: Any) -> None:
    pool = pool_of(tmp_path, {"messages": CHAT, "tools": tools})
    assert examples(pool)[0].tools is None
    assert pool.ids == pool_of(tmp_path, {"messages": CHAT}, name="plain.jsonl").ids


def test_tools_beside_a_prompt_are_kept(tmp_path: Path) -> None:
    rows = [{"prompt": "Q", "completion": "A", "tools": TOOLS}, {"question": "Q", "answer": "A", "tools": TOOLS}]
    assert all(example.tools == Json.of(TOOLS) for example in examples(pool_of(tmp_path, *rows)))


# Weights


@pytest.mark.parametrize("key", ["weight", "train", "loss", "training"])
@pytest.mark.parametrize("zero", [0, 0.0, False, "0", "false", "False"])
def test_a_turn_of_weight_nought_is_never_the_response(tmp_path: Path, key: str, zero: Any) -> None:
    bad, good = (
        {"role": "assistant", "content": "no", key: zero},
        {"role": "assistant", "content": "yes", key: 1 if key == "weight" else True},
    )
    pool = pool_of(
        tmp_path, {"messages": [ASKED, good, ASKED, bad]}, {"messages": [ASKED, bad]}, {"messages": [ASKED, {**good, key: None}]}
    )
    assert [example.response for example in examples(pool)] == ["yes", "yes"]
    assert pool.report.dropped == {"no_trained_response": 1}


@pytest.mark.parametrize("weights", [[0, 1], [0, 0, 0, 1], [False, True], "[0, 1]"])
@pytest.mark.parametrize("name", ["weight", "weights", "loss_mask", "train", "mask"])
def test_a_list_of_weights_beside_the_turns_is_that_of_its_turns(tmp_path: Path, weights: Any, name: str) -> None:
    row = {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}] * 2, name: weights}
    (example,) = examples(pool_of(tmp_path, row))
    assert [turn.is_trained for turn in example.messages] == [False, False, False, True]


def test_weights_that_fit_no_turns_are_quarantined_and_a_row_of_weight_nought_is_dropped(tmp_path: Path) -> None:
    rows = [
        {"messages": CHAT},
        {"messages": CHAT, "weights": [1, 1, 0]},
        {"messages": CHAT, "weight": 0},
        {"messages": CHAT, "train": False},
    ]
    pool = pool_of(tmp_path, *rows)
    assert (pool.report.quarantined, pool.report.dropped) == ({"bad_weight": 1}, {"no_trained_response": 2})
    weighted = pool_of(tmp_path, {"messages": CHAT, "weight": 0.5, "loss": 2.5})
    assert note(weighted).endswith("not read: loss, weight")


def test_weights_are_read_in_parquet_as_well(tmp_path: Path) -> None:
    chat = [{"role": "user", "content": "Q", "weight": None}, {"role": "assistant", "content": "A", "weight": 0.0}]
    polars.DataFrame({"messages": [chat, [chat[0], {**chat[1], "weight": 1.0}]]}).write_parquet(tmp_path / "pool.parquet")
    assert Pool.read(tmp_path / "pool.parquet").report.dropped == {"no_trained_response": 1}


# Reasoning


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_reasoning_is_kept_in_turns_and_beside_prompts_and_read_only_when_asked_for(tmp_path: Path, name: str) -> None:
    rows = [
        {"messages": [ASKED, {"role": "assistant", "content": "5.1", name: "The port says."}]},
        {"prompt": "Tide in Brest?", "completion": "5.1", name: "The port says."},
        {"question": "Tide in Brest?", "answer": "5.1", name: "The port says."},
        {"instruction": "Tide in Brest?", "output": "5.1", name: ["The port says."]},
        {"instruction": "Tide in Brest?", "response": "5.1", name: "The port says."},
    ]
    out, read = pool_of(tmp_path, *rows), pool_of(tmp_path, *rows, reasoning="in")
    assert {example.messages[-1] for example in out.examples()} == {Message("assistant", "5.1", reasoning="The port says.")}
    assert {example.response for example in out.examples()} == {"5.1"}
    assert {example.response for example in read.examples()} == {"The port says.\n5.1"}
    assert out.report.with_reasoning == 5
    assert out.ids == read.ids and out.fingerprint != read.fingerprint
    lines: list[str] = []
    Reading(reasoning="out").read([str(tmp_path / "pool.jsonl")], message=lines.append)
    assert "5 examples with reasoning, which indicators leave out; they read it with --reasoning in" in lines


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning", "thinking", "thought"])
def test_reasoning_beside_a_list_of_turns_is_that_of_the_response(tmp_path: Path, name: str) -> None:
    said = {"role": "assistant", "content": "5.1"}
    lists = [
        {"messages": [ASKED, said]},
        {"conversations": [{"from": "human", "value": "Tide in Brest?"}, {"from": "gpt", "value": "5.1"}]},
        {"prompt": [ASKED], "completion": [said]},
        {"dialog": ["Tide in Brest?", "5.1"]},
    ]
    alone = Pool.of([{"messages": [ASKED, {**said, "reasoning_content": "The port says."}]}]).ids[0]
    for row in lists:
        pool = pool_of(tmp_path, {**row, name: "The port says."})
        assert pool.ids == [alone] or tuple(pool.ids) == (alone,), row
        assert not note(pool).endswith(name)
    # Of several turns, the one that is trained on last; a list of as many as the model has turns is one for each.
    turns_of = [ASKED, said, {"role": "user", "content": "And Dover?"}, {"role": "assistant", "content": "6.2"}, {**said, "weight": 0}]
    (last,) = examples(pool_of(tmp_path, {"messages": turns_of, name: "Dover says."}))
    assert [turn.reasoning for turn in last.messages] == [None, None, None, "Dover says.", None]
    (all_of,) = examples(pool_of(tmp_path, {"messages": turns_of, name: ["Brest says.", None, "Nobody says."]}))
    assert [turn.reasoning for turn in all_of.messages] == [None, "Brest says.", None, None, "Nobody says."]
    (joined,) = examples(pool_of(tmp_path, {"messages": turns_of, name: ["First.", "Second."]}))
    assert joined.messages[3].reasoning == "First.\nSecond."


def test_a_system_text_may_be_a_list_of_parts(tmp_path: Path) -> None:
    parts = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}, {"type": "text", "text": "Be kind."}]
    pool = pool_of(tmp_path, {"system": parts, "messages": CHAT}, {"system": [{"type": "image", "source": {}}], "messages": CHAT})
    assert turns(pool) == [[("system", "Be brief.\nBe kind."), *PLAIN]] and pool.report.quarantined == {"not_text": 1}


@pytest.mark.parametrize(
    ("value", "thoughts"),
    [
        ("[1, 2]", [None, "[1, 2]"]),
        ("[null, 3]", [None, "[null, 3]"]),
        ('[{"text": "x"}, {"text": "y"}]', ["x", "y"]),
        ([{"text": "x"}, {"text": None}], ["x", None]),
        ([{"text": "x"}], [None, "x"]),
        (["", ""], [None, None]),
        ([{"effort": "high"}, {"effort": "low"}], [None, None]),
    ],
)
def test_a_list_beside_turns_is_reasoning_where_it_holds_texts_alone(tmp_path: Path, value: Any, thoughts: list[str | None]) -> None:
    (example,) = examples(pool_of(tmp_path, {"messages": [ASKED, CHAT[1], ASKED, CHAT[1]], "reasoning": value}))
    assert [turn.reasoning for turn in example.messages if turn.role == "assistant"] == thoughts


def test_a_mapping_of_turns_names_the_field_of_their_reasoning(tmp_path: Path) -> None:
    row = {"chat": [{"who": "user", "say": "Q"}, {"who": "assistant", "say": "A"}], "trace": {"cot": "Hm."}}
    mapping = Mapped.parse("messages=chat,role=who,content=say,reasoning=trace.cot")
    (example,) = pool_of(tmp_path, row, format=mapping).examples()
    assert example.messages[-1] == Message("assistant", "A", reasoning="Hm.")


@pytest.mark.parametrize("value", ["off", True, 2048, {"effort": "low"}, [{"type": "x"}], "", [], None, ["", None]])
def test_settings_beside_a_list_of_turns_are_no_reasoning(tmp_path: Path, value: Any) -> None:
    pool = pool_of(tmp_path, {"messages": [ASKED, {"role": "assistant", "content": "5.1"}], "reasoning": value})
    assert pool.ids == Pool.of([{"messages": [ASKED, {"role": "assistant", "content": "5.1"}]}]).ids


def test_reasoning_that_a_turn_has_already_is_not_added_again(tmp_path: Path) -> None:
    own = {"role": "assistant", "content": "5.1", "reasoning_content": "Its own."}
    (example,) = examples(pool_of(tmp_path, {"messages": [ASKED, own], "reasoning": "Another."}))
    assert example.messages[-1].reasoning == "Its own."
    for row in (
        {"messages": [ASKED, {**own, "reasoning_content": None, "content": "<think>\nHm.\n</think>\n5.1"}]},
        {"prompt": "Q", "completion": "<think>Hm.</think>A"},
    ):
        (example,) = examples(pool_of(tmp_path, {**row, "thinking": "Hm."}))
        assert example.messages[-1].reasoning is None and "Hm." in example.messages[-1].content


def test_thinking_in_the_text_stays_in_the_text(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, {"prompt": "Q", "completion": "<think>Hm.</think>A", "thinking": True})
    assert examples(pool)[0].messages[-1] == Message("assistant", "<think>Hm.</think>A")


def test_a_switch_of_reasoning_is_no_reasoning(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, {"prompt": "Q", "completion": "A", "reasoning": "off"})
    assert examples(pool)[0].messages[-1] == Message("assistant", "A")


# What stands beside

BESIDE: list[dict[str, Any]] = [
    {"prompt": "Q", "completion": "A"},
    {"question": "Q", "answer": "A"},
    {"question": "Q", "response": "A"},
    {"instruction": "Q", "output": "A"},
    {"instruction": "Q", "response": "A"},
    {"messages": [{"role": "user", "content": "Q"}, {"role": "assistant", "content": "A"}]},
    {"conversations": [{"from": "human", "value": "Q"}, {"from": "gpt", "value": "A"}]},
    {"prompt": [{"role": "user", "content": "Q"}], "completion": [{"role": "assistant", "content": "A"}]},
    {"instruction": "Q", "output": "A", "history": []},
    {"instruction": "Q", "instances": [{"input": "", "output": "A"}]},
]


@pytest.mark.parametrize("row", BESIDE)
def test_system_context_and_options_beside_a_format_are_read(tmp_path: Path, row: dict[str, Any]) -> None:
    assert turns(pool_of(tmp_path, {**row, "system_prompt": "Be brief."})) == [[("system", "Be brief."), ("user", "Q"), ("assistant", "A")]]
    assert turns(pool_of(tmp_path, {**row, "context": "Bees fly."})) == [[("user", "Q\nBees fly."), ("assistant", "A")]]
    assert turns(pool_of(tmp_path, {**row, "options": ["A. x", "B. y"]})) == [[("user", "Q\nA. x\nB. y"), ("assistant", "A")]]
    empty = dict.fromkeys(("system", "context", "options", "choices", "tools", "reasoning", "images", "weight"))
    assert turns(pool_of(tmp_path, {**row, **empty}, row)) == [[("user", "Q"), ("assistant", "A")]] * 2


@pytest.mark.parametrize(
    ("choices", "lines"),
    [
        (["chalk", "copper"], "chalk\ncopper"),
        ({"A": "chalk", "B": "copper", "C": None}, "A. chalk\nB. copper"),
        ({"text": ["chalk", "copper"], "label": ["A", "B"]}, "A. chalk\nB. copper"),
        ([{"label": "A", "text": "chalk"}, {"label": "B", "text": "copper"}], "A. chalk\nB. copper"),
        ('["chalk", "copper"]', "chalk\ncopper"),
        ("A. chalk B. copper", "A. chalk B. copper"),
    ],
)
def test_options_go_under_the_question_whatever_their_layout(tmp_path: Path, choices: Any, lines: str) -> None:
    row = {"question": "Which is a metal?", "choices": choices, "answer": "B"}
    assert turns(pool_of(tmp_path, row)) == [[("user", f"Which is a metal?\n{lines}"), ("assistant", "B")]]


@pytest.mark.parametrize(
    ("field", "value"), [("options", [1, 2]), ("options", 3), ("context", {"a": 1}), ("system", ["a", 1]), ("choices", [["a"]])]
)
def test_what_cannot_be_read_beside_a_question_is_refused(tmp_path: Path, field: str, value: Any) -> None:
    pool = pool_of(tmp_path, {"question": "Q", "answer": "A"}, {"question": "Q", "answer": "A", field: value})
    assert pool.report.quarantined == {"not_text": 1}


def test_what_stands_in_the_turns_already_is_not_added_again(tmp_path: Path) -> None:
    system = {"role": "system", "content": "Be brief."}
    rows = [
        {"messages": [system, *CHAT], "system": "Be brief."},
        {"prompt": "Bees fly.\nWhich: (A) chalk or (B) zinc?", "completion": "B", "context": "Bees fly.", "options": ["chalk", "zinc"]},
        {"prompt": "nature is what?", "completion": "Bees fly.", "context": "Bees fly."},
    ]
    assert turns(pool_of(tmp_path, *rows)) == [
        [("system", "Be brief."), *PLAIN],
        [("user", rows[1]["prompt"]), ("assistant", "B")],
        [("user", "nature is what?\nBees fly."), ("assistant", "Bees fly.")],
    ]
    pool = pool_of(tmp_path, {"messages": [system, *CHAT], "system": "Be long."}, {"messages": CHAT})
    assert pool.report.quarantined == {"two_system_texts": 1}


def test_of_several_turns_the_first_gets_the_context_and_the_last_the_options(tmp_path: Path) -> None:
    row = {"messages": [*CHAT, {"role": "user", "content": "Which?"}, CHAT[1]], "context": "Bees fly.", "options": ["x", "y"]}
    assert turns(pool_of(tmp_path, row)) == [
        [("user", "Tide in Brest?\nBees fly."), PLAIN[1], ("user", "Which?\nx\ny"), PLAIN[1]],
    ]


# More than text


@pytest.mark.parametrize("name", ["image", "images", "video", "videos", "audio", "audios"])
def test_rows_and_turns_about_more_than_text_are_refused_in_one_way(tmp_path: Path, name: str) -> None:
    rows = [
        {"messages": CHAT},
        {"conversations": [{"from": "human", "value": "<image>\nWhat?"}, {"from": "gpt", "value": "A hedge."}], name: ["a.png"]},
        {"prompt": "What?", "completion": "A hedge.", name: "a.png"},
        {"messages": [{**ASKED, name: ["a.png"]}, CHAT[1]]},
        {"messages": [{"role": "user", "content": [{"type": name.rstrip("s"), "url": "a.png"}]}, CHAT[1]]},
    ]
    pool = pool_of(tmp_path, *rows, *({"messages": CHAT, name: empty} for empty in (None, [], "")))
    assert (len(pool), pool.report.quarantined) == (4, {"not_text": 4})


def test_a_column_of_bytes_that_no_text_mentions_is_not_read(tmp_path: Path) -> None:
    polars.DataFrame({"instruction": ["See.", "<image> See."], "output": ["Yes.", "Yes."], "image": [b"\x89", b"\x89"]}).write_parquet(
        tmp_path / "pool.parquet"
    )
    pool = Pool.read(tmp_path / "pool.parquet")
    assert (len(pool), pool.report.quarantined) == (1, {"not_text": 1})
    assert "not read: image" in note(pool)


# Preference pairs, mixed files, fields that nobody reads


def test_the_fix_for_preference_pairs_beside_a_conversation_works(tmp_path: Path) -> None:
    row = {"prompt": "Q", "messages": CHAT, "chosen": CHAT, "rejected": CHAT}
    with pytest.raises(PoolError) as caught:
        pool_of(tmp_path, row)
    assert "--format messages" in str(caught.value.fix)
    assert turns(pool_of(tmp_path, row, format="messages")) == [PLAIN]
    del row["messages"]
    with pytest.raises(PoolError) as caught:
        pool_of(tmp_path, row)
    mapping = str(caught.value.fix).split("--map ")[1]
    assert turns(pool_of(tmp_path, row, format=Mapped.parse(mapping))) == [PLAIN]
    with pytest.raises(PoolError, match="instruction=prompt,response=chosen"):
        pool_of(tmp_path, {"prompt": "Q", "chosen": "A", "rejected": "B"})


def test_each_row_of_a_mixed_file_is_read_by_its_own_format(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"instruction": "Q", "output": "A"}, {"messages": CHAT}, {"prompt": "P", "completion": "C"}]
    pool = pool_of(tmp_path, *rows, *[{"instruction": f"Q{n}", "output": "A"} for n in range(300)], {"conversations": ["late", "yes"]})
    assert note(pool) == "alpaca (301 rows), messages (1 row), prompt_completion (1 row), sharegpt (1 row): each row by its own format"
    assert (len(pool), pool.report.n_quarantined) == (304, 0)
    assert turns(pool)[-1] == [("user", "late"), ("assistant", "yes")]
    pool.write(tmp_path / "out.jsonl", range(len(pool)))
    assert Pool.read(tmp_path / "out.jsonl").fingerprint == pool.fingerprint
    named = Pool.read(tmp_path / "pool.jsonl", format="alpaca")
    assert named.report.quarantined == {"missing_field": 3}


def test_a_mixed_table_is_read_row_by_row(tmp_path: Path) -> None:
    polars.DataFrame({"instruction": ["Q", None], "output": ["A", None], "prompt": [None, "P"], "completion": [None, "C"]}).write_parquet(
        tmp_path / "pool.parquet"
    )
    assert turns(Pool.read(tmp_path / "pool.parquet")) == [[("user", "Q"), ("assistant", "A")], [("user", "P"), ("assistant", "C")]]


def test_fields_that_nobody_reads_are_named_in_turns_as_well(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, {"id": 1, "messages": [{**ASKED, "lang": "en", "name": "Ann"}, CHAT[1]], "score": None})
    assert note(pool) == "messages: has a list of 'messages'; not read: id, lang (in turns)"
    row = {"log": {"turns": [{"who": "user", "said": "Q", "at": 1}, {"who": "gpt", "said": "A", "mood": "calm"}]}, "n": 1}
    pool = pool_of(tmp_path, row, format=Mapped.parse("messages=log.turns,role=who,content=said"))
    assert note(pool) == "mapped: as --map says; not read: n, at (in turns), mood (in turns)"


def test_a_layout_of_one_s_own_is_a_subclass(tmp_path: Path) -> None:
    class Moss(Format):
        name = "moss"
        precedence = 5
        fields = ("chat",)

        def fits(self, row: Fields) -> str | None:
            return "has MOSS's turns" if isinstance(row.get("chat"), dict) else None

        def conversations(self, row: Fields) -> list[Conversation]:
            pairs = [(who, turn[key]) for turn in row["chat"].values() for who, key in (("user", "Human"), ("assistant", "MOSS"))]
            return [Conversation(tuple(Message(who, text) for who, text in pairs))]

    pool = pool_of(tmp_path, {**MOSS, "context": "not its own"}, format=Moss())
    assert turns(pool) == [[*PLAIN, ("user", "Dover?"), ("assistant", "6.")]]
    assert note(pool).endswith("not read: context, n")
