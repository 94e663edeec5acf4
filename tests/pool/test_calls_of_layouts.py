"""Calls, results and reasoning in the layouts of xLAM, Glaive, Gemini, Bedrock, Anthropic and OpenAI's Responses, and back as messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel.errors import PoolError
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.message import Json, Message, ToolCall
from instructsel.pool.pool import Pool

PORT = {"port": "Brest"}
TOOL = {"name": "get_tide", "parameters": {"port": {"type": "str"}}}
ASKED = Message("user", "Tide?")
SAID = Message("assistant", "5.1 m.")


def lines(path: Path, rows: list[Any]) -> Path:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def in_order(pool: Pool) -> list[Any]:
    by_line = sorted(range(len(pool)), key=lambda position: int(pool.lines[position]))
    return [(example.messages, example.tools) for example in pool.examples(by_line)]


def read(folder: Path, *rows: Any) -> list[tuple[Message, ...]]:
    """The conversations of rows, which their messages in another file are, too."""
    pool = Pool.read(lines(folder / "pool.jsonl", list(rows)))
    assert len(pool) == len(rows), pool.report
    pool.write(folder / "messages.jsonl", to="messages")
    again = Pool.read(folder / "messages.jsonl")
    assert again.ids == pool.ids
    assert dict(zip(again.ids, [(e.messages, e.tools) for e in again.examples()], strict=True)) == dict(
        zip(pool.ids, [(e.messages, e.tools) for e in pool.examples()], strict=True)
    )
    return [messages for messages, _ in in_order(pool)]


def refused(folder: Path, *rows: Any) -> dict[str, int]:
    """What becomes of rows beside one that is read."""
    good = {"messages": [ASKED.as_row(), SAID.as_row()]}
    pool = Pool.read(lines(folder / "pool.jsonl", [*rows, good, *[good] * len(rows)]))
    return {**pool.report.quarantined, **pool.report.dropped}


def call(
    arguments: Any = PORT, *, name: str = "get_tide", call_id: str | None = None, kind: str | None = None, flat: bool = False
) -> ToolCall:
    return ToolCall(name, None if arguments is None else Json.of(arguments), call_id, kind, flat)


def test_xlam_s_answers_are_calls_as_text_or_structure(tmp_path: Path) -> None:
    given = [{"name": "get_tide", "arguments": PORT}, {"name": "get_tide", "arguments": '{"port": "Dover"}'}]
    first, second, none, with_id, nested, said = read(
        tmp_path,
        {"id": 0, "query": "Tide?", "tools": json.dumps([TOOL]), "answers": json.dumps(given)},
        {"query": "Tides?", "tools": [TOOL], "answers": given, "system": None},
        {"query": "None?", "tools": [TOOL], "answers": [{"name": "get_tide", "arguments": None}]},
        {"query": "Id?", "tools": None, "answers": [{"id": "c1", "name": "get_tide", "arguments": PORT}]},
        {"query": "Nested?", "system": "Be brief.", "answers": [{"type": "function", "function": {"name": "get_tide", "arguments": PORT}}]},
        {"query": "Cook.", "tools": json.dumps([TOOL]), "answers": "I cannot."},
    )
    calls = (call(flat=True), call('{"port": "Dover"}', flat=True))
    assert first == (ASKED, Message("assistant", "", calls))
    assert second == (Message("user", "Tides?"), Message("assistant", "", calls))
    assert none[1].tool_calls == (call(None, flat=True),)
    assert with_id[1].tool_calls == (call(call_id="c1", flat=True),)
    assert nested == (Message("system", "Be brief."), Message("user", "Nested?"), Message("assistant", "", (call(kind="function"),)))
    assert said == (Message("user", "Cook."), Message("assistant", "I cannot."))
    (_, tools), *_ = in_order(Pool.of([{"query": "Tide?", "tools": json.dumps([TOOL]), "answers": json.dumps(given)}]))
    assert tools == Json(json.dumps([TOOL]), is_text=True)


def test_xlam_s_rows_of_a_table_are_those_of_lines(tmp_path: Path) -> None:
    rows = [
        {"query": "Tide?", "tools": json.dumps([TOOL]), "answers": json.dumps([{"name": "get_tide", "arguments": PORT}]), "note": None}
    ] * 2
    pl.DataFrame(rows, schema_overrides={"note": pl.String}).write_parquet(tmp_path / "pool.parquet")
    assert Pool.read(tmp_path / "pool.parquet").ids == Pool.read(lines(tmp_path / "pool.jsonl", rows)).ids


def test_xlam_s_rows_without_a_call_that_can_be_read_are_no_examples(tmp_path: Path) -> None:
    rows = [{"query": "Q", "tools": "[]", "answers": answers} for answers in ("[]", "[{broken", [{"arguments": {}}], 5)]
    assert refused(tmp_path, *rows) == {"no_answer": 1, "bad_tool_call": 3}
    with pytest.raises(PoolError, match="no known format"):
        # Several answers to one question are no calls.
        Pool.of([{"query": "Is rain wet?", "answers": ["Yes.", "It is."]}])


GLAIVE = 'USER: Tide?\n\n\nASSISTANT: I look. <functioncall> {call} <|endoftext|>\n\n\nFUNCTION RESPONSE: {{"m": 5.1}}\n\n\nASSISTANT: 5.1 m. <|endoftext|>\n\n\n'


@pytest.mark.parametrize(
    ("written", "arguments"),
    [
        ("""{"name": "get_tide", "arguments": '{"port": "Brest"}'}""", '{"port": "Brest"}'),
        ("""{"name": "get_tide", "arguments": '{"port": "L\\'Aber"}'}""", '{"port": "L\'Aber"}'),
        ('{"name": "get_tide", "arguments": {"port": "Brest"}}', PORT),
        ('{"name": "get_tide", "arguments": "{\\"port\\": \\"Brest\\"}"}', '{"port": "Brest"}'),
        ('{"name": "get_tide"}', None),
    ],
)
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_glaive_s_transcripts_are_turns_calls_and_results(tmp_path: Path, written: str, arguments: Any, line_end: str) -> None:
    chat = GLAIVE.format(call=written).replace("\n", line_end)
    (turns,) = read(tmp_path, {"system": "SYSTEM: Be brief.\n", "chat": chat})
    called = Message("assistant", "I look.", (call(arguments, flat=True),))
    assert turns == (Message("system", "Be brief."), ASKED, called, Message("tool", '{"m": 5.1}'), SAID)


