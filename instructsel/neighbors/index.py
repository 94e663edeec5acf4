"""Nearest neighbors, exact: FAISS finds who, float64 says how far."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import IndexTooSmall
from instructsel.neighbors.gpu_search import Searcher

MARGIN: Final = 3
"""Further candidates asked of FAISS: its rounding may put a nearer example behind a farther one."""
ROUNDING: Final = 4e-6
"""By how much FAISS may be wrong about a similarity, several times over."""
WIDEST: Final = 1024
"""Candidates at most. Where more examples than that are as near as rounding can tell, which of them are measured is FAISS's choice."""
PAIRS: Final = 640
"""Pairs measured at a time: what stays in the processor's cache."""


class ExactIndex:
    """All pairs are compared; nothing is approximated."""

    def __init__(self, vectors: NDArray[np.float32], *, device: str = "auto") -> None:
        """Hold the vectors.

        Args:
            vectors: float32 (n, d), unit norm; an example's id is its row.
            device: where FAISS searches: a GPU where it has one (auto, cuda, cuda:N), or cpu. The neighbors are the same.

        Raises:
            ValueError: another shape, or a number that is not finite.
        """
        if vectors.ndim != 2 or not np.isfinite(vectors).all():
            raise ValueError(f"Vectors are finite and of shape (n, d), not {vectors.shape}.")
        self.vectors: NDArray[np.float32] = np.ascontiguousarray(vectors, dtype=np.float32)
        # Two similarities that are wrong in opposite ways are compared.
        self.index = Searcher(self.vectors, device=device, rounding=ROUNDING / 2)

    def search(
        self, queries: NDArray[np.float32], k: int, *, own_ids: NDArray[np.int64] | None = None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k nearest examples to each query.

        Distances are Euclidean, nearest first, ties by id; computed in float64 from the differences, so a copy is at 0.

        Args:
            queries: float32 (m, d), unit norm.
            k: neighbors per query.
            own_ids: int64 (m,), the row of each query in the index: an example never counts as its own neighbor.

        Returns:
            distances, float64 (m, k); ids, int64 (m, k).

        Raises:
            IndexTooSmall: the index holds fewer than k examples, the own one not counted.

        Source: Cao et al. 2023, arXiv:2307.06290, KNN-i.
        """
        size = len(self.vectors)
        needed = k + (own_ids is not None)
        if size < needed or k < 1:
            raise IndexTooSmall(
                f"{k} neighbors need at least {needed} examples; there are {size}.", fix="Score a larger pool, or a nearer neighbor."
            )
        queries = np.ascontiguousarray(queries, dtype=np.float32)
        distances = np.empty((len(queries), k), dtype=np.float64)
        ids = np.empty((len(queries), k), dtype=np.int64)
        wide, unsure = needed + MARGIN, np.arange(len(queries))
        while len(unsure):
            wide = min(size, wide)
            similarity, candidates = self.index.search(queries[unsure], wide)
            query_ids = None if own_ids is None else own_ids[unsure]
            distances[unsure], ids[unsure] = self._measured(queries[unsure], candidates, k, query_ids)
            if wide >= min(size, WIDEST):
                break
            # Among many copies and near copies, one that is nearer may stand behind the last candidate.
            unsure = unsure[similarity[:, needed - 1] - similarity[:, -1] < ROUNDING]
            wide = min(WIDEST, 8 * wide)
        return distances, ids

    def _measured(
        self, queries: NDArray[np.float32], candidates: NDArray[np.int64], k: int, query_ids: NDArray[np.int64] | None
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """The k nearest of each query's candidates."""
        distances = np.empty((len(queries), k), dtype=np.float64)
        ids = np.empty((len(queries), k), dtype=np.int64)
        block = max(1, PAIRS // candidates.shape[1])

        def measure(start: int) -> None:
            rows = slice(start, start + block)
            nearby = candidates[rows]
            difference = self.vectors[nearby].astype(np.float64)
            difference -= queries[rows, None, :]
            apart = np.sqrt(np.einsum("mkd,mkd->mk", difference, difference))
            if query_ids is not None:
                # Wherever it stands: among copies it need not be first, and among many it may be missing.
                apart[nearby == query_ids[rows, None]] = np.inf
            order = np.lexsort((nearby, apart), axis=1)[:, :k]
            distances[rows] = np.take_along_axis(apart, order, axis=1)
            ids[rows] = np.take_along_axis(nearby, order, axis=1)

        with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as threads:
            list(threads.map(measure, range(0, len(queries), block)))
        return distances, ids


def neighbor_distances(vectors: NDArray[np.float32], i: int, *, device: str = "auto") -> NDArray[np.float64]:
    """The distance of every example to its i-th nearest other one.

    Args:
        vectors: float32 (n, d), unit norm.
        i: which neighbor, from 1.
        device: where FAISS searches; the distances are the same.

    Returns:
        float64 (n,), in [0, 2].

    Raises:
        IndexTooSmall: fewer than i + 1 examples.
    """
    if len(vectors) < i + 1:
        raise IndexTooSmall(
            f"knn_{i} needs at least {i + 1} examples; there are {len(vectors)}.",
            fix=f"Score a larger pool, or a nearer neighbor than the {i}th.",
        )
    return ExactIndex(vectors, device=device).search(vectors, i, own_ids=np.arange(len(vectors), dtype=np.int64))[0][:, -1]
