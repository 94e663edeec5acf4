"""Plain data of others: what fits, what does not, and that a reader refuses with its own error, naming file and field."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Literal, Required, TypedDict

import polars as pl
import pytest

from instructsel.errors import ScoresError
from instructsel.shapes import MAX_DEPTH, Between, Count, Misfit, PathName, checked
from instructsel.structured import Refusal, parse_json, read_json, read_toml
from instructsel.tables import FLAG, NUMBER, NUMBER_OR_NULL, TEXT, TEXT_OR_NULL, WHOLE, checked_columns, parsed_parquet

REFUSAL = Refusal(ScoresError, "Write it again.", "a result")


class Inner(TypedDict, total=False):
    value: Required[float | None]
    note: str


class Outer(TypedDict, total=False):
    kind: Required[Literal["outer"]]
    parts: Required[dict[str, list[Inner]]]
    pair: tuple[int, int] | None
    file: PathName


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "value",
    [
        {"kind": "outer", "parts": {}},
        {
            "kind": "outer",
            "parts": {"a": [{"value": 1}, {"value": None, "note": "x"}]},
            "pair": [1, 2],
            "file": "a/b",
            "unknown": nested(9),
        },
        {"kind": "outer", "parts": {"a": []}, "pair": None},
    ],
)
def test_what_fits_comes_back_as_it_is(value: Any) -> None:
    assert checked(value, Outer) is value


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([], r"its content should be an object; found a list"),
        ({"kind": "outer"}, r"its content lacks the key parts"),
        ({"kind": "other", "parts": {}}, r'kind should be "outer"; found "other"'),
        ({"kind": "outer", "parts": {"a": [{}]}}, r"parts\.a\[0\] lacks the key value"),
        ({"kind": "outer", "parts": {"a": [{"value": True}]}}, r"parts\.a\[0\]\.value should be a finite number or null; found true"),
        ({"kind": "outer", "parts": {"a": [{"value": float("nan")}]}}, r"value should be a finite number or null; found nan"),
        ({"kind": "outer", "parts": {"a": [{"value": 1, "note": 3}]}}, r"parts\.a\[0\]\.note should be text; found 3"),
        ({"kind": "outer", "parts": {}, "pair": [1, 2, 3]}, r"pair should be a list of 2|pair should be a list or null"),
        ({"kind": "outer", "parts": {}, "file": "a\0b"}, r"file should be a path that a file system can have"),
        ({"kind": "outer", "parts": {}, "file": "a" * 300}, r"file should be a path that a file system can have"),
        ({"kind": "outer", "parts": {}, "x": nested(MAX_DEPTH + 1)}, r"nested 64 deep at most"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(value: Any, message: str) -> None:
    with pytest.raises(Misfit, match=message):
        checked(value, Outer)


@pytest.mark.parametrize(("value", "shape"), [(2**63, int), (-1, Count), (1.5, int), (True, int), (3, Between), ("1", float)])
def test_a_number_of_another_kind_is_no_number_of_this_one(value: Any, shape: Any) -> None:
    with pytest.raises((Misfit, KeyError)):
        checked(value, shape)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[" * 100_000, b'{"a": 1e999}', b"\xff\xfe", b'{"a": ' + b"9" * 5_000 + b"}", json.dumps(nested(500)).encode()]
)
def test_a_file_that_is_no_json_is_refused_by_the_readers_own_error(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(content)
    with pytest.raises(ScoresError, match=r"result\.json is not a result: .* Write it again\."):
        read_json(path, Any, REFUSAL)


@pytest.mark.parametrize("content", ["a =", "a = " + "[" * 2_000, "a = " + "9" * 5_000, "[" + ".".join(["a"] * 300) + "]"])
def test_a_file_that_is_no_toml_is_refused_by_the_readers_own_error(content: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    path.write_text(content)
    with pytest.raises(ScoresError, match=r"plan\.toml is not a result: "):
        read_toml(path, dict[str, Any], REFUSAL)


def test_a_path_that_leads_to_no_file_is_refused_by_the_readers_own_error(tmp_path: Path) -> None:
    loop, pipe = tmp_path / "loop", tmp_path / "pipe"
    loop.symlink_to(loop)
    os.mkfifo(pipe)
    for path in (tmp_path, tmp_path / "absent", tmp_path / ("a" * 300), tmp_path / "a\0b", loop, pipe, Path("/dev/zero"), "\ud800"):
        with pytest.raises(ScoresError):
            read_json(path, Any, REFUSAL)
    assert read_json(tmp_path / "absent", Any, REFUSAL, missing=None) is None


def test_not_a_number_is_read_where_another_program_writes_it() -> None:
    assert parse_json(b'{"a": NaN}', dict[str, Any], "results.json", REFUSAL, loads=json.loads)["a"] != 0
    with pytest.raises(ScoresError, match="a should be a finite number"):
        parse_json(b'{"a": NaN}', dict[str, float], "results.json", REFUSAL, loads=json.loads)


def test_columns_come_back_in_their_types() -> None:
    frame = pl.DataFrame(
        {"a": ["x", None], "b": [1, 2], "c": [True, False], "d": [None, None], "e": [1, 2]}, schema_overrides={"b": pl.Int8}
    )
    typed = checked_columns(frame, {"a": TEXT_OR_NULL, "b": WHOLE, "c": FLAG, "d": NUMBER_OR_NULL, "e": NUMBER}, "t.parquet", REFUSAL)
    assert typed.dtypes == [pl.String, pl.Int64, pl.Boolean, pl.Float64, pl.Float64]


@pytest.mark.parametrize(
    ("column", "kind", "message"),
    [
        ([1], TEXT, "its column x should hold text; found Int64"),
        ([None], TEXT, "its column x should hold text; found 1 nulls"),
        ([1.5], WHOLE, "should hold whole numbers; found Float64"),
        ([float("inf")], NUMBER, "should hold finite numbers; found NaN or infinity"),
        ([1], FLAG, "should hold true or false; found Int64"),
        ([[1]], NUMBER_OR_NULL, "should hold finite numbers; found List"),
        (pl.Series([2**64 - 1], dtype=pl.UInt64), WHOLE, "of 64 bits"),
    ],
)
def test_a_column_of_another_type_is_named(column: Any, kind: Any, message: str) -> None:
    with pytest.raises(ScoresError, match=message):
        checked_columns(pl.DataFrame({"x": column}), {"x": kind}, "t.parquet", REFUSAL)
    with pytest.raises(ScoresError, match="it has no column y"):
        checked_columns(pl.DataFrame({"x": column}), {"y": kind}, "t.parquet", REFUSAL)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + b"\xff" * 64 + b"PAR1"])
def test_bytes_that_are_no_parquet_are_refused(data: bytes) -> None:
    with pytest.raises(ScoresError, match=r"t\.parquet is not a result"):
        parsed_parquet(data, "t.parquet", REFUSAL)
