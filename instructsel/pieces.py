"""Where a text can be cut so that its tokens are those of its pieces, one after the other: what counting and long texts need.

Two kinds of tokenizers have such places. One that splits at white space and punctuation before it looks anything up (BERT's) can be cut
there, and between two Chinese characters where it sets these apart; one of bytes that splits by GPT-2's expression or a descendant of it can be cut before a single space between two other
characters. Of all others, and of texts in which neither place is certain, nothing is cut.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

GPT2: Final = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_ENGLISH: Final = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
LLAMA3: Final = _ENGLISH + r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
QWEN2: Final = _ENGLISH + r"\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
EXPRESSIONS: Final = frozenset({GPT2, LLAMA3, QWEN2})
"""In all of them a space that follows a character other than white space begins the next piece."""

WORDS: Final = "words"
IDEOGRAPHS: Final = "ideographs"
"""As WORDS, and each Chinese character is a word."""
SPACES: Final = "spaces"

ODD: Final = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
"""Control characters: Python splits at some of them, BERT's normalizer removes them."""
CUT: Final = re.compile(r"(?<=\S)(?= \S)")
BESIDE_WORDS: Final = r"[ \t\n]|(?<=[!-/:-@\[-`{-~])(?=[0-9A-Za-z])"
PLACES: Final = {
    WORDS: re.compile(BESIDE_WORDS),
    IDEOGRAPHS: re.compile(BESIDE_WORDS + "|(?<=[\u4e00-\u9fff])(?=[\u4e00-\u9fff])"),
    SPACES: CUT,
}
"""Kind → where a long text can be cut."""
BESIDE_WHITE: Final = re.compile(r" \s|\s |^ | $")

WINDOW: Final = 1 << 20
"""Characters that a tokenizer gets at a time: what it returns takes a hundred bytes for each, and thrice that where it is not of ASCII."""
KNOWN: Final = 1 << 18
"""Pieces whose number of tokens is remembered."""
LONGEST: Final = 64
"""Characters of a piece that is remembered."""

PROBES: Final = (
    "It's the 3rd of 12,345 tests: don't   stop!\n\nNext line,\tthen a tab. ",
    " Leading space, naïve café, 中文 and ไทย; e-mail me@x.org (soon)…",
    "def f(x):\n    return x ** 2  # squared\r\n",
    "A\u0301 b\u0301 [SEP] <|endoftext|> \u00a0 no-break \u2028 end",
)
"""Texts whose tokens are counted whole and in pieces before a tokenizer is trusted to be of a kind."""


def kind_of(tokenizer: Any) -> str | None:
    """WORDS, IDEOGRAPHS, SPACES, or None where texts are not cut.

    Args:
        tokenizer: of the tokenizers library.
    """
    try:
        before, normalizer = _state(tokenizer.pre_tokenizer), _state(tokenizer.normalizer)
        special = all(token.special for token in tokenizer.get_added_tokens_decoder().values()) and tokenizer.encode_special_tokens
        dropout = getattr(tokenizer.model, "dropout", None)
    except (AttributeError, TypeError, ValueError):
        return None
    if not special or dropout:
        return None
    kind = before.get("type")
    if kind == "BertPreTokenizer" and normalizer.get("type") in (None, "BertNormalizer"):
        return IDEOGRAPHS if normalizer.get("handle_chinese_chars") else WORDS
    parts = before.get("pretokenizers", []) if kind == "Sequence" else [before]
    if normalizer.get("type") in (None, "NFC") and parts and _splits_at_spaces(parts):
        return SPACES
    return None


def _state(component: Any) -> dict[str, Any]:
    state = None if component is None else json.loads(component.__getstate__())
    return state if isinstance(state, dict) else {}


