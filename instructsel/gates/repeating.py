"""Which of many texts may be stuck in a loop, told for all of them at once by counting their words: the others are not looked through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.loops import GRAM, LONG_WORD
from instructsel.neighbors.word_hashes import END, AsciiHashes, Spans, Words, batches, mixed, runs

BATCH: Final = 1 << 20
"""Characters that are looked at together."""
FEW: Final = 4096
"""Texts of which each is looked through."""
GROUP: Final = 10
"""Words of a group whose share is counted; see `repeated_share`."""
EIGHT: Final = 8
"""Signs that are compared at a time: a run of 24 holds two eights of them, wherever it begins."""
SAME: Final = np.uint64(0x0101010101010101)
SPACES: Final = np.uint64(0x2020202020202020)

_WORDS: Final = AsciiHashes(bytes(range(256)).lower())

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


def may_loop(texts: Sequence[str], *, min_times: int, min_words: int, max_repeated: float) -> Mask:
    """(n,), which texts `loop_of` or `repeated_share` may say something of; texts beyond ASCII are all among them.

    Args:
        texts: any.
        min_times: as `loop_of` takes it.
        min_words: the same.
        max_repeated: the share above which that of repeated groups counts.
    """
    may = np.ones(len(texts), dtype=bool)
    if len(texts) < FEW:
        return may
    is_ascii = list(map(str.isascii, texts))
    may[np.array(is_ascii, dtype=bool)] = np.concatenate(
        [np.zeros(0, dtype=bool), *_of_batches(list(compress(texts, is_ascii)), min_times, min_words, max_repeated)]
    )
    return may


def _of_batches(texts: Sequence[str], min_times: int, min_words: int, max_repeated: float) -> Iterator[Mask]:
    for batch in batches(texts, BATCH, len):
        joined = "".join([text + END for text in batch])
        spans = _WORDS.spans(joined)
        signs = np.frombuffer(spans.raw, dtype=np.uint8)
        ends = np.flatnonzero(signs == ord(END))
        counts = spans.lengths
        words = mixed(_WORDS.polynomials(spans))
        again = counts - _distinct(words, counts)
        # A line that comes again has a word that does.
        newlines = _of_each(np.flatnonzero(signs == ord("\n")), ends)
        lines = (newlines >= min_times) & (again >= min_times)
        letters = _sums(spans.ends - spans.starts, counts)
        unspaced = letters > LONG_WORD * counts
        groups = np.maximum(counts - GRAM + 1, 0)
        likely = (counts >= min_words + GRAM) & (again >= min_words - GRAM)
        if likely.any():
            chosen = np.repeat(likely, counts)
            grams = runs(words[chosen], counts[likely], GRAM)[0]
            likely[likely] = groups[likely] - _distinct(grams, groups[likely]) >= min_words - GRAM
        # Words without a letter are left out of the groups whose share is counted.
        lettered = np.concatenate([[0], np.cumsum(_is_letter(signs))])
        n_lettered = _sums(lettered[spans.ends] > lettered[spans.starts], counts)
        shared = (n_lettered >= 2 * GROUP) & (again >= max_repeated * (n_lettered - GROUP + 1) - 1e-6)
        yield lines | unspaced | likely | shared | _runs_of_a_sign(spans, ends)


def _distinct(words: Words, counts: Counts) -> Counts:
    """Different words of each text; two different ones may be taken for one, which is rare, and one for two never."""
    numbers = np.repeat(np.arange(len(counts), dtype=np.uint64), counts)
    keys = np.sort((numbers << np.uint64(44)) | (words >> np.uint64(20)))
    first = np.ones(len(keys), dtype=bool)
    first[1:] = keys[1:] != keys[:-1]
    return np.bincount((keys[first] >> np.uint64(44)).astype(np.int64), minlength=len(counts))


def _sums(values: NDArray[np.generic], counts: Counts) -> Counts:
    """Of the values of each text."""
    sums = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    ends = np.cumsum(counts)
    return sums[ends] - sums[ends - counts]


def _of_each(places: Counts, ends: Counts) -> Counts:
    """How many of some places lie in each text."""
    return np.diff(np.searchsorted(places, ends), prepend=0)


def _is_letter(signs: NDArray[np.uint8]) -> Mask:
    small = signs | np.uint8(0x20)
    return (small >= ord("a")) & (small <= ord("z"))


def _runs_of_a_sign(spans: Spans, ends: Counts) -> Mask:
    """Whether a text may have a sign again and again, other than a space."""
    eights = np.frombuffer(spans.raw[: len(spans.raw) // EIGHT * EIGHT], dtype=np.uint64)
    same = (eights[1:] == eights[:-1]) & (eights[1:] == (eights[1:] & np.uint64(0xFF)) * SAME) & (eights[1:] != SPACES)
    may = np.zeros(len(ends), dtype=bool)
    may[np.minimum(np.searchsorted(ends, np.flatnonzero(same) * EIGHT), len(ends) - 1)] = True
    return may


__all__ = ["may_loop"]
