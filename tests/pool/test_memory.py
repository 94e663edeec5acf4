"""Rows in memory are the pool that a .jsonl of them is."""

from __future__ import annotations

import builtins
import datetime
import decimal
import json
import subprocess
import sys
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import polars as pl
import pytest

from instructsel import Message, Pool, SelectionSet, score, select
from instructsel.errors import PoolError, UsageError
from instructsel.pool.lines import Limits
from instructsel.scores.with_scores import write_with_scores
from instructsel.selection.files import find_pool

ROWS: Final[list[dict[str, Any]]] = [
    {"instruction": f"Say {number}.", "input": "" if number % 2 else "Now.", "output": f"It is {number}. " + "Yes. " * number}
    for number in range(12)
]
TOOLS: Final = [{"type": "function", "function": {"name": "tide", "parameters": {"type": "object", "default": None}}}]
CALLS: Final[list[dict[str, Any]]] = [
    {
        "messages": [
            {"role": "user", "content": "Tide in Brest?"},
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "tide", "arguments": {"port": "Brest"}}}],
            },
            {"role": "tool", "tool_call_id": "c1", "content": "5.1"},
            {"role": "assistant", "content": "5.1 m.", "reasoning_content": "In metres."},
        ]
    },
    {"messages": [{"role": "user", "content": "2?"}, {"role": "assistant", "content": "Two.", "weight": 1}]},
]


def written(folder: Path, rows: list[dict[str, Any]]) -> Pool:
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pool.read(folder / "rows.jsonl")


