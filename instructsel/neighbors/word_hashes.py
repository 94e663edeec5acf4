"""64-bit hashes of words and of runs of words, the same in every process and every release."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import compress
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

VOCABULARY: Final = 1 << 17
"""Words remembered at a time."""
MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)

SLOTS: Final = 18
"""Bits of the places at which words are remembered."""
LONGEST: Final = 1 << 20
"""Characters of a text that is joined with others."""
FACTOR: Final = 0xD6E8FEB86659FD93
END: Final = "\xff"
"""Behind each of several texts: a character that no ASCII text has."""

Words = NDArray[np.uint64]
Item = TypeVar("Item")


class WordHashes(dict[str, int]):
    """Words → 64-bit digests, computed where they are not remembered; emptied when VOCABULARY words are."""

    def __missing__(self, word: str) -> int:
        if len(self) >= VOCABULARY:
            self.clear()
        # Python's own hash() differs from process to process.
        digest = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = digest
        return digest


DIGESTS: Final = WordHashes()
"""Of the words that several kinds of texts have in common."""


def mixed(value: Words) -> Words:
    """Every bit of the result depends on every bit of the value."""
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    result: Words = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return result


def runs(words: Words, lengths: NDArray[np.int64], n: int) -> tuple[Words, NDArray[np.int64], NDArray[np.int64]]:
    """The hash of every run of n words of some texts.

    Args:
        words: hashes of words, all texts one after the other.
        lengths: words of each text.
        n: words of a run.

    Returns:
        (k,) each, in the order of the words: the hash, its text from 0, and the word of the text at which it begins, from 0.
    """
    starts = np.cumsum(lengths) - lengths
    counts = np.maximum(lengths - n + 1, 0)
    texts = np.repeat(np.arange(len(lengths)), counts)
    of_text = np.arange(len(texts)) - np.repeat(np.cumsum(counts) - counts, counts)
    begin = of_text + starts[texts]
    # Of all words in one stretch, those of two texts as well: that is less work than picking words one by one.
    hashes = np.full(max(0, len(words) - n + 1), np.uint64(n))
    shifted = np.empty_like(hashes)
    for k in range(n):
        np.multiply(hashes, MULTIPLIER, out=hashes)
        np.add(hashes, words[k : k + len(hashes)], out=hashes)
        _mix(hashes, shifted)
    return hashes[begin], texts, of_text


def _mix(values: Words, shifted: Words) -> None:
    """`mixed`, in the memory of the values; `shifted` is as large."""
    for _ in range(2):
        np.right_shift(values, np.uint64(32), out=shifted)
        np.bitwise_xor(values, shifted, out=values)
        np.multiply(values, np.uint64(FACTOR), out=values)


class Spans(NamedTuple):
    """Where the words of several texts stand."""

    raw: bytes
    """The texts, without the characters that are left out."""
    data: bytes
    """The same with what becomes of each character."""
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    """(k,) each, of every word."""
    lengths: NDArray[np.int64]
    """(n,), words of each text."""


class AsciiHashes:
    """The hashes of `WordHashes`, of many ASCII texts at a time: no word that was met before becomes an object.

    Words are known by a polynomial of their bytes, which is computed for all of them at once, and remembered with their digest.
    """

    def __init__(self, table: bytes, dropped: bytes = b"") -> None:
        """What becomes of each character, and those that are left out."""
        spaces = bytes(ord(" ") if chr(code).isspace() and code < 128 else code for code in range(256))
        self._table = (table[:128] + bytes(range(128, 256))).translate(spaces)
        self._dropped = dropped
        self._words: Words = np.zeros(1 << SLOTS, dtype=np.uint64)
        self._values: Words = np.zeros(1 << SLOTS, dtype=np.uint64)
        self._powers: Words = np.zeros(0, dtype=np.uint64)
        self._inverses: Words = np.zeros(0, dtype=np.uint64)

    def of(self, joined: str) -> tuple[Words, NDArray[np.int64]]:
        """The hashes of the words of texts, one after the other, and how many each has.

        Args:
            joined: the texts, END behind each.
        """
        spans = self.spans(joined)
        return self.hashes(spans), spans.lengths

    def spans(self, joined: str) -> Spans:
        """Where the words of texts stand; see `of`."""
        raw = joined.encode("latin-1")
        data = raw.translate(self._table, self._dropped)
        if len(data) < len(raw):
            raw = raw.translate(None, self._dropped)
        signs = np.frombuffer(data, dtype=np.uint8)
        is_end = signs == ord(END)
        is_word = np.zeros(len(signs) + 1, dtype=bool)
        is_word[:-1] = (signs != ord(" ")) & ~is_end
        edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
        starts, ends = (np.concatenate([[0], edges]) if is_word[0] else edges).reshape(-1, 2).T
        lengths = np.diff(np.searchsorted(starts, np.flatnonzero(is_end)), prepend=0)
        return Spans(raw, data, starts, ends, lengths)

    def hashes(self, spans: Spans) -> Words:
        """The hashes of words."""
        data, starts, ends = spans.data, spans.starts, spans.ends
        words = self.polynomials(spans)
        slots = (mixed(words) >> np.uint64(64 - SLOTS)).astype(np.int64)
        values = self._values[slots]
        unknown = np.flatnonzero(self._words[slots] != words)
        if len(unknown):
            new, first, inverse = np.unique(words[unknown], return_index=True, return_inverse=True)
            at = unknown[first]
            places = zip(starts[at].tolist(), ends[at].tolist(), strict=True)
            digests = np.array([DIGESTS[data[start:end].decode("latin-1")] for start, end in places], dtype=np.uint64)
            values[unknown] = digests[inverse]
            self._words[slots[at]], self._values[slots[at]] = new, digests
        return values

    def polynomials(self, spans: Spans) -> Words:
        """A number for each word: equal ones have one, and different ones hardly ever. In another process it is the same."""
        signs = np.frombuffer(spans.data, dtype=np.uint8)
        self._extend(len(signs))
        sums = np.zeros(len(signs) + 1, dtype=np.uint64)
        np.cumsum((signs + np.uint64(1)) * self._powers[: len(signs)], out=sums[1:])
        words: Words = (sums[spans.ends] - sums[spans.starts]) * self._inverses[spans.starts]
        return words

    def _extend(self, n: int) -> None:
        """Have the first n powers."""
        if len(self._powers) < n:
            for name, factor in (("_powers", FACTOR), ("_inverses", pow(FACTOR, -1, 1 << 64))):
                powers = np.full(n, np.uint64(factor))
                powers[0] = 1
                setattr(self, name, np.cumprod(powers))


def batches(items: Iterable[Item], most: int, size: Callable[[Item], int]) -> Iterator[list[Item]]:
    """Items in their order, those that come to `most` together, by the size of each; the last of them may go beyond it."""
    batch: list[Item] = []
    total = 0
    for item in items:
        batch.append(item)
        # What has no size takes time, too.
        total += size(item) + 1
        if total >= most:
            yield batch
            batch, total = [], 0
    if batch:
        yield batch


def hashes_of(
    texts: Sequence[str], ascii_hashes: AsciiHashes, others: Callable[[str], Words], prepared: Callable[[str], str] = str
) -> tuple[Words, NDArray[np.int64]]:
    """The hashes of the words of texts, one after the other, and how many each has.

    Args:
        texts: of any kind, together no more than fit into memory some thirty times.
        ascii_hashes: for those that are ASCII.
        others: the hashes of a text that is not, or is very long.
        prepared: what is done before with ASCII texts, END behind each.
    """
    joins = joined_with_others(texts)
    hashes, lengths = ascii_hashes.of(prepared("".join(text + END for text in compress(texts, joins))))
    return with_others(texts, joins, (hashes, lengths), others)


def joined_with_others(texts: Sequence[str]) -> list[bool]:
    """Of each text whether it is hashed together with others."""
    return [text.isascii() and len(text) <= LONGEST for text in texts]


def with_others(
    texts: Sequence[str], joins: Sequence[bool], joined: tuple[Words, NDArray[np.int64]], others: Callable[[str], Words]
) -> tuple[Words, NDArray[np.int64]]:
    """The hashes and the numbers of words of all texts, where those of the texts that are joined are there already."""
    hashes, lengths = joined
    is_joined = np.array(joins, dtype=bool)
    if is_joined.all():
        return hashes, lengths
    listed = [others(text) for text, joined in zip(texts, joins, strict=True) if not joined]
    every = np.empty(len(texts), dtype=np.int64)
    every[is_joined], every[~is_joined] = lengths, [len(words) for words in listed]
    result = np.empty(int(every.sum()), dtype=np.uint64)
    of_joined = np.repeat(is_joined, every)
    result[of_joined], result[~of_joined] = hashes, np.concatenate(listed)
    return result, every


__all__ = [
    "DIGESTS",
    "END",
    "MULTIPLIER",
    "VOCABULARY",
    "AsciiHashes",
    "Spans",
    "WordHashes",
    "Words",
    "batches",
    "hashes_of",
    "joined_with_others",
    "mixed",
    "runs",
    "with_others",
]
