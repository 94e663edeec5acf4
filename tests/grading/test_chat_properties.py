"""Generated conversations with tools, calls, results and reasoning: our tokens are the chat template's on the original row, and TRL's."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any, Final

import pytest
from tokenizers.decoders import ByteLevel

from instructsel import Pool
from instructsel.adapters import to_trl
from instructsel.adapters.rows import rows as trl_rows
from instructsel.grading.chat import ChatTemplate, Encoded
from tests import tiny
from tests.adapters.training_job import edit_tokenizer
from tests.chat_families import STRUCTURED
from tests.message_maker import PLAIN, WEIGHTS, Maker
from tests.templates import Family

CASES: Final = 150
MANY: Final = 7_000
BATCH: Final = 500
MARKERS: Final = ["<|im_end|>", "<|im_start|>"]


def rows(seed: int, count: int) -> list[dict[str, Any]]:
    maker = Maker(seed, words=PLAIN, canonical=True)
    return [maker.row() for _ in range(count)]


def as_trained(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The turns of a row up to the last one that is trained on."""
    turns = row["messages"]
    last = max(n for n, turn in enumerate(turns) if turn["role"] == "assistant" and not any(turn.get(key) == 0 for key in WEIGHTS))
    return turns[: last + 1]


def encoded_rows(chat: ChatTemplate, originals: list[dict[str, Any]]) -> list[tuple[dict[str, Any], Encoded, str | None]]:
    """Each original row with its tokens and its text."""
    pool = Pool.of(originals)
    assert len(pool) == len(originals)
    lines = pool.places["line"].to_list()
    examples = list(pool.examples())
    encoded = chat.encode_all(examples)
    return [(originals[line - 1], row, chat.text(example)) for line, row, example in zip(lines, encoded, examples, strict=True)]


def check_templates(chat: ChatTemplate, seed: int, count: int) -> int:
    compared = 0
    for row, encoded, text in encoded_rows(chat, rows(seed, count)):
        try:
            expected = chat.tokenizer.apply_chat_template(as_trained(row), tools=row.get("tools"), tokenize=False)
        except Exception as error:
            assert text is None and encoded.reason == "template_refused", (seed, str(error), json.dumps(row))
            continue
        assert text == expected, (seed, json.dumps(row))
        if encoded.reason is None:
            compared += 1
            assert encoded.ids == chat.tokenizer(expected, add_special_tokens=False)["input_ids"], (seed, json.dumps(row))
        else:
            assert encoded.reason in ("not_a_prefix", "calls_not_rendered"), (seed, encoded.reason, json.dumps(row))
    return compared


def template(folder: Path, family: str) -> ChatTemplate:
    tiny.tokenizer(folder, MARKERS)
    return ChatTemplate.load(edit_tokenizer(folder, chat_template=STRUCTURED[family], eos_token="<|im_end|>"))


@pytest.mark.parametrize("family", list(STRUCTURED))
def test_the_tokens_are_those_of_the_template_on_the_original_row(family: str, tmp_path: Path) -> None:
    assert check_templates(template(tmp_path, family), 1, CASES) > 0.6 * CASES


PUBLISHED: Final = ("qwen3", "qwen2_5", "qwen3_5_think", "llama3_1", "gemma4_v2", "glm4moe", "lfm2_2_5", "deepseekv3", "phi3_5", "cohere2")
"""Templates of published models, as TRL brings them along, that write no date."""


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_published_templates_write_of_the_original_row_is_what_ours_is(name: str, tmp_path: Path) -> None:
    trl = pytest.importorskip("trl")
    tiny.tokenizer(tmp_path, MARKERS)
    jinja = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    chat = ChatTemplate.load(edit_tokenizer(tmp_path, chat_template=jinja, eos_token="<|im_end|>"))
    compared = 0
    for row, encoded, text in encoded_rows(chat, rows(11, CASES)):
        try:
            expected = chat.tokenizer.apply_chat_template(as_trained(row), tools=row.get("tools"), tokenize=False)
        except Exception as error:
            # A turn whose text is null has none in transformers; in ours it is empty, which these templates take.
            assert text is None or "content" in str(error), (str(error), json.dumps(row))
            continue
        assert text == expected, json.dumps(row)
        compared += encoded.reason is None
        if encoded.reason is None:
            assert encoded.ids == chat.tokenizer(expected, add_special_tokens=False)["input_ids"], json.dumps(row)
    assert compared


