"""Special tokens, ends of turns and headers are known from renderings, not from texts that look like them."""

from __future__ import annotations

from pathlib import Path

from instructsel.grading.chat import ChatTemplate, Encoded
from instructsel.pool.example import Example
from instructsel.pool.message import Message
from tests.templates import FAMILIES


def example(*turns: tuple[str, str]) -> Example:
    return Example("one", "here", tuple(Message(*turn) for turn in turns))


def trained(template: ChatTemplate, encoded: Encoded) -> str:
    return str(template.tokenizer.decode([token for token, on in zip(encoded.ids, encoded.loss_mask, strict=True) if on]))


def test_think_tokens_that_a_template_writes_stay_tokens(tmp_path: Path) -> None:
    template = ChatTemplate.load(FAMILIES["qwen3_special"].tokenizer(tmp_path))
    begin, end = (template.tokenizer.convert_tokens_to_ids(token) for token in ("<think>", "</think>"))
    # The template writes them around nothing, and around the reasoning that it reads in a response.
    for answer in ("it is", "<think>\nbecause\n</think>\n\nit is"):
        encoded = template.encode(example(("user", "how"), ("assistant", answer)))
        assert (encoded.ids.count(begin), encoded.ids.count(end)) == (1, 1), answer
    # A user who spells them out says letters, beside a response that is read.
    mixed = template.encode(example(("user", "what is <think>"), ("assistant", "<think>\nx\n</think>\n\na<|im_end|>b")))
    assert (mixed.ids.count(begin), mixed.ids.count(end), mixed.control) == (1, 1, True)
    assert mixed.ids.count(template.end_of_turn[0]) == 2


def test_a_content_that_stands_elsewhere_too_is_not_taken_for_its_place(tmp_path: Path) -> None:
    template = ChatTemplate.load(FAMILIES["chatml"].tokenizer(tmp_path))
    # The token of the template stands before the same text in a turn.
    encoded = template.encode(example(("user", "<|im_start|>user"), ("assistant", "assistant")))
    assert encoded.ids.count(template.tokenizer.convert_tokens_to_ids("<|im_start|>")) == 2
    assert (trained(template, encoded), encoded.end) == ("assistant<|im_end|>\n", 2)


def test_two_responses_in_a_row_have_a_header_each_in_tulu_s_format(tmp_path: Path) -> None:
    template = ChatTemplate.load(FAMILIES["tulu"].tokenizer(tmp_path))
    row = example(("user", "how"), ("assistant", "so"), ("assistant", "and"))
    assert trained(template, template.encode(row)) == "and<|endoftext|>"
    assert trained(template, template.encode(row, loss="assistant")) == "so<|endoftext|>and<|endoftext|>"
    assert template.tokenizer.decode(template.encode(row).ids).endswith("so<|endoftext|>\n<|assistant|>\nand<|endoftext|>")


def test_three_days_give_equal_tokens_and_another_template_date_others(tmp_path: Path) -> None:
    folder = FAMILIES["llama31"].tokenizer(tmp_path)
    row = example(("user", "how"), ("assistant", "so"))
    ids = ChatTemplate.load(folder).encode(row).ids
    assert "26 Jul 2024" in ChatTemplate.load(folder).tokenizer.decode(ids)
    assert ChatTemplate.load(folder, date="2025-01-02").encode(row).ids != ids
    assert ChatTemplate.load(folder, date="2025-01-02").dated == {"template_date": "2025-01-02"}