def test_tools_that_glaive_s_system_text_ends_in_are_those_of_the_conversation(tmp_path: Path) -> None:
    chat = "USER: Tide?\n\n\nASSISTANT: 5.1 m. <|endoftext|>"
    listed = json.dumps(TOOL, indent=4) + "\n\n" + json.dumps({**TOOL, "name": "get_sun"})
    systems = [
        f"SYSTEM: Use them -\n{listed}\n",
        f"SYSTEM: Use them -\n{listed}\nBe brief.",
        'SYSTEM: An example:\n{"port": "Brest"}',
        "SYSTEM: None.",
    ]
    pool = Pool.read(lines(tmp_path / "pool.jsonl", [{"system": system, "chat": chat} for system in systems]))
    (moved, tools), *others = in_order(pool)
    assert moved[0].content == "Use them -" and tools is not None and tools.value == [TOOL, {**TOOL, "name": "get_sun"}]
    # What ends in anything else stays as it is.
    assert [(turns[0].content, own) for turns, own in others] == [(system.removeprefix("SYSTEM: "), None) for system in systems[1:]]


def test_glaive_s_first_release_has_the_system_text_in_the_transcript(tmp_path: Path) -> None:
    sample = f"SYSTEM: Use them-\n{json.dumps(TOOL)}\nUSER: Tide?\nASSISTANT: <functioncall> {json.dumps({'name': 'get_tide', 'arguments': PORT})}\n"
    (turns,) = read(tmp_path, {"sample": f"{sample}FUNCTION RESPONSE: 5.1\nASSISTANT: 5.1 m."})
    assert turns == (Message("system", "Use them-"), ASKED, Message("assistant", "", (call(flat=True),)), Message("tool", "5.1"), SAID)


