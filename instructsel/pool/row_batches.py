"""A pool's rows as they lie in its files, some at a time and as bytes: how its examples go to another process.

The rows are read again in the order of the files, which a disk likes better than that of the ids, and go as bytes: a conversation in its
parts would take longer to send than to read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.pool.example import Example
from instructsel.pool.formats._base import TableFormat
from instructsel.pool.pool import Pool
from instructsel.pool.reader import PoolFile, Several, unchanged
from instructsel.pool.stretches import can_be_sent

BYTES: Final = 1 << 20
"""Of the rows of a batch; its last one may be longer."""
EXAMPLES: Final = 8192
"""Of a batch, at most."""
BLOCK: Final = 1 << 18
"""Examples whose places are looked up at a time."""


@dataclass(frozen=True, eq=False)
class RowBatch:
    """Rows of a file, and the examples in them."""

    file: PoolFile
    """Its rows are those of the batch alone, and its source the bytes of these."""
    rows: tuple[int, ...]
    """Of each example."""
    parts: tuple[int, ...]
    """Of each example, its number in the row."""
    with_reasoning: bool

    def examples(self) -> list[Example]:
        """The examples, without their ids and sources.

        Raises:
            PoolError: the file has changed since it was read.
        """
        examples: list[Example] = []
        with unchanged(self.file):
            for row, part in zip(self.rows, self.parts, strict=True):
                conversation = self.file.conversation(row, part)
                examples.append(Example("", "", conversation.messages, conversation.tools, self.with_reasoning))
        return examples


def can_be_batched(pool: Pool) -> bool:
    """Whether other processes can read its rows: no example has several rows, and each format is of this package."""
    return all(file.rows is not None and not isinstance(file.format, TableFormat) and can_be_sent(file.rows) for file in pool.files)


def size_of(pool: Pool) -> int:
    """Bytes of the rows of its examples, where it `can_be_batched`."""
    size = 0
    for number, file in enumerate(pool.files):
        has_example = np.zeros(len(file.lengths), dtype=bool)
        has_example[pool.row_of[pool.file_of == number]] = True
        size += int(file.lengths[has_example].sum())
    return size


def row_batches(pool: Pool, *, size: int | None = None) -> Iterator[tuple[NDArray[np.int64], RowBatch]]:
    """Positions in the pool, and the rows of the examples there, until every example had its turn.

    Args:
        pool: one that `can_be_batched`.
        size: bytes of the rows of a batch; BYTES by default.
    """
    order = np.lexsort((pool.part_of, pool.row_of, pool.file_of))
    starts = np.searchsorted(pool.file_of[order], np.arange(len(pool.files) + 1))
    for number, file in enumerate(pool.files):
        sent = _without_rows(file)
        for start in range(int(starts[number]), int(starts[number + 1]), BLOCK):
            positions = order[start : min(start + BLOCK, int(starts[number + 1]))]
            rows = pool.row_of[positions].astype(np.int64)
            sizes = np.cumsum(file.lengths[rows], dtype=np.int64)
            begin = 0
            while begin < len(rows):
                before = int(sizes[begin - 1]) if begin else 0
                end = min(int(np.searchsorted(sizes, before + (size or BYTES))) + 1, begin + EXAMPLES, len(rows))
                distinct, numbers = np.unique(rows[begin:end], return_inverse=True)
                parts = tuple(pool.part_of[positions[begin:end]].tolist())
                part = _part_of(file, sent, distinct)
                yield positions[begin:end], RowBatch(part, tuple(numbers.tolist()), parts, pool.with_reasoning)
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


__all__ = ["RowBatch", "can_be_batched", "row_batches", "size_of"]
