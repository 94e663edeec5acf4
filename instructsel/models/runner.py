"""Batches whose shape depends on a row's length alone, so that a row's result depends on nothing but the row.

Matrix products change in their last bits with the shape of the batch. Here every length bucket has one width and one
number of rows; the last batch of a bucket is filled up with dummy rows. Takes and returns lists and numpy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Forward = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Token ids (b, width) and lengths (b,) → one result per row, (b, …)."""
Progress = Callable[[int, int], None]

CPU_TOKENS: Final = 1024
"""Tokens of a batch on a CPU: what stays in its caches. Measured; see benchmarks/embedding.py."""
GPU_TOKENS: Final = 65_536


@dataclass(frozen=True)
class Plan:
    """The shapes of the batches."""

    tokens: int = CPU_TOKENS
    """Tokens of a batch, about."""
    limit: int | None = None
    """No batch is wider; None where the model does not mind."""
    padded: bool = True
    """Every row keeps at least one token of padding. Attention kernels take another path for a batch without any."""

    def width(self, length: int) -> int:
        """The bucket of a row: the next step above its length."""
        least = length + 1 if self.padded else length
        step = 8 if least <= 264 else 32 if least <= 1024 else 128
        wide = max(8, -(-least // step) * step)
        return wide if self.limit is None else min(wide, self.limit)

    def rows(self, width: int) -> int:
        """Rows of every batch of a bucket."""
        return max(1, round(self.tokens / width))


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    rows: int
    batches: int
    tokens: int
    """Tokens of the rows."""
    slots: int
    """Tokens computed, padding and dummy rows included."""

    @property
    def padding_share(self) -> float:
        """The share of the tokens computed that no row asked for, in [0, 1]."""
        return 1 - self.tokens / self.slots if self.slots else 0.0


def run(
    sequences: Sequence[NDArray[np.int32]],
    forward: Forward,
    *,
    plan: Plan,
    pad_id: int,
    shape: tuple[int, ...] = (),
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], RunReport]:
    """Run every row through a model.

    Args:
        sequences: token ids of each row, at least one each.
        forward: the model.
        plan: the shapes of the batches.
        pad_id: fills rows and dummy rows.
        shape: of one row's result.
        progress: told how many rows are done, counted by the tokens they take, since the widest rows come first.

    Returns:
        float32 (n, *shape) in the order of the rows, and a report.

    Raises:
        ValueError: a row is empty or longer than the plan allows.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    if len(lengths) and (lengths.min() < 1 or (plan.limit is not None and lengths.max() > plan.limit - plan.padded)):
        raise ValueError(f"Rows hold 1 to {plan.limit} tokens; found {lengths.min()} to {lengths.max()}.")
    results = np.zeros((len(sequences), *shape), dtype=np.float32)
    widths = np.array([plan.width(int(length)) for length in lengths], dtype=np.int64)
    batches = slots = 0
    buckets = {
        int(width): -(-int(count) // plan.rows(int(width))) for width, count in zip(*np.unique(widths, return_counts=True), strict=True)
    }
    every = sum(count * plan.rows(width) * width for width, count in buckets.items())
    # Widest first: the largest batch comes first, so running out of memory shows in the first second.
    for width in sorted(buckets, reverse=True):
        members = np.flatnonzero(widths == width)
        members = members[np.argsort(-lengths[members], kind="stable")]
        size = plan.rows(width)
        for start in range(0, len(members), size):
            chosen = members[start : start + size]
            ids = np.full((size, width), pad_id, dtype=np.int64)
            here = np.ones(size, dtype=np.int64)
            for slot, member in enumerate(chosen.tolist()):
                ids[slot, : lengths[member]] = sequences[member]
                here[slot] = lengths[member]
            results[chosen] = forward(ids, here)[: len(chosen)]
            batches += 1
            slots += size * width
            if progress is not None:
                progress(len(sequences) * slots // every, len(sequences))
    return results, RunReport(len(sequences), batches, int(lengths.sum()), slots)


def mask(lengths: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """1 where a token stands, 0 where padding does, (b, width)."""
    found: NDArray[Any] = (np.arange(width)[None, :] < lengths[:, None]).astype(np.int64)
    return found
