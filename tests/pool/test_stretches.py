"""A file that is read in stretches, by one process or several, gives what one process gives that reads it row by row."""

from __future__ import annotations

import gzip
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from instructsel import Pool, processes, score
from instructsel.errors import PoolError
from instructsel.indicators.base import Batch
from instructsel.pool import row_batches, stretches
from instructsel.pool.formats._base import Format
from instructsel.pool.formats.alpaca import Alpaca
from instructsel.pool.lines import Limits
from instructsel.scores import by_rows

COLUMNS = ("digests", "occurrences", "file_of", "row_of", "part_of", "raw_digests", "turns")
LIMITS = Limits(max_line_bytes=400, max_depth=8, max_turns=6)


def line(number: int) -> bytes:
    """A row of the file, whole or odd in one of many ways."""
    pair = {"instruction": f"Say {number % 40}: please.", "output": f"It is {number % 40}, \u00e9."}
    turns = [{"role": ("user", "assistant")[turn % 2], "content": f"{number} {turn}"} for turn in range(number % 9)]
    kinds: list[Any] = [
        pair,
        pair | {"input": "under it"},
        {"messages": turns},
        {"messages": [{"role": "wizard", "content": "?"}, {"role": "assistant", "content": "a"}]},
        pair | {"reasoning": "first this, then that"},
        pair | {"output": "x" * 900},
        pair | {"output": ""},
        [pair, pair | {"output": f"another {number}"}],
        pair | {"deep": [[[[[[[[[[number]]]]]]]]]]},
        pair | {"number": 12345678901234567890123},
        7,
    ]
    raw = json.dumps(kinds[number % len(kinds)]).encode()
    if number % 13 == 0:
        raw = (
            b"",
            b"  \t",
            b'{"instruction": "a", "instruction": "b", "output": "c"}',
            b"{broken",
            b"\xef\xbb\xbf" + raw,
            raw + raw,
            b"\xff",
        )[number // 13 % 7]
    return raw + (b"\r\n" if number % 5 == 0 else b"\n")


def same(pool: Pool, other: Pool) -> None:
    """Every column, every count, every row and every place."""
    for name in COLUMNS:
        np.testing.assert_array_equal(getattr(pool, name), getattr(other, name))
    assert pool.report == other.report
    for mine, theirs in zip(pool.files, other.files, strict=True):
        for name in ("lines", "offsets", "lengths", "digests"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(theirs, name))
        assert mine.content_fields == theirs.content_fields
    assert pool.fingerprint == other.fingerprint and pool.ids == other.ids


@pytest.fixture(params=["1", "2", "lost"])
def small(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stretches of some rows, read by one process, by two, or by one whose other process is lost."""
    monkeypatch.setenv(processes.PROCESSES, "2" if request.param == "lost" else request.param)
    if request.param == "lost":
        monkeypatch.setattr(processes, "_PROGRAM", "raise SystemExit({})")
    for module in (stretches, by_rows):
        monkeypatch.setattr(module, "LARGE", 0)
    monkeypatch.setattr(stretches, "STRETCH", 5_000)
    monkeypatch.setattr(row_batches, "BYTES", 5_000)


def alone(monkeypatch: pytest.MonkeyPatch, *paths: Path, **options: Any) -> Pool:
    """Files as they are read row by row."""
    with monkeypatch.context() as context:
        context.setattr(stretches, "LARGE", 1 << 40)
        return Pool.read(*paths, **options)


@pytest.mark.usefixtures("small")
def test_a_file_with_faults_has_the_same_account_in_stretches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + b"".join(map(line, range(600)))[:-1])
    pool = Pool.read(path, limits=LIMITS)
    same(pool, alone(monkeypatch, path, limits=LIMITS))
    assert {"line_too_long", "too_deep", "too_many_turns", "duplicate_key", "unknown_role", "not_an_object", "invalid_json"} <= set(
        pool.report.quarantined
    )
    assert pool.report.unknown_roles and pool.report.with_reasoning and "more than one object" in next(iter(pool.report.formats.values()))
    roles = Pool.read(path, limits=LIMITS, roles=["wizard=user"])
    same(roles, alone(monkeypatch, path, limits=LIMITS, roles=["wizard=user"]))
    assert len(roles) > len(pool)


@pytest.mark.parametrize("last", [b"", b"\n", b"\n\n"])
@pytest.mark.parametrize("size", [1, 2, 399, 400, 401, 402, 403, 5_000, 20_000])
def test_a_line_about_as_long_as_the_limit_or_a_stretch_is_one(size: int, last: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    from io import BytesIO

    from instructsel.pool.lines import read_lines

    data = b"{}\n" + b"x" * size + b"\n\n{}\n" + b"y" * size + last
    whole = [(row.line, row.offset, row.raw, row.length, str(row.fault), row.passed) for row in read_lines(BytesIO(data), LIMITS)]
    for length in (1, 2, 3, 100, 401, 402, 403, 6_000):
        monkeypatch.setattr(stretches, "STRETCH", length)
        rows: list[tuple[Any, ...]] = []
        for stretch in stretches.stretches(BytesIO(data), LIMITS):
            if stretch.overlong:
                found = [stretches._too_long(stretch, LIMITS)]
            else:
                found = list(read_lines(BytesIO(stretch.data), LIMITS, (stretch.offset, stretch.line)))
            rows += [(row.line, row.offset, row.raw, row.length, str(row.fault), row.passed) for row in found]
        assert rows == whole, length


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("late", [None, "sports", "chosen"])
def test_what_a_field_marks_as_not_wanted_is_told_from_the_whole_file(
    late: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chance = random.Random(5)
    rows = [{"prompt": f"p {n}", "completion": f"c {n % 90}", "label": chance.random() < 0.6} for n in range(500)]
    if late:
        rows[440] |= {"kto_tag": "false"}
        rows[450] |= {"label": late}
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(path)
    same(pool, alone(monkeypatch, path))
    assert (pool.report.dropped.get("undesirable", 0) > 100) is (late != "sports")
    same(Pool.read(path, undesirable="keep"), alone(monkeypatch, path, undesirable="keep"))
    classes = tmp_path / "classes.jsonl"
    classes.write_text("".join(json.dumps(row | {"completion": "yes" if row["label"] is True else "no"}) + "\n" for row in rows))
    same(Pool.read(classes), alone(monkeypatch, classes))


@pytest.mark.usefixtures("small")
def test_packed_and_columnar_files_and_several_files_are_read_in_stretches_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"instruction": f"i {n}", "output": f"o {n % 50}", "extra": None if n % 3 else n} for n in range(400)]
    packed, table, plain = tmp_path / "a.jsonl.gz", tmp_path / "b.parquet", tmp_path / "c.jsonl"
    packed.write_bytes(gzip.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    pl.DataFrame(rows).write_parquet(table)
    plain.write_bytes(b"".join(map(line, range(200))))
    paths = (packed, table, plain)
    told: list[tuple[int, int]] = []
    pool = Pool.read(*paths, progress=lambda done, total: told.append((done, total)))
    same(pool, alone(monkeypatch, *paths))
    assert told == sorted(told) and told[-1][0] == told[-1][1] and len(told) > 10
    memory = Pool.of(rows)
    monkeypatch.setattr(stretches, "LARGE", 1 << 40)
    same(memory, Pool.of(rows))


class Ours(Alpaca):
    """A format of a program, which no other process can import."""


@pytest.mark.usefixtures("small")
def test_a_format_of_a_program_is_read_by_that_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"i {n}", "output": f"o {n}"}) + "\n" for n in range(300)))
    form: Format = Ours()
    pool = Pool.read(path, format=form)
    same(pool, alone(monkeypatch, path, format=form))
    assert not by_rows.apart(pool, []) and score(pool, "len").values("len")[0].sum() > 0


@pytest.mark.usefixtures("small")
def test_values_are_those_of_the_examples_whatever_computes_them(tmp_path: Path) -> None:
    paths = [tmp_path / "a.jsonl", tmp_path / "b.csv"]
    paths[0].write_bytes(b"".join(map(line, range(500))))
    paths[1].write_text("instruction,output\n" + "".join(f'"i, {n}","o\n{n} {n % 7}"\n' for n in range(300)))
    for options in ({}, {"reasoning": "in"}):
        pool = Pool.read(*paths, **options)  # type: ignore[arg-type]
        table = score(pool, ["len", "mtld", "len_in"])
        for indicator in by_rows.apart(pool, [*_made()]):
            expected = indicator.score(Batch(tuple(pool.examples())))
            values = table.frame[indicator.symbol].to_list()
            assert values == list(expected.values)
        part = pool.at(np.arange(3, len(pool), 7))
        assert score(part, "mtld").frame["mtld"].to_list() == table.frame["mtld"].to_list()[3::7]


def _made() -> list[Any]:
    from instructsel.scores.run import make_all

    return make_all("len,mtld,len_in")


@pytest.mark.usefixtures("small")
def test_a_file_of_which_some_rows_are_read_is_scored(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"i {n}", "output": "o " * (n + 1)}) + "\n" for n in range(400)))
    pool = Pool.read(path, through=lambda source: replace(source, passes=lambda row: row.line % 2 == 0))
    expected = Batch(tuple(pool.examples()))
    assert score(pool, "len").frame["len"].to_list() == list(_made()[0].score(expected).values) and len(pool) == 200


@pytest.mark.usefixtures("small")
def test_a_file_that_changed_after_it_was_read_is_not_scored(tmp_path: Path) -> None:
    path = tmp_path / "pool.jsonl"
    rows = [{"instruction": f"i {n:03}", "output": f"o {n:03}"} for n in range(400)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    pool = Pool.read(path)
    data = path.read_bytes()
    for changed in (
        data.replace(b"o 333", b"o 334"),
        data[: len(data) // 2],
        data.replace(b'{"instruction": "i 200"', b'["instruction", "i 200"'),
    ):
        path.write_bytes(changed)
        with pytest.raises(PoolError, match="has changed since it was read"):
            score(pool, "len")
    path.write_bytes(data)
    assert len(score(pool, "len").frame) == 400
