"""Batches of fixed shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.models.runner import Plan, packed, run, run_packed


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 300), max_size=60), st.sampled_from([64, 512, 1024]))
def test_a_batch_has_the_shape_of_its_bucket_whatever_is_in_it(lengths: list[int], tokens: int) -> None:
    plan = Plan(tokens=tokens)
    seen: list[tuple[int, int]] = []

    def forward(ids: np.ndarray, here: np.ndarray) -> np.ndarray:
        seen.append(ids.shape)
        assert ids.shape == (plan.rows(ids.shape[1]), ids.shape[1])
        assert (here < ids.shape[1]).all()
        return np.array([row[:n].sum() for row, n in zip(ids, here, strict=True)], dtype=np.float32)

    rows = [np.full(length, number + 1, dtype=np.int32) for number, length in enumerate(lengths)]
    found, report = run(rows, forward, plan=plan, pad_id=0)
    assert found.tolist() == [float(row.sum()) for row in rows]
    assert [width for _, width in seen] == sorted((width for _, width in seen), reverse=True)
    assert (report.rows, report.batches, report.tokens) == (len(rows), len(seen), sum(lengths))
    assert report.slots == sum(rows_ * width for rows_, width in seen)


def test_progress_ends_at_the_number_of_rows() -> None:
    told: list[tuple[int, int]] = []
    rows = [np.ones(length, dtype=np.int32) for length in (3, 90, 250)]
    run(
        rows,
        lambda ids, here: np.zeros(len(ids), dtype=np.float32),
        plan=Plan(),
        pad_id=0,
        progress=lambda done, total: told.append((done, total)),
    )
    assert told[-1] == (3, 3) and [done for done, _ in told] == sorted(done for done, _ in told)


def test_a_row_without_tokens_is_refused() -> None:
    with pytest.raises(ValueError, match="Rows hold"):
        run([np.zeros(0, dtype=np.int32)], lambda ids, here: np.zeros(1, dtype=np.float32), plan=Plan(), pad_id=0)


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
    def forward(ids: np.ndarray, here: np.ndarray) -> np.ndarray:
        assert len(ids) == 64 and (ids[here.sum() :] == 9).all()
        return np.array([part.sum() for part in np.split(ids, np.cumsum(here))[:-1]], dtype=np.float32)

    told: list[tuple[int, int]] = []
    rows = [np.full(length, number + 1, dtype=np.int32) for number, length in enumerate(lengths)]
    found, report = run_packed(rows, forward, slots=64, pad_id=9, workers=workers, progress=lambda *done: told.append(done))
    assert found.tolist() == [float(row.sum()) for row in rows]
    assert report.tokens == sum(lengths) and report.slots == 64 * report.batches == 64 * len(told)
    assert not rows or told[-1] == (len(rows), len(rows))


def test_after_an_error_no_further_packed_batch_is_begun() -> None:
    begun: list[int] = []

    def forward(ids: np.ndarray, here: np.ndarray) -> np.ndarray:
        begun.append(1)
        raise MemoryError

    with pytest.raises(MemoryError):
        run_packed([np.ones(60, dtype=np.int32)] * 500, forward, slots=64)
    assert len(begun) < 500


@pytest.mark.parametrize("length", [0, 65])
def test_a_row_that_no_packed_batch_can_hold_is_refused(length: int) -> None:
    with pytest.raises(ValueError, match="Rows hold 1 to 64"):
        run_packed([np.ones(length, dtype=np.int32)], lambda ids, here: np.zeros(1, dtype=np.float32), slots=64)
