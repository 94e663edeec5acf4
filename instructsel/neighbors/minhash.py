"""What texts are compared by: their shingles, the keys of their MinHash bands, and an odd sketch of their shingles.

A text is the set of its shingles: five consecutive words, lower-cased, split at whitespace. A character of a script
written without spaces (Chinese, Japanese, Thai, Lao, Burmese, Khmer, Tibetan) counts as a word of its own, so such text is
compared by five characters. A text of fewer than five words is one shingle, the whole of it.

Source: Broder 1997 (resemblance and MinHash); 32 bands of 4 rows find a pair of Jaccard 0.8 with probability 1 − 5e-8,
one of 0.6 with 0.988. Odd sketches: Mitzenmacher, Pagh and Pham 2014.
"""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.neighbors.word_hashes import MULTIPLIER, AsciiHashes, WordHashes, Words, hashes_of, mixed
from instructsel.pool.writing_systems import UNSEGMENTED

WORDS: Final = 5
"""Words per shingle."""
BANDS: Final = 32
ROWS: Final = 4
"""MinHash values per band."""
SKETCH: Final = 256
"""Bits of an odd sketch."""
SHORT: Final = np.uint64(0xD1B54A32D192ED03)
"""Keeps a short text's one shingle apart from the shingles of long ones."""

_ASCII_DIGESTS: Final = AsciiHashes(bytes(range(256)).lower())
_DIGESTS: Final = WordHashes()
"""Of the words met last."""


def hashed(texts: list[str]) -> tuple[Words, NDArray[np.int64], Words, Words]:
    """Of a batch: the distinct shingles, how many each text has, and what `_bands` and `_sketches` give."""
    distinct, sizes = _distinct(*_shingles(*_words(texts)))
    return distinct, sizes, _bands(distinct, sizes), _sketches(distinct, sizes)


def forget_words() -> None:
    """Forget the hashes of the words met so far."""
    _DIGESTS.clear()


def _words(texts: list[str]) -> tuple[Words, NDArray[np.int64]]:
    """Word hashes of texts, one after the other, and how many each has."""
    return hashes_of(texts, _ASCII_DIGESTS, words_of)


def words_of(text: str) -> Words:
    """The hashes of the words of a text."""
    lowered = text.lower()
    parts = (lowered if lowered.isascii() else UNSEGMENTED.sub(r" \g<0> ", lowered)).split()
    return np.fromiter(map(_DIGESTS.__getitem__, parts), dtype=np.uint64, count=len(parts))


def _shingles(words: Words, lengths: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """Shingle hashes of a batch, texts in order, and how many each has: at least one."""
    starts = np.cumsum(lengths) - lengths
    left = np.repeat(starts + lengths, lengths) - np.arange(len(words))
    begin = np.flatnonzero(left >= WORDS)
    long = np.zeros(len(begin), dtype=np.uint64)
    for k in range(WORDS):
        long = mixed(long * MULTIPLIER + words[begin + k])
    few = np.flatnonzero(lengths < WORDS)
    short = np.full(len(few), SHORT)
    for k in range(WORDS - 1):
        has = lengths[few] > k
        short[has] = mixed(short[has] * MULTIPLIER + words[starts[few[has]] + k])
    counts = np.maximum(lengths - (WORDS - 1), 1)
    shingles = np.empty(int(counts.sum()), dtype=np.uint64)
    is_long = np.ones(len(shingles), dtype=bool)
    is_long[(np.cumsum(counts) - counts)[few]] = False
    shingles[is_long] = long
    shingles[~is_long] = short
    return shingles, counts


def _distinct(shingles: Words, counts: NDArray[np.int64]) -> tuple[Words, NDArray[np.int64]]:
    """The distinct shingles of each text, ascending, texts in order; and how many each has. Sorts `shingles`."""
    ends = np.cumsum(counts)
    begin = 0
    # One text after the other: its shingles lie in the processor's cache, those of the batch do not.
    for end in ends.tolist():
        shingles[begin:end].sort()
        begin = end
    first = np.ones(len(shingles), dtype=bool)
    first[1:] = shingles[1:] != shingles[:-1]
    starts = ends - counts
    first[starts] = True
    return shingles[first], np.add.reduceat(first, starts, dtype=np.int64)


def _bands(hashes: Words, sizes: NDArray[np.int64]) -> Words:
    """(n, BANDS) bucket keys of a batch: ROWS minima each, mixed into one number."""
    keys = np.empty((len(sizes), BANDS), dtype=np.uint64)
    ends = np.cumsum(sizes)
    starts = ends - sizes
    factors, shifts = _constants(BANDS * ROWS, "minhash factors"), _constants(BANDS * ROWS, "minhash shifts")
    names = _constants(BANDS, "band names")
    # Pieces that stay in the processor's cache: the loop passes over them BANDS × ROWS times.
    begin = 0
    while begin < len(sizes):
        end = max(begin + 1, int(np.searchsorted(ends, starts[begin] + (1 << 15), side="right")))
        piece = hashes[starts[begin] : ends[end - 1]]
        cuts = starts[begin:end] - starts[begin]
        for band in range(BANDS):
            key = np.full(end - begin, names[band])
            for row in range(band * ROWS, (band + 1) * ROWS):
                key = mixed(key * MULTIPLIER + np.minimum.reduceat(piece * factors[row] + shifts[row], cuts))
            keys[begin:end, band] = key
        begin = end
    return keys


def _sketches(hashes: Words, sizes: NDArray[np.int64]) -> Words:
    """The odd sketches of a batch."""
    bits = np.repeat(np.arange(len(sizes)) * SKETCH, sizes) + (hashes & np.uint64(SKETCH - 1)).astype(np.int64)
    odd = np.bincount(bits, minlength=SKETCH * len(sizes)).astype(np.uint8) & np.uint8(1)
    sketches: Words = np.packbits(odd.reshape(-1, SKETCH), axis=1).view(np.uint64)
    return sketches


def _constants(count: int, name: str) -> Words:
    """Fixed odd 64-bit numbers, the same in every release."""
    digest = hashlib.shake_256(f"instructsel {name}".encode()).digest(8 * count)
    return np.frombuffer(digest, dtype="<u8").astype(np.uint64) | np.uint64(1)