def from_pandas(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pandas").DataFrame(rows)


def from_arrow(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("pyarrow").Table.from_pylist(rows)


def from_datasets(rows: list[dict[str, Any]]) -> Any:
    return pytest.importorskip("datasets").Dataset.from_list(rows)


class Sequenced:
    """Rows by number, as a data set of PyTorch has them."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        self.rows = rows

    def __getitem__(self, number: int) -> dict[str, Any]:
        return self.rows[number]


KINDS: Final[dict[str, Callable[[list[dict[str, Any]]], Any]]] = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda rows: (dict(row) for row in rows),
    "rows by number": Sequenced,
    "polars": pl.DataFrame,
    "polars, lazy": lambda rows: pl.DataFrame(rows).lazy(),
    "pandas": from_pandas,
    "pandas from Arrow": lambda rows: from_arrow(rows).to_pandas(),
    "pyarrow": from_arrow,
    "pyarrow, batch": lambda rows: from_arrow(rows).to_batches()[0],
    "pyarrow, reader": lambda rows: from_arrow(rows).to_reader(max_chunksize=5),
    "datasets": from_datasets,
    "datasets, streamed": lambda rows: from_datasets(rows).to_iterable_dataset(),
    "datasets, shuffled": lambda rows: from_datasets(rows).shuffle(seed=1),
    "datasets, transformed": lambda rows: from_datasets(rows).with_transform(lambda batch: batch),
    "datasets, generated": lambda rows: pytest.importorskip("datasets").IterableDataset.from_generator(lambda: iter(rows)),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_the_ids_and_the_fingerprint_of_a_file(kind: str, tmp_path: Path) -> None:
    pool = Pool.of(KINDS[kind](ROWS))
    expected = written(tmp_path, ROWS)
    assert pool.ids == expected.ids and pool.sources == ["memory"] * len(ROWS)
    assert pool.report.counts() == expected.report.counts()
    pool.write(tmp_path / "again.jsonl")
    again = Pool.read(tmp_path / "again.jsonl")
    assert again.ids == pool.ids and again.fingerprint == pool.fingerprint
    assert Pool.of(KINDS[kind](ROWS)).fingerprint == pool.fingerprint


@pytest.mark.parametrize("kind", KINDS)
def test_calls_and_reasoning_are_those_of_the_rows_in_every_kind(kind: str, tmp_path: Path) -> None:
    expected = written(tmp_path, CALLS)
    pool = Pool.of(KINDS[kind](CALLS))
    assert pool.ids == expected.ids
    assert [example.messages for example in pool.examples()] == [example.messages for example in expected.examples()]


@pytest.mark.parametrize("kind", ["list", "polars", "pandas", "pyarrow", "datasets"])
def test_null_is_null_in_every_kind(kind: str, tmp_path: Path) -> None:
    rows = [{"prompt": "Say one.", "completion": "One."}, {"prompt": "Say two.", "completion": None}]
    pool, expected = Pool.of(KINDS[kind](rows)), written(tmp_path, rows)
    assert (pool.ids, pool.report.counts()) == (expected.ids, expected.report.counts())
    table = score(pool, "len")
    assert sorted(map(str, table.reasons("len"))) == ["None", "empty_response"]


def test_columns_of_json_texts_are_the_structures_that_they_stand_for(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    rows = [
        {**CALLS[0], "tools": TOOLS},
        {**CALLS[0], "tools": [{"type": "function", "function": {"name": "sun", "parameters": {"x": [1, "two", {"default": 2}]}}}]},
    ]
    data = datasets.Dataset.from_list(rows, on_mixed_types="use_json")
    expected = written(tmp_path, rows)
    assert Pool.of(data).ids == expected.ids
    assert Pool.of(data.data.table).ids == expected.ids
    assert Pool.of(pl.from_arrow(data.data.table)).ids == expected.ids


def test_examples_and_lists_of_messages_are_rows(tmp_path: Path) -> None:
    expected = written(tmp_path, CALLS)
    examples = list(expected.examples())
    assert Pool.of(examples).ids == expected.ids
    assert Pool.of([example.messages for example in examples]).ids == expected.ids
    assert Pool.of([{"messages": list(example.messages)} for example in examples]).ids == expected.ids
    assert Pool.of([[Message("user", "2?"), Message("assistant", "Two.")]]).ids[0] in expected.ids


def test_what_json_has_no_form_for_is_refused_where_it_is_read_and_of_no_matter_elsewhere(tmp_path: Path) -> None:
    odd: list[Any] = [
        datetime.date(2024, 1, 2),
        datetime.datetime(2024, 1, 2, 3),
        decimal.Decimal("1.50"),
        b"bytes",
        np.datetime64("2024-01-02"),
        float("inf"),
        np.float32("-inf"),
        1j,
        object(),
        {"inside": [datetime.timedelta(1)]},
    ]
    good = [{"instruction": "Say it.", "output": f"It {number}."} for number in range(len(odd))]
    pool = Pool.of([{**row, "extra": value} for row, value in zip(good, odd, strict=True)])
    assert pool.ids == written(tmp_path, good).ids and not pool.report.quarantined
    refused = Pool.of([*good, *({**row, "output": value} for row, value in zip(good, odd, strict=True))])
    assert refused.report.quarantined == {"not_text": len(odd)} and len(refused) == len(good)
    inside = Pool.of([*good, *({"instruction": value, "output": "It."} for value in odd)])
    assert inside.report.quarantined == {"not_text": len(odd)}


def test_a_date_in_the_arguments_of_a_call_is_refused_and_named() -> None:
    call = {"function": {"name": "tide", "arguments": {"day": datetime.date(2024, 1, 2)}}}
    turns = [{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": None, "tool_calls": [call]}]
    pool = Pool.of([*CALLS, {"messages": turns}])
    assert pool.report.quarantined == {"not_text": 1}
    assert "a date" in pool.report.quarantine[0].detail


def test_dates_are_written_as_texts_and_bytes_are_refused(tmp_path: Path) -> None:
    pool = Pool.of([{**ROWS[0], "day": datetime.date(2024, 1, 2), "price": decimal.Decimal("1.50")}])
    assert pool.row(0)["day"] == "2024-01-02" and pool.row(pool.ids[0])["price"] == "1.50"
    pool.write(tmp_path / "out.jsonl")
    again = Pool.read(tmp_path / "out.jsonl")
    assert again.row("line:1")["day"] == "2024-01-02" and again.fingerprint == pool.fingerprint
    packed = Pool.of([{**ROWS[0], "thumbnail": b"\x00\xff"}])
    with pytest.raises(UsageError, match="'thumbnail' holds 2 bytes"):
        packed.write(tmp_path / "image.jsonl")
    assert not (tmp_path / "image.jsonl").exists()
    with pytest.raises(UsageError, match="'thumbnail' holds 2 bytes"):
        packed.raw(0)
    packed.write(tmp_path / "image.jsonl", to="messages")
    assert Pool.read(tmp_path / "image.jsonl").ids == packed.ids


def test_numbers_of_other_libraries_are_numbers_and_nan_is_null() -> None:
    row = {
        **ROWS[0],
        "a": np.int64(3),
        "b": np.float32(0.5),
        "c": np.bool_(True),
        "d": float("nan"),
        "e": np.array([1, 2]),
        "f": np.str_("t"),
    }
    pool = Pool.of([row, {**ROWS[1], "a": 10**30, 7: "key", None: 1}])
    by_instruction = {row["instruction"]: row for row in map(pool.row, range(2))}
    first = by_instruction["Say 0."]
    assert [first[key] for key in "abcdef"] == [3, 0.5, True, None, [1, 2], "t"]
    assert by_instruction["Say 1."]["a"] == 10**30 and by_instruction["Say 1."]["7"] == "key" and by_instruction["Say 1."]["null"] == 1
    missing = Pool.of([{"prompt": "Say two.", "completion": float("nan")}, {"prompt": "Say one.", "completion": "One."}])
    assert missing.ids == Pool.of([{"prompt": "Say two.", "completion": None}, {"prompt": "Say one.", "completion": "One."}]).ids


def test_missing_cells_of_pandas_are_null() -> None:
    pandas = pytest.importorskip("pandas")
    rows = [{**ROWS[0], "n": 1, "when": pandas.Timestamp("2024-01-02")}, {**ROWS[1]}, {**ROWS[2], "n": pandas.NA, "when": pandas.NaT}]
    pool = Pool.of(pandas.DataFrame(rows))
    assert len(pool) == 3
    assert sorted(str(pool.row(place)["when"]) for place in range(3)) == ["2024-01-02T00:00:00", "None", "None"]
    assert sorted(str(pool.row(place)["n"]) for place in range(3)) == ["1", "None", "None"]


def test_halves_of_surrogate_pairs_and_rows_too_deep_or_too_long_are_counted_as_in_a_file(tmp_path: Path) -> None:
    deep: Any = "x"
    for _ in range(500):
        deep = [deep]
    endless: dict[str, Any] = {}
    endless["self"] = endless
    limits = Limits(max_line_bytes=5000)
    rows = [
        *ROWS,
        {**ROWS[0], "output": "\ud800"},
        {**ROWS[0], "deep": deep},
        {**ROWS[0], "deep": endless},
        {**ROWS[0], "output": "x" * 6000},
    ]
    pool = Pool.of([*rows, "text", 7, {**ROWS[1], "unread": "y" * 6000}], limits=limits)
    assert pool.report.quarantined == {"line_too_long": 1, "lone_surrogate": 1, "not_an_object": 2, "too_deep": 2}
    # Only what is read counts.
    assert len(pool) == len(ROWS) + 1
    with pytest.raises(PoolError, match="more than 300 bytes"):
        Pool.of(ROWS, limits=Limits(max_bytes=300))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("pool.jsonl", "not a path"),
        (Path("pool.jsonl"), "not a path"),
        (5, "not int"),
        (None, "not NoneType"),
        ({"instruction": "a", "output": "b"}, r"Pool\.of\(\[row\]\)"),
        ([], "no rows"),
        (pl.DataFrame({"instruction": [], "output": []}), "no rows"),
        ([1, 2], "no row is a JSON object"),
        ([{"a": "b"}], "no known format has the fields a"),
        ([{"instruction": "a"}], "no answers"),
    ],
)
def test_what_makes_no_pool_is_refused_with_a_way_out(rows: Any, message: str) -> None:
    with pytest.raises((UsageError, PoolError), match=message) as caught:
        Pool.of(rows)
    assert caught.value.fix


def test_a_dictionary_of_splits_is_refused_with_their_names() -> None:
    datasets = pytest.importorskip("datasets")
    splits = datasets.DatasetDict(train=from_datasets(ROWS), test=from_datasets(ROWS[:2]))
    with pytest.raises(UsageError, match=r"splits train, test\. Name one: Pool\.of\(data\['train'\]\)"):
        Pool.of(splits)
    assert len(Pool.of(splits["train"])) == len(ROWS)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "x" * 300, 5])
def test_a_name_that_is_none_is_refused(name: Any) -> None:
    with pytest.raises(UsageError, match="name"):
        Pool.of(ROWS, name=name)


def test_an_error_of_a_generator_is_its_own() -> None:
    def failing() -> Iterator[dict[str, Any]]:
        yield ROWS[0]
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        Pool.of(failing())


def test_a_pool_from_memory_is_scored_selected_and_named_without_a_file(tmp_path: Path) -> None:
    pool = Pool.of(ROWS, name="mine")
    chosen = select(pool, score(pool, "len"), "longest", budget=3)
    assert [pool.row(name)["instruction"] for name in chosen.kept_ids] == ["Say 11.", "Say 10.", "Say 9."]
    assert pool.locate(pool.position("mine:3")) == ("mine", (3,))
    assert repr(chosen.of(pool)).startswith("Pool(3 examples from mine")


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv"])
def test_rows_from_memory_are_written_with_their_scores(ending: str, tmp_path: Path) -> None:
    pool = Pool.of([{**row, "day": datetime.date(2024, 1, 2)} for row in ROWS])
    write_with_scores(pool, score(pool, "len"), tmp_path / f"scored{ending}")
    again = Pool.read(tmp_path / f"scored{ending}")
    assert [name.partition(".")[0] for name in again.ids] == pool.ids
    assert {str(again.row(place)["day"]) for place in range(len(again))} == {"2024-01-02"}


def test_what_needs_the_files_of_a_pool_from_memory_says_what_to_write(tmp_path: Path) -> None:
    pool = Pool.of(ROWS)
    table = score(pool, "len")
    table.write(tmp_path / "t.scores.parquet")
    chosen = select(pool, table, "longest", budget=3)
    selection_set = SelectionSet.create(tmp_path / "chosen.jsonl", chosen, scores=tmp_path / "t.scores.parquet")
    assert len(selection_set.arms()["selection"][0]) == 3
    for again in (SelectionSet.read(tmp_path / "chosen.jsonl").pool, lambda: find_pool(tmp_path / "t.scores.parquet"), pool.spec.read):
        with pytest.raises(UsageError, match=r"rows in memory .* cannot be read again.*pool\.write\(\"pool\.jsonl\"\)"):
            again()
    pool.write(tmp_path / "pool.jsonl")
    paths = [str(tmp_path / "pool.jsonl")]
    assert SelectionSet.read(tmp_path / "chosen.jsonl").pool(paths).ids == pool.ids
    assert select(find_pool(tmp_path / "t.scores.parquet", paths), table, "longest", budget=3).kept_ids == chosen.kept_ids


def test_reading_rows_as_files_names_the_way_for_rows() -> None:
    with pytest.raises(UsageError, match=r"not list\. For rows in memory: Pool\.of\(rows\)"):
        Pool.read([{"instruction": "a"}])  # type: ignore[arg-type]
    for verb in (lambda: score(ROWS, "len"), lambda: select(ROWS, score(Pool.of(ROWS), "len"), "longest", budget=1)):  # type: ignore[arg-type]
        with pytest.raises(UsageError, match=r"takes a Pool, not list\. For rows in memory: Pool\.of\(rows\)"):
            verb()


def test_rows_are_spooled_and_not_copied_in_memory() -> None:
    Pool.of(ROWS)
    text = "x" * 10_000
    tracemalloc.start()
    try:
        pool = Pool.of({"instruction": f"{number}", "output": text} for number in range(3000))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # 30 MB of rows; a few batches of them and the index.
    assert len(pool) == 3000 and peak < 12e6


def test_no_library_is_imported_for_rows_in_memory() -> None:
    code = """
import sys, builtins
blocked = {"datasets", "pandas", "pyarrow", "torch", "transformers"}
real = builtins.__import__
def guarded(name, *rest):
    if name.partition(".")[0] in blocked:
        raise ModuleNotFoundError(name)
    return real(name, *rest)
builtins.__import__ = guarded
import polars
from instructsel import Pool, score
rows = [{"instruction": "a", "output": "b"}, {"instruction": "c", "output": "d"}]
assert len(Pool.of(rows)) == len(Pool.of(polars.DataFrame(rows))) == len(Pool.of(polars.LazyFrame(rows))) == 2
score(Pool.of(rows), "len")
assert not blocked & set(sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert builtins.__import__ is not None
