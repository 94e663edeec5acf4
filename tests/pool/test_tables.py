"""Pools as tables: polars, Arrow, datasets."""

from __future__ import annotations

from pathlib import Path

import pytest

from instructsel.pool.pool import Pool
from tests.conversations import pool_of


def drawn(tmp_path: Path) -> Pool:
    return pool_of(tmp_path / "pool.jsonl", 120, 5)


def test_a_frame_has_one_schema_and_is_read_again_as_the_same_conversations(tmp_path: Path) -> None:
    pool = drawn(tmp_path)
    frame = pool.to_polars()
    assert frame.schema == pool.at([0]).to_polars().schema and frame["id"].to_list() == pool.ids
    frame.write_parquet(tmp_path / "pool.parquet")
    again = set(Pool.read(tmp_path / "pool.parquet").ids)
    assert {example.id for example in pool.examples() if not any(turn.parts for turn in example.messages)} <= again
    assert len(again) == len(pool)
    assert pool.to_arrow().column_names == frame.columns and pool.to_arrow().num_rows == len(pool)


def test_a_data_set_has_the_turns_as_the_rows_have_them(tmp_path: Path) -> None:
    pytest.importorskip("datasets")
    pool = drawn(tmp_path)
    data = pool.to_hf()
    assert data.column_names == ["id", "source", "messages", "tools"]
    for row, example in zip(data, pool.examples(), strict=True):
        assert row["messages"] == [turn.as_row() for turn in example.messages]
        assert row["tools"] == (None if example.tools is None else example.tools.value)
    assert Pool.of(data).ids == pool.ids
