"""Whatever stands in a row in memory, the row is kept, dropped or quarantined, and nothing else happens."""

from __future__ import annotations

import collections
import copy
import datetime
import decimal
import enum
import random
import types
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from instructsel import Message, Pool, ToolCall
from instructsel.errors import InstructselError
from instructsel.pool.message import Json
from tests.message_maker import Maker

MANY: Final = 500


class Words(str):
    pass


class Choice(enum.Enum):
    ONE = "one"
    TWO = 2


class OneKey(Mapping[str, Any]):
    def __getitem__(self, key: str) -> Any:
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(["a"])

    def __len__(self) -> int:
        return 1


ENDLESS: Final[list[Any]] = []
ENDLESS.append(ENDLESS)
VALUES: Final[tuple[Any, ...]] = (
    None, True, 0, 2**64, -(2**70), 0.5, float("nan"), float("inf"), -0.0, "", "x", "\x00", "\ud800", "\U0010ffff", b"", b"abc", b"\xff", bytearray(b"x"), memoryview(b"x"),
    datetime.date(1, 1, 1), datetime.datetime(9999, 12, 31, tzinfo=datetime.UTC), datetime.time(1), datetime.timedelta(-1), decimal.Decimal("NaN"), 1j, object(),
    Choice.ONE, Choice.TWO, Words("s"), np.int8(1), np.float16(2), np.float64("nan"), np.float32("inf"), np.bool_(True), np.str_("n"), np.bytes_(b"b"),
    np.datetime64("NaT"), np.datetime64("2020"), np.timedelta64(1, "D"), np.array([]), np.array([1, 2]), np.array([{"role": "user"}], dtype=object), np.array(5),
    np.array([b"\xff"]), np.void(b"x"), np.longdouble(1) / 3, np.complex64(1), np.ma.masked, uuid.UUID(int=1), {1, 2}, frozenset(), range(3), (1, 2), collections.deque([1]),
    types.MappingProxyType({"a": 1}), collections.OrderedDict(a=1), OneKey(), ENDLESS, ENDLESS.append, type, ..., {"\0bytes": 1}, {"\0opaque": [1]}, {"\0odd": []},
    {"\0long": "x"}, {"\0\0odd": ["x"]}, {1: 2}, {None: 1}, {(1, 2): 3}, {b"x": 1}, {"a": 1, Words("a"): 2}, {float("nan"): 1}, {Choice.ONE: 1}, Message("user", "hi"),
    ToolCall("f"), Json.of([1]), Json("{broken", True), iter([1]), (number for number in [1]), pl.Series([1]),
)  # fmt: skip
"""Values of all kinds that Python holds."""


def forms(maker: Maker) -> tuple[Callable[[], dict[str, Any]], ...]:
    """Makers of rows of several formats."""
    return (
        maker.row,
        lambda: {"instruction": maker.full(), "input": maker.text(), "output": maker.full()},
        lambda: {"prompt": [{"role": "user", "content": maker.full()}], "completion": [maker.answer()]},
        lambda: {"conversations": [{"from": "human", "value": maker.text()}, {"from": "gpt", "value": maker.full()}]},
        lambda: {"question": maker.full(), "answer": maker.full(), "system": maker.text()},
        lambda: {"instruction": maker.full(), "instances": [{"input": maker.text(), "output": maker.full()}]},
    )


def poked(value: Any, rng: random.Random) -> Any:
    """A row with some of its values, and now and then a key, replaced."""
    if rng.random() < 0.12:
        return rng.choice(VALUES)
    if isinstance(value, dict):
        return {
            rng.choice((1, None, Words("k"), "\0odd", "")) if rng.random() < 0.02 else key: poked(item, rng) for key, item in value.items()
        }
    return [poked(item, rng) for item in value] if isinstance(value, list) else value


def check(seed: int, folder: Path) -> None:
    maker, rng = Maker(seed), random.Random(seed)
    make = rng.choice(forms(maker))
    rows = [*(make() for _ in range(10)), *(poked(make(), rng) for _ in range(20)), rng.choice(VALUES)]
    pool = Pool.of(rows)
    report = pool.report
    assert report.read == report.kept + report.n_dropped + report.n_quarantined, seed
    assert [example.text for example in pool.examples()] == [example.text for example in Pool.of(copy.copy(rows)).examples()], seed
    for place in range(len(pool)):
        pool.row(place)
    try:
        pool.write(folder / "rows.jsonl")
    except InstructselError:
        # Bytes, and other objects that JSON has no form for.
        pass
    else:
        again = Pool.read(folder / "rows.jsonl")
        assert (again.fingerprint, again.ids) == (pool.fingerprint, pool.ids), seed
    pool.write(folder / "messages.jsonl", to="messages")
    assert Pool.read(folder / "messages.jsonl").ids == pool.ids, seed


def test_rows_with_values_of_all_kinds_are_accounted_for_and_written_as_they_were_read(tmp_path: Path) -> None:
    for seed in range(40):
        check(seed, tmp_path)


@pytest.mark.soak
def test_many_rows_with_values_of_all_kinds_are_accounted_for(tmp_path: Path) -> None:
    for seed in range(1000, 1000 + MANY):
        check(seed, tmp_path)


@pytest.mark.parametrize("value", VALUES, ids=lambda value: type(value).__name__)
def test_a_row_that_is_no_object_is_accounted_for(value: Any) -> None:
    pool = Pool.of([value, *({"instruction": "a", "output": answer} for answer in "bcd")])
    assert pool.report.read == 4 and len(pool) == 3


def test_a_picture_is_known_by_the_type_of_its_column_whatever_that_is_called(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    pytest.importorskip("PIL")
    rows = [{"instruction": f"What is it, {number}?", "output": "A boat.", "photo": None} for number in range(3)]
    picture = {"bytes": b"\x89PNG\r\n", "path": None}
    rows[1]["photo"] = picture
    features = datasets.Features({"instruction": datasets.Value("string"), "output": datasets.Value("string"), "photo": datasets.Image()})
    data = datasets.Dataset.from_list(rows, features=features)
    data.to_parquet(tmp_path / "pool.parquet")
    sources = {
        "list": rows,
        "polars": pl.DataFrame(rows, schema_overrides={"photo": pl.Struct({"bytes": pl.Binary, "path": pl.String})}),
        "pandas": data.with_format("arrow")[:].to_pandas(),
        "pyarrow": data.with_format("arrow")[:],
        "datasets": data,
        "list of several": [{**row, "photo": [row["photo"]] if row["photo"] else []} for row in rows],
    }
    for kind, source in sources.items():
        pool = Pool.of(source)
        assert (len(pool), pool.report.quarantined) == (2, {"not_text": 1}), kind
    pool = Pool.read(tmp_path / "pool.parquet")
    assert (len(pool), pool.report.quarantined) == (2, {"not_text": 1})
    assert any("'photo' holds a picture" in str(fault) for fault in pool.report.quarantine)
