"""Batches of fixed shapes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from instructsel.models.runner import Plan, run


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
