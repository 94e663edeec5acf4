"""Indicators that look at an example's conversation alone, over the rows as they lie in the files: here, and in other processes beside it.

The rows are read again in the order of the files, which a disk likes better than that of the ids, and go to whoever computes as bytes:
a conversation in its parts would take longer to send than to read.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.indicators.base import Batch, Indicator, Scored
from instructsel.pool.example import Example
from instructsel.pool.formats._base import TableFormat
from instructsel.pool.pool import Pool
from instructsel.pool.reader import PoolFile, Several, unchanged
from instructsel.pool.stretches import OURS, can_be_sent
from instructsel.processes import in_order

LARGE: Final = 32 << 20
"""Bytes of rows from which on other processes are worth their start."""
BYTES: Final = 1 << 20
"""Of the rows of a batch; its last one may be longer."""
EXAMPLES: Final = 8192
"""Of a batch, at most."""
BLOCK: Final = 1 << 18
"""Examples whose places are looked up at a time."""


@dataclass(frozen=True, eq=False)
class RowBatch:
    """Rows of a file, and what is asked of the examples in them."""

    file: PoolFile
    """Its rows are those of the batch alone, and its source the bytes of these."""
    rows: tuple[int, ...]
    """Of each example."""
    parts: tuple[int, ...]
    """Of each example, its number in the row."""
    with_reasoning: bool
    indicators: tuple[Indicator, ...]


@dataclass(frozen=True, eq=False)
class Answer:
    """Of each indicator."""

    scored: tuple[Scored, ...]
    seconds: tuple[float, ...]


def apart(pool: Pool, indicators: Sequence[Indicator]) -> list[Indicator]:
    """Those of some indicators that can be asked so: none where examples have several rows, or a format is not of this package."""
    if not all(file.rows is not None and not isinstance(file.format, TableFormat) and can_be_sent(file.rows) for file in pool.files):
        return []
    return [indicator for indicator in indicators if indicator.of_conversation and type(indicator).__module__.startswith(OURS)]


def answers(pool: Pool, indicators: Sequence[Indicator]) -> Iterator[tuple[NDArray[np.int64], Answer]]:
    """Positions in the pool and what the indicators say of the examples there, until every example had its turn.

    Raises:
        PoolError: a file has changed since it was read.
    """
    batches = _batches(pool, tuple(indicators))
    size = sum(int(file.lengths.sum()) for file in pool.files)
    positions: list[NDArray[np.int64]] = []

    def sent() -> Iterator[RowBatch]:
        for where, batch in batches:
            positions.append(where)
            yield batch

    results = in_order(score_batch, sent(), alone=0) if size >= LARGE else map(score_batch, sent())
    for answer in results:
        yield positions.pop(0), answer


def score_batch(batch: RowBatch) -> Answer:
    """What indicators say of a batch, here or in another process.

    Raises:
        PoolError: a file has changed since it was read.
    """
    examples: list[Example] = []
    with unchanged(batch.file):
        for row, part in zip(batch.rows, batch.parts, strict=True):
            conversation = batch.file.conversation(row, part)
            # Neither the id nor the source is looked at: see Indicator.of_conversation.
            examples.append(Example("", "", conversation.messages, conversation.tools, batch.with_reasoning))
    whole = Batch(tuple(examples))
    scored: list[Scored] = []
    seconds: list[float] = []
    for indicator in batch.indicators:
        start = time.perf_counter()
        scored.append(indicator.score(whole))
        seconds.append(time.perf_counter() - start)
    return Answer(tuple(scored), tuple(seconds))


def _batches(pool: Pool, indicators: tuple[Indicator, ...]) -> Iterator[tuple[NDArray[np.int64], RowBatch]]:
    order = np.lexsort((pool.part_of, pool.row_of, pool.file_of))
    starts = np.searchsorted(pool.file_of[order], np.arange(len(pool.files) + 1))
    for number, file in enumerate(pool.files):
        sent = _without_rows(file)
        for start in range(int(starts[number]), int(starts[number + 1]), BLOCK):
            positions = order[start : min(start + BLOCK, int(starts[number + 1]))]
            rows = pool.row_of[positions].astype(np.int64)
            sizes = np.cumsum(file.lengths[rows])
            begin = 0
            while begin < len(rows):
                before = int(sizes[begin - 1]) if begin else 0
                end = min(int(np.searchsorted(sizes, before + BYTES)) + 1, begin + EXAMPLES, len(rows))
                distinct, numbers = np.unique(rows[begin:end], return_inverse=True)
                parts = tuple(pool.part_of[positions[begin:end]].tolist())
                part = _part_of(file, sent, distinct)
                yield positions[begin:end], RowBatch(part, tuple(numbers.tolist()), parts, pool.with_reasoning, indicators)
                begin = end


def _without_rows(file: PoolFile) -> PoolFile:
    """A file as another process can have it."""
    none = slice(0, 0)
    return replace(
        file,
        source=file.source.with_bytes(b""),
        lines=file.lines[none],
        offsets=file.offsets[none],
        lengths=file.lengths[none],
        digests=file.digests[none],
        several=Several(),
    )


def _part_of(file: PoolFile, sent: PoolFile, rows: NDArray[np.int64]) -> PoolFile:
    """Some rows of a file, ascending, with their bytes."""
    raw, offsets = file.source.raw_rows(file.offsets[rows], file.lengths[rows])
    return replace(
        sent,
        source=replace(sent.source, file=BytesIO(raw)),
        lines=file.lines[rows],
        offsets=offsets,
        lengths=file.lengths[rows],
        digests=file.digests[rows],
        several=Several(),
    )


__all__ = ["Answer", "RowBatch", "answers", "apart", "score_batch"]
