"""`k-center`: rows that cover the pool, each the farthest from those taken before."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.budget import Tokens
from instructsel.selection.candidates import Ranking, ScoredCandidates
from instructsel.selection.similarity import DIGITS

TURNS: Final = 2
"""Turns for every row of the budget, so that rows that are dropped as repetitions find others in their place."""


class KCenter(Baseline):
    """The row nearest to the mean first, then always the row that is farthest from all taken before.

    Vectors are those of knn_6, all-MiniLM-L6-v2. The first row is a choice of ours, which needs no chance: the paper begins with rows that
    are labelled already. Ties go to the first by id. Under a budget of rows without quotas, turns are taken for twice the budget, and the other
    rows follow by their distance to those taken, farthest first; time grows with the product of turns and rows.
    """

    name: ClassVar[str] = "k-center"
    title: ClassVar[str] = "each row the farthest from those taken before"
    unit: ClassVar[str] = "the turn, from 0, in which the row was taken"
    source: ClassVar[str] = "greedy k-center, Sener and Savarese 2018, arXiv:1708.00489; Gonzalez 1985"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """The turn in which a row was taken."""
        embeddings = candidates.vectors.encode([example.text for example in candidates.pool.examples(candidates.eligible.tolist())])
        reasons = embeddings.reasons or [None] * len(candidates.eligible)
        known = np.flatnonzero([reason is None for reason in reasons])
        bounded = not isinstance(candidates.budget, Tokens) and not candidates.settings.limits
        turns = min(len(known), TURNS * candidates.limit) if bounded else len(known)
        values = np.zeros(len(candidates.eligible))
        values[known[farthest_first(embeddings.vectors[known], turns)]] = np.arange(len(known), dtype=np.float64)
        details = {
            "cover": {
                "turns": turns,
                "truncated": int(embeddings.truncated.sum()),
                "encoder": {key: value for key, value in candidates.vectors.fingerprint.items() if value is not None},
            }
        }
        unscored = {row: f"unscored:{self.name}:{reason}" for row, reason in enumerate(reasons) if reason is not None}
        return Ranking(self.name, self.unit, values, unscored=unscored, details=details, indicators=())


def farthest_first(vectors: NDArray[np.float32], turns: int) -> NDArray[np.int64]:
    """All rows, int64 (n,): those of the turns in their order, then the others, the farthest from these first.

    Args:
        vectors: unit vectors (n, d).
        turns: from 0 to n.

    >>> farthest_first(np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32), 3).tolist()
    [1, 2, 0]
    """
    rows = vectors.astype(np.float64)
    taken: list[int] = []
    # By similarity: between unit vectors the distance falls where it rises.
    nearest = -np.round(rows @ rows.mean(axis=0), DIGITS) if len(rows) else np.zeros(0)
    for turn in range(turns):
        row = int(np.argmin(nearest))
        similarity = np.round(rows @ rows[row], DIGITS)
        nearest = similarity if turn == 0 else np.maximum(nearest, similarity)
        taken.append(row)
        nearest[taken] = np.inf
    others = np.argsort(nearest, kind="stable")[: len(rows) - len(taken)]
    return np.concatenate([np.array(taken, dtype=np.int64), others.astype(np.int64)])


__all__ = ["KCenter", "farthest_first"]