@pytest.mark.soak
@pytest.mark.parametrize("family", list(STRUCTURED))
def test_the_tokens_of_many_are_those_of_the_template_on_the_original_row(family: str, tmp_path: Path) -> None:
    chat = template(tmp_path, family)
    assert sum(check_templates(chat, seed, BATCH) for seed in range(100, 100 + MANY // BATCH)) > 0.6 * MANY


def runs(chat: ChatTemplate, encoded: Encoded) -> list[str]:
    """The texts that the loss falls on."""
    pairs = zip(encoded.ids, encoded.loss_mask, strict=True)
    tokens = [[number for number, _ in run] for on, run in itertools.groupby(pairs, key=lambda pair: pair[1]) if on]
    return [ByteLevel().decode(chat.tokenizer.convert_ids_to_tokens(run)) for run in tokens]


def test_the_loss_falls_on_the_text_and_the_calls_of_every_response_that_is_trained_and_on_nothing_else(tmp_path: Path) -> None:
    chat = template(tmp_path, "chatml with tools")
    pool = Pool.of(rows(4, CASES))
    trained = 0
    for example, encoded in zip(pool.examples(), chat.encode_all(pool.examples(), loss="assistant"), strict=True):
        expected = []
        for turn in example.messages[: example.last_answer + 1]:
            calls = [call.as_dict() for call in turn.tool_calls]
            if turn.is_trained:
                written = "".join(json.dumps(call.get("function") or call, ensure_ascii=False) for call in calls)
                expected.append(f"{turn.content}{written}<|im_end|>\n")
        assert runs(chat, encoded) == expected, pool.row(example.id)
        trained += len(expected)
    assert trained > 1.5 * CASES


def test_special_tokens_that_are_spelled_out_anywhere_in_a_row_are_letters(tmp_path: Path) -> None:
    chat = template(tmp_path, "chatml with tools")
    maker = Maker(5, words=(*PLAIN, *MARKERS, "<|im_start|>assistant\n"), canonical=True)
    pool = Pool.of([maker.row() for _ in range(CASES)])
    start = chat.tokenizer.convert_tokens_to_ids("<|im_start|>")
    spelled = 0
    for example, encoded in zip(pool.examples(), chat.encode_all(pool.examples()), strict=True):
        text = ByteLevel().decode(chat.tokenizer.convert_ids_to_tokens(encoded.ids))
        assert text == chat.text(example)
        written = example.last_answer + 1 + (example.tools is not None)
        assert encoded.ids.count(start) == written, pool.row(example.id)
        spelled += text.count("<|im_start|>") > written
    assert spelled > 0.5 * CASES


def check_trl(base: Path, seed: int, count: int) -> int:
    """Rows that TRL prepares to the tokens and loss tokens that ours are."""
    import transformers
    import trl

    pool = Pool.of(rows(seed, count))
    chat = ChatTemplate.load(base)
    encoded = list(chat.encode_all(pool.examples()))
    # A weight between 0 and 1 is refused by the hand-off.
    whole = [all(turn.weight in (None, 0, 1) for turn in example.messages) for example in pool.examples()]
    trained = [position for position, row in enumerate(encoded) if row.reason is None and whole[position]]
    data = to_trl(pool.at(trained))
    assert list(data.select_columns(["prompt", "completion"])) == [
        {"prompt": row["prompt"], "completion": row["completion"]} for row in trl_rows(pool.at(trained))
    ]
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    settings = trl.SFTConfig(str(base / "out"), use_cpu=True, bf16=False, report_to="none", max_length=None, disable_tqdm=True)
    prepared = trl.SFTTrainer(model, settings, train_dataset=data, processing_class=chat.tokenizer).train_dataset
    for position, theirs in zip(trained, prepared, strict=True):
        ours = encoded[position]
        labels = [token if loss else -100 for token, loss in zip(ours.ids, ours.loss_mask, strict=True)]
        assert (theirs["input_ids"], theirs["labels"]) == (ours.ids, labels), (seed, pool.row(position))
    return len(trained)


def base_of(folder: Path, family: str) -> Path:
    return Family(STRUCTURED[family], "<|im_end|>", tuple(MARKERS)).base(folder)


@pytest.mark.parametrize("family", list(STRUCTURED))
def test_trl_trains_on_the_tokens_that_ours_does(family: str, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    assert check_trl(base_of(tmp_path / "base", family), 2, CASES) > 0.6 * CASES


@pytest.mark.soak
@pytest.mark.parametrize("family", list(STRUCTURED))
def test_trl_trains_on_the_tokens_that_ours_does_for_many(family: str, tmp_path: Path) -> None:
    pytest.importorskip("trl")
    assert check_trl(base_of(tmp_path / "base", family), 3, MANY) > 0.6 * MANY
