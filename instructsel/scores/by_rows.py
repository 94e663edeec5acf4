"""Indicators that look at an example's conversation alone, over the rows as they lie in the files: here, and in other processes beside it."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.indicators.base import Batch, Indicator, Scored
from instructsel.pool.pool import Pool
from instructsel.pool.row_batches import RowBatch, can_be_batched, row_batches, size_of
from instructsel.pool.stretches import OURS
from instructsel.processes import in_order

LARGE: Final = 32 << 20
"""Bytes of rows from which on other processes are worth their start."""


@dataclass(frozen=True, eq=False)
class Answer:
    """Of each indicator."""

    scored: tuple[Scored, ...]
    seconds: tuple[float, ...]


def apart(pool: Pool, indicators: Sequence[Indicator]) -> list[Indicator]:
    """Those of some indicators that can be asked so: none where examples have several rows, or a format is not of this package."""
    if not can_be_batched(pool):
        return []
    return [indicator for indicator in indicators if indicator.of_conversation and type(indicator).__module__.startswith(OURS)]


def answers(pool: Pool, indicators: Sequence[Indicator]) -> Iterator[tuple[NDArray[np.int64], Answer]]:
    """Positions in the pool and what the indicators say of the examples there, until every example had its turn.

    Raises:
        PoolError: a file has changed since it was read.
    """
    positions: list[NDArray[np.int64]] = []

    def sent() -> Iterator[tuple[RowBatch, tuple[Indicator, ...]]]:
        for where, batch in row_batches(pool):
            positions.append(where)
            yield batch, tuple(indicators)

    results = in_order(score_batch, sent(), alone=0) if size_of(pool) >= LARGE else map(score_batch, sent())
    for answer in results:
        yield positions.pop(0), answer


def score_batch(work: tuple[RowBatch, tuple[Indicator, ...]]) -> Answer:
    """What indicators say of a batch, here or in another process.

    Raises:
        PoolError: a file has changed since it was read.
    """
    batch, indicators = work
    # Neither the id nor the source is looked at: see Indicator.of_conversation.
    whole = Batch(tuple(batch.examples()))
    scored: list[Scored] = []
    seconds: list[float] = []
    for indicator in indicators:
        start = time.perf_counter()
        scored.append(indicator.score(whole))
        seconds.append(time.perf_counter() - start)
    return Answer(tuple(scored), tuple(seconds))


__all__ = ["Answer", "answers", "apart", "score_batch"]
