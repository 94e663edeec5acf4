"""64-bit hashes of words and of runs of words, the same in every process and every release."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

VOCABULARY: Final = 1 << 17
"""Words remembered at a time."""
MULTIPLIER: Final = np.uint64(0x9E3779B97F4A7C15)

Words = NDArray[np.uint64]


class WordHashes(dict[str, int]):
    """Words → 64-bit digests, computed where they are not remembered; emptied when VOCABULARY words are."""

    def __missing__(self, word: str) -> int:
        if len(self) >= VOCABULARY:
            self.clear()
        # Python's own hash() differs from process to process.
        digest = int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
        self[word] = digest
        return digest


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
    texts = np.repeat(np.arange(len(lengths)), lengths)
    begin = np.flatnonzero(np.repeat(starts + lengths, lengths) - np.arange(len(words)) >= n)
    hashes = np.full(len(begin), np.uint64(n))
    for k in range(n):
        hashes = mixed(hashes * MULTIPLIER + words[begin + k])
    return hashes, texts[begin], begin - starts[texts[begin]]


__all__ = ["MULTIPLIER", "VOCABULARY", "WordHashes", "Words", "mixed", "runs"]
