"""`rds+`: rows nearest to a target set in the hidden states of the base model, each target in turn choosing the next."""

from __future__ import annotations

from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.selection.baselines._target import check_target
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.candidates import Ranking, ScoredCandidates

RDS: Final = "rds+"
TARGETS: Final = 64
"""Targets whose similarities stand in memory at a time while they are sorted."""


class RdsPlus(Baseline):
    """Targets, one after the other and round again, take the nearest row that is left.

    None of the targets may be among the candidates.
    """

    name: ClassVar[str] = RDS
    title: ClassVar[str] = "rows nearest to a target set in the model's hidden states, each target in turn taking one"
    unit: ClassVar[str] = "the turn, from 0, in which a target took the row"
    needs_target: ClassVar[bool] = True
    needs_model: ClassVar[bool] = True
    source: ClassVar[str] = "RDS+ with round robin, Ivison et al. 2025, arXiv:2503.01807"

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """The turn in which a target took the row.

        Raises:
            UsageError: no target, or targets that are in the pool.
        """
        target, encoder = context.target, context.encoder
        assert target is not None
        assert encoder is not None
        check_target(candidates, target)
        rows = encoder.encode([example.text for example in candidates.pool.examples(candidates.eligible.tolist())])
        targets = encoder.encode([example.text for example in target.examples()])
        known = np.array([reason is None for reason in rows.reasons], dtype=bool)
        usable = np.array([reason is None for reason in targets.reasons], dtype=bool)
        if not usable.any():
            raise UsageError("No target has a vector.", fix="Take targets with text in them.")
        order = round_robin(rows.vectors, targets.vectors[usable], known)
        turns = np.full(len(candidates.eligible), float(len(candidates.eligible)))
        turns[order] = np.arange(len(order), dtype=np.float64)
        retrieval = {
            "targets": int(usable.sum()),
            "targets_without_vector": int((~usable).sum()),
            "truncated": int(rows.truncated.sum()),
            "targets_truncated": int(targets.truncated.sum()),
            "encoder": {key: value for key, value in encoder.fingerprint.items() if value is not None},
        }
        unscored = {row: f"unscored:{RDS}:{rows.reasons[row]}" for row in np.flatnonzero(~known).tolist()}
        name = "the turn in which a target took the row"
        return Ranking(RDS, name, turns, unscored=unscored, details={"retrieval": retrieval}, indicators=())


def round_robin(rows: NDArray[np.float32], targets: NDArray[np.float32], known: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Rows in the order they are taken, int64 (k,), for the k rows that are known.

    Args:
        rows: unit vectors (n, d).
        targets: unit vectors (t, d).
        known: (n,), rows that may be taken.

    >>> round_robin(np.eye(3, dtype=np.float32), np.eye(3, dtype=np.float32)[[2, 0]], np.ones(3, dtype=bool)).tolist()
    [2, 0, 1]
    """
    candidates = np.flatnonzero(known)
    pending = np.empty((len(targets), len(candidates)), dtype=np.int32)
    for start in range(0, len(targets), TARGETS):
        # In float64: sums in another order must not change who is nearest. Ties go to the first by id.
        nearness = targets[start : start + TARGETS].astype(np.float64) @ rows[candidates].astype(np.float64).T
        pending[start : start + TARGETS] = np.argsort(-np.round(nearness, 9), axis=1, kind="stable")
    taken = np.zeros(len(candidates), dtype=bool)
    next_of = np.zeros(len(targets), dtype=np.int64)
    order: list[int] = []
    while len(order) < len(candidates):
        for turn in range(len(targets)):
            if len(order) == len(candidates):
                break
            while taken[pending[turn, next_of[turn]]]:
                next_of[turn] += 1
            nearest = int(pending[turn, next_of[turn]])
            taken[nearest] = True
            order.append(int(candidates[nearest]))
    return np.array(order, dtype=np.int64)


__all__ = ["RDS", "RdsPlus", "round_robin"]
