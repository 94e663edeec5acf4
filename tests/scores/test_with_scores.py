"""Rows with their scores: the fields as they were, ours behind them, and no field lost to a name that is taken."""

from __future__ import annotations

import csv
import gzip
import json
from pathlib import Path

import polars as pl
import pytest

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.scores.run import score
from instructsel.scores.with_scores import check_ending, write_with_scores

LINES = [
    b'{"instruction": "One?",  "output": "An answer.", "tags": ["a", 1], "n": 1.50}',
    b"broken",
    b'{"output": "", "instruction": "Two?", "n": 12345678901234567890}',
    b'{"instruction": "Three?", "output": "=1+1"}',
]


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b"\n".join(LINES) + b"\n")
    return Pool.read(path)


def test_json_lines_keep_the_bytes_of_every_row_and_the_order_of_the_file(pool: Pool, tmp_path: Path) -> None:
    table = score(pool, ["len", "mtld"])
    assert write_with_scores(pool, table, tmp_path / "out.jsonl") == 3
    lines = (tmp_path / "out.jsonl").read_bytes().splitlines()
    for line, original in zip(lines, [LINES[0], LINES[2], LINES[3]], strict=True):
        assert line.startswith(original[:-1] + b',"instructsel_id":')
    rows = [json.loads(line) for line in lines]
    for row in rows:
        position = pool.position(row["instructsel_id"])
        assert row["instructsel_len"] == table.frame["len"][position]
        assert row["instructsel_len_reason"] == table.frame["len_reason"][position]
    assert rows[1]["instructsel_len"] is None and rows[1]["instructsel_len_reason"] == "empty_response"


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_csv_has_every_field_of_any_row_and_runs_no_formula(pool: Pool, tmp_path: Path, name: str) -> None:
    write_with_scores(pool, score(pool, ["len"]), tmp_path / name)
    data = (tmp_path / name).read_bytes()
    rows = list(csv.DictReader((gzip.decompress(data) if name.endswith(".gz") else data).decode().splitlines()))
    assert list(rows[0]) == ["instruction", "output", "tags", "n", "instructsel_id", "instructsel_len", "instructsel_len_reason"]
    assert (rows[0]["tags"], rows[0]["instructsel_len"], rows[1]["instructsel_len_reason"]) == ('["a",1]', "3.0", "empty_response")
    assert rows[2]["output"] == "'=1+1"


def test_parquet_keeps_the_columns_and_their_types(tmp_path: Path) -> None:
    frame = pl.DataFrame({"instruction": ["One?", "Two?"], "output": ["An answer.", None], "when": pl.Series([1, 2]).cast(pl.Date)})
    frame = frame.with_columns(output=pl.Series(["An answer.", "Another."]))
    frame.write_parquet(tmp_path / "pool.parquet")
    pool = Pool.read(tmp_path / "pool.parquet")
    table = score(pool, "len")
    write_with_scores(pool, table, tmp_path / "out.parquet")
    out = pl.read_parquet(tmp_path / "out.parquet")
    assert out.select(frame.columns).equals(frame)
    assert out["instructsel_len"].to_list() == [table.frame["len"][pool.position(name)] for name in out["instructsel_id"]]


def test_json_lines_become_parquet_where_their_fields_have_one_type(pool: Pool, tmp_path: Path) -> None:
    part = pool.take([name for name, line in zip(pool.ids, pool.places["line"], strict=True) if line != 1])
    write_with_scores(part, score(part, ["len"]), tmp_path / "out.parquet", positions=[1, 0])
    out = pl.read_parquet(tmp_path / "out.parquet")
    assert out["instructsel_id"].to_list() == part.ids[::-1] and out.schema["instructsel_len"] == pl.Float64


def test_a_field_of_the_same_name_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "pool.jsonl").write_text('{"instruction": "a", "output": "b", "instructsel_len": 7}\n')
    pool = Pool.read(tmp_path / "pool.jsonl")
    table = score(pool, ["len"])
    for name in ("out.jsonl", "out.csv", "out.parquet"):
        with pytest.raises(UsageError, match="has a field instructsel_len already"):
            write_with_scores(pool, table, tmp_path / name)
        assert not (tmp_path / name).exists()


def test_an_ending_of_no_known_form_is_refused() -> None:
    assert [check_ending(name) for name in ("a.jsonl", "a.CSV.gz", "a.parquet")] == [".jsonl", ".csv", ".parquet"]
    for name in ("a.json", "a", "a.parquet.gz", "a.txt"):
        with pytest.raises(UsageError, match="ends in none of"):
            check_ending(name)
