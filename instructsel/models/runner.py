"""Batches of fixed shapes, so that a row's result depends on nothing but the row.

Matrix products change in their last bits with the shape of the batch. A layout says which shapes there are: `Padded` gives
every length bucket one width and one number of rows and fills the last batch up with dummy rows; `Packed` puts rows one
behind the other into batches of one number of tokens, for models that can tell them apart. `run` sorts, batches, shares the
batches among workers (threads of a CPU, GPUs of a machine), and backs off when memory runs out.

Takes and returns numpy; knows no polars, no tokenizer's objects, and torch only by the names of its errors.
"""

from __future__ import annotations

import itertools
import threading
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import InstructselError, ModelRefused
from instructsel.models.foreign import first_line, refusing
from instructsel.pieces import WINDOW, by_characters, kind_of, stretches

Forward = Callable[[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]], NDArray[np.floating[Any]]]
"""(ids, lengths, members) → one result a row, (b, …). Padded: ids (rows, width), lengths (rows,), dummy rows included.
Packed: ids (slots,), lengths (b,), longest first. members (b,): which rows of the run these are."""
Progress = Callable[[int, int], None]

CPU_TOKENS: Final = 1024
"""Tokens of a batch on a CPU: what stays in its caches. Measured; see benchmarks/embedding.py."""
GPU_TOKENS: Final = 65_536
SEEN: Final = 64
"""Characters for each token that a model sees, beyond which the end of a text is not looked at."""
TEXTS: Final = 1024
"""Texts tokenized at a time."""


@dataclass(frozen=True, eq=False)
class Ragged:
    """Rows of token ids in one buffer: no list and no array of their own for each."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    """(n + 1,)"""
    cut: NDArray[np.bool_] = field(default_factory=lambda: np.zeros(0, dtype=bool))
    """(n,), where the tokenizer's own truncation left something out; empty where it has none."""

    @classmethod
    def of(cls, rows: Sequence[Sequence[int] | NDArray[np.integer[Any]]]) -> Ragged:
        """Rows given one by one."""
        counts = np.array([len(row) for row in rows], dtype=np.int64)
        flat = np.concatenate([np.asarray(row, dtype=np.int32) for row in rows]) if len(rows) else np.zeros(0, np.int32)
        return cls(flat.astype(np.int32), np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)]))

    @classmethod
    def tokenized(cls, tokenizer: Any, texts: Sequence[str], *, special: bool = False) -> Ragged:
        """Texts tokenized in parallel (by the tokenizer's own threads), their ids copied into one buffer at once."""
        parts: list[NDArray[np.int32]] = []
        counts: list[NDArray[np.int64]] = []
        cut: list[bool] = []
        for batch in by_characters(_beginnings(tokenizer, texts, special), WINDOW, TEXTS):
            with refusing("The tokenizer", "split these texts into tokens", fix="Fetch the model again, or name another one."):
                encodings = tokenizer.encode_batch_fast(batch, add_special_tokens=special)
            counts.append(np.fromiter((len(encoding) for encoding in encodings), dtype=np.int64, count=len(encodings)))
            cut.extend(bool(encoding.overflowing) for encoding in encodings)
            parts.append(
                np.fromiter(
                    itertools.chain.from_iterable(encoding.ids for encoding in encodings), dtype=np.int32, count=int(counts[-1].sum())
                )
            )
        if not parts:
            return cls(np.zeros(0, np.int32), np.zeros(1, np.int64))
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.concatenate(counts))])
        return cls(np.concatenate(parts), offsets, np.array(cut, dtype=bool))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __getitem__(self, row: int) -> NDArray[np.int32]:
        return self.ids[self.offsets[row] : self.offsets[row + 1]]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,)"""
        return np.diff(self.offsets)


def _beginnings(tokenizer: Any, texts: Sequence[str], special: bool) -> Sequence[str]:
    """Texts, long ones cut behind what a tokenizer with a truncation keeps: their tokens and whether something is left out are the same."""
    truncation = getattr(tokenizer, "truncation", None)
    if not truncation or truncation.get("direction", "right").lower() != "right":
        return texts
    enough = SEEN * max(1, int(truncation["max_length"]))
    kind = kind_of(tokenizer) if any(len(text) > enough for text in texts) else None
    if kind is None:
        return texts

    def beginning(text: str) -> str:
        size = enough
        while len(text) > size:
            head = next(stretches(text, kind, size))
            with refusing("The tokenizer", "split these texts into tokens", fix="Fetch the model again, or name another one."):
                if tokenizer.encode_batch_fast([head], add_special_tokens=special)[0].overflowing:
                    return head
            size *= 4
        return text

    return [beginning(text) if len(text) > enough else text for text in texts]


Shape = tuple[int, ...]
"""(rows, width) of a padded batch, (slots,) of a packed one."""


class Layout(Protocol):
    """Which shapes batches have."""

    def shape(self, length: int) -> Shape:
        """The batch a row of this length goes into."""
        ...

    def batches(self, shape: Shape, lengths: NDArray[np.int64]) -> Iterator[list[int]]:
        """The rows of each batch of a shape, as positions in `lengths`."""
        ...

    def fill(self, shape: Shape, rows: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids and lengths of a batch."""
        ...

    def smaller(self, shape: Shape, length: int) -> Shape | None:
        """The shape for a row of this length when the memory does not hold `shape`; None where there is nothing smaller."""
        ...


