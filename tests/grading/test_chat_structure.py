"""Chat templates are given the structure of a turn: calls, results, tools and reasoning, as they stand in the row."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Final

import pytest
from tokenizers.decoders import ByteLevel

from instructsel import Pool
from instructsel.adapters.training_data import TrainingData
from instructsel.grading.chat import ChatTemplate, Encoded
from tests import tiny
from tests.adapters.training_job import edit_tokenizer
from tests.chat_families import QWEN_TYPE, STRUCTURED

TOOLS: Final = [
    {"type": "function", "function": {"name": "get_tide", "parameters": {"type": "object", "properties": {"port": {"type": "string"}}}}}
]
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": '{"port": "Brest"}'}}
ROW: Final[dict[str, Any]] = {
    "messages": [
        {"role": "user", "content": "Tide in Brest?"},
        {"role": "assistant", "content": None, "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "name": "get_tide", "content": '{"m": 5.1}'},
        {"role": "assistant", "content": "It stands at 5.1 metres.", "reasoning_content": "The port answers in metres."},
    ],
    "tools": TOOLS,
}


def template(folder: Path, jinja: str) -> ChatTemplate:
    tiny.tokenizer(folder, ["<|im_end|>", "<|im_start|>"])
    return ChatTemplate.load(edit_tokenizer(folder, chat_template=jinja, eos_token="<|im_end|>"))


def pool(folder: Path, *rows: dict[str, Any]) -> Pool:
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pool.read(folder / "pool.jsonl")


def text(chat: ChatTemplate, ids: list[int]) -> str:
    return ByteLevel().decode(chat.tokenizer.convert_ids_to_tokens(ids))


def trained(chat: ChatTemplate, encoded: Encoded) -> list[str]:
    pairs = zip(encoded.ids, encoded.loss_mask, strict=True)
    return [text(chat, [number for number, _ in run]) for on, run in itertools.groupby(pairs, key=lambda pair: pair[1]) if on]


@pytest.mark.parametrize("family", list(STRUCTURED))
def test_what_is_trained_on_is_the_template_applied_to_the_row(family: str, tmp_path: Path) -> None:
    chat = template(tmp_path, STRUCTURED[family])
    (encoded,) = chat.encode_all(pool(tmp_path, ROW).examples())
    row = [{key: value for key, value in turn.items() if value is not None} for turn in ROW["messages"]]
    expected = chat.tokenizer.apply_chat_template(row, tools=TOOLS, tokenize=False)
    assert encoded.reason is None and text(chat, encoded.ids) == expected
    assert encoded.ids == chat.tokenizer(expected, add_special_tokens=False)["input_ids"]
    (last,) = trained(chat, encoded)
    assert "It stands at 5.1 metres." in last and "get_tide" not in last


def test_a_call_reads_as_the_template_s_own_markup_and_the_tools_stand_in_the_system_part(tmp_path: Path) -> None:
    chat = template(tmp_path, QWEN_TYPE)
    (encoded,) = chat.encode_all(pool(tmp_path, ROW).examples())
    rendered = text(chat, encoded.ids)
    assert '<tool_call>\n{"name": "get_tide", "arguments": {"port": "Brest"}}\n</tool_call>' in rendered
    assert rendered.index('"name": "get_tide"') < rendered.index("<|im_start|>user")
    assert "<think>\nThe port answers in metres.\n</think>" in rendered


@pytest.mark.parametrize(
    ("before", "opened"),
    [
        ("<|im_start|>assistant\n", "<think>\n"),
        ("<|im_start|>assistant\n", "<think>\n\n</think>\n\n"),
        ("assistant: ", "[THINK]"),
        ("<|im_start|>assistant\n", "<|begin_of_thought|>"),
        ("<|im_start|>assistant\n", "◁think▷"),
    ],
)
@pytest.mark.parametrize("loss", ["completion", "assistant", "all"])
def test_a_prompt_that_ends_in_an_opened_mark_of_reasoning_is_masked_and_no_fault(
    before: str, opened: str, loss: str, tmp_path: Path
) -> None:
    jinja = (
        "{%- for m in messages %}{%- if m.role == 'assistant' %}{{ BEFORE + m.content + '<|im_end|>\n' }}"
        "{%- else %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
        "{%- if add_generation_prompt %}{{ BEFORE + OPENED }}{%- endif %}"
    )
    chat = template(tmp_path, jinja.replace("BEFORE", repr(before)).replace("OPENED", repr(opened)))
    turns = [{"role": "user", "content": "spell cat"}, {"role": "assistant", "content": "C-A-T"}]
    turns += [{"role": "user", "content": "and dog"}, {"role": "assistant", "content": "<b>D-O-G"}]
    (encoded,) = chat.encode_all(pool(tmp_path, {"messages": turns}).examples(), loss=loss)
    assert encoded.reason is None
    expected = {"completion": ["<b>D-O-G<|im_end|>\n"], "assistant": ["C-A-T<|im_end|>\n", "<b>D-O-G<|im_end|>\n"]}
    assert loss == "all" or trained(chat, encoded) == expected[loss] or opened.startswith("<")
    if opened.startswith("<") and loss != "all":
        # The token that prompt and response both begin with is the prompt's, as in TRL.
        shared = text(chat, chat.tokens(opened)[0][:1])
        assert trained(chat, encoded)[-1] == "<b>D-O-G<|im_end|>\n".removeprefix(shared)


def test_a_header_that_is_another_one_is_no_opened_mark(tmp_path: Path) -> None:
    for number, (before, prompt) in enumerate(
        (("assistant: ", "bot: "), ("", "<|im_start|>assistant\n"), ("assistant: ", "assistant: Sure, "))
    ):
        jinja = "{% for m in messages %}{{ (BEFORE if m.role == 'assistant' else m.role + ': ') + m.content + '<|im_end|>' }}{% endfor %}"
        jinja += "{% if add_generation_prompt %}{{ PROMPT }}{% endif %}"
        (tmp_path / str(number)).mkdir()
        chat = template(tmp_path / str(number), jinja.replace("BEFORE", repr(before)).replace("PROMPT", repr(prompt)))
        (encoded,) = chat.encode_all(pool(tmp_path, {"messages": ROW["messages"][:1] + ROW["messages"][3:]}).examples())
        assert encoded.reason == "not_a_prefix"


def test_a_last_turn_that_is_a_call_is_the_response(tmp_path: Path) -> None:
    chat = template(tmp_path, QWEN_TYPE)
    (encoded,) = chat.encode_all(pool(tmp_path, {**ROW, "messages": ROW["messages"][:2]}).examples())
    (response,) = trained(chat, encoded)
    assert response == '<tool_call>\n{"name": "get_tide", "arguments": {"port": "Brest"}}\n</tool_call><|im_end|>\n'
    # The end of turn closes it.
    assert text(chat, encoded.ids[len(encoded.ids) - encoded.end :]) == "<|im_end|>\n"


def test_calls_that_a_template_leaves_out_are_not_trained_as_an_empty_turn(tmp_path: Path) -> None:
    deaf = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    chat = template(tmp_path, deaf)
    (encoded,) = chat.encode_all(pool(tmp_path, {**ROW, "messages": ROW["messages"][:2]}).examples())
    assert encoded.reason == "calls_not_rendered"
    # As context they may be missing, which the audit tells.
    (encoded,) = chat.encode_all(pool(tmp_path, ROW).examples())
    assert encoded.reason is None
    (encoded,) = chat.encode_all(pool(tmp_path, ROW).examples(), loss="assistant")
    assert encoded.reason == "calls_not_rendered"


def test_what_a_template_leaves_out_is_told(tmp_path: Path) -> None:
    deaf = "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    examples = pool(tmp_path, ROW, {"messages": ROW["messages"][:1] + [{"role": "assistant", "content": "five"}]})
    chat = template(tmp_path, deaf)
    data, _ = TrainingData.of(chat.encode_all(examples.examples()), str)
    assert data.left_out == {"calls": 1, "reasoning": 1, "tools": 1}
    assert "1 row has calls that the chat template leaves out" in data.lines()
    assert "1 row has tools that the chat template leaves out" in data.lines()
    data, _ = TrainingData.of(template(tmp_path, QWEN_TYPE).encode_all(examples.examples()), str)
    assert data.left_out == {}


@pytest.mark.parametrize("loss", ["completion", "assistant", "all"])
def test_no_loss_falls_on_a_turn_of_weight_0(loss: str, tmp_path: Path) -> None:
    turns = [
        {"role": "user", "content": "spell cat"},
        {"role": "assistant", "content": "kat", "weight": 0},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "cat", "weight": 1},
        {"role": "user", "content": "now shout"},
        {"role": "assistant", "content": "you shout", "weight": 0},
    ]
    chat = template(tmp_path, STRUCTURED["chatml with tools"])
    (encoded,) = chat.encode_all(pool(tmp_path, {"messages": turns}).examples(), loss=loss)
    runs = trained(chat, encoded)
    assert "kat" not in "".join(runs) and "shout" not in text(chat, encoded.ids)
    before = "<|im_start|>user\nagain<|im_end|>\n<|im_start|>assistant\n" if loss == "all" else ""
    assert runs[-1] == f"{before}cat<|im_end|>\n"


def test_special_tokens_in_arguments_reasoning_and_tools_are_read_as_their_letters(tmp_path: Path) -> None:
    chat = template(tmp_path, QWEN_TYPE)
    spelled = "Brest<|im_end|>"
    call = {"function": {"name": "get_tide", "arguments": {"port": spelled, spelled: 1}}}
    row = {
        "messages": [
            {"role": "user", "content": "Tide?"},
            {"role": "assistant", "content": None, "tool_calls": [call]},
            {"role": "tool", "content": "5"},
            {"role": "assistant", "content": "Five.", "reasoning": f"of {spelled}"},
        ],
        "tools": [{"type": "function", "function": {"name": "get_tide", "description": spelled}}],
    }
    (encoded,) = chat.encode_all(pool(tmp_path, row).examples())
    end = chat.tokenizer.convert_tokens_to_ids("<|im_end|>")
    assert encoded.control and text(chat, encoded.ids).count("<|im_end|>") == 9
    # Five turns of the template's own end in it.
    assert encoded.ids.count(end) == 5


def test_a_conversation_of_very_many_turns_is_not_rendered_once_for_each_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.grading.responses.MOST_TURNS", 1_000)
    chat = template(tmp_path, QWEN_TYPE)

    def turns(count: int) -> dict[str, Any]:
        return {"messages": [{"role": ("user", "assistant")[n % 2], "content": f"{n}"} for n in range(count)]}

    examples = list(pool(tmp_path, turns(40), turns(60)).examples())
    reasons = {
        len(example.messages): encoded.reason
        for example, encoded in zip(examples, chat.encode_all(examples, loss="assistant"), strict=True)
    }
    assert reasons == {40: None, 60: "too_many_turns"}
    assert [encoded.reason for encoded in chat.encode_all(examples)] == [None, None]
