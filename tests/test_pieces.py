"""Counting tokens by pieces gives what the tokenizer gives over each text whole, in memory that the text's length does not set."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest
from tokenizers import Regex, Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import BPE
from tokenizers.trainers import BpeTrainer

from instructsel import pieces
from instructsel.indicators._tokenizer import tokenizer
from instructsel.models.runner import Ragged
from instructsel.pieces import GPT2, IDEOGRAPHS, LLAMA3, QWEN2, SPACES, WORDS, TokenCounts, by_characters, kind_of, stretches
from instructsel.pool.tokens import count_tokens, token_counts

PARTS = [
    *(
        "a",
        "b",
        "Zug",
        " ",
        "  ",
        "\n",
        "\t",
        "\r\n",
        "'s",
        "'",
        "1",
        "234",
        ".",
        ",",
        "é",
        "e\u0301",
        "\u00a0",
        "\u2028",
        "\u200b",
        "中",
        "文字",
        "ก",
    ),
    *(
        "[SEP]",
        "<|endoftext|>",
        "\x00",
        "\x1c",
        "\x85",
        "\x0b",
        "🙂",
        "_",
        "-",
        "ﬁ",
        "Σ",
        "İ",
        " \u0301",
        "\ufeff",
        "\u3000",
        "the ",
        " of",
    ),
]


def of_bytes(before: Any, normalizer: Any = None) -> Tokenizer:
    """A small tokenizer of bytes."""
    made = Tokenizer(BPE())
    made.pre_tokenizer = before
    if normalizer is not None:
        made.normalizer = normalizer
    trainer = BpeTrainer(
        vocab_size=400, special_tokens=["<|endoftext|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator(["the cat of the house, and the 12 houses of the cat's friends.\n\n  - it's  so"] * 20, trainer)
    made.encode_special_tokens = True
    return made


def without_normalizer(known: Tokenizer) -> Tokenizer:
    """A tokenizer that sets no Chinese characters apart."""
    made = Tokenizer.from_str(known.to_str())
    made.encode_special_tokens = True
    made.normalizer = normalizers.BertNormalizer(handle_chinese_chars=False)
    return made


def split_by(expression: str) -> Any:
    return pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(expression), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )


TOKENIZERS: dict[str, tuple[str | None, Callable[[], Tokenizer]]] = {
    "embedded": (IDEOGRAPHS, lambda: tokenizer("embedded")),
    "words": (WORDS, lambda: without_normalizer(tokenizer("embedded"))),
    "gpt2": (SPACES, lambda: of_bytes(pre_tokenizers.ByteLevel(add_prefix_space=False))),
    "prefix": (SPACES, lambda: of_bytes(pre_tokenizers.ByteLevel(add_prefix_space=True))),
    "digits": (
        SPACES,
        lambda: of_bytes(
            pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
        ),
    ),
    "llama3": (SPACES, lambda: of_bytes(split_by(LLAMA3))),
    "qwen2": (SPACES, lambda: of_bytes(split_by(QWEN2), normalizers.NFC())),
    "gpt2 split": (SPACES, lambda: of_bytes(split_by(GPT2))),
    # No white space is a boundary to these.
    "metaspace": (None, lambda: of_bytes(pre_tokenizers.Metaspace())),
    "other expression": (None, lambda: of_bytes(split_by(r"\s+\S+"))),
    "replaced": (None, lambda: of_bytes(pre_tokenizers.ByteLevel(add_prefix_space=False), normalizers.Replace(" ", "x"))),
}


@pytest.mark.parametrize("name", TOKENIZERS)
def test_counts_by_pieces_are_those_of_the_whole_text(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kind, make = TOKENIZERS[name]
    used = make()
    assert kind_of(used) == kind
    source = random.Random(7)
    texts = ["".join(source.choice(PARTS) for _ in range(source.randint(0, 30))) for _ in range(1500)]
    whole = count_tokens(used, texts)
    counts = token_counts(used)
    assert counts.kind == kind
    assert counts.count(texts) == whole
    # Again, from what is remembered; and with long texts cut into stretches, little remembered.
    assert counts.count(texts[::-1]) == whole[::-1]
    monkeypatch.setattr(pieces, "WINDOW", 9)
    monkeypatch.setattr(pieces, "KNOWN", 5)
    assert token_counts(used).count(texts) == whole


def test_a_tokenizer_that_remembers_or_drops_at_random_is_not_cut() -> None:
    used = of_bytes(pre_tokenizers.ByteLevel(add_prefix_space=False))
    used.encode_special_tokens = False
    assert kind_of(used) is None
    used.encode_special_tokens = True
    used.add_tokens(["of the"])
    assert kind_of(used) is None
    assert kind_of(object()) is None


def test_a_tokenizer_whose_pieces_count_otherwise_is_used_whole() -> None:
    used = tokenizer("embedded")
    # One more for each text: counted by pieces this would be one more for each word.
    counts = TokenCounts.of(used, lambda texts: [count + 1 for count in count_tokens(used, texts)])
    assert counts.kind is None
    assert counts.count(["one two three"]) == [4]


def test_no_call_of_the_tokenizer_gets_more_than_a_window() -> None:
    used, longest = tokenizer("embedded"), 0

    def encode(texts: list[str]) -> list[int]:
        nonlocal longest
        for batch in by_characters(texts, 1000):
            longest = max(longest, sum(map(len, batch)))
        return count_tokens(used, texts)

    text = " ".join(f"word{n % 977}" for n in range(20_000))
    assert max(map(len, stretches(text, WORDS, 1000))) < 1010
    assert "".join(stretches(text, WORDS, 1000)) == text
    assert TokenCounts(encode, WORDS).count([text]) == count_tokens(used, [text])
    assert longest <= 1000


@pytest.mark.parametrize("text", ["中文字" * 4000, "<a>b</a>,c;" * 2000, "e/f+g" * 3000, "文, a-b中" * 2000])
def test_a_text_without_white_space_is_cut_beside_punctuation_and_between_ideographs(text: str) -> None:
    used, lengths = tokenizer("embedded"), list(map(len, stretches(text, IDEOGRAPHS, 1000)))
    assert max(lengths) < 1010 and sum(lengths) == len(text)
    assert sum(count_tokens(used, list(stretches(text, IDEOGRAPHS, 1000)))) == count_tokens(used, [text])[0]
    assert TokenCounts(lambda texts: count_tokens(used, texts), IDEOGRAPHS).count([text]) == count_tokens(used, [text])


def test_batches_hold_so_many_characters_or_one_text() -> None:
    texts = ["a" * size for size in (3, 3, 3, 20, 1, 1, 1, 1)]
    batches = list(by_characters(texts, 6, 3))
    assert [text for batch in batches for text in batch] == texts
    assert [[len(text) for text in batch] for batch in batches] == [[3, 3], [3], [20], [1, 1, 1], [1]]
    assert list(by_characters([], 6)) == []


def test_of_a_long_text_that_is_cut_off_only_the_beginning_is_tokenized() -> None:
    class Watched:
        """The embedded tokenizer with a truncation, and the longest text that it was given."""

        longest = 0

        def __init__(self) -> None:
            self.real = Tokenizer.from_str(tokenizer("embedded").to_str())
            self.real.encode_special_tokens = True
            self.real.enable_truncation(16)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.real, name)

        def encode_batch_fast(self, texts: list[str], **options: Any) -> Any:
            Watched.longest = max(Watched.longest, *map(len, texts))
            return self.real.encode_batch_fast(texts, **options)

    texts = [
        " ".join(f"word{n}" for n in range(50_000)),
        # No token in the first thousands of characters, and words of which each is one unknown token.
        " " * 5000 + "the end of it is far away " * 20,
        " ".join("x" * 3000 for _ in range(30)),
        "short",
        "y" * 5000,
    ]
    watched = Watched()
    found = Ragged.tokenized(watched, texts, special=True)
    assert Watched.longest < 100_000 < len(texts[0])
    whole = watched.real.encode_batch(texts)
    assert [found[row].tolist() for row in range(len(texts))] == [encoding.ids for encoding in whole]
    assert found.cut.tolist() == [bool(encoding.overflowing) for encoding in whole]