@dataclass(frozen=True)
class Padded:
    """Every row in a bucket of one width and one number of rows."""

    tokens: int = CPU_TOKENS
    """Tokens of a batch, about."""
    limit: int | None = None
    """No batch is wider; None where the model does not mind."""
    padded: bool = True
    """Rows keep at least one token of padding. Attention kernels take another path for a batch without any, so that rows of
    just `limit` tokens, which have no place for it, are batched among themselves, dummy rows as long as they."""

    def width(self, length: int) -> int:
        """The bucket of a row: the next step above its length."""
        least = length + 1 if self.padded else length
        step = 8 if least <= 264 else 32 if least <= 1024 else 128
        wide = max(8, -(-least // step) * step)
        return wide if self.limit is None else min(wide, self.limit)

    def shape(self, length: int) -> Shape:
        """(rows, width) of the bucket."""
        if self.limit is not None and length > self.limit:
            raise ValueError(f"Rows hold 1 to {self.limit} tokens; found {length}.")
        width = self.width(length)
        rows = max(1, round(self.tokens / width))
        # One row fewer makes another bucket of it; a batch of one row is the row's own anyway.
        return (max(1, rows - 1) if self._is_full(length) else rows), width

    def _is_full(self, length: int) -> bool:
        return self.padded and length == self.limit

    def batches(self, shape: Shape, lengths: NDArray[np.int64]) -> Iterator[list[int]]:
        """The longest first."""
        order = np.argsort(-lengths, kind="stable").tolist()
        for start in range(0, len(order), shape[0]):
            yield order[start : start + shape[0]]

    def fill(self, shape: Shape, rows: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows, padding on their right, dummy rows at the end: of one token, or full like the others."""
        ids = np.full(shape, pad_id, dtype=np.int64)
        lengths = np.full(shape[0], len(rows[0]) if self._is_full(len(rows[0])) else 1, dtype=np.int64)
        for slot, row in enumerate(rows):
            ids[slot, : len(row)] = row
            lengths[slot] = len(row)
        return ids, lengths

    def smaller(self, shape: Shape, length: int) -> Shape | None:
        """Half the rows."""
        return (shape[0] // 2, shape[1]) if shape[0] > 1 else None


@dataclass(frozen=True)
class Packed:
    """Rows one behind the other in batches of one number of tokens."""

    slots: int = CPU_TOKENS
    """Tokens of a batch; a longer row gets the next power of two that holds it."""
    rows: int = 1 << 30
    """Rows of a batch at most."""

    def shape(self, length: int) -> Shape:
        """(slots,)"""
        slots = self.slots
        while slots < length:
            slots *= 2
        return (slots,)

    def batches(self, shape: Shape, lengths: NDArray[np.int64]) -> Iterator[list[int]]:
        """The longest left, then always the longest that still fits. Longest first, equals together."""
        return packed(lengths, shape[0], self.rows)

    def fill(self, shape: Shape, rows: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows, then padding that belongs to none."""
        ids = np.full(shape, pad_id, dtype=np.int64)
        taken = np.concatenate(rows)
        ids[: len(taken)] = taken
        return ids, np.array([len(row) for row in rows], dtype=np.int64)

    def smaller(self, shape: Shape, length: int) -> Shape | None:
        """Half the slots; just enough for a row that does not fit into half."""
        half = shape[0] // 2
        tight = -(-length // 128) * 128
        return (half,) if length <= half else (tight,) if tight < shape[0] else None


@dataclass(frozen=True)
class RunReport:
    """What a run did."""

    rows: int
    batches: int
    tokens: int
    """Tokens of the rows."""
    slots: int
    """Tokens computed, padding and dummy rows included."""
    reduced: int = 0
    """Rows computed in a smaller shape than planned because memory ran out."""
    refused: int = 0
    """Rows that did not fit into memory alone."""

    @property
    def padding_share(self) -> float:
        """The share of the tokens computed that no row asked for, in [0, 1]."""
        return 1 - self.tokens / self.slots if self.slots else 0.0

    def __add__(self, other: RunReport) -> RunReport:
        pairs = ((getattr(self, name), getattr(other, name)) for name in self.__dataclass_fields__)
        return RunReport(*(one + two for one, two in pairs))


NOTHING: Final = RunReport(0, 0, 0, 0)


class RowCache(Protocol):
    """Results of rows: written as they come, and read where a shape changes."""

    def write(self, members: NDArray[np.int64], results: NDArray[Any], shape: Shape | None) -> None:
        """Results of these rows; `shape` is None where it is the planned one."""
        ...

    def read(self, members: NDArray[np.int64], shape: Shape) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Which of these rows are known in this shape, and their results."""
        ...


@dataclass(eq=False)
class _Bucket:
    shape: Shape
    members: NDArray[np.int64]
    planned: bool = True
    failed: bool = False


@dataclass(eq=False)
class _State:
    results: NDArray[Any]
    refused: NDArray[np.bool_]
    report: RunReport = NOTHING
    lock: threading.Lock = field(default_factory=threading.Lock)
    broken: bool = False
    """A worker raised an error that no smaller shape can mend."""


def run(
    sequences: Ragged,
    workers: Sequence[Forward],
    layout: Layout,
    *,
    pad_id: int = 0,
    shape: tuple[int, ...] = (),
    dtype: Any = np.float32,
    cache: RowCache | None = None,
    start: Callable[[], None] | None = None,
    progress: Progress | None = None,
) -> tuple[NDArray[Any], NDArray[np.bool_], RunReport]:
    """Run every row through a model.

    Out of memory, the bucket it happened in is computed anew with half the rows, all of it, so that its results do not
    depend on where memory ran out; a row that fits alone into no shape is refused.

    Args:
        sequences: token ids of each row, at least one each.
        workers: the model, once for each batch to be computed at a time: the same function for threads of a CPU, one for each
            GPU. Results do not depend on their number.
        layout: the shapes of the batches.
        pad_id: fills rows and dummy rows.
        shape: of one row's result.
        dtype: of the results.
        cache: written to batch by batch, from the calling thread.
        start: called first in each worker's thread.
        progress: called with how many rows are done, counted by the tokens they take, since the longest come first.

    Returns:
        results (n, *shape) in the order of the rows, 0 where refused; refused, bool (n,); a report.

    Raises:
        ValueError: a row is empty or longer than the layout allows.
    """
    lengths = sequences.lengths
    if len(lengths) and lengths.min() < 1:
        raise ValueError("Rows hold 1 token or more; found 0.")
    state = _State(np.zeros((len(sequences), *shape), dtype=dtype), np.zeros(len(sequences), dtype=bool))
    state.report = replace(NOTHING, rows=len(sequences), tokens=int(lengths.sum()))
    queue = _buckets(layout, lengths)
    every, done = max(1, int(lengths.sum())), 0
    free = list(workers)
    # One thread a worker: two batches at a time are faster on two cores than two threads on one batch.
    threads = ThreadPoolExecutor(len(workers), initializer=start)

    def one(bucket: _Bucket, chosen: list[int]) -> tuple[NDArray[np.int64], NDArray[Any] | None]:
        members = bucket.members[chosen]
        if bucket.failed or state.broken:
            return members, None
        with state.lock:
            forward = free.pop()
        try:
            ids, row_lengths = layout.fill(bucket.shape, [sequences[member] for member in members.tolist()], pad_id)
            return members, forward(ids, row_lengths, members)[: len(members)]
        except Exception as error:
            if not out_of_memory(error):
                # Before the error reaches the caller: batches that wait for a thread must not begin.
                state.broken = True
                raise
            stuck = np.array([layout.smaller(bucket.shape, int(lengths[member])) is None for member in members.tolist()])
            with state.lock:
                # What no smaller shape can hold is refused, the others are tried again; none left: the bucket goes on.
                state.refused[members[stuck]] = True
                bucket.failed |= not stuck.all()
            return members, None
        finally:
            with state.lock:
                free.append(forward)

    try:
        # Widest first: the largest batch comes first, so running out of memory shows in the first second.
        while queue:
            bucket = queue.pop(0)
            if not bucket.planned and cache is not None:
                bucket = _from_cache(bucket, cache, state)
            waiting = [threads.submit(one, bucket, chosen) for chosen in layout.batches(bucket.shape, lengths[bucket.members])]
            done_members: list[NDArray[np.int64]] = []
            for finished in as_completed(waiting):
                members, results = finished.result()
                if results is None:
                    continue
                state.results[members] = results
                done_members.append(members)
                if cache is not None:
                    cache.write(members, results, None if bucket.planned else bucket.shape)
                if progress is not None:
                    done += int(lengths[members].sum())
                    progress(min(len(sequences), len(sequences) * done // every), len(sequences))
            slots = int(np.prod(bucket.shape))
            state.report += replace(NOTHING, batches=len(done_members), slots=len(done_members) * slots)
            if bucket.failed:
                free_memory()
                done -= sum(int(lengths[members].sum()) for members in done_members)
                queue[:0] = _halved(layout, bucket, lengths, state)
            elif not bucket.planned:
                state.report += replace(NOTHING, reduced=len(bucket.members))
    finally:
        # After an error or Ctrl-C, no further batch is begun.
        threads.shutdown(wait=True, cancel_futures=True)
    if progress is not None and len(sequences):
        progress(len(sequences), len(sequences))
    return state.results, state.refused, replace(state.report, refused=int(state.refused.sum()))


def guarded(name: str, forward: Forward) -> Forward:
    """A forward pass that ends in ModelRefused where the model cannot compute a batch; out of memory stays what it is.

    Args:
        name: the model.
        forward: its forward pass.
    """

    def compute(ids: NDArray[np.int64], lengths: NDArray[np.int64], members: NDArray[np.int64]) -> NDArray[Any]:
        try:
            return forward(ids, lengths, members)
        except InstructselError:
            raise
        except Exception as error:
            if out_of_memory(error):
                raise
            raise ModelRefused(
                f"{name} cannot compute a batch of {len(members)} rows: {first_line(error)}",
                fix="Use the tokenizer and configuration it was trained with, or another model.",
            ) from error

    return compute


def _buckets(layout: Layout, lengths: NDArray[np.int64]) -> list[_Bucket]:
    kinds, inverse = np.unique(lengths, return_inverse=True)
    shapes = [layout.shape(int(kind)) for kind in kinds]
    names = sorted(set(shapes), key=lambda shape: (-shape[-1], shape))
    number = np.array([names.index(shape) for shape in shapes], dtype=np.int64)[inverse] if len(lengths) else np.zeros(0, np.int64)
    return [_Bucket(shape, np.flatnonzero(number == position)) for position, shape in enumerate(names)]


def _halved(layout: Layout, bucket: _Bucket, lengths: NDArray[np.int64], state: _State) -> list[_Bucket]:
    """What becomes of a bucket that the memory did not hold."""
    shapes: dict[Shape, list[int]] = {}
    for member in bucket.members[~state.refused[bucket.members]].tolist():
        shapes.setdefault(layout.smaller(bucket.shape, int(lengths[member])) or bucket.shape, []).append(member)
    return [
        _Bucket(shape, np.array(members, dtype=np.int64), planned=bucket.planned and shape == bucket.shape)
        for shape, members in sorted(shapes.items(), key=lambda item: -item[0][-1])
    ]


def _from_cache(bucket: _Bucket, cache: RowCache, state: _State) -> _Bucket:
    known, results = cache.read(bucket.members, bucket.shape)
    state.results[bucket.members[known]] = results[known]
    return replace(bucket, members=bucket.members[~known])


def out_of_memory(error: BaseException) -> bool:
    """Whether an error means that memory ran out, on a GPU or on the CPU."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(
        sign in text for sign in ("out of memory", "can't allocate memory", "CUBLAS_STATUS_ALLOC_FAILED", "not enough memory")
    )


def free_memory() -> None:
    """Give back what allocators hold for nothing: the GPU's, and glibc's, whose share grows with every model that is loaded and let go."""
    import sys

    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    if (trim := _malloc_trim()) is not None:
        trim(0)


@cache
def _malloc_trim() -> Callable[[int], int] | None:
    """glibc's function that gives free pages back; None where the C library has none."""
    import ctypes

    try:
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None


def packed(lengths: NDArray[np.int64], slots: int, most: int = 1 << 30) -> Iterator[list[int]]:
    """Rows of each batch: the longest left, then always the longest that still fits. Longest first, equals together."""
    order = np.argsort(lengths, kind="stable")
    kinds, first = np.unique(lengths[order], return_index=True)
    left = [members.tolist()[::-1] for members in np.split(order, first[1:])] if len(order) else []
    widths: list[int] = kinds.tolist()
    while widths:
        room, members = slots, list[int]()
        while len(members) < most and (kind := bisect_right(widths, room) - 1) >= 0:
            members.append(left[kind].pop())
            room -= widths[kind]
            if not left[kind]:
                del widths[kind], left[kind]
        if not members:
            raise ValueError(f"Rows hold 1 to {slots} tokens; found {widths[-1]}.")
        yield members


def mask(lengths: NDArray[np.int64], width: int) -> NDArray[np.int64]:
    """1 where a token stands, 0 where padding does, (b, width)."""
    present: NDArray[Any] = (np.arange(width)[None, :] < lengths[:, None]).astype(np.int64)
    return present
