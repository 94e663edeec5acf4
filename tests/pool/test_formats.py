"""Every format: what it reads, what it refuses, and how it is told from the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.errors import PoolError, UsageError
from instructsel.pool.example import conversation
from instructsel.pool.formats import _registry as registry
from instructsel.pool.formats._base import TableFormat
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.lines import Limits, RowDropped, RowFault, parse, parse_again
from instructsel.pool.message import ROLES, Json, Message, ToolCall
from instructsel.pool.pool import Pool

ROWS: dict[str, dict[str, Any]] = {
    "alpaca": {"instruction": "Add.", "input": "1 and 1", "output": "2"},
    "dolly": {"instruction": "Add.", "context": "1 and 1", "response": "2", "category": "math"},
    "history": {"instruction": "And now?", "input": "", "output": "Fine.", "history": [["Hello", "Hi."]]},
    "messages": {"messages": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]},
    "sharegpt": {"conversations": [{"from": "human", "value": "Hello"}, {"from": "gpt", "value": "Hi."}]},
    "dialogue": {"conversation": [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi."}]},
    "prompt_completion": {"prompt": "Hello", "completion": "Hi."},
    "question_answer": {"question": "1+1?", "answer": "2"},
    "self_instruct": {"instruction": "Add.", "instances": [{"input": "1 1", "output": "2"}, {"input": "2 2", "output": "4"}]},
    "unnatural_instructions": {"instruction": "Add.", "instances": [{"input": "1 1", "constraints": "One digit.", "output": "2"}]},
    "super_natural_instructions": {"Definition": ["Add."], "Instances": [{"id": "t-1", "input": "1 1", "output": ["2", "two"]}]},
    "flan": {"inputs": "1+1?", "targets": "2"},
    "xlam": {"query": "Tide?", "tools": '[{"name": "tide"}]', "answers": '[{"name": "tide", "arguments": {"port": "Brest"}}]'},
    "glaive": {"system": "SYSTEM: Be brief.", "chat": "USER: Hello\n\n\nASSISTANT: Hi. <|endoftext|>\n\n\n"},
    "responses": {
        "input": "Hello",
        "output": [{"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hi."}]}],
    },
    "baize": {"topic": "hello", "input": "A chat.\n[|Human|] Hello\n[|AI|] Hi.\n[|Human|] "},
    "oasst_tree": {
        "message_tree_id": "t",
        "prompt": {
            "message_id": "a",
            "text": "Hello",
            "role": "prompter",
            "replies": [{"text": "Hi.", "role": "assistant", "replies": []}],
        },
    },
    "oasst_table": {"message_id": "a", "parent_id": None, "text": "Hello", "role": "prompter"},
}


TAKES_LISTS = (
    *("messages", "sharegpt", "prompt_completion", "history", "self_instruct", "unnatural_instructions", "super_natural_instructions"),
)


def write(folder: Path, rows: list[Any], name: str = "pool.jsonl") -> Path:
    path = folder / name
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def read(folder: Path, *rows: Any, **options: Any) -> list[tuple[Message, ...]]:
    pool = Pool.read(write(folder, list(rows)), **options)
    return [example.messages for example in sorted(pool.examples(), key=lambda example: pool.locate(pool.position(example.id))[1])]


def said(*turns: tuple[str, str]) -> tuple[Message, ...]:
    return tuple(Message(role, content) for role, content in turns)


def test_every_format_of_the_folder_has_a_row_here() -> None:
    assert set(ROWS) == set(registry.classes())


@pytest.mark.parametrize("name", ROWS)
def test_a_row_of_a_format_is_recognized_with_a_reason(name: str) -> None:
    detected = registry.detect([ROWS[name]])
    assert detected.format is not None
    assert detected.format.name == name
    assert detected.why.startswith("has ")


@pytest.mark.parametrize("name", [name for name in ROWS if name != "oasst_table"])
@pytest.mark.parametrize("wrong", [["a", "list"], 3, True, {"an": "object"}])
def test_what_is_no_text_is_never_turned_into_one(name: str, wrong: Any) -> None:
    chosen = registry.make(name)
    for field in chosen.fields:
        if field not in ROWS[name] or field == "message_tree_id":
            continue
        try:
            found = chosen.conversations({**ROWS[name], field: wrong})
        except (RowFault, RowDropped):
            continue
        assert not any(
            str(wrong) == turn.content or repr(wrong) in turn.content for conversation in found for turn in conversation.messages
        )
        assert (isinstance(wrong, list) and name in TAKES_LISTS) or found


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "text", "replies", "input", "output", "tool_calls"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(st.data())
def test_no_row_crashes_a_format(data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(ROWS)))
    chosen = registry.make(name)
    row = {**ROWS[name], **{field: data.draw(json_values) for field in chosen.fields if data.draw(st.booleans())}}
    if isinstance(chosen, TableFormat):
        chains, dropped, faults = chosen.link([row, ROWS[name]])
        assert len({n for chain in chains for n in chain.rows} | set(dropped) | set(faults)) == 2
        return
    try:
        found = chosen.conversations(row)
    except (RowFault, RowDropped):
        return
    for example in found:
        example.canonical()
        assert all(turn.role in ROLES and isinstance(turn.content, str) for turn in example.messages)


def test_the_input_goes_under_the_instruction(tmp_path: Path) -> None:
    pool = Pool.read(write(tmp_path, [ROWS["alpaca"]]))
    (example,) = pool.examples()
    assert (example.instruction, example.response, example.text) == ("Add.\n1 and 1", "2", "Add.\n1 and 1\n2")


def test_the_same_conversation_has_the_same_id_in_every_format(tmp_path: Path) -> None:
    same = [
        {"instruction": "Hello", "input": "", "output": "Hi."},
        {"instruction": "Hello", "context": "", "response": "Hi."},
        ROWS["messages"],
        ROWS["sharegpt"],
        ROWS["prompt_completion"],
        {"question": "Hello", "answer": "Hi."},
        {"instruction": "Hello", "output": "Hi.", "history": []},
        {"instruction": "Hello", "instances": [{"input": "", "output": "Hi."}]},
        {"instruction": "Hello", "instances": [{"input": "", "constraints": "None.", "output": "Hi."}]},
        {"Definition": ["Hello"], "Instances": [{"input": "", "output": ["Hi."]}]},
        {"inputs": "Hello", "targets": "Hi."},
        {"input": "[|Human|] Hello\n[|AI|] Hi."},
        ROWS["oasst_tree"],
    ]
    ids = {Pool.read(write(tmp_path, [row], f"{number}.jsonl")).ids[0] for number, row in enumerate(same)}
    assert len(ids) == 1


def test_history_comes_before_the_last_turn_and_the_system_text_first(tmp_path: Path) -> None:
    row = {**ROWS["history"], "system": "Be kind."}
    assert read(tmp_path, row) == [
        said(("system", "Be kind."), ("user", "Hello"), ("assistant", "Hi."), ("user", "And now?"), ("assistant", "Fine."))
    ]


def test_tool_roles_are_kept(tmp_path: Path) -> None:
    turns = [("human", "Weather?"), ("function_call", '{"name": "weather"}'), ("observation", "rain"), ("gpt", "It rains.")]
    row = {"conversations": [{"from": who, "value": text} for who, text in turns], "tools": '[{"name": "weather"}]'}
    call = Message("assistant", "", (ToolCall("weather", flat=True),))
    (first, *rest), (last,) = said(("user", "Weather?"), ("tool", "rain")), said(("assistant", "It rains."))
    assert read(tmp_path, row) == [(first, call, *rest, last)]
    (example,) = Pool.read(tmp_path / "pool.jsonl").examples()
    assert example.tools == Json('[{"name": "weather"}]', is_text=True) and example.tools.value == [{"name": "weather"}]


def test_openai_tool_calls_and_text_parts_are_read(tmp_path: Path) -> None:
    call = {"id": "1", "function": {"name": "f", "arguments": "{}"}}
    row = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": "One"}, {"type": "text", "text": "two"}]},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "ok"},
            {"role": "assistant", "content": "Done."},
        ]
    }
    expected = (
        Message("developer", "Be brief."),
        Message("user", "One\ntwo", parts=("One", "two")),
        Message("assistant", "", (ToolCall("f", Json("{}", is_text=True), id="1"),)),
        *said(("tool", "ok"), ("assistant", "Done.")),
    )
    assert read(tmp_path, row) == [expected]


USE = {"type": "tool_use", "id": "t1", "name": "tide", "input": {"port": "Brest", "days": [1, 2]}}
USED = ToolCall("tide", Json('{"port":"Brest","days":[1,2]}'), "t1", "function")


def text_part(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


def test_calls_and_results_in_the_parts_of_a_content_are_read(tmp_path: Path) -> None:
    second = {**USE, "id": "t2", "input": {}}
    dialogue: list[tuple[str, Any]] = [
        ("user", [text_part("Tide?")]),
        ("assistant", [{"type": "thinking", "thinking": "Ask."}, text_part("I look."), text_part("Now."), USE, second, text_part("\n")]),
        (
            "user",
            [
                {"type": "tool_result", "tool_use_id": "t1", "content": [text_part("5.1"), text_part("metres")], "is_error": False},
                {"type": "tool_result", "tool_use_id": "t2"},
                text_part("And then?"),
            ],
        ),
        ("assistant", "It falls."),
        ("user", [text_part("Again."), text_part("Now."), {"type": "tool_result", "tool_use_id": "t1", "content": "6"}, text_part("")]),
        ("assistant", [USE]),
        ("tool", [{"type": "tool_result", "content": "7"}]),
        ("assistant", [text_part("7.")]),
    ]
    listed = [{"role": who, "content": content} for who, content in dialogue]
    listed[6]["tool_call_id"] = "t1"
    calls = (USED, ToolCall("tide", Json("{}"), "t2", "function"))
    expected = (
        Message("user", "Tide?"),
        Message("assistant", "I look.\nNow.", calls, reasoning="Ask.", parts=("I look.", "Now.")),
        Message("tool", "5.1\nmetres", tool_call_id="t1", parts=("5.1", "metres")),
        Message("tool", "", tool_call_id="t2"),
        Message("user", "And then?"),
        Message("assistant", "It falls."),
        Message("user", "Again.\nNow.", parts=("Again.", "Now.")),
        Message("tool", "6", tool_call_id="t1"),
        Message("assistant", "", (USED,)),
        Message("tool", "7", tool_call_id="t1"),
        Message("assistant", "7."),
    )
    assert read(tmp_path, {"messages": listed}) == [expected]
    assert read(tmp_path, {"messages": [message.as_row() for message in expected]}) == [expected]
    # Calls that stand in the parts and beside them are the same calls.
    twice = {
        "role": "assistant",
        "content": [USE, second],
        "tool_calls": [{"name": "tide", "args": USE["input"], "id": "t1"}, {"name": "sun"}],
    }
    (turns,) = read(tmp_path, {"messages": [listed[0], twice]})
    assert turns[1].tool_calls == (*calls, ToolCall("sun", flat=True))


def test_parts_that_would_lose_their_place_or_are_no_text_are_quarantined(tmp_path: Path) -> None:
    picture = {"type": "image", "source": {}}
    rows: list[list[tuple[str, Any]]] = [
        [("user", "Tide?"), ("assistant", [USE, text_part("I looked.")])],
        [("user", "Tide?"), ("assistant", [{"type": "tool_use", "id": "t1"}])],
        [("user", [USE]), ("assistant", "No.")],
        [("user", "Tide?"), ("assistant", [{"type": "tool_result", "tool_use_id": "t1", "content": "5"}])],
        [("user", [{"type": "tool_result", "tool_use_id": "t1", "content": [picture]}]), ("assistant", "No.")],
        [("user", [{"type": "tool_result", "tool_use_id": "t1", "content": "5"}, picture]), ("assistant", "No.")],
    ]
    listed = [{"messages": [{"role": who, "content": content} for who, content in row]} for row in rows]
    pool = Pool.read(write(tmp_path, [*listed, ROWS["messages"]]))
    assert (len(pool), pool.report.quarantined) == (1, {"bad_tool_call": 2, "not_text": 4})


def test_an_image_part_is_quarantined(tmp_path: Path) -> None:
    row = {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}, {"role": "assistant", "content": "A cat."}]}
    pool = Pool.read(write(tmp_path, [row, ROWS["messages"]]))
    assert pool.report.quarantined == {"not_text": 1}


def test_trl_prompts_and_completions_may_be_messages(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "Hello"}], "completion": [{"role": "assistant", "content": "Hi."}]}
    assert read(tmp_path, row) == [said(("user", "Hello"), ("assistant", "Hi."))]


def test_each_instance_of_a_task_is_an_example(tmp_path: Path) -> None:
    pool = Pool.read(write(tmp_path, [ROWS["self_instruct"]]))
    assert (pool.report.read, pool.report.kept, pool.report.examples) == (1, 1, 2)
    pool.write(tmp_path / "out.jsonl", range(2))
    assert (tmp_path / "out.jsonl").read_bytes() == (tmp_path / "pool.jsonl").read_bytes()


TREE = [
    ("r", None, "prompter", "Q", None, False),
    ("a", "r", "assistant", "worse", 1, False),
    ("b", "r", "assistant", "best", 0, False),
    ("c", "b", "prompter", "more?", None, False),
    ("d", "c", "assistant", "more.", None, False),
    ("e", "d", "prompter", "thanks", None, False),
    ("x", "r", "assistant", "gone", None, True),
    ("y", "x", "prompter", "below gone", None, False),
    ("z", "missing", "assistant", "no parent", None, False),
    ("q", None, "prompter", "never answered", None, False),
]


def oasst_rows() -> list[dict[str, Any]]:
    return [{"message_id": i, "parent_id": p, "role": r, "text": t, "rank": k, "deleted": d} for i, p, r, t, k, d in TREE]


def oasst_tree() -> dict[str, Any]:
    def node(name: str) -> dict[str, Any]:
        _, _, role, text, rank, deleted = next(row for row in TREE if row[0] == name)
        return {
            "message_id": name,
            "role": role,
            "text": text,
            "rank": rank,
            "deleted": deleted,
            "replies": [node(row[0]) for row in TREE if row[1] == name],
        }

    return {"message_tree_id": "r", "prompt": node("r")}


BEST = said(("user", "Q"), ("assistant", "best"), ("user", "more?"), ("assistant", "more."))
WORSE = said(("user", "Q"), ("assistant", "worse"))


def test_the_best_path_follows_the_best_ranked_reply(tmp_path: Path) -> None:
    assert read(tmp_path, *oasst_rows()) == [BEST]
    assert read(tmp_path, oasst_tree()) == [BEST]


def test_all_paths_are_taken_when_asked(tmp_path: Path) -> None:
    assert set(read(tmp_path, *oasst_rows(), oasst="all-paths")) == {BEST, WORSE}
    assert set(read(tmp_path, oasst_tree(), oasst="all-paths")) == {BEST, WORSE}


def test_every_message_of_a_table_is_accounted_for(tmp_path: Path) -> None:
    report = Pool.read(write(tmp_path, oasst_rows())).report
    assert (report.read, report.kept, report.examples) == (10, 4, 1)
    assert report.dropped == {"after_last_answer": 1, "deleted": 1, "no_answer": 1, "not_on_best_path": 1, "orphan": 2}


def test_a_table_whose_parents_form_a_ring_ends(tmp_path: Path) -> None:
    ring = [{"message_id": a, "parent_id": b, "role": "assistant", "text": "x"} for a, b in (("m", "n"), ("n", "m"))]
    report = Pool.read(write(tmp_path, [*oasst_rows(), *ring])).report
    assert report.dropped["orphan"] == 4


def test_a_message_id_that_stands_twice_is_quarantined(tmp_path: Path) -> None:
    report = Pool.read(write(tmp_path, [*oasst_rows(), oasst_rows()[0]])).report
    assert report.quarantined == {"duplicate_message_id": 1}


def test_the_chosen_messages_of_a_table_are_written_as_they_were(tmp_path: Path) -> None:
    path = write(tmp_path, oasst_rows())
    pool = Pool.read(path)
    pool.write(tmp_path / "out.jsonl", [0])
    lines = path.read_bytes().splitlines(keepends=True)
    assert (tmp_path / "out.jsonl").read_bytes() == b"".join(lines[n] for n in (0, 2, 3, 4))


def test_a_mapping_reads_any_fields(tmp_path: Path) -> None:
    row = {"Q": "1+1?", "hint": "think", "A": "2"}
    mapping = Mapped.parse("instruction=Q,input=hint,response=A")
    assert read(tmp_path, row, format=mapping) == [said(("user", "1+1?\nthink"), ("assistant", "2"))]


@pytest.mark.parametrize(
    "given_map", ["instruction=Q", "instruction=Q,response=A,response=B", "instruktion=Q,response=A", "instruction=,response=A"]
)
def test_a_mapping_names_both_parts_once(given_map: str) -> None:
    with pytest.raises(UsageError):
        Mapped.parse(given_map)


def test_a_format_there_is_not_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UsageError, match="Did you mean 'alpaca'"):
        registry.make("alpacca")


@pytest.mark.parametrize(
    ("row", "said_so"),
    [
        ({"instruction": "Add."}, "no answers"),
        ({"prompt": "Add.", "chosen": "2", "rejected": "3"}, "preference pairs"),
        (
            {
                "conversations": [{"from": "human", "value": "x"}],
                "chosen": {"from": "gpt", "value": "y"},
                "rejected": {"from": "gpt", "value": "z"},
            },
            "preference pairs",
        ),
        ({"left": "x", "right": "y"}, "no known format"),
        ({"instruction": "Add.", "output": ""}, "every response is empty"),
        ({"messages": [{"role": "user", "content": "x"}]}, "None of its"),
    ],
)
def test_a_pool_without_answers_is_refused_with_file_line_and_account(tmp_path: Path, row: dict[str, Any], said_so: str) -> None:
    with pytest.raises(PoolError, match=said_so) as found:
        Pool.read(write(tmp_path, [row, row]))
    assert "pool.jsonl, line 1" in str(found.value)
    assert found.value.report is not None
    assert found.value.report.read == 2
    assert found.value.report.kept == 0


def test_an_id_is_of_the_bytes_that_the_standard_json_writes_whatever_the_characters() -> None:
    points = [point for point in range(0x110000) if not 0xD800 <= point < 0xE000]
    for start in range(0, len(points), 4096):
        text = "".join(map(chr, points[start : start + 4096]))
        example = conversation(text, "answer", tools=Json.of([text]))
        turns = [[message.role, message.content] for message in example.messages]
        expected = json.dumps(
            [turns, json.dumps([text], ensure_ascii=False, separators=(",", ":"))], ensure_ascii=False, separators=(",", ":")
        ).encode()
        assert example.canonical() == expected
    half = conversation("a\ud800", "b")
    assert half.canonical() == b'[[["user","a\xed\xa0\x80"],["assistant","b"]],null]'


@pytest.mark.parametrize(
    "number", ["12345678901234567890123", "-12345678901234567890123", "1234567890123456789", "0.1234567890123456789012"]
)
@pytest.mark.parametrize("place", ['"n": {}', '"n": [{}]', '"n": {{"m": [1.5, {{"k": {}}}]}}'])
def test_every_digit_of_a_number_is_read_at_first_and_again(number: str, place: str) -> None:
    raw = ("{" + place.format(number) + "}").encode()
    assert parse(raw, Limits()) == parse_again(raw) == json.loads(raw)
    assert repr(parse(raw, Limits())) == repr(json.loads(raw))
