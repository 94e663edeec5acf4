"""The tokens and labels that are handed over are those of TRL's own loss on responses, up to line breaks that the documents name."""

from __future__ import annotations

import itertools
import json
import warnings
from collections import Counter
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel import Pool
from instructsel.adapters import to_trl
from instructsel.grading.chat import ChatTemplate
from tests.templates import Family

trl = pytest.importorskip("trl")
datasets = pytest.importorskip("datasets")

TOOL: Final = {
    "type": "function",
    "function": {
        "name": "get_tide",
        "description": "Tide",
        "parameters": {"type": "object", "properties": {"port": {"type": "string"}}, "required": ["port"]},
    },
}
CALL: Final = {"id": "c1", "type": "function", "function": {"name": "get_tide", "arguments": {"port": "Brest"}}}
ASKED, ANSWERED = {"role": "user", "content": "how do i boil an egg"}, {"role": "assistant", "content": "put it into boiling water"}
AGAIN, DONE = {"role": "user", "content": "and then"}, {"role": "assistant", "content": "cool it under cold water"}
ONE: Final = {"messages": [ASKED, ANSWERED]}
TWO: Final = {"messages": [ASKED, ANSWERED, AGAIN, DONE]}
SYSTEM: Final = {"messages": [{"role": "system", "content": "one sentence"}, ASKED, ANSWERED]}
DOUBLE: Final = {"messages": [ASKED, ANSWERED, DONE, AGAIN, DONE]}
REASONED: Final = {"messages": [ASKED, {**ANSWERED, "reasoning_content": "an egg needs heat"}]}
CALLED: Final = {
    "messages": [
        ASKED,
        {"role": "assistant", "content": "", "tool_calls": [CALL]},
        {"role": "tool", "tool_call_id": "c1", "name": "get_tide", "content": "5.1"},
        DONE,
    ],
    "tools": [TOOL],
}

CALLS: Final = "{% for call in message.tool_calls or [] %}{{ '<tool_call>' + (call.function | tojson) + '</tool_call>' }}{% endfor %}"
MARKED_CHATML: Final = (
    "{% if tools %}{{ '<|im_start|>system\\nTools: ' + (tools | tojson) + '<|im_end|>\\n' }}{% endif %}"
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content or '' }}"
    + CALLS
    + "{{ '<|im_end|>' }}{% endgeneration %}{{ '\\n' }}{% else %}{{ message.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML with tools; the line break behind a response is not marked."""
MARKED_LLAMA3: Final = (
    "{{ bos_token }}{% for message in messages %}{{ '<|start_header_id|>' + message.role + '<|end_header_id|>\\n\\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content | trim + '<|eot_id|>' }}{% endgeneration %}"
    "{% else %}{{ message.content | trim + '<|eot_id|>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"
)
MARKED_QWEN3: Final = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}"
    "{{ '<think>\\n' + (message.reasoning_content or '') + '\\n</think>\\n\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endgeneration %}{% else %}{{ message.content + '<|im_end|>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""ChatML whose responses think, each with its reasoning; the line break behind a response is marked."""
MARKED_GEMMA: Final = (
    "{{ bos_token }}{% if messages[0].role == 'system' %}{{ raise_exception('no system turn') }}{% endif %}"
    "{% for message in messages %}{{ '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\\n' }}"
    "{% if message.role == 'assistant' %}{% generation %}{{ message.content | trim + '<end_of_turn>' }}{% endgeneration %}{{ '\\n' }}"
    "{% else %}{{ message.content | trim + '<end_of_turn>\\n' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"
)
MARKED_MISTRAL: Final = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message.role == 'user' %}{{ '[INST] ' + message.content + ' [/INST]' }}"
    "{% elif message.role == 'assistant' %}{% generation %}{{ ' ' + message.content + eos_token }}{% endgeneration %}"
    "{% else %}{{ raise_exception('no such role') }}{% endif %}{% endfor %}"
)
CHAT: Final = ("<|im_start|>", "<|im_end|>")
HEADERS: Final = ("<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>")
FAMILIES: Final = {
    "tulu": (Family(None, "<|endoftext|>"), (ONE, TWO, SYSTEM, DOUBLE), ""),
    "tulu with a begin": (Family(None, "<|endoftext|>", bos="<s>"), (ONE, TWO, SYSTEM, DOUBLE), ""),
    "chatml with tools": (Family(MARKED_CHATML, "<|im_end|>", CHAT), (ONE, TWO, SYSTEM, DOUBLE, CALLED), "\n"),
    "llama3": (Family(MARKED_LLAMA3, "<|eot_id|>", HEADERS, bos="<s>"), (ONE, TWO, SYSTEM, DOUBLE), ""),
    "qwen3": (Family(MARKED_QWEN3, "<|im_end|>", CHAT, ("<think>", "</think>")), (ONE, TWO, SYSTEM, DOUBLE, REASONED), ""),
    "gemma": (Family(MARKED_GEMMA, "<end_of_turn>", ("<start_of_turn>", "<end_of_turn>"), bos="<s>"), (ONE, TWO), "\n"),
    "mistral": (Family(MARKED_MISTRAL, "<|endoftext|>", bos="<s>"), (ONE, TWO), ""),
}
"""Family → its template, rows that it takes, and what is trained on behind the mark of a response and not by TRL."""

