"""Batches of fixed shapes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.models.runner import Packed, Padded, Ragged, _malloc_trim, packed, run
from tests import tiny


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), max_size=60), st.sampled_from([64, 512, 1024]))
def test_a_batch_has_the_shape_of_its_bucket_whatever_is_in_it(lengths: list[int], tokens: int) -> None:
    layout = Padded(tokens)
    seen: list[tuple[int, int]] = []

    def forward(ids: np.ndarray, here: np.ndarray, members: np.ndarray) -> np.ndarray:
        seen.append(ids.shape)
        assert all(layout.shape(lengths[member]) == ids.shape for member in members)
        assert (here < ids.shape[1]).all()
        return np.array([row[:n].sum() for row, n in zip(ids, here, strict=True)], dtype=np.float32)

    rows = [np.full(length, number + 1, dtype=np.int32) for number, length in enumerate(lengths)]
    found, refused, report = run(Ragged.of(rows), [forward], layout)
    assert not refused.any() and found.tolist() == [float(row.sum()) for row in rows]
    assert [width for _, width in seen] == sorted((width for _, width in seen), reverse=True)
    assert (report.rows, report.batches, report.tokens) == (len(rows), len(seen), sum(lengths))
    assert report.slots == sum(rows_ * width for rows_, width in seen)


def test_progress_ends_at_the_number_of_rows() -> None:
    told: list[tuple[int, int]] = []
    rows = [np.ones(length, dtype=np.int32) for length in (3, 90, 250)]
    run(
        Ragged.of(rows),
        [lambda ids, here, members: np.zeros(len(ids), dtype=np.float32)],
        Padded(),
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (3, 3) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_row_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="Rows hold"):
        run(Ragged.of([[]]), [lambda ids, here, members: np.zeros(1, dtype=np.float32)], Padded())


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(1, 64), max_size=80), st.sampled_from([64, 100, 256]))
def test_packed_batches_hold_every_row_once_and_waste_no_room_that_a_row_could_fill(lengths: list[int], slots: int) -> None:
    batches = list(packed(np.array(lengths, dtype=np.int64), slots))
    assert sorted(row for members in batches for row in members) == list(range(len(lengths)))
    for number, members in enumerate(batches):
        taken = [lengths[row] for row in members]
        assert sum(taken) <= slots and taken == sorted(taken, reverse=True)
        later = [lengths[row] for others in batches[number + 1 :] for row in others]
        assert not later or min(later) > slots - sum(taken)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 64), max_size=60), st.integers(1, 3))
def test_packed_results_come_back_in_the_order_of_the_rows(lengths: list[int], workers: int) -> None:
    def forward(ids: np.ndarray, here: np.ndarray, members: np.ndarray) -> np.ndarray:
        assert len(ids) == 64 and (ids[here.sum() :] == 9).all()
        return np.array([part.sum() for part in np.split(ids, np.cumsum(here))[:-1]], dtype=np.float32)

    told: list[tuple[int, int]] = []
    rows = [np.full(length, number + 1, dtype=np.int32) for number, length in enumerate(lengths)]
    found, _, report = run(Ragged.of(rows), [forward] * workers, Packed(64), pad_id=9, progress=lambda *done: told.append(done))
    assert found.tolist() == [float(row.sum()) for row in rows]
    assert report.tokens == sum(lengths) and report.slots == 64 * report.batches
    assert not rows or told[-1] == (len(rows), len(rows))


def test_after_an_error_no_further_packed_batch_is_begun() -> None:
    begun: list[int] = []

    def forward(ids: np.ndarray, here: np.ndarray, members: np.ndarray) -> np.ndarray:
        begun.append(1)
        raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        run(Ragged.of([np.ones(60, dtype=np.int32)] * 500), [forward], Packed(64))
    assert len(begun) == 1


def test_a_row_longer_than_a_packed_batch_gets_one_that_holds_it() -> None:
    seen: list[int] = []

    def forward(ids: np.ndarray, here: np.ndarray, members: np.ndarray) -> np.ndarray:
        seen.append(len(ids))
        return here.astype(np.float32)

    found, _, _ = run(Ragged.of([np.ones(n, dtype=np.int32) for n in (300, 10, 65)]), [forward], Packed(64))
    assert found.tolist() == [300, 10, 65] and seen == [512, 128, 64]


class Limited:
    """A model that runs out of memory on batches of more than so many tokens."""

    def __init__(self, tokens: int, error: Exception) -> None:
        self.tokens = tokens
        self.error = error
        self.shapes: list[tuple[int, ...]] = []

    def __call__(self, ids: np.ndarray, here: np.ndarray, members: np.ndarray) -> np.ndarray:
        if ids.size > self.tokens:
            raise self.error
        self.shapes.append(ids.shape)
        # Sensitive to the shape, as real matrix products are.
        return (here[: len(members)] + ids.size / 1e6).astype(np.float32)


OUT = [
    MemoryError(),
    RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate"),
    type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory."),
]


@pytest.mark.parametrize("error", OUT)
@pytest.mark.parametrize("layout", [Padded(1024), Packed(1024)])
def test_out_of_memory_halves_the_batch_and_ends_like_a_run_that_was_planned_smaller(error: Exception, layout: Padded | Packed) -> None:
    lengths = [3, 90, 250, 100, 7, 240, 30] * 5
    rows = Ragged.of([np.ones(length, dtype=np.int32) for length in lengths])
    model = Limited(300, error)
    found, refused, report = run(rows, [model], layout)
    assert not refused.any() and report.reduced == len(lengths)
    assert [int(value) for value in found] == lengths
    smaller = run(rows, [Limited(1 << 30, error)], type(layout)(256))[0]
    if isinstance(layout, Packed):
        assert found.tolist() == smaller.tolist()
    shapes: dict[int, set[tuple[int, ...]]] = {}
    for length, value in zip(lengths, found.tolist(), strict=True):
        shapes.setdefault(length, set()).add((round((value - int(value)) * 1e6),))
    assert all(len(each) == 1 for each in shapes.values()), "rows of one length were computed in several shapes"


@pytest.mark.parametrize("layout", [Padded(1024), Packed(1024)])
def test_a_row_that_fits_alone_into_no_memory_is_refused_and_the_others_are_not(layout: Padded | Packed) -> None:
    lengths = [3, 900, 250, 100, 2000, 240, 30]
    found, refused, report = run(Ragged.of([np.ones(n, dtype=np.int32) for n in lengths]), [Limited(400, MemoryError())], layout)
    assert refused.tolist() == [False, True, False, False, True, False, False] and report.refused == 2
    assert [int(value) for value in found] == [3, 0, 250, 100, 0, 240, 30]


class Namespace:
    """A cache by shape."""

    def __init__(self) -> None:
        self.kept: dict[tuple[int, tuple[int, ...] | None], float] = {}

    def write(self, members: np.ndarray, results: np.ndarray, shape: tuple[int, ...] | None) -> None:
        self.kept.update({(member, shape): value for member, value in zip(members.tolist(), results.tolist(), strict=True)})

    def read(self, members: np.ndarray, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
        known = [self.kept.get((member, shape)) for member in members.tolist()]
        return np.array([value is not None for value in known]), np.array([value or 0.0 for value in known], dtype=np.float32)


def test_a_smaller_shape_enters_what_is_kept_and_is_recalled_from_there() -> None:
    rows = Ragged.of([np.ones(n, dtype=np.int32) for n in (250, 240, 100, 30)])
    namespace = Namespace()
    first = run(rows, [Limited(300, MemoryError())], Packed(1024), cache=namespace)[0]
    assert {shape for _, shape in namespace.kept} == {(256,)}
    second = Limited(300, MemoryError())
    assert run(rows, [second], Packed(1024), cache=namespace)[0].tolist() == first.tolist()
    assert not second.shapes


def test_tokens_come_back_in_one_buffer_in_the_order_of_the_texts(tmp_path: Path) -> None:
    made = tiny.tokenizer(tmp_path, ["<pad>"])
    texts = ["boil an egg", "", "the capital of france is paris"] * 700
    rows = Ragged.tokenized(made, texts)
    assert len(rows) == len(texts) and rows.ids.dtype == np.int32
    assert [rows[at].tolist() for at in range(3)] == [made.encode(text).ids for text in texts[:3]]
    assert rows[len(texts) - 1].tolist() == made.encode(texts[-1]).ids


@pytest.mark.skipif(_malloc_trim() is None, reason="the C library gives nothing back")
def test_memory_that_is_let_go_is_given_back() -> None:
    """Of a process that loads one model after another the C library keeps more and more."""
    child = """
import os, sys
import numpy as np
from instructsel.models.runner import free_memory

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

# Too small to be mapped by themselves; the last one keeps the others from the end of the heap.
arrays = [np.ones(10_000) for _ in range(2_000)]
before = resident()
del arrays[:-1]
free_memory()
sys.exit(not before - resident() > 100_000_000)
"""
    assert subprocess.run([sys.executable, "-c", child], check=False).returncode == 0
