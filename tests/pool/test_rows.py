"""The row that an example stands in: its fields, and its bytes."""

from __future__ import annotations

import concurrent.futures
import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any, Final

import polars as pl
import pytest

from instructsel import Pool
from instructsel.errors import PoolError, UnknownExample, UsageError
from instructsel.pool.opaque import Opaque

ROWS: Final = [{"instruction": f"Say {n}.", "input": "", "output": f"It is {n}.", "licence": "CC0", "note": f"é {n}"} for n in range(5)]


def lines() -> bytes:
    return b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in ROWS)


def as_csv() -> bytes:
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(ROWS[0]))
    writer.writeheader()
    writer.writerows(ROWS)
    return out.getvalue().encode()


def saved(folder: Path, name: str) -> Path:
    path = folder / name
    if name.endswith(".parquet"):
        pl.DataFrame(ROWS).write_parquet(path)
        return path
    contents = {
        "pool.jsonl": lines,
        "pool.jsonl.gz": lambda: gzip.compress(lines()),
        "pool.json": lambda: json.dumps(ROWS, indent=1).encode(),
        "pool.csv": as_csv,
    }
    path.write_bytes(contents[name]())
    return path


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.jsonl.gz", "pool.json", "pool.csv", "pool.parquet"])
def test_a_row_has_all_its_fields_whatever_file_it_stands_in(name: str, tmp_path: Path) -> None:
    pool = Pool.read(saved(tmp_path, name))
    assert sorted((pool.row(position) for position in range(5)), key=str) == sorted(ROWS, key=str)
    assert [pool.row(name) for name in pool.ids] == [pool.row(position) for position in range(5)]
    assert pool.row("line:2" if name != "pool.csv" else "line:3")["instruction"].startswith("Say ")
    for position in range(5):
        if name != "pool.csv":
            assert json.loads(pool.raw(position)) == pool.row(position)
        assert pool.raw(position) == pool.raw(pool.ids[position])


def test_the_bytes_of_a_row_are_those_of_the_file(tmp_path: Path) -> None:
    pool = Pool.read(saved(tmp_path, "pool.jsonl"))
    content = (tmp_path / "pool.jsonl").read_bytes().splitlines()
    assert sorted(pool.raw(position) for position in range(5)) == sorted(content)
    assert pool.raw("pool.jsonl:3") == content[2]


def test_an_example_of_several_rows_has_the_row_of_its_response_and_the_bytes_of_all(tmp_path: Path) -> None:
    turns = [
        {"message_id": "a", "parent_id": None, "role": "prompter", "text": "Tide in Brest?", "lang": "en"},
        {"message_id": "b", "parent_id": "a", "role": "assistant", "text": "5.1 metres.", "lang": "en"},
    ]
    (tmp_path / "tree.jsonl").write_text("".join(json.dumps(turn) + "\n" for turn in turns))
    pool = Pool.read(tmp_path / "tree.jsonl")
    assert pool.row(0) == turns[1]
    assert pool.raw(0) == (tmp_path / "tree.jsonl").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("name", ["pool.jsonl", "pool.jsonl.gz", "pool.csv"])
def test_threads_read_a_pool_at_once(name: str, tmp_path: Path) -> None:
    pool = Pool.read(saved(tmp_path, name))
    expected = [pool.raw(position) for position in range(5)]

    def read(_: int) -> bool:
        return all([pool.raw(position) for position in range(5)] == expected for _ in range(50))

    with concurrent.futures.ThreadPoolExecutor(8) as threads:
        assert all(threads.map(read, range(8)))


@pytest.mark.parametrize("place", [5, -6, "0" * 32, "pool.jsonl:99", "other.jsonl:1"])
def test_a_row_that_is_not_there_is_refused(place: Any, tmp_path: Path) -> None:
    pool = Pool.read(saved(tmp_path, "pool.jsonl"))
    for verb in (pool.row, pool.raw):
        with pytest.raises(UnknownExample):
            verb(place)


def test_a_row_of_a_file_that_has_changed_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path, "pool.jsonl")
    pool = Pool.read(path)
    path.write_bytes(path.read_bytes().replace(b"It", b"AT"))
    for verb in (pool.row, pool.raw):
        with pytest.raises(PoolError, match="has changed"):
            verb(0)


def test_bytes_in_a_row_of_parquet_are_named_and_not_written(tmp_path: Path) -> None:
    pl.DataFrame([{**ROWS[0], "thumbnail": b"\x00\xff"}]).write_parquet(tmp_path / "pool.parquet")
    pool = Pool.read(tmp_path / "pool.parquet")
    assert isinstance(pool.row(0)["thumbnail"], Opaque)
    with pytest.raises(UsageError, match="thumbnail"):
        pool.raw(0)


@pytest.mark.parametrize("to", [None, "messages"])
def test_a_pool_is_not_written_over_its_own_file(to: str | None, tmp_path: Path) -> None:
    path = saved(tmp_path, "pool.jsonl")
    content = path.read_bytes()
    pool = Pool.read(path)
    with pytest.raises(UsageError, match="is a file of the pool"):
        pool.write(path, to=to)
    assert path.read_bytes() == content
    # The name of rows in memory is no file.
    Pool.of(ROWS, name=str(path)).write(tmp_path / "out.jsonl")
    Pool.of(ROWS, name="pool.jsonl").write(path)
    assert sorted(path.read_bytes().splitlines()) == sorted(
        json.dumps(row, ensure_ascii=False, separators=(",", ":")).encode() for row in ROWS
    )
