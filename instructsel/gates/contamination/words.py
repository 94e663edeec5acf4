"""The words by which items and rows are compared: case, punctuation, signs, white space and ways to write a character make no difference.

Digits of a number are held together (1,000 is 1000), a letter of a script without spaces between words is a word of its own.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from itertools import chain, compress
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instructsel.neighbors.word_hashes import DIGESTS, END, AsciiHashes, Words, hashes_of, joined_with_others, with_others
from instructsel.pool.normal_form import ASCII, CONTROLS, MAY_DIFFER, ascii_words, normal_form, operators
from instructsel.pool.writing_systems import UNSEGMENTED

THOUSANDS: Final = re.compile(r",(?<=\d,)(?=\d{3}(?!\d))")
SPACED: Final = "$+<=>^`|~"
SIGNS: Final = str.maketrans(dict.fromkeys(SPACED, " "))
"""Signs around which formulas and code may or may not have spaces. What they say is compared where a text is compared whole."""
ASCII_WORDS: Final = ASCII.translate(bytes(ord(" ") if chr(code) in SPACED else code for code in range(256)))
"""What becomes of each ASCII character: that of the normal form, and of these signs a space."""
HEAD: Final = 0x9E3779B97F4A7C15
BEGINNING: Final = 48
"""Characters that two words have at most, but for a few."""
DIGEST: Final = 8
"""Bytes of the digest of a text that is compared whole."""

EVERYWHERE: Final = frozenset(
    [
        "a",
        "about",
        "above",
        "after",
        "again",
        "all",
        "also",
        "am",
        "an",
        "and",
        "any",
        "are",
        "as",
        "at",
        "be",
        "because",
        "been",
        "before",
        "being",
        "below",
        "between",
        "both",
        "but",
        "by",
        "can",
        "could",
        "d",
        "did",
        "do",
        "does",
        "doing",
        "don",
        "down",
        "during",
        "each",
        "etc",
        "few",
        "for",
        "from",
        "further",
        "had",
        "has",
        "have",
        "having",
        "he",
        "her",
        "here",
        "hers",
        "him",
        "his",
        "how",
        "i",
        "if",
        "in",
        "into",
        "is",
        "it",
        "its",
        "just",
        "ll",
        "m",
        "may",
        "me",
        "might",
        "more",
        "most",
        "must",
        "my",
        "no",
        "nor",
        "not",
        "now",
        "of",
        "off",
        "on",
        "once",
        "one",
        "only",
        "or",
        "other",
        "our",
        "out",
        "over",
        "own",
        "per",
        "re",
        "s",
        "same",
        "she",
        "should",
        "so",
        "some",
        "such",
        "t",
        "than",
        "that",
        "the",
        "their",
        "them",
        "then",
        "there",
        "these",
        "they",
        "this",
        "those",
        "through",
        "to",
        "too",
        "two",
        "under",
        "until",
        "up",
        "us",
        "ve",
        "very",
        "was",
        "we",
        "were",
        "what",
        "when",
        "where",
        "which",
        "while",
        "who",
        "whom",
        "whose",
        "why",
        "will",
        "with",
        "within",
        "without",
        "would",
        "you",
        "your",
        "add",
        "answer",
        "based",
        "best",
        "choose",
        "complete",
        "consider",
        "correct",
        "create",
        "describe",
        "difference",
        "differences",
        "different",
        "discuss",
        "does",
        "example",
        "examples",
        "explain",
        "find",
        "follow",
        "following",
        "function",
        "generate",
        "get",
        "give",
        "given",
        "good",
        "help",
        "identify",
        "implement",
        "include",
        "including",
        "input",
        "kind",
        "list",
        "main",
        "make",
        "many",
        "much",
        "name",
        "need",
        "number",
        "output",
        "please",
        "point",
        "provide",
        "question",
        "read",
        "rewrite",
        "say",
        "sentence",
        "show",
        "statement",
        "statements",
        "steps",
        "suggest",
        "tell",
        "text",
        "things",
        "think",
        "three",
        "true",
        "false",
        "type",
        "use",
        "used",
        "using",
        "want",
        "way",
        "ways",
        "word",
        "words",
        "work",
        "write",
    ]
)
"""English words of grammar and of how tasks are put. n-grams that have hardly any other word belong to no item; of other languages all count."""

_BREAKS: Final = np.isin(np.arange(256), [ord(sign) for sign in "\r\n.!?:)]"])
"""Signs behind which a line, a sentence or what follows a label may begin."""
_DIGITS: Final = np.isin(np.arange(256), [ord(sign) for sign in "0123456789"])

_HASHES: Final = DIGESTS
_ASCII_HASHES: Final = AsciiHashes(ASCII_WORDS, CONTROLS)


def words_of(text: str) -> list[str]:
    """The words of a text.

    >>> words_of("It costs $1,250.50, doesn't it?"), words_of("x=3 + y"), words_of("中文 ok")
    (['it', 'costs', '1250', '50', 'doesn', 't', 'it'], ['x', '3', 'y'], ['中', '文', 'ok'])
    """
    if "," in text:
        text = THOUSANDS.sub("", text)
    if text.isascii() and (words := text.encode().translate(ASCII_WORDS, CONTROLS).decode().split()):
        return words
    form = normal_form(text)
    if not form.isascii():
        form = UNSEGMENTED.sub(r" \g<0> ", form)
    return form.translate(SIGNS).split()


def is_single(word: str) -> bool:
    """Whether a word is one character, or a number of one or two digits: n-grams half of these are formulas and lists, and no item's own.

    A character of a script without spaces between words is none.
    """
    return (len(word) == 1 or (len(word) == 2 and word.isdigit())) and not UNSEGMENTED.match(word)


def is_everywhere(word: str) -> bool:
    """Whether a word stands in every pool: one of grammar, or of how tasks are put."""
    return word in EVERYWHERE


def hashed(texts: Sequence[Sequence[str]]) -> tuple[Words, NDArray[np.int64]]:
    """The hashes of the words of several texts, one after the other, and how many each has."""
    lengths = np.fromiter(map(len, texts), dtype=np.int64, count=len(texts))
    words = map(_HASHES.__getitem__, chain.from_iterable(texts))
    return np.fromiter(words, dtype=np.uint64, count=int(lengths.sum())), lengths


def hashes_of_texts(texts: Sequence[str]) -> tuple[Words, NDArray[np.int64]]:
    """The hashes of the words of texts, one after the other, and how many each has; a text of signs alone may have none."""

    def of_one(text: str) -> Words:
        return hashed([words_of(text)])[0]

    return hashes_of(texts, _ASCII_HASHES, of_one, lambda joined: THOUSANDS.sub("", joined))


class Hashed(NamedTuple):
    """The words of several texts."""

    hashes: Words
    """Of the words, one after the other."""
    lengths: NDArray[np.int64]
    """(n,), words of each text."""
    begins: NDArray[np.bool_]
    """(k,), whether a line or a sentence may begin with a word: it is its text's first, or a sign of an end stands before it."""
    is_unsure: NDArray[np.bool_]
    """(n,), whether a text may be cut into words in another way than it is here: it is not ASCII, or has figures beside figures."""


