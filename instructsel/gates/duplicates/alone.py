"""Rows that repeat no other one, told by their shingles without a sketch: nearly all of a pool.

Of two rows whose Jaccard similarity reaches a threshold, each has that share of its shingles in common with the other; a row of which more
stand nowhere else is none of them. Nothing is lost: hashes that fall together have a row compared that need not be.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.duplicates.texts import comparable
from instructsel.neighbors.minhash import WORDS, words_of
from instructsel.neighbors.word_hashes import AsciiHashes, Words, batches, hashes_of, runs
from instructsel.pool.normal_form import ASCII, CONTROLS

BATCH: Final = 1 << 20
"""Characters that are looked at together."""
SIGNS: Final = 1
"""Shingles of a text that the signs behind its words add to those of the words."""

_HASHES: Final = AsciiHashes(ASCII, CONTROLS)


def may_repeat(texts: Iterable[str], threshold: float) -> NDArray[np.bool_]:
    """(n,), whether the comparable forms of texts may reach a Jaccard similarity with another one's.

    Args:
        texts: as rows have them.
        threshold: the similarity.
    """
    found = list(_shingles(texts))
    lengths = np.concatenate([np.zeros(0, np.int64), *(counts for _, counts in found)])
    bits = np.uint64(max(1, len(lengths).bit_length()))
    # The leading bits of each hash with the number of its text.
    keys = np.concatenate([np.zeros(0, np.uint64), *(shingles >> bits << bits for shingles, _ in found)])
    del found
    keys |= np.repeat(np.arange(len(lengths), dtype=np.uint64), lengths)
    keys.sort()
    hashes = keys >> bits
    differs = np.concatenate([[True], hashes[1:] != hashes[:-1], [True]]) if len(hashes) else np.ones(1, dtype=bool)
    numbers = (keys[differs[1:] & differs[:-1]] & ((np.uint64(1) << bits) - np.uint64(1))).astype(np.int64)
    n_alone = np.bincount(numbers, minlength=len(lengths))
    likely: NDArray[np.bool_] = n_alone <= (1 - threshold) * (lengths + SIGNS) + SIGNS
    return likely


def _shingles(texts: Iterable[str]) -> Iterator[tuple[Words, NDArray[np.int64]]]:
    """The shingles of batches of texts, and how many each text has: none of fewer words than a shingle has."""
    for batch in batches(texts, BATCH, len):
        hashes, lengths = hashes_of(batch, _HASHES, lambda text: words_of(comparable(text)))
        yield runs(hashes, lengths, WORDS)[0], np.maximum(lengths - WORDS + 1, 0)


__all__ = ["may_repeat"]
