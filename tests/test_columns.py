"""Columns of few bytes: the same table as a frame, the same files, and how many bytes a row takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from instructsel import LinearRule, Pool, ScoreTable, columns, score, select
from instructsel.columns import Coded, Columns, Numbers, Plain, Scattered, held_columns
from instructsel.errors import ScoresError
from instructsel.pool.ids import Ids
from instructsel.scores import table as tables
from instructsel.selection.selection import Selection
from instructsel.tables import write_frame

RULE = LinearRule.from_dict({"name": "by length", "intercept": 1.0, "terms": [{"indicator": "len", "weight": -0.01}]})


@pytest.fixture(scope="module")
def pool() -> Pool:
    rows = [
        {"instruction": f"Say {i % 290}.", "output": " ".join(f"w{i % 290}x{n}" for n in range(i % 17)) + " end" * (i % 3)}
        for i in range(300)
    ]
    rows += [{"instruction": "Say nothing.", "output": ""}] * 2
    return Pool.of(rows)


def bytes_of(held: Columns, but: tuple[Any, ...] = ()) -> int:
    """Of the arrays of columns, each once, but for those that something else holds anyway."""
    arrays: dict[int, int] = {}
    for column in held.columns.values():
        assert not isinstance(column, Plain)
        arrays |= {id(value): value.nbytes for value in vars(column).values() if isinstance(value, np.ndarray)}
    return sum(size for key, size in arrays.items() if key not in map(id, but))


def test_a_table_of_columns_is_the_table_of_its_frame_and_is_written_with_the_same_bytes(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = score(pool, ["len", "len_in"])
    framed = ScoreTable(table.frame, table.manifest, table.spec)
    assert table.fingerprint == framed.fingerprint
    assert table.null_counts("len") == framed.null_counts("len") == {"empty_response": 8}
    assert table.reasons("len") == framed.reasons("len")
    assert table.null_fraction("len") == framed.null_fraction("len")
    for name, one in (("whole", framed), ("pieces", table)):
        monkeypatch.setattr(columns, "PIECE", 7 if name == "pieces" else 1000)
        for ending in ("parquet", "csv"):
            one.write(tmp_path / f"{name}.{ending}")
    for ending in ("parquet", "csv"):
        assert (tmp_path / f"whole.{ending}").read_bytes() == (tmp_path / f"pieces.{ending}").read_bytes()


def test_a_selection_of_columns_is_written_as_its_frame_is(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = select(pool, score(pool, "len"), RULE, budget=20)
    monkeypatch.setattr(columns, "PIECE", 11)
    kept = chosen.kept_ids
    write_frame(tmp_path / "columns.parquet", held_columns(chosen), chosen.manifest)
    write_frame(tmp_path / "frame.parquet", chosen.frame, chosen.manifest)
    assert (tmp_path / "columns.parquet").read_bytes() == (tmp_path / "frame.parquet").read_bytes()
    again = Selection.read(tmp_path / "columns.parquet")
    assert again.frame.equals(chosen.frame)
    assert again.kept_ids == kept
    assert len(kept) == 20


def test_a_row_of_a_score_table_takes_9_bytes_an_indicator_beside_its_pool(pool: Pool) -> None:
    held = held_columns(score(pool, ["len", "len_in"]))
    assert bytes_of(held, (pool.ids, pool.file_of, pool.line_of)) == 2 * 9 * len(pool)
    assert pool.line_of.nbytes == 4 * len(pool)


def test_a_row_of_a_selection_takes_10_bytes_and_its_scores_no_second_time(pool: Pool) -> None:
    chosen = select(pool, score(pool, "len"), RULE, budget=20)
    assert chosen.candidates is not None and chosen.candidates.prediction is not None
    prediction = chosen.candidates.prediction
    others = (pool.file_of, pool.line_of, chosen.candidates.eligible, prediction.values, *prediction.contributions.values())
    # Rank 4, whether there is none 1, kept 1, reason 1, the row that it repeats 4.
    assert bytes_of(held_columns(chosen), others) == 11 * len(pool)


def test_a_long_table_that_is_read_is_held_as_few_bytes(pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = score(pool, "len")
    table.write(tmp_path / "a.parquet")
    plain = ScoreTable.read(tmp_path / "a.parquet")
    monkeypatch.setattr(tables, "COMPACT", 10)
    compact = ScoreTable.read(tmp_path / "a.parquet")
    assert compact.has_ids(pool.ids) and plain.has_ids(pool.ids)
    assert compact.fingerprint == plain.fingerprint == table.fingerprint
    assert compact.frame.equals(plain.frame)
    assert {name: type(held_columns(compact)[name]).__name__ for name in ("id", "file", "len", "len_reason")} == {
        "id": "Names", "file": "Coded", "len": "Numbers", "len_reason": "Coded",
    }  # fmt: skip
    # Ids of somebody else stay texts.
    ScoreTable(plain.frame.with_columns(id=pl.format("row{}", pl.int_range(1000, 1000 + len(plain)))), plain.manifest).write(
        tmp_path / "b.parquet"
    )
    assert isinstance(held_columns(ScoreTable.read(tmp_path / "b.parquet"))["id"], Plain)


def test_ids_of_a_column_are_those_of_the_pool(pool: Pool) -> None:
    assert Ids.of(pool.ids.series()) == pool.ids
    for texts in (["x"], ["0" * 32 + ".01"], ["0" * 32 + ".5000000000"], ["A" * 32]):
        assert Ids.of(pl.Series(texts)) is None


def test_a_value_that_is_not_finite_is_refused_in_columns_too(pool: Pool) -> None:
    values = np.zeros(len(pool))
    values[3] = np.inf
    absent = np.zeros(len(pool), dtype=np.uint8)
    with pytest.raises(ScoresError, match="1 value that is NaN or infinite"):
        ScoreTable.of_pool(pool, {"len": (Numbers(values, absent), Coded(absent, (None,)))}, {}, spaces={})


def test_columns_give_any_of_their_rows() -> None:
    held = Columns(
        {
            "text": Coded(np.array([0, 1, 2, 1], dtype=np.uint16), (None, "a", "b")),
            "number": Numbers(np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 0, 1, 0])),
            "some": Scattered(np.array([5.0, 6.0]), np.array([1, 3]), np.array([0, 1, 0, 0])),
        }
    )
    whole = [(None, 1.0, None), ("a", 2.0, 5.0), ("b", None, None), ("a", 4.0, None)]
    for begin in range(5):
        for end in range(begin, 6):
            assert held.rows(slice(begin, end)).rows() == whole[begin:end]
    assert held.frame().rows() == whole
    assert Coded.of(pl.Series([None, "a", "b", "a"])).counts() == {"a": 2, "b": 1}
    assert list(held.rows(slice(0, 0)).schema.values()) == [pl.String, pl.Float64, pl.Float64]