Row = tuple[tuple[int, ...], tuple[int, ...]]
"""Tokens and labels."""


def pool_of(folder: Path, rows: tuple[dict[str, Any], ...]) -> Pool:
    (folder / "pool.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Pool.read(folder / "pool.jsonl")


def trainer(base: Path, rows: Any, tokenizer: Any, **settings: Any) -> Any:
    import transformers

    usual = {"use_cpu": True, "bf16": False, "report_to": "none", "max_length": None, "disable_tqdm": True, "shuffle_dataset": False}
    model = transformers.AutoModelForCausalLM.from_pretrained(str(base))
    config = trl.SFTConfig(str(base / "out"), **{**usual, **settings})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return trl.SFTTrainer(model, config, train_dataset=rows, processing_class=tokenizer)


def as_messages(pool: Pool) -> Any:
    rows = []
    for example in pool.examples():
        tools = [] if example.tools is None else example.tools.value
        rows.append({"messages": [turn.as_dict() for turn in example.messages], **({"tools": tools} if tools else {})})
    if not any("tools" in row for row in rows):
        return datasets.Dataset.from_list(rows)
    return datasets.Dataset.from_list([{"tools": [], **row} for row in rows], on_mixed_types="use_json")


def rows_of(data: Any) -> list[Row]:
    return [(tuple(row["input_ids"]), tuple(row["labels"])) for row in data]


def split(data: Any) -> list[Row]:
    """The documents of packed sequences."""
    documents: list[Row] = []
    for ids, labels, lengths in zip(data["input_ids"], data["labels"], data["seq_lengths"], strict=True):
        start = 0
        for length in lengths:
            documents.append((tuple(ids[start : start + length]), tuple(labels[start : start + length])))
            start += length
        assert start == len(ids)
    return documents


def without(row: Row, spare: str, chat: ChatTemplate) -> Row:
    """A row whose loss does not fall on a text behind the end of turn."""
    ids, labels = row
    if not spare:
        return row
    (token,) = chat.tokens(spare)[0]
    ends = {*chat.end_of_turn}
    return ids, tuple(-100 if number and label == token and ids[number - 1] in ends else label for number, label in enumerate(labels))


@pytest.mark.parametrize("name", FAMILIES)
def test_tokens_and_labels_are_those_of_trl_s_loss_on_responses(name: str, tmp_path: Path) -> None:
    family, rows, spare = FAMILIES[name]
    base, pool = family.base(tmp_path / "base"), pool_of(tmp_path, rows)
    chat = ChatTemplate.load(base)
    handed_over = rows_of(to_trl(pool, tokenizer=str(base), loss="assistant"))
    theirs = trainer(base, as_messages(pool), chat.tokenizer, assistant_only_loss=True).train_dataset
    assert len(handed_over) == len(rows) and [without(row, spare, chat) for row in handed_over] == rows_of(theirs)
    # The difference is there where the documents say so.
    assert (handed_over != rows_of(theirs)) == bool(spare)


@pytest.mark.parametrize("name", FAMILIES)
def test_packed_documents_have_the_tokens_and_labels_of_trl_s_and_see_no_other(name: str, tmp_path: Path) -> None:
    import torch

    family, rows, spare = FAMILIES[name]
    base, pool = family.base(tmp_path / "base"), pool_of(tmp_path, rows)
    chat = ChatTemplate.load(base)
    handed_over = to_trl(pool, tokenizer=str(base), loss="assistant")
    length = 2 * max(map(len, handed_over["input_ids"]))
    packing = {"packing": True, "packing_strategy": "bfd", "max_length": length, "per_device_train_batch_size": 1}
    packed = trainer(base, handed_over, chat.tokenizer, **packing)
    theirs = trainer(base, as_messages(pool), chat.tokenizer, assistant_only_loss=True, **packing)
    assert max(map(len, packed.train_dataset["seq_lengths"])) > 1
    documents = [without(row, spare, chat) for row in split(packed.train_dataset)]
    assert Counter(documents) == Counter(split(theirs.train_dataset)) and len(documents) == len(rows)
    # What the model gets: positions begin anew with each document, whose first token is not predicted from another one.
    for batch, sequence in zip(packed.get_train_dataloader(), packed.train_dataset, strict=True):
        starts = [sum(sequence["seq_lengths"][:number]) for number in range(len(sequence["seq_lengths"]) + 1)]
        assert "attention_mask" not in batch and batch["cu_seq_lens_q"].tolist() == starts
        positions = torch.cat([torch.arange(length) for length in sequence["seq_lengths"]])
        assert batch["position_ids"][0].tolist() == positions.tolist()
        assert [batch["labels"][0, start].item() for start in starts[:-1]] == [-100] * (len(starts) - 1)
    # Padding-free, a document a row, is the same.
    free = trainer(base, handed_over, chat.tokenizer, padding_free=True, per_device_train_batch_size=len(rows))
    (batch,) = free.get_train_dataloader()
    bounds = batch["cu_seq_lens_q"].tolist()
    documents = [batch["input_ids"][0, first:last].tolist() for first, last in itertools.pairwise(bounds)]
    assert sorted(documents) == sorted(handed_over["input_ids"])


PATCHED: Final = {
    "llama3": ("", 3),
    "gemma": ("", 2),
    "gemma3": ("", 3),
    "phi3": ("", 2),
    "qwen3": ("", 2),
    "qwen2_5": ("header", 3),
}
"""Templates that TRL knows → where its patched form marks more than the response, and how many of three rows ours can write."""
MARKERS: Final = (*CHAT, *HEADERS, "<|end|>", "<start_of_turn>", "<end_of_turn>")


@pytest.mark.parametrize("name", PATCHED)
def test_where_trl_patches_a_template_tokens_and_labels_are_its_own(name: str, tmp_path: Path) -> None:
    extra, count = PATCHED[name]
    template = (Path(trl.__file__).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")
    assert "generation %}" not in template
    base = Family(template, "", MARKERS, ("<think>", "</think>"), bos="<s>").base(tmp_path / "base")
    chat = ChatTemplate.load(base)
    pool = pool_of(tmp_path, (ONE, TWO, SYSTEM))
    encoded = list(chat.encode_all(pool.examples(), loss="assistant"))
    fit = [number for number, row in enumerate(encoded) if row.reason is None]
    # Rows that the template refuses (a system turn) or writes differently when others follow are left out, and named.
    assert len(fit) == count
    with warnings.catch_warnings(record=True) as named:
        warnings.simplefilter("always")
        handed_over = rows_of(to_trl(pool, tokenizer=str(base), loss="assistant"))
    assert sum("to_trl leaves out" in str(warning.message) for warning in named) == (count < 3)
    theirs = rows_of(trainer(base, as_messages(pool.at(fit)), chat.tokenizer, assistant_only_loss=True).train_dataset)
    assert [ids for ids, _ in handed_over] == [ids for ids, _ in theirs]
    for (ids, labels), (_, its) in zip(handed_over, theirs, strict=True):
        differ = [number for number, (label, other) in enumerate(zip(labels, its, strict=True)) if label != other]
        assert bool(differ) == bool(extra)
        # Qwen 2.5: the patched form marks the line break at the end of the header, too, which stands in every prompt.
        assert all(labels[number] == -100 and chat.decoded([ids[number]]) == "\n" and labels[number + 1] != -100 for number in differ)