def hashed_texts(texts: Sequence[str]) -> Hashed:
    """The words of texts, with the places at which a part of a text may begin."""
    joins = joined_with_others(texts)
    joined = "".join(text + END for text in compress(texts, joins))
    # Where a comma inside a number is left out.
    commas = [match.start() for match in THOUSANDS.finditer(joined)]
    ends = np.flatnonzero(np.frombuffer(joined.encode("latin-1"), dtype=np.uint8) == ord(END))
    spans = _ASCII_HASHES.spans(THOUSANDS.sub("", joined) if commas else joined)
    figures = np.frombuffer(spans.data, dtype=np.uint8)
    of_text = np.repeat(np.arange(len(spans.lengths)), spans.lengths)
    is_first = np.diff(of_text, prepend=-1) > 0
    breaks = np.flatnonzero(_BREAKS[np.frombuffer(spans.raw, dtype=np.uint8)])
    begins = (np.diff(np.searchsorted(breaks, spans.starts), prepend=0) > 0) | is_first
    is_unsure = np.zeros(len(spans.lengths), dtype=bool)
    is_unsure[np.searchsorted(ends, commas)] = True
    is_unsure[of_text[1:][_DIGITS[figures[spans.starts[1:]]] & _DIGITS[figures[spans.ends[:-1] - 1]] & ~is_first[1:]]] = True

    def of_one(text: str) -> Words:
        return hashed([words_of(text)])[0]

    hashes, lengths = with_others(texts, joins, (_ASCII_HASHES.hashes(spans), spans.lengths), of_one)
    if len(spans.lengths) == len(texts):
        return Hashed(hashes, lengths, begins, is_unsure)
    is_joined = np.array(joins, dtype=bool)
    every, unsure = np.ones(len(hashes), dtype=bool), np.ones(len(texts), dtype=bool)
    every[np.repeat(is_joined, lengths)] = begins
    unsure[is_joined] = is_unsure
    return Hashed(hashes, lengths, every, unsure)


def head_of(words: Sequence[str]) -> int:
    """A hash of the first two words of a text; 0 of none."""
    first = _HASHES[words[0]] if words else 0
    return (first * HEAD + _HASHES[words[1]]) % (1 << 64) if len(words) > 1 else first


def ascii_head(text: str) -> int:
    """`head_of` of an ASCII text; 0 where it has no word, or begins with a number that may be written in two ways."""
    words = text[:BEGINNING].encode().translate(ASCII_WORDS, CONTROLS).decode().split(None, 2)
    if len(words) < 3 and len(text) > BEGINNING:
        words = text.encode().translate(ASCII_WORDS, CONTROLS).decode().split(None, 2)
    # 1,000 is 1000 to `words_of`, and 1 000 is not.
    return 0 if any(word[:3].isdigit() for word in words[1:]) else head_of(words)


def whole_digest(text: str) -> int:
    """A digest of a text as a whole: in normal form, with its signs, brackets and decimal points.

    >>> whole_digest("What is 3.5 - 2?") == whole_digest("what is  3.5 - 2"), whole_digest("3.5 - 2") == whole_digest("35 - 2")
    (True, False)
    """
    # Of most texts the normal form is the words alone, and there is no operator.
    words = ascii_words(text) if text.isascii() and MAY_DIFFER.search(text) is None else []
    content = b" ".join(words) + b"\0\0\0" if words else "\0".join((normal_form(text), *operators(text))).encode("utf-8", "surrogatepass")
    return int.from_bytes(hashlib.blake2b(content, digest_size=DIGEST).digest(), "little")


__all__ = [
    "EVERYWHERE",
    "HEAD",
    "Hashed",
    "ascii_head",
    "hashed",
    "hashed_texts",
    "hashes_of_texts",
    "head_of",
    "is_everywhere",
    "is_single",
    "whole_digest",
    "words_of",
]