def test_a_speaker_within_a_turn_of_glaive_s_begins_no_turn(tmp_path: Path) -> None:
    (turns,) = read(tmp_path, {"chat": "USER: A scene.\n\n\nASSISTANT: Here:\nUSER: Ebb?\nASSISTANT: Flood. <|endoftext|>\n\n\nUSER: "})
    assert turns == (Message("user", "A scene."), Message("assistant", "Here:\nUSER: Ebb?\nASSISTANT: Flood."))


def test_transcripts_that_glaive_did_not_write_so_are_quarantined(tmp_path: Path) -> None:
    said = "ASSISTANT: 5.1 m. <|endoftext|>"
    chats = [
        f"USER: Tide?\n\n\n{said} And?",
        f"Hello.\n\n\nUSER: Tide?\n\n\n{said}",
        "USER: Tide?\n\n\nASSISTANT: <functioncall> get_tide <|endoftext|>",
    ]
    chats.append('USER: Tide?\n\n\nASSISTANT: <functioncall> {"name": "get_tide"} I look. <|endoftext|>')
    assert refused(tmp_path, *[{"chat": chat} for chat in chats]) == {"bad_transcript": 2, "bad_tool_call": 2}


def gemini(*turns: tuple[str, Any], **fields: Any) -> dict[str, Any]:
    return {**fields, "contents": [{"role": who, "parts": parts} for who, parts in turns]}


def test_gemini_s_calls_results_and_thoughts_are_read(tmp_path: Path) -> None:
    asked, used = ("user", [{"text": "Tide?"}]), {"functionCall": {"name": "get_tide", "args": PORT}}
    answered = {"functionResponse": {"name": "get_tide", "response": {"m": 5.10}}}
    called = Message("assistant", "", (call(kind="function"),))
    result = Message("tool", '{"m": 5.1}', name="get_tide", is_structure=True)
    system = {"systemInstruction": {"role": "system", "parts": [{"text": "Be brief."}]}}
    plain, twice, with_nulls, with_ids = read(
        tmp_path,
        gemini(
            asked,
            ("model", [used]),
            ("user", [answered]),
            ("model", [{"text": "5.1 m."}]),
            tools=[{"functionDeclarations": [TOOL]}],
            **system,
        ),
        gemini(
            asked,
            ("model", [used, used]),
            ("function", [answered, answered]),
            ("model", [{"text": "Twice.", "thought": True}, {"text": "5.1 m."}]),
        ),
        gemini(
            ("user", [{"text": "Tide?", "functionCall": None}, {"text": None, "functionCall": None}]),
            ("model", [{"text": None, "thought": None, "functionCall": {"name": "get_tide", "args": None}}]),
        ),
        gemini(
            asked,
            ("model", [{"text": "I look."}, {"function_call": {"id": "c1", "name": "get_tide", "args": {}}}]),
            ("user", [{"function_response": {"id": "c1", "name": "get_tide", "response": {"output": "5.1"}}}]),
            ("model", {"text": "5.1 m."}),
        ),
    )
    assert plain == (Message("system", "Be brief."), ASKED, called, result, SAID)
    assert twice == (
        ASKED,
        Message("assistant", "", called.tool_calls * 2),
        result,
        result,
        Message("assistant", "5.1 m.", reasoning="Twice."),
    )
    assert with_nulls == (ASKED, Message("assistant", "", (call(None, kind="function"),)))
    assert with_ids[1:3] == (
        Message("assistant", "I look.", (call({}, call_id="c1", kind="function"),)),
        Message("tool", '{"output": "5.1"}', tool_call_id="c1", name="get_tide", is_structure=True),
    )