def _splits_at_spaces(parts: Sequence[dict[str, Any]]) -> bool:
    """Whether a tokenizer of bytes splits by one of EXPRESSIONS; digits may be split off first."""
    parts = [part for part in parts if part.get("type") != "Digits"]
    if len(parts) == 1:
        return parts[0].get("type") == "ByteLevel" and bool(parts[0].get("use_regex", True))
    if len(parts) != 2 or parts[0].get("type") != "Split" or parts[1].get("type") != "ByteLevel" or parts[1].get("use_regex", True):
        return False
    split = parts[0]
    expression = (split.get("pattern") or {}).get("Regex")
    return (
        expression in EXPRESSIONS
        and split.get("behavior") == "Isolated"
        and not split.get("invert")
        and not parts[1].get("add_prefix_space")
    )


def stretches(text: str, kind: str | None, size: int) -> Iterator[str]:
    """A text in stretches of about so many characters, as far as it can be cut."""
    begin = 0
    place = PLACES.get(kind or "")
    while place is not None and len(text) - begin > size:
        found = place.search(text, begin + size)
        if found is None or found.start() >= len(text):
            break
        yield text[begin : found.start()]
        begin = found.start()
    yield text[begin:] if begin else text


def by_characters(texts: Sequence[str], size: int, most: int | None = None) -> Iterator[list[str]]:
    """Texts in batches of about `size` characters, and of at most so many texts."""
    batch: list[str] = []
    length = 0
    for text in texts:
        if batch and (length + len(text) > size or len(batch) == most):
            yield batch
            batch, length = [], 0
        batch.append(text)
        length += len(text)
    if batch:
        yield batch


@dataclass(eq=False)
class TokenCounts:
    """Numbers of tokens of texts, no special tokens added: texts that can be cut are counted by pieces, each looked up once.

    Numbers are those of the tokenizer's own over each text whole.
    """

    encode: Callable[[list[str]], list[int]]
    """The number of tokens of each text, by the tokenizer."""
    kind: str | None
    """How texts may be cut."""
    known: dict[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, tokenizer: Any, encode: Callable[[list[str]], list[int]]) -> TokenCounts:
        """For a tokenizer, after a look at whether cutting changes nothing."""
        counts = cls(encode, kind_of(tokenizer))
        if counts.kind is not None and counts.count(PROBES) != encode(list(PROBES)):
            counts.kind = None
        counts.known.clear()
        return counts

    def count(self, texts: Sequence[str]) -> list[int]:
        """Of each text."""
        totals = [0] * len(texts)
        window: list[tuple[int, str]] = []
        size = 0
        for number, text in enumerate(texts):
            width = 1 if text.isascii() else 3
            for stretch in stretches(text, self.kind, WINDOW // width):
                window.append((number, stretch))
                size += len(stretch) * width
                if size >= WINDOW:
                    self._add(totals, window)
                    window, size = [], 0
        self._add(totals, window)
        return totals

    def _add(self, totals: list[int], window: Sequence[tuple[int, str]]) -> None:
        """Add the tokens of some stretches to those of their texts."""
        if self.kind is None:
            for (number, _), count in zip(window, self.encode([stretch for _, stretch in window]), strict=True):
                totals[number] += count
            return
        known, looked_up = self.known, self.known.__getitem__
        waiting: list[tuple[int, list[str]]] = []
        for number, stretch in window:
            parts = self._pieces(stretch)
            try:
                totals[number] += sum(map(looked_up, parts))
            except KeyError:
                waiting.append((number, parts))
        fresh = list(set().union(*(parts for _, parts in waiting)).difference(known))
        known.update(zip(fresh, self.encode(fresh), strict=True))
        for number, parts in waiting:
            totals[number] += sum(map(looked_up, parts))
        if len(known) > KNOWN:
            known.clear()
        else:
            for piece in fresh:
                if len(piece) > LONGEST:
                    del known[piece]

    def _pieces(self, text: str) -> list[str]:
        """The pieces of a text; of bytes each but the first begins with a space."""
        if self.kind in (WORDS, IDEOGRAPHS):
            return [text] if ODD.search(text) else text.split()
        if BESIDE_WHITE.search(text):
            return CUT.split(text)
        first, *others = text.split(" ")
        return [first, *(" " + piece for piece in others)]


__all__ = ["IDEOGRAPHS", "SPACES", "WORDS", "TokenCounts", "by_characters", "kind_of", "stretches"]
