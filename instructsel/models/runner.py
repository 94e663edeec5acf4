"""Batches of fixed shapes, so that a row's result depends on nothing but the row.

Matrix products change in their last bits with the shape of the batch. `run` pads: every length bucket has one width and
one number of rows; the last batch of a bucket is filled up with dummy rows. `run_packed` puts rows one behind the other
into batches of one number of tokens, for models that can tell them apart. Both take and return lists and numpy.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Forward = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Token ids (b, width) and lengths (b,) → one result per row, (b, …)."""
PackedForward = Callable[[NDArray[np.int64], NDArray[np.int64]], NDArray[np.float32]]
"""Token ids (slots,) of rows one behind the other and their lengths (b,), longest first → one result per row, (b, …)."""
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


def run_packed(
    sequences: Sequence[NDArray[np.int32]],
    forward: PackedForward,
    *,
    slots: int = CPU_TOKENS,
    pad_id: int = 0,
    shape: tuple[int, ...] = (),
    workers: int = 1,
    start: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[np.float32], RunReport]:
    """Run every row through a model that takes rows one behind the other.

    Args:
        sequences: token ids of each row, at least one each.
        forward: the model; called from `workers` threads at a time.
        slots: tokens of every batch.
        pad_id: fills the slots left over at the end of a batch.
        shape: of one row's result.
        workers: threads, a batch each. Results do not depend on their number.
        start: called first in each thread.
        progress: told how many rows are done, from the calling thread.

    Returns:
        float32 (n, *shape) in the order of the rows, and a report.

    Raises:
        ValueError: a row is empty or longer than a batch.
    """
    lengths = np.array([len(sequence) for sequence in sequences], dtype=np.int64)
    if len(lengths) and (lengths.min() < 1 or lengths.max() > slots):
        raise ValueError(f"Rows hold 1 to {slots} tokens; found {lengths.min()} to {lengths.max()}.")
    results = np.zeros((len(sequences), *shape), dtype=np.float32)

    def one(members: list[int]) -> int:
        ids = np.full(slots, pad_id, dtype=np.int64)
        taken = np.concatenate([sequences[member] for member in members])
        ids[: len(taken)] = taken
        results[members] = forward(ids, lengths[members])
        return len(members)

    batches = list(packed(lengths, slots))
    done = 0
    threads = ThreadPoolExecutor(workers, initializer=start)
    try:
        # Each batch is computed by one thread: two batches at a time are faster than two threads on one.
        for finished in as_completed([threads.submit(one, members) for members in batches]):
            done += finished.result()
            if progress is not None:
                progress(done, len(sequences))
    finally:
        # After an error or Ctrl-C, no further batch is begun.
        threads.shutdown(wait=True, cancel_futures=True)
    return results, RunReport(len(sequences), len(batches), int(lengths.sum()), len(batches) * slots)


def packed(lengths: NDArray[np.int64], slots: int) -> Iterator[list[int]]:
    """Rows of each batch: the longest left, then always the longest that still fits. Longest first, equals together."""
    order = np.argsort(lengths, kind="stable")
    kinds, first = np.unique(lengths[order], return_index=True)
    left = [members.tolist()[::-1] for members in np.split(order, first[1:])] if len(order) else []
    widths: list[int] = kinds.tolist()
    while widths:
        room, members = slots, list[int]()
        while (kind := bisect_right(widths, room) - 1) >= 0:
            members.append(left[kind].pop())
            room -= widths[kind]
            if not left[kind]:
                del widths[kind], left[kind]
        yield members


def mask(lengths: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """1 where a token stands, 0 where padding does, (b, width)."""
    found: NDArray[Any] = (np.arange(width)[None, :] < lengths[:, None]).astype(np.int64)
    return found