@pytest.mark.parametrize(
    "part",
    [
        {"fileData": {"mimeType": "image/png", "fileUri": "gs://a/b.png"}},
        {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        {"executableCode": {"language": "PYTHON", "code": "1"}},
        {"text": "I look.", "functionCall": {"name": "get_tide", "args": {}}},
        {"functionCall": "get_tide"},
        {"functionCall": {"args": {}}},
        {"cachePoint": {"type": "default"}},
    ],
)
def test_parts_that_hold_no_text_or_two_things_are_quarantined(tmp_path: Path, part: Any) -> None:
    row = gemini(("user", [{"text": "Tide?"}]), ("model", [part]))
    assert set(refused(tmp_path, row)) <= {"not_text", "bad_tool_call"}


def test_fields_of_gemini_s_parts_that_nobody_reads_are_named(tmp_path: Path) -> None:
    used = {"functionCall": {"name": "get_tide", "args": {}, "willContinue": True}, "thoughtSignature": "x"}
    pool = Pool.of([gemini(("user", [{"text": "Tide?", "mediaResolution": "low"}]), ("model", [used]))])
    (line,) = pool.report.formats.values()
    assert line.endswith("not read: mediaResolution (in parts), thoughtSignature (in parts), willContinue (in parts)")


def test_bedrock_s_calls_and_results_are_read(tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": [{"text": "Tide?"}]},
        {"role": "assistant", "content": [{"toolUse": {"toolUseId": "t1", "name": "get_tide", "input": PORT}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "5.1"}], "status": "success"}}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "In metres."}}}, {"text": "5.1 m."}]},
    ]
    structured = json.loads(json.dumps(turns).replace('{"text": "5.1"}', '{"json": {"m": 5.1}}'))
    first, second = read(tmp_path, {"system": [{"text": "Be brief."}], "messages": turns}, {"messages": structured})
    called = Message("assistant", "", (call(call_id="t1", kind="function"),))
    said = Message("assistant", "5.1 m.", reasoning="In metres.")
    assert first == (Message("system", "Be brief."), ASKED, called, Message("tool", "5.1", tool_call_id="t1"), said)
    assert second[2] == Message("tool", '[{"json": {"m": 5.1}}]', tool_call_id="t1", is_structure=True)


HUGE = 123456789012345678901234567890


@pytest.mark.parametrize(
    "content",
    [
        {"m": 5.1, "n": HUGE},
        {},
        [{"m": 5.1}, {"m": 2}],
        [1, 2.5, None, True],
        [["a", "b"]],
        {"text": "Ebb.", "score": 0.5},
        [{"text": "Ebb.", "score": 1}],
    ]
    + [
        {"type": "weather", "temp": 5},
        [{"type": "file", "name": "a.txt"}],
        {"image": "a.png", "ok": True},
        {"é": "\u2028", "b": {"a": [{}]}},
        5.1,
        0,
        HUGE,
        True,
        False,
    ],
)
@pytest.mark.parametrize("layout", ["messages", "sharegpt", "anthropic", "gemini"])
def test_a_result_that_is_a_structure_stays_one(tmp_path: Path, content: Any, layout: str) -> None:
    turns: list[Any] = [ASKED.as_row(), {"role": "assistant", "content": "I look."}, {"role": "tool", "content": content}, SAID.as_row()]
    row: dict[str, Any] = {"messages": turns}
    if layout == "sharegpt":
        tags = ("human", "gpt", "observation", "gpt")
        row = {"conversations": [{"from": tag, "value": turn["content"]} for tag, turn in zip(tags, turns, strict=True)]}
    elif layout == "anthropic":
        turns[2] = {"role": "user", "content": [{"type": "tool_result", "tool_use_id": None, "content": content}]}
    elif layout == "gemini":
        turns[2] = {"role": "user", "parts": [{"functionResponse": {"response": content}}]}
        row = {"contents": turns}
    ((*_, result, _),) = read(tmp_path, row)
    assert result == Message("tool", json.dumps(content, ensure_ascii=False), is_structure=True)
    assert result.as_row()["content"] == content and result.as_dict()["content"] == json.dumps(content, ensure_ascii=False)


def test_a_structure_and_its_text_are_two_conversations(tmp_path: Path) -> None:
    contents = [{"m": 5.1}, '{"m": 5.1}', [{"type": "text", "text": '{"m": 5.1}'}], {"type": "text", "text": '{"m": 5.1}'}]
    rows = [{"messages": [ASKED.as_row(), {"role": "tool", "content": content}, SAID.as_row()]} for content in contents]
    pool = Pool.read(lines(tmp_path / "pool.jsonl", rows))
    assert len({name.partition(".")[0] for name in pool.ids}) == 2


