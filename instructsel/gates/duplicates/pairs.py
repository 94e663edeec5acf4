"""Which rows of a pool repeat another one that stays, and how much: the same conversation, nearly the same words, nearly the same vector.

Rows are gone through in the order of their ids, which depends on what they say and on nothing else. A row is removed for a row that is
kept, and only where the similarity of these two reaches the threshold: likeness is never passed on from row to row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.defaults import COSINE, JACCARD
from instructsel.neighbors.duplicates import LOWEST, near_duplicates
from instructsel.neighbors.shingles import Progress, Shingles
from instructsel.pool.pool import Pool

EXACT: Final = "exact"
NEAR: Final = "near"
EMBEDDING: Final = "embedding"
THRESHOLD: Final = JACCARD
BLOCK: Final = 256
"""Vectors that are compared at a time."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Pair:
    """A row and the one that it repeats."""

    removed: int
    """Position of the row."""
    kept: int
    """Position of the one that stays."""
    kind: str
    """EXACT, NEAR or EMBEDDING."""
    similarity: float
    """Jaccard or cosine; 1 for the same conversation."""


def exact_pairs(pool: Pool) -> list[Pair]:
    """The rows that are the same conversation as one before them, tools included: what their ids are made of.

    Args:
        pool: its rows.

    Returns:
        A pair for each, with the first of its kind: as many pairs as rows too many, whatever their number.
    """
    if not len(pool):
        return []
    digests = pool.digests
    first = np.concatenate([[True], (digests[1:] != digests[:-1]).any(axis=1)])
    starts = np.flatnonzero(first)[np.cumsum(first) - 1]
    # Of equal examples the one numbered 0 stays; it stands first, as ids are in order.
    return [Pair(int(row), int(starts[row]), EXACT, 1.0) for row in np.flatnonzero(~first)]


def near_pairs(
    shingles: Shingles,
    candidates: Mask,
    threshold: float = THRESHOLD,
    *,
    accepts: Callable[[int, int, float], bool] | None = None,
    progress: Progress | None = None,
) -> list[Pair]:
    """The rows whose words nearly repeat those of a row that is kept.

    Args:
        shingles: of the texts, by position.
        candidates: (n,), the rows that are compared; those without a word and those that are removed already are none.
        threshold: Jaccard similarity, from 0.6 to 1.
        accepts: whether a row is a copy of another one, whose similarity reaches the threshold; by default each is.
        progress: called with the rows searched so far and all of them.

    Raises:
        UsageError: a threshold outside of that.
    """
    order = np.flatnonzero(candidates)
    repeats = near_duplicates(shingles, order, threshold, accepts=accepts, progress=progress)
    removed = np.flatnonzero(repeats >= 0)
    rows = zip(order[removed].tolist(), repeats[removed].tolist(), strict=True)
    return [Pair(row, other, NEAR, shingles.jaccard(row, other)) for row, other in rows]


def differing_of(similarity: float, one: int, other: int) -> int:
    """How many shingles of two sets stand in one of them alone, by their Jaccard similarity and sizes."""
    common = round(similarity * (one + other) / (1 + similarity))
    return one + other - 2 * common


def embedding_pairs(vectors: NDArray[np.float32], candidates: Mask, threshold: float = COSINE) -> list[Pair]:
    """The rows whose vector is nearly that of a row that is kept.

    Args:
        vectors: (n, d), unit norm.
        candidates: (n,), the rows that are compared.
        threshold: cosine similarity.

    Time grows with the square of the number of rows that are kept; memory with the number of rows.
    """
    stays = np.zeros(int(candidates.sum()), dtype=np.int64)
    matrix = np.zeros((len(stays), vectors.shape[1]), dtype=np.float32)
    n_kept = 0
    pairs: list[Pair] = []
    order = np.flatnonzero(candidates)
    for begin in range(0, len(order), BLOCK):
        rows = order[begin : begin + BLOCK]
        block = vectors[rows]
        before = n_kept
        earlier = block @ matrix[:before].T if before else np.zeros((len(rows), 0), dtype=np.float32)
        among = block @ block.T
        in_block: list[int] = []
        for number, row in enumerate(rows.tolist()):
            similarity, other = -1.0, -1
            if before:
                nearest = int(np.argmax(earlier[number]))
                similarity, other = float(earlier[number, nearest]), int(stays[nearest])
            if in_block:
                nearest = in_block[int(np.argmax(among[number, in_block]))]
                if float(among[number, nearest]) > similarity:
                    similarity, other = float(among[number, nearest]), int(rows[nearest])
            # Sums in another order differ in their last bits.
            if round(similarity, 6) >= threshold:
                pairs.append(Pair(row, other, EMBEDDING, min(1.0, similarity)))
            else:
                in_block.append(number)
                stays[n_kept], matrix[n_kept] = row, vectors[row]
                n_kept += 1
    return pairs


def without(mask: Mask, pairs: Iterable[Pair]) -> Mask:
    """The rows of a mask that no pair removes."""
    left = mask.copy()
    left[[pair.removed for pair in pairs]] = False
    return left


__all__ = [
    "COSINE",
    "EMBEDDING",
    "EXACT",
    "LOWEST",
    "NEAR",
    "THRESHOLD",
    "Pair",
    "differing_of",
    "embedding_pairs",
    "exact_pairs",
    "near_pairs",
    "without",
]
