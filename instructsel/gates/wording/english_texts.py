"""Which of many texts are English by their words, told for all of them at once; what is told is what `languages` tells of each alone."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.wording.english import ENGLISH, FOREIGN, USUAL
from instructsel.neighbors.word_hashes import END, batches

BATCH: Final = 1 << 20
"""Characters that are looked at together."""
HALF: Final = 8
LONGEST: Final = 2 * HALF
"""Bytes of a word that is looked up; no word of the lists has more."""
MULTIPLIERS: Final = (np.uint64(0x9E3779B97F4A7C15), np.uint64(0xD6E8FEB86659FD93))
BITS: Final = 16
"""Of the places of the table."""
IS_USUAL: Final = 1
IS_FOREIGN: Final = 2
_MASKS: Final = np.array([(1 << (8 * length)) - 1 for length in range(HALF + 1)], dtype=np.uint64)

Mask = NDArray[np.bool_]
Numbers = NDArray[np.uint64]


class Rule(NamedTuple):
    """When a text is English."""

    english_share: float
    """Of its words: those of English grammar."""
    usual_share: float
    """The same of words that are usual in English, in a text without a word of another language's grammar."""
    least_english: int
    """Words of grammar, and different ones among them."""
    least_usual: int
    """Different words that are usual."""


def english_texts(texts: Sequence[str], table: bytes, most: int, rule: Rule) -> tuple[Mask, NDArray[np.int64]]:
    """Which ASCII texts are English by their words, however few, and how many letters and apostrophes each has.

    Args:
        texts: ASCII.
        table: what words are made of for each byte, and a space for all else.
        most: characters of each text that are looked at.
        rule: when they are.

    Returns:
        (n,) each.
    """
    kept_end = table[: ord(END)] + END.encode("latin-1")
    results = [_of_batch(batch, kept_end, rule) for batch in batches((text[:most] + END for text in texts), BATCH, len)]
    if not results:
        return np.zeros(0, dtype=bool), np.zeros(0, dtype=np.int64)
    return np.concatenate([english for english, _ in results]), np.concatenate([letters for _, letters in results])


def _of_batch(texts: Sequence[str], table: bytes, rule: Rule) -> tuple[Mask, NDArray[np.int64]]:
    data = "".join(texts).encode("latin-1").translate(table)
    signs = np.frombuffer(data + bytes(LONGEST), dtype=np.uint8)
    size = len(data)
    is_word = np.zeros(size + 1, dtype=bool)
    np.not_equal(signs[:size], ord(" "), out=is_word[:-1])
    ends_of_texts = np.flatnonzero(signs[:size] == ord(END))
    is_word[ends_of_texts] = False
    edges = np.flatnonzero(is_word[1:] != is_word[:-1]) + 1
    starts, ends = (np.concatenate([[0], edges]) if is_word[0] else edges).reshape(-1, 2).T
    listed = _listed()
    places = listed.places(signs, starts, ends - starts)
    bounds = np.concatenate([[0], np.searchsorted(starts, ends_of_texts)])
    counts = np.diff(bounds)
    letters = _sums(ends - starts, bounds)
    bits = listed.english[places]
    n_english = _sums(bits > 0, bounds)
    different = np.bitwise_count(_unions(bits, bounds))
    is_english = (n_english >= np.maximum(rule.least_english, rule.english_share * counts)) & (different >= rule.least_english)
    flags = listed.flags[places]
    perhaps = ~is_english & (_sums(flags & IS_USUAL, bounds) >= rule.usual_share * counts) & (_sums(flags & IS_FOREIGN > 0, bounds) == 0)
    looked_at = np.repeat(perhaps, counts) & (flags & IS_USUAL > 0)
    numbers = np.repeat(np.arange(len(counts)), counts)[looked_at]
    pairs = np.unique((numbers << BITS) | places[looked_at])
    is_english |= perhaps & (np.bincount(pairs >> BITS, minlength=len(counts)) >= rule.least_usual)
    return is_english, letters


def _sums(values: NDArray[np.generic], bounds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Of the values of each text."""
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    result: NDArray[np.int64] = sums[bounds[1:]] - sums[bounds[:-1]]
    return result


def _unions(bits: Numbers, bounds: NDArray[np.int64]) -> Numbers:
    """All bits of the words of each text."""
    unions = np.zeros(len(bounds) - 1, dtype=np.uint64)
    filled = np.flatnonzero(bounds[1:] > bounds[:-1])
    if len(filled):
        unions[filled] = np.bitwise_or.reduceat(bits, bounds[:-1][filled])
    return unions


class _Listed:
    """The words of the lists, each at a place of its own, and what it is; place 0 is nobody's."""

    def __init__(self) -> None:
        words = sorted(ENGLISH | USUAL | FOREIGN)
        data = np.frombuffer(b"".join(word.encode().ljust(LONGEST, b"\0") for word in words), dtype=np.uint64).reshape(-1, 2)
        self._factor: np.uint64 = MULTIPLIERS[0]
        slots = self._slots(data[:, 0], data[:, 1])
        # Until no two words have one place.
        while len(set(slots.tolist())) < len(words) or not slots.all():
            self._factor += np.uint64(2)
            slots = self._slots(data[:, 0], data[:, 1])
        self._words: Numbers = np.zeros((1 << BITS, 2), dtype=np.uint64)
        self._words[slots] = data
        self.english: Numbers = np.zeros(1 << BITS, dtype=np.uint64)
        """Of each word of English grammar a bit of its own."""
        self.flags: NDArray[np.uint8] = np.zeros(1 << BITS, dtype=np.uint8)
        order = {word: number for number, word in enumerate(sorted(ENGLISH))}
        for word, slot in zip(words, slots.tolist(), strict=True):
            self.english[slot] = 1 << order[word] if word in order else 0
            self.flags[slot] = IS_USUAL * (word in USUAL) + IS_FOREIGN * (word in FOREIGN)

    def _slots(self, first: Numbers, second: Numbers) -> NDArray[np.int64]:
        mixed = first * self._factor + second * MULTIPLIERS[1]
        mixed ^= mixed >> np.uint64(29)
        slots: NDArray[np.int64] = ((mixed * self._factor) >> np.uint64(64 - BITS)).astype(np.int64)
        return slots

    def places(self, signs: NDArray[np.uint8], starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
        """The place of each word; 0 for one that is in none of the lists."""
        windows = np.lib.stride_tricks.sliding_window_view(signs, LONGEST)[starts].view(np.uint64)
        first = windows[:, 0] & _MASKS[np.minimum(lengths, HALF)]
        second = windows[:, 1] & _MASKS[np.clip(lengths - HALF, 0, HALF)]
        slots = self._slots(first, second)
        is_listed = (self._words[slots, 0] == first) & (self._words[slots, 1] == second) & (lengths <= LONGEST)
        return np.where(is_listed, slots, 0)


@cache
def _listed() -> _Listed:
    return _Listed()


__all__ = ["Rule", "english_texts"]
