"""RDS+: rows nearest to a target set in the hidden states of the base, each target in turn choosing the next."""

from __future__ import annotations

from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.neighbors.encoder import Embeddings
from instructsel.pool.pool import Pool
from instructsel.selection.candidates import Ranking, Setting

RDS: Final = "rds+"
TARGETS: Final = 64
"""Targets whose similarities stand in memory at a time while they are sorted."""


class TextEncoder(Protocol):
    """Anything that gives texts unit vectors: PooledStates, or a sentence encoder."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text."""
        ...

    def encode(self, texts: list[str]) -> Embeddings:
        """The vectors of texts."""
        ...


def retrieval_ranking(setting: Setting, target: Pool, encoder: TextEncoder) -> Ranking:
    """The eligible rows in the order in which targets, one after the other and round again, take the nearest row that is left.

    Args:
        setting: of the selection it is compared with.
        target: examples of what the fine-tuned model is to do; none of them may be among the eligible rows.
        encoder: usually PooledStates of the base.

    Raises:
        UsageError: no target, or targets that are in the pool.

    Source: RDS+ with round robin, Ivison et al. 2025, arXiv:2503.01807, which found it the best of the selections it compared.
    """
    if not len(target):
        raise UsageError("RDS+ needs a target set, and this one has no example.", fix="Name a file with at least one.")
    shared = set(target.ids) & {setting.ids[position] for position in setting.eligible.tolist()}
    if shared:
        raise UsageError(
            f"{len(shared)} of {len(target)} targets are in the pool itself, for example {min(shared)}: they would be nearest to themselves.",
            fix="Take other targets, or take these out of the pool.",
        )
    rows = encoder.encode([example.text for example in setting.pool.examples(setting.eligible.tolist())])
    wanted = encoder.encode([example.text for example in target.examples()])
    known = np.array([reason is None for reason in rows.reasons], dtype=bool)
    usable = np.array([reason is None for reason in wanted.reasons], dtype=bool)
    if not usable.any():
        raise UsageError("No target has a vector.", fix="Take targets with text in them.")
    order = round_robin(rows.vectors, wanted.vectors[usable], known)
    values = np.full(len(setting.eligible), float(len(setting.eligible)))
    values[order] = np.arange(len(order), dtype=np.float64)
    return Ranking(
        RDS,
        "the turn in which a target took the row",
        values,
        unscored={at: f"unscored:{RDS}:{rows.reasons[at]}" for at in np.flatnonzero(~known).tolist()},
        details={
            "retrieval": {
                "targets": int(usable.sum()),
                "targets_without_vector": int((~usable).sum()),
                "truncated": int(rows.truncated.sum()),
                "encoder": {key: value for key, value in encoder.fingerprint.items() if value is not None},
            }
        },
        indicators=(),
    )


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
    waiting = np.empty((len(targets), len(candidates)), dtype=np.int32)
    for start in range(0, len(targets), TARGETS):
        # In float64: sums in another order must not change who is nearest. Ties go to the first by id.
        nearness = targets[start : start + TARGETS].astype(np.float64) @ rows[candidates].astype(np.float64).T
        waiting[start : start + TARGETS] = np.argsort(-np.round(nearness, 9), axis=1, kind="stable")
    taken = np.zeros(len(candidates), dtype=bool)
    at = np.zeros(len(targets), dtype=np.int64)
    order: list[int] = []
    while len(order) < len(candidates):
        for turn in range(len(targets)):
            if len(order) == len(candidates):
                break
            while taken[waiting[turn, at[turn]]]:
                at[turn] += 1
            found = int(waiting[turn, at[turn]])
            taken[found] = True
            order.append(int(candidates[found]))
    return np.array(order, dtype=np.int64)


__all__ = ["RDS", "TextEncoder", "retrieval_ranking", "round_robin"]
