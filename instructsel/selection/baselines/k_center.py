"""`k-center`: rows that cover the pool, each the farthest from those taken before."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.models.runner import Progress
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.budget import Tokens
from instructsel.selection.candidates import Ranking, ScoredCandidates
from instructsel.selection.similarity import DIGITS

TURNS: Final = 2
"""Turns for every row of the budget, so that rows that are dropped as repetitions find others in their place."""

TURNS_AT_ONCE: Final = 128
"""Turns between two comparisons with all rows."""
AMONG: Final = 1024
"""The farthest rows, among which some turns are decided, at least."""
ROWS_AT_ONCE: Final = 4096
"""Rows whose similarities to those taken stand in memory at a time."""


class KCenter(Baseline):
    """The row nearest to the mean first, then always the row that is farthest from all taken before.

    Vectors are those of knn_6, all-MiniLM-L6-v2. The first row is a choice of ours, which needs no chance: the paper begins with rows that
    are labelled already. Ties go to the first by id. Under a budget of rows without quotas, turns are taken for twice the budget, and the other
    rows follow by their distance to those taken, farthest first. Time grows with the product of turns and rows: see benchmarks/k_center.py.
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
        order = farthest_first(embeddings.vectors[known], turns, progress=candidates.watch(self.name))
        values[known[order]] = np.arange(len(known), dtype=np.float64)
        details = {
            "cover": {
                "turns": turns,
                "truncated": int(embeddings.truncated.sum()),
                "encoder": {key: value for key, value in candidates.vectors.fingerprint.items() if value is not None},
            }
        }
        unscored = {row: f"unscored:{self.name}:{reason}" for row, reason in enumerate(reasons) if reason is not None}
        return Ranking(self.name, self.unit, values, unscored=unscored, details=details, indicators=())


def farthest_first(vectors: NDArray[np.float32], turns: int, *, progress: Progress | None = None) -> NDArray[np.int64]:
    """All rows, int64 (n,): those of the turns in their order, then the others, the farthest from these first.

    A row only comes nearer to those taken. So some turns at a time are decided among the rows that were farthest before them, for as
    long as one of these is farther than all others were then; afterwards all rows are compared with the rows of these turns at once.

    Args:
        vectors: unit vectors (n, d).
        turns: from 0 to n.
        progress: called with the turns taken, and how many there are.

    >>> farthest_first(np.array([[1, 0], [0.8, 0.6], [0, 1]], dtype=np.float32), 3).tolist()
    [1, 2, 0]
    """
    rows = vectors.astype(np.float64)
    # By similarity: between unit vectors the distance falls where it rises.
    nearest = -np.round(rows @ rows.mean(axis=0), DIGITS) if len(rows) else np.zeros(0)
    taken = [int(np.argmin(nearest))] if turns else []
    if taken:
        nearest = _with(rows, rows[taken], np.full(len(rows), -np.inf))
        nearest[taken] = np.inf
    among = AMONG
    while len(taken) < turns:
        block = _block(rows, nearest, turns - len(taken), among)
        # Small blocks compare all rows too often, large ones too many rows in each turn.
        among = among * 2 if len(block) < TURNS_AT_ONCE // 2 else max(AMONG, among // 2) if len(block) == TURNS_AT_ONCE else among
        nearest = _with(rows, rows[block], nearest)
        nearest[block] = np.inf
        taken += block
        if progress is not None:
            progress(len(taken), turns)
    others = np.argsort(nearest, kind="stable")[: len(rows) - len(taken)]
    return np.concatenate([np.array(taken, dtype=np.int64), others.astype(np.int64)])


def _block(rows: NDArray[np.float64], nearest: NDArray[np.float64], most: int, among: int) -> list[int]:
    """The rows of the next turns, one at least and `most` at most.

    Args:
        rows: unit vectors (n, d).
        nearest: (n,), the similarity to the nearest row taken; inf for rows that are taken.
        most: turns.
        among: how many of the farthest rows are compared.
    """
    order = np.argsort(nearest, kind="stable")
    chosen = np.sort(order[:among])
    # The other rows begin with this one, and only come nearer. Of rows as far as each other the first is taken.
    first_other = int(order[among]) if among < len(rows) else len(rows)
    bound = float(nearest[first_other]) if among < len(rows) else np.inf
    similarities, vectors = nearest[chosen], rows[chosen]
    block: list[int] = []
    while len(block) < min(most, TURNS_AT_ONCE):
        place = int(np.argmin(similarities))
        row = int(chosen[place])
        if similarities[place] > bound or (similarities[place] == bound and row > first_other):
            break
        block.append(row)
        similarities = np.maximum(similarities, np.round(vectors @ rows[row], DIGITS))
        similarities[place] = np.inf
    return block


def _with(rows: NDArray[np.float64], taken: NDArray[np.float64], nearest: NDArray[np.float64]) -> NDArray[np.float64]:
    """`nearest` after some more rows are taken."""
    closer = nearest.copy()
    for start in range(0, len(rows), ROWS_AT_ONCE):
        part = slice(start, start + ROWS_AT_ONCE)
        closer[part] = np.maximum(closer[part], np.round((rows[part] @ taken.T).max(axis=1), DIGITS))
    return closer


__all__ = ["KCenter", "farthest_first"]