@pytest.mark.parametrize("content", [[{"type": "image_url", "image_url": {"url": "a.png"}}], {"type": "image", "source": {}}])
def test_a_result_that_is_a_picture_is_quarantined(tmp_path: Path, content: Any) -> None:
    assert refused(tmp_path, {"messages": [ASKED.as_row(), {"role": "tool", "content": content}, SAID.as_row()]}) == {"not_text": 1}


def test_a_structure_of_a_table_has_no_nulls_of_other_rows(tmp_path: Path) -> None:
    results = [{"m": 5.1, "n": None}, {"m": None, "n": 7}]
    rows = [{"messages": [{"role": "user", "content": None}, {"role": "tool", "content": result}]} for result in results]
    table = [{"messages": [*row["messages"], {"role": "assistant", "content": None}]} for row in rows]
    table = [{"messages": [ASKED.as_row(), {"role": "tool", "value": result}, SAID.as_row()]} for result in results]
    pl.DataFrame(table).write_parquet(tmp_path / "pool.parquet")
    assert [turns[1].content for turns, _ in in_order(Pool.read(tmp_path / "pool.parquet"))] == ['{"m": 5.1}', '{"n": 7}']


ITEMS = [
    {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Tide?"}]},
    {"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "Ask."}, {"type": "summary_text", "text": "Twice."}]},
    {
        "type": "function_call",
        "id": "fc_1",
        "call_id": "c1",
        "name": "get_tide",
        "arguments": '{"port": "Brest"}',
        "role": None,
        "content": None,
    },
    {"type": "function_call", "id": "fc_2", "call_id": "c2", "name": "get_tide", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c1", "output": "5.1"},
    {"type": "function_call_output", "call_id": "c2", "output": {"m": 5.1}},
    {"type": "reasoning", "summary": [], "encrypted_content": "x"},
]
OUTPUT = {
    "type": "message",
    "id": "msg_1",
    "role": "assistant",
    "status": "completed",
    "content": [{"type": "output_text", "text": "5.1 m.", "annotations": []}],
}
CALLED = Message(
    "assistant",
    "",
    (call('{"port": "Brest"}', call_id="c1", kind="function"), call("{}", call_id="c2", kind="function")),
    reasoning="Ask.\nTwice.",
)
RESULTS = (Message("tool", "5.1", tool_call_id="c1"), Message("tool", '{"m": 5.1}', tool_call_id="c2", is_structure=True))


def test_items_of_a_response_are_turns_with_calls_results_and_reasoning(tmp_path: Path) -> None:
    whole, in_messages, of_texts, with_call = read(
        tmp_path,
        {"instructions": "Be brief.", "input": ITEMS, "output": [OUTPUT], "tools": [{"type": "function", **TOOL}]},
        {"messages": [*ITEMS, OUTPUT]},
        {"input": "Tide?", "output": [OUTPUT]},
        {"input": [ITEMS[0]], "output": [{**OUTPUT, "content": "I look."}, ITEMS[3]]},
    )
    assert whole == (Message("system", "Be brief."), ASKED, CALLED, *RESULTS, SAID)
    assert in_messages == (ASKED, CALLED, *RESULTS, SAID)
    assert of_texts == (ASKED, SAID)
    assert with_call == (ASKED, Message("assistant", "I look.", (call("{}", call_id="c2", kind="function"),)))
    (line,) = Pool.of([{"input": ITEMS, "output": [OUTPUT]}]).report.formats.values()
    assert line.endswith("not read: annotations (in parts), encrypted_content (in turns), id (in turns), status (in turns)")


def test_a_thought_that_nothing_follows_is_a_turn_of_its_own(tmp_path: Path) -> None:
    (turns,) = read(tmp_path, {"input": [*ITEMS[:2], {"role": "user", "content": "Well?"}], "output": "5.1 m."})
    assert turns == (ASKED, Message("assistant", "", reasoning="Ask.\nTwice."), Message("user", "Well?"), SAID)


@pytest.mark.parametrize("kind", ["web_search_call", "computer_call", "image_generation_call", "mcp_call"])
def test_items_that_are_not_read_are_named_and_quarantine_their_row(tmp_path: Path, kind: str) -> None:
    path = lines(
        tmp_path / "pool.jsonl", [{"input": "Tide?", "output": [{"type": kind, "id": "x"}, OUTPUT]}, {"input": "Tide?", "output": [OUTPUT]}]
    )
    pool = Pool.read(path)
    assert [(entry.line, entry.reason) for entry in pool.report.quarantine] == [(1, "missing_field")]
    assert kind in pool.report.quarantine[0].detail


def test_texts_of_input_and_output_are_no_response(tmp_path: Path) -> None:
    with pytest.raises(PoolError) as raised:
        Pool.of([{"input": "Is rain wet?", "output": "Yes."}])
    assert raised.value.fix == "Name them with --map instruction=input,response=output"


TEXT_CALLS = [
    '<tool_call>\n{"name": "get_tide", "arguments": {}}\n</tool_call>',
    '[TOOL_CALLS] [{"name": "get_tide", "arguments": {}}]',
    '[get_tide(port="Brest")]',
    "<|python_tag|>get_tide.call()",
]


@pytest.mark.parametrize("written", TEXT_CALLS)
def test_a_call_that_is_written_into_a_text_is_text(tmp_path: Path, written: str) -> None:
    (turns,) = read(tmp_path, {"messages": [ASKED.as_row(), {"role": "assistant", "content": written}]})
    assert turns == (ASKED, Message("assistant", written))


def test_cohere_s_roles_are_known(tmp_path: Path) -> None:
    roles = {"System": "Be brief.", "User": "Tide?", "Chatbot": "5.1 m."}
    (turns,) = read(tmp_path, {"messages": [{"role": role, "content": content} for role, content in roles.items()]})
    assert turns == (Message("system", "Be brief."), ASKED, SAID)
    row = {
        "chat_history": [{"role": "USER", "message": "Hello"}, {"role": "CHATBOT", "message": "Hi."}],
        "message": "Tide?",
        "response": "5.1 m.",
    }
    with pytest.raises(PoolError) as raised:
        Pool.of([row])
    assert raised.value.fix == "Name them with --map instruction=message,response=response,history=chat_history"


@pytest.mark.parametrize(
    "text",
    ["### Human: Tide?### Assistant: 5.1 m.", "<s>[INST] Tide? [/INST] 5.1 m.</s>", "<|im_start|>user\nTide?<|im_end|>", "Human: Tide?"],
)
def test_rows_that_a_template_has_made_texts_of_are_refused_as_such(text: str) -> None:
    with pytest.raises(PoolError, match="each row is one text that a template has made of its turns"):
        Pool.of([{"text": text}] * 3)


@pytest.mark.parametrize(
    ("role", "text", "answers"), [("author", "content", "bot"), ("type", "content", "ai"), ("sender", "text", "agent")]
)
def test_turns_with_another_key_of_the_role_are_refused_with_the_mapping_that_reads_them(role: str, text: str, answers: str) -> None:
    rows = [{"messages": [{role: "user", text: f"Q{n}"}, {role: answers, text: "A"}]} for n in range(3)]
    with pytest.raises(PoolError) as raised:
        Pool.of(rows)
    assert raised.value.fix == f"Name their keys with --map messages=messages,role={role},content={text}"
    mapping = str(raised.value.fix).rpartition(" ")[2]
    with pytest.raises(PoolError) as raised:
        Pool.of(rows, format=Mapped.parse(mapping))
    assert f"--role {answers}=" in str(raised.value.fix)
    assert len(Pool.of(rows, format=Mapped.parse(mapping), roles=[f"{answers}=assistant"])) == 3


def test_a_part_in_which_the_model_refuses_is_its_text(tmp_path: Path) -> None:
    part = {"type": "refusal", "refusal": "I cannot."}
    expected = (ASKED, Message("assistant", "I cannot."))
    rows = [
        {"messages": [ASKED.as_row(), {"role": "assistant", "content": [part]}]},
        {"input": "Tide?", "output": [{**OUTPUT, "content": [part]}]},
    ]
    assert read(tmp_path, *rows) == [expected, expected]
    assert refused(tmp_path, {"messages": [{"role": "user", "content": [part]}, SAID.as_row()]}) == {"not_text": 1}
