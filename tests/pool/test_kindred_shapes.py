"""Kindred of the shapes that public pools have: what flags, reasoning, calls, contexts and lists of turns are also called and made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import PoolError
from instructsel.pool.example import Conversation
from instructsel.pool.formats._rows import RowReader
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.formats.messages import Messages
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.message import Json, Message, ToolCall
from instructsel.pool.pool import Pool

ASKED = {"role": "user", "content": "Tide in Brest?"}
SAID = {"role": "assistant", "content": "5.1 metres."}
PLAIN = (Message("user", "Tide in Brest?"), Message("assistant", "5.1 metres."))


def pool_of(folder: Path, *rows: Any, name: str = "pool.jsonl") -> Pool:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Pool.read(folder / name)


def note(pool: Pool) -> str:
    return next(iter(pool.report.formats.values()))


def read(turn: dict[str, Any], **fields: Any) -> Conversation:
    (conversation,) = RowReader(Messages()).conversations({"messages": [ASKED, turn], **fields})
    return conversation


# Rows that are not wanted

MARKS: list[tuple[str, Any, Any]] = [
    *[(name, True, False) for name in ("thumbsUp", "isDesirable", "Label", "binary_label", "is_valid", "approved", "helpful", "keep")],
    *[
        ("thumbs", "up", "down"),
        ("vote", "upvote", "downvote"),
        ("verdict", "desirable", "undesirable"),
        ("status", "accepted", "rejected"),
    ],
    *[("rating", "thumbs_up", "thumbs-down"), ("discarded", False, True), ("isRejected", 0, 1), ("quality", "good", "bad")],
    *[("metadata", {"desirable": True}, {"desirable": False}), ("feedback", {"thumbs_up": 1}, {"thumbs_up": 0})],
    *[("label", 1, -1), ("vote", 1, -1), ("label_kto", True, False), ("like", True, False), ("verdict", "pass", "fail")],
    *[("deleted", False, True), ("metadata", {"label": True}, {"label": False}), ("meta", {"rating": "up"}, {"rating": "down"})],
]


@pytest.mark.parametrize(("field", "good", "bad"), MARKS)
def test_a_row_is_unwanted_whatever_the_field_is_called(tmp_path: Path, field: str, good: Any, bad: Any) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}.", field: good if n else bad} for n in range(3)]
    pool = pool_of(tmp_path, *rows)
    assert (len(pool), pool.report.dropped) == (2, {"undesirable": 1})


@pytest.mark.parametrize(
    ("field", "values"),
    [("rating", [0, 1, 1]), ("status", ["ok", "bad", "too short"]), ("quality", [0.1, 0.0, 1.0]), ("preference", ["0", "1", "0"])],
)
def test_measures_and_states_are_no_marks(tmp_path: Path, field: str, values: list[Any]) -> None:
    pool = pool_of(tmp_path, *({"prompt": f"Say {n}.", "completion": f"It is {n}.", field: value} for n, value in enumerate(values)))
    assert len(pool) == 3 and f"not read: {field}" in note(pool)


# Turns that are not trained on


@pytest.mark.parametrize(
    "flag",
    [
        *[{name: False} for name in ("loss_weight", "is_trained", "should_train", "train_on_turn", "compute_loss")],
        *[{name: True} for name in ("masked", "ignore", "no_loss", "thumbs_down")],
        *[{"train": "no"}, {"metadata": {"train": False, "why": "old"}}, {"thumbsUp": False}],
        {"train_detail": [{"begin_offset": 0, "end_offset": 5, "train": False}, {"begin_offset": 6, "end_offset": 10, "train": False}]},
        {"content": [{"type": "text", "text": "5.1 ", "train": False}, {"type": "text", "text": "metres.", "weight": 0}]},
    ],
)
def test_a_turn_that_is_not_trained_on_is_never_the_response(flag: dict[str, Any]) -> None:
    with pytest.raises(RowDropped, match="no_trained_response"):
        read({**SAID, **flag})


@pytest.mark.parametrize(
    ("flag", "code"),
    [
        ({"content": [{"type": "text", "text": "5.1", "train": False}, {"type": "text", "text": " m"}]}, "partial_weight"),
        ({"train_detail": [{"begin_offset": 0, "end_offset": 2, "train": False}]}, "partial_weight"),
        ({"train_detail": "all"}, "bad_weight"),
        ({"mask": True}, "bad_weight"),
        ({"reasoning_content": "Ebb at six.", "thinking": "Flood at noon."}, "two_reasonings"),
        ({"text": "6 metres."}, "two_texts"),
        ({"reasoning": {"effort": [1]}}, "not_text"),
    ],
)
def test_what_is_not_clear_of_a_turn_is_quarantined(flag: dict[str, Any], code: str) -> None:
    with pytest.raises(RowFault) as caught:
        read({**SAID, **flag})
    assert caught.value.code == code


def test_flags_that_train_all_of_a_turn_leave_it_trained() -> None:
    for flag in ({"masked": False}, {"train_detail": [{"begin_offset": 0, "end_offset": 9, "train": True}]}, {"training_detail": []}):
        assert read({**SAID, **flag}).messages[-1].is_trained


# Reasoning

THOUGHT = Message("assistant", "5.1 metres.", reasoning="Ebb at six.")


@pytest.mark.parametrize(
    "field",
    [
        *[{name: "Ebb at six."} for name in ("thoughts", "cot", "chain_of_thought", "thinking_content", "thought_process")],
        *[{"reasoning": {"content": "Ebb at six."}}, {"reasoning": {"summary": [{"type": "summary_text", "text": "Ebb at six."}]}}],
        *[{"reasoning_details": [{"type": "reasoning.text", "text": "Ebb at six."}]}, {"thinking": [{"thinking": "Ebb at six."}]}],
        {"reasoning": "Ebb at six.", "reasoning_content": "Ebb at six.", "thinking": {"enabled": True}},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Ebb at six."}]}, {"type": "text", "text": "5.1 metres."}]},
        {"content": [{"type": "reasoning", "summary": [{"text": "Ebb at six."}]}, {"type": "output_text", "text": "5.1 metres."}]},
    ],
)
def test_reasoning_is_read_under_every_name_and_in_every_form(field: dict[str, Any]) -> None:
    assert read({**SAID, **field}).messages[-1] == THOUGHT


@pytest.mark.parametrize("value", ["high", "on", True, 3, {"effort": "low"}, {"enabled": False, "budget": 2}])
def test_settings_of_reasoning_in_a_turn_are_none(value: Any) -> None:
    assert read({**SAID, "reasoning": value}).messages == PLAIN


def test_the_json_text_of_a_list_of_thoughts_is_a_text_unless_there_is_one_for_each_of_several_turns(tmp_path: Path) -> None:
    text = '["Ebb.", "Flood."]'
    one = pool_of(tmp_path, {"messages": [ASKED, SAID], "reasoning": text}, {"prompt": "Q", "completion": "A", "reasoning": text})
    assert [example.messages[-1].reasoning for example in one.examples()] == [text, text]
    (two,) = pool_of(tmp_path, {"messages": [ASKED, SAID, ASKED, SAID], "reasoning": text}).examples()
    assert [turn.reasoning for turn in two.messages] == [None, "Ebb.", None, "Flood."]


def test_harmonys_channels_are_reasoning_calls_and_text(tmp_path: Path) -> None:
    turns = [
        ASKED,
        {"role": "assistant", "channel": "analysis", "content": "Ask the port."},
        {"role": "assistant", "channel": "commentary", "recipient": "functions.get_tide", "content": '{"port": "Brest"}'},
        {"role": "tool", "name": "functions.get_tide", "recipient": "assistant", "channel": "commentary", "content": "5.1"},
        {"role": "assistant", "channel": "analysis", "content": "Metres."},
        {"role": "assistant", "channel": "final", "content": "5.1 metres."},
    ]
    (example,) = pool_of(tmp_path, {"messages": turns}).examples()
    call = ToolCall("get_tide", Json('{"port": "Brest"}', is_text=True))
    assert example.messages == (
        PLAIN[0],
        Message("assistant", "", (call,), reasoning="Ask the port."),
        Message("tool", "5.1", name="get_tide"),
        Message("assistant", "5.1 metres.", reasoning="Metres."),
    )
    assert "channel (in turns)" in note(pool_of(tmp_path, {"messages": [ASKED, {**SAID, "channel": "web"}]}))


# Calls


@pytest.mark.parametrize(
    "call",
    [
        *[{"name": "get_tide", key: {"port": "Brest"}} for key in ("args", "kwargs", "tool_input", "parameters")],
        *[{key: "get_tide", "arguments": {"port": "Brest"}} for key in ("function", "tool_name", "function_name", "tool")],
        {"functionCall": {"name": "get_tide", "args": {"port": "Brest"}}},
        json.dumps({"function": {"name": "get_tide", "arguments": {"port": "Brest"}}}),
    ],
)
def test_no_call_loses_its_arguments(call: Any) -> None:
    (read_call,) = read({"role": "assistant", "content": None, "tool_calls": [call]}).messages[-1].tool_calls
    assert read_call.canonical == ["get_tide", '{"port":"Brest"}', None]


def test_calls_and_results_are_paired_whatever_the_id_is_called() -> None:
    turns = [
        ASKED,
        {"role": "assistant", "tool_calls": [{"name": "f", "call_id": "c9"}]},
        {"role": "tool", "call_id": "c9", "content": "5"},
        SAID,
    ]
    (conversation,) = RowReader(Messages()).conversations({"messages": turns})
    assert (conversation.messages[1].tool_calls[0].id, conversation.messages[2].tool_call_id) == ("c9", "c9")


def test_what_nobody_reads_of_parts_and_calls_is_named(tmp_path: Path) -> None:
    turn = {
        "role": "assistant",
        "content": [{"type": "text", "text": "5.1", "cache_control": {"type": "ephemeral"}}],
        "tool_calls": [{"index": 0, "function": {"name": "f", "arguments": "{}", "strict": True}}],
    }
    assert note(pool_of(tmp_path, {"messages": [ASKED, turn]})).endswith(
        "not read: cache_control (in parts), index (in calls), strict (in calls)"
    )


# What stands beside


@pytest.mark.parametrize(
    ("fields", "asked"),
    [
        ({"contexts": ["Ebb.", "Flood."]}, "Q\nEbb.\nFlood."),
        ({"story": "Ebb."}, "Q\nEbb."),
        ({"A": "chalk", "B": "zinc"}, "Q\nA. chalk\nB. zinc"),
        ({"option_1": "chalk", "option_2": "zinc", "option_3": None}, "Q\n1. chalk\n2. zinc"),
        ({"opa": "chalk", "opb": "zinc"}, "Q\nA. chalk\nB. zinc"),
        ({"answer_choices": ["chalk", "zinc"]}, "Q\nchalk\nzinc"),
    ],
)
def test_contexts_and_columns_of_options_go_under_the_question(tmp_path: Path, fields: dict[str, Any], asked: str) -> None:
    pool = pool_of(tmp_path, {"question": "Q", "answer": "B", **fields})
    assert [example.messages[0].content for example in pool.examples()] == [asked] and "not read" not in note(pool)


@pytest.mark.parametrize(
    "fields", [{"documents": [{"id": 4}]}, {"A": "chalk"}, {"A": 1, "B": 2}, {"endings": [1]}, {"knowledge": {"k": 1}}]
)
def test_what_is_no_context_and_no_option_is_named(tmp_path: Path, fields: dict[str, Any]) -> None:
    pool = pool_of(tmp_path, {"question": "Q", "answer": "B", **fields})
    assert [example.instruction for example in pool.examples()] == ["Q"] and note(pool).endswith(f"not read: {', '.join(fields)}")


def test_a_system_text_may_be_a_turn_or_gemini_s_parts(tmp_path: Path) -> None:
    for fields in (
        {"system": {"role": "system", "content": "S"}},
        {"systemInstruction": {"parts": [{"text": "S"}]}},
        {"system": [{"text": "S"}]},
    ):
        (example,) = pool_of(tmp_path, {"prompt": "Q", "completion": "A", **fields}).examples()
        assert example.messages[0] == Message("system", "S")


def test_equal_examples_that_differ_in_a_text_nobody_reads_are_said(tmp_path: Path) -> None:
    rows = [{"question": "Where is it?", "answer": "Here.", "scene": f"The boat lies at pier {n}.", "id": f"row {n}"} for n in range(5)]
    (said,) = pool_of(tmp_path, *rows).report.notes
    assert "scene (1) of 1 pair" in said and "--map context=FIELD" in said
    assert not pool_of(tmp_path, *({**row, "scene": "The boat lies at a pier."} for row in rows)).report.notes


@pytest.mark.parametrize("name", ["image_path", "img", "video_url", "audio_file", "pixel_values", "Image"])
def test_rows_about_pictures_are_refused_whatever_the_field_is_called(tmp_path: Path, name: str) -> None:
    pool = pool_of(
        tmp_path, {"prompt": "<image>\nWhat is it?", "completion": "A hedge.", name: ["a.png"]}, {"prompt": "Q", "completion": "A"}
    )
    assert pool.report.quarantined == {"not_text": 1}


# Lists of turns

LISTS: list[dict[str, Any]] = [
    {"conversation": [["Tide in Brest?", "5.1 metres."]]},
    {"messages": [["user", "Tide in Brest?"], ["assistant", "5.1 metres."]]},
    {"messages": [{"user": "Tide in Brest?"}, {"assistant": "5.1 metres."}]},
    {"messages": {"role": ["user", "assistant"], "content": ["Tide in Brest?", "5.1 metres."]}},
    {"conversations": {"from": ["human", "gpt"], "value": ["Tide in Brest?", "5.1 metres."]}},
    {"messages": str([ASKED, SAID])},
    {"conversation": str([ASKED, SAID])},
    {"messages": [{"role": "user", "message": "Tide in Brest?"}, {"role": "assistant", "message": "5.1 metres."}]},
    {"contents": [{"role": "user", "parts": [{"text": "Tide in Brest?"}]}, {"role": "model", "parts": [{"text": "5.1 metres."}]}]},
]


@pytest.mark.parametrize("row", LISTS)
def test_turns_are_read_from_pairs_columns_and_pythons_text(tmp_path: Path, row: dict[str, Any]) -> None:
    pool = pool_of(tmp_path, row)
    assert [example.messages for example in pool.examples()] == [PLAIN] and "not read" not in note(pool)


@pytest.mark.parametrize(
    "text", ["[{'role': 'user', 'content': b'x'}]", "[{'role': {1, 2}}]", "[{'role': open('x')}]", "[{'role': '\\ud800'}]"]
)
def test_pythons_text_of_anything_but_json_is_no_list_of_turns(tmp_path: Path, text: str) -> None:
    pool = pool_of(tmp_path, {"messages": text}, {"messages": [ASKED, SAID]})
    assert pool.report.quarantined == {"not_a_list": 1}


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"version": 1, "data": [{"prompt": "Q", "completion": "A"}, {"prompt": "R", "completion": "B"}]}, "one JSON object"),
        ({"prompt": ["Q", "R"], "completion": ["A", "B"]}, "not_text"),
        ({"prompt": "Q", "better": "A", "worse": "B"}, "preference pairs"),
        ({"conversation_a": [ASKED, SAID], "conversation_b": [ASKED, SAID], "winner": "a"}, "preference pairs"),
    ],
)
def test_a_table_in_one_object_is_never_one_conversation(tmp_path: Path, value: Any, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        pool_of(tmp_path, value, name="pool.json")


def test_capitals_and_blanks_in_a_header_are_of_no_matter(tmp_path: Path) -> None:
    (tmp_path / "pool.csv").write_text(" instruction , output\nQ,A\n", encoding="utf-8")
    assert [example.response for example in Pool.read(tmp_path / "pool.csv").examples()] == ["A"]
    with pytest.raises(PoolError, match="instruction=Question,response=Answer"):
        pool_of(tmp_path, {"Question": "Q", "Answer": "A"}, {"Question": "R", "Answer": "B"})


TALK = {"dialogue": [{"speaker": "user", "text": "Q"}, {"speaker": "assistant", "text": "A"}]}


@pytest.mark.parametrize("name", ["pool.json", "pool.parquet", "memory"])
def test_a_list_or_a_table_of_one_row_is_not_called_one_object(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "pool.json":
        path.write_text(json.dumps([TALK], indent=1), encoding="utf-8")
    elif name == "pool.parquet":
        pl.DataFrame([TALK]).write_parquet(path)
    with pytest.raises(PoolError, match=r"no known format has the fields dialogue") as refused:
        Pool.of([TALK]) if name == "memory" else Pool.read(path)
    assert refused.value.fix == "Name them with --map messages=dialogue,role=speaker,content=text"


def test_the_field_that_is_the_source_is_not_named_as_unread() -> None:
    pool = Pool.of([{"instruction": "a", "output": "b", "source": "x", "k": 1}], source_field="source")
    assert note(pool).endswith("not read: k")


@pytest.mark.parametrize("values", [(1, 0, -1), (-1, -1, -1), (1, 5, -1)])
def test_numbers_of_more_than_two_kinds_or_of_one_drop_no_row(tmp_path: Path, values: tuple[int, ...]) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}.", "label": values[n % 3], "rating": values[n % 3]} for n in range(6)]
    assert len(pool_of(tmp_path, *rows)) == 6


# Earlier turns beside an instruction and a response


@pytest.mark.parametrize(
    "names", [("prompt", "completion"), ("question", "answer"), ("instruction", "response"), ("instruction", "output")]
)
@pytest.mark.parametrize(
    "earlier",
    [[["Ebb?", "At six."]], [{"role": "user", "content": "Ebb?"}, {"role": "assistant", "content": "At six."}], '[["Ebb?", "At six."]]'],
)
def test_a_history_stands_before_the_question_whatever_the_format(tmp_path: Path, names: tuple[str, str], earlier: Any) -> None:
    row = {names[0]: "Tide in Brest?", names[1]: "5.1 metres.", "chat_history": earlier, "system": "Be brief.", "input": "Spring."}
    (example,) = pool_of(tmp_path, row).examples()
    texts = [(turn.role, turn.content) for turn in example.messages]
    asked = ("user", "Tide in Brest?\nSpring.")
    assert texts == [("system", "Be brief."), ("user", "Ebb?"), ("assistant", "At six."), asked, ("assistant", "5.1 metres.")]


@pytest.mark.parametrize("other", ["The patient has coughed for a week.", ["one", "two"], {"visits": 2}, [["one"]]])
def test_a_history_that_holds_no_turns_is_named_as_unread(tmp_path: Path, other: Any) -> None:
    pool = pool_of(tmp_path, {"prompt": "Tide in Brest?", "completion": "5.1 metres.", "history": other})
    assert next(pool.examples()).messages == PLAIN
    assert "not read: history" in note(pool)


@pytest.mark.parametrize("nothing", [None, [], "", "[]"])
def test_an_empty_history_is_read(tmp_path: Path, nothing: Any) -> None:
    pool = pool_of(tmp_path, {"prompt": "Tide in Brest?", "completion": "5.1 metres.", "history": nothing})
    assert next(pool.examples()).messages == PLAIN
    assert "not read" not in note(pool)


def test_a_mapping_names_a_history(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text(
        json.dumps({"query": "Tide in Brest?", "response": "5.1 metres.", "past": [["Ebb?", "At six."]]}) + "\n", encoding="utf-8"
    )
    (example,) = Pool.read(path, format=Mapped.parse("instruction=query,response=response,history=past")).examples()
    assert [turn.content for turn in example.messages] == ["Ebb?", "At six.", "Tide in Brest?", "5.1 metres."]


# Lists of turns that are rows


def test_a_bare_list_of_turns_is_a_row_in_lines_arrays_files_and_memory(tmp_path: Path) -> None:
    talks = [[{**ASKED, "content": f"Tide in port {n}?"}, SAID] for n in range(5)]
    lines, array, pretty, folder = tmp_path / "a.jsonl", tmp_path / "b.json", tmp_path / "c.json", tmp_path / "talks"
    lines.write_text("\n".join(map(json.dumps, talks)), encoding="utf-8")
    array.write_text(json.dumps(talks), encoding="utf-8")
    pretty.write_text(json.dumps(talks, indent=1), encoding="utf-8")
    folder.mkdir()
    for number, talk in enumerate(talks):
        (folder / f"{number}.json").write_text(json.dumps(talk, indent=2), encoding="utf-8")
    beside = pool_of(tmp_path, *({"messages": talk} for talk in talks), name="messages.jsonl")
    for pool in [*map(Pool.read, (lines, array, pretty, folder)), Pool.of(talks)]:
        assert pool.ids == beside.ids
        assert next(pool.examples()).messages == next(beside.examples()).messages
    assert Pool.read(lines).write(tmp_path / "out.jsonl") == 5
    assert set((tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()) == set(map(json.dumps, talks))


def test_rows_of_an_array_that_have_a_role_and_more_are_no_turns(tmp_path: Path) -> None:
    (tmp_path / "pool.json").write_text(json.dumps([{"role": "cook", "prompt": "Bake.", "completion": "I bake."}] * 2), encoding="utf-8")
    assert Pool.read(tmp_path / "pool.json").report.kept == 2


@pytest.mark.parametrize("field", ["trainable", "loss_weight", "use_for_training", "skip_loss"])
def test_a_row_that_is_not_trained_on_is_dropped_under_every_name_of_a_turns_weight(tmp_path: Path, field: str) -> None:
    off = True if field == "skip_loss" else 0 if field == "loss_weight" else False
    rows = [{"prompt": "Ebb?", "completion": "At six.", field: off}, {"prompt": "Flood?", "completion": "At noon."}]
    pool = pool_of(tmp_path, *rows)
    assert (len(pool), pool.report.dropped) == (1, {"no_trained_response": 1})
    assert "not read" not in note(pool)


@pytest.mark.parametrize(("field", "value"), [("learn", "much"), ("skip", [1]), ("is_target", "metres")])
def test_a_field_of_a_turn_that_is_another_thing_is_no_weight(field: str, value: Any) -> None:
    assert read({**SAID, field: value}).messages[-1].weight is None


def test_the_reason_is_that_of_the_format_that_read_the_rows_that_are_left(tmp_path: Path) -> None:
    pool = pool_of(tmp_path, {"messages": [ASKED, SAID], "images": ["a.png"]}, {"prompt": "Ebb?", "completion": "At six."})
    assert note(pool).startswith("prompt_completion: has 'prompt' and 'completion'")


@pytest.mark.parametrize("who", ["thinking", "Thought", "reasoning"])
def test_a_turn_whose_role_is_to_think_is_the_reasoning_of_the_next_one(tmp_path: Path, who: str) -> None:
    thought, field = {"from": who, "value": "Spring tide."}, {"from": "gpt", "value": "5.1 metres.", "reasoning_content": "Spring tide."}
    asked, said = {"from": "human", "value": "Tide in Brest?"}, {"from": "gpt", "value": "5.1 metres."}
    read_as = pool_of(tmp_path, {"conversations": [asked, thought, said, asked, said]}, name="turns.jsonl")
    assert read_as.ids == pool_of(tmp_path, {"conversations": [asked, field, asked, said]}, name="field.jsonl").ids
    assert "not read" not in note(read_as)
    path = tmp_path / "named.jsonl"
    path.write_text(json.dumps({"messages": [{**ASKED, "role": who}, SAID]}) + "\n", encoding="utf-8")
    assert [turn.role for turn in next(Pool.read(path, roles=[f"{who}=user"]).examples()).messages] == ["user", "assistant"]


@pytest.mark.parametrize("name", ["loss_masks", "train_masks", "turn_weights", "message_weights"])
def test_a_list_of_weights_is_read_under_its_plural_as_well(tmp_path: Path, name: str) -> None:
    pool = pool_of(tmp_path, {"messages": [ASKED, SAID, ASKED, {**SAID, "content": "Wet."}], name: [0, 1, 0, 0]})
    assert [example.response for example in pool.examples()] == [SAID["content"]]


def test_blocks_of_thinking_are_reasoning_unless_the_turn_has_it_already(tmp_path: Path) -> None:
    blocks = [{"type": "thinking", "thinking": "Ask.", "signature": "x"}]
    rows = [{"messages": [ASKED, {**SAID, "thinking_blocks": blocks, **more}]} for more in ({}, {"reasoning_content": "Ask."})]
    pool = pool_of(tmp_path, *rows)
    assert [example.messages[1].reasoning for example in pool.examples()] == ["Ask.", "Ask."]


def test_commas_behind_the_objects_of_lines_are_called_so(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"prompt": "Q", "completion": "A"},\n{"prompt": "R", "completion": "B"},\n', encoding="utf-8")
    (line,) = Pool.read(tmp_path / "pool.jsonl").report.formats.values()
    assert line.endswith("a comma behind the object of a line (2 times)")
