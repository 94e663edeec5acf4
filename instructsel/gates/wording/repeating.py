"""Which of many texts may be stuck in a loop, told for all of them at once by counting their words: the others are not looked through."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import compress
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.wording.loops import GRAM, LONG_WORD
from instructsel.neighbors.word_hashes import END, AsciiHashes, Spans, Words, batches, mixed, runs

BATCH: Final = 1 << 20
"""Characters that are looked at together."""
FEW: Final = 4096
"""Texts of which each is looked through."""
GROUP: Final = 10
"""Words of a group whose share is counted; see `repeated_share`."""
EIGHT: Final = 8
"""Signs that are compared at a time: a run of 24 holds two eights of them, wherever it begins."""
SPACES: Final = np.uint64(0x2020202020202020)

_WORDS: Final = AsciiHashes(bytes(range(256)).lower())

Mask = NDArray[np.bool_]
Counts = NDArray[np.int64]


def may_loop(texts: Sequence[str], *, min_times: int, min_words: int, max_repeated: float, few: int = FEW) -> Mask:
    """(n,), which texts `loop_of` or `repeated_share` may say something of; texts beyond ASCII are all among them.

    Args:
        texts: any.
        min_times: as `loop_of` takes it.
        min_words: the same.
        max_repeated: the share above which that of repeated groups counts.
        few: texts of which each is looked through.
    """
    may = np.ones(len(texts), dtype=bool)
    if len(texts) < few:
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
        lettered = np.concatenate([[0], np.cumsum(_is_letter(signs))])
        lines = (_lines(spans, words, lettered, ends) >= min_times) & (again >= min_times)
        letters = _sums(spans.ends - spans.starts, counts)
        unspaced = letters > LONG_WORD * counts
        groups = np.maximum(counts - GRAM + 1, 0)
        likely = (counts >= min_words + GRAM) & (again >= min_words - GRAM)
        if likely.any():
            chosen = np.repeat(likely, counts)
            grams = runs(words[chosen], counts[likely], GRAM)[0]
            likely[likely] = groups[likely] - _distinct(grams, groups[likely]) >= min_words - GRAM
        # Words without a letter are left out of the groups whose share is counted.
        has_letters = lettered[spans.ends] > lettered[spans.starts]
        n_lettered = _sums(has_letters, counts)
        shared = (n_lettered >= 2 * GROUP) & (again >= max_repeated * (n_lettered - GROUP + 1) - 1e-6)
        if shared.any():
            grams = runs(words[np.repeat(shared, counts) & has_letters], n_lettered[shared], GROUP)[0]
            groups = n_lettered[shared] - GROUP + 1
            shared[shared] = groups - _distinct(grams, groups) >= max_repeated * groups - 1e-6
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
    result: Counts = sums[ends] - sums[ends - counts]
    return result


def _lines(spans: Spans, words: Words, lettered: Counts, ends: Counts) -> Counts:
    """How many lines of each text may be the same as the one before: they end with the same word, or numbers stand among them.

    A line of figures and signs may be a number that counts nothing: it is the same as any.
    """
    raw = np.frombuffer(spans.raw, dtype=np.uint8)
    line_ends = np.flatnonzero((raw == ord("\n")) | (raw == ord(END)))
    before = np.concatenate([[-1], line_ends[:-1]])
    last = np.searchsorted(spans.starts, line_ends) - 1
    is_filled = last >= 0
    is_filled[is_filled] = spans.starts[last[is_filled]] > before[is_filled]
    line_ends, before, last = line_ends[is_filled], before[is_filled], last[is_filled]
    of_text = np.searchsorted(ends, line_ends)
    is_number = lettered[line_ends] == lettered[before + 1]
    same = np.zeros(len(last), dtype=np.int64)
    same[1:] = (of_text[1:] == of_text[:-1]) & (words[last[1:]] == words[last[:-1]])
    counts = np.bincount(of_text, weights=same, minlength=len(ends)).astype(np.int64)
    numbers = of_text[is_number]
    counts[numbers] = np.bincount(of_text, minlength=len(ends))[numbers]
    return counts


def _is_letter(signs: NDArray[np.uint8]) -> Mask:
    small = signs | np.uint8(0x20)
    return (small >= ord("a")) & (small <= ord("z"))


def _runs_of_a_sign(spans: Spans, ends: Counts) -> Mask:
    """Whether a text may have a sign, or two or four of them, again and again, other than spaces."""
    eights = np.frombuffer(spans.raw[: len(spans.raw) // EIGHT * EIGHT], dtype=np.uint64)
    same = (eights[1:] == eights[:-1]) & (eights[1:] != SPACES)
    may = np.zeros(len(ends), dtype=bool)
    may[np.minimum(np.searchsorted(ends, np.flatnonzero(same) * EIGHT), len(ends) - 1)] = True
    return may


__all__ = ["may_loop"]
