"""A record of a selection whose values are of other types is refused in one sentence, also where its seal fits."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from instructsel import Pool, SelectionSet, score
from instructsel.errors import InstructselError, ScoresError
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection
from instructsel.tables import write_frame

ROWS = [{"instruction": f"Say {number}", "output": f"word {number} " * (number + 1)} for number in range(8)]


@pytest.fixture
def chosen(tmp_path: Path) -> SelectionSet:
    """A selection of rows in memory."""
    pool = Pool.of(ROWS)
    return SelectionSet.create(tmp_path / "chosen.jsonl", select(pool, score(pool, ["len"]), "longest", budget=3))


@pytest.mark.parametrize(
    "column",
    [
        pl.col("kept").cast(pl.Int64),
        pl.col("kept").cast(pl.String),
        pl.lit(None, dtype=pl.Boolean),
        pl.concat_list(pl.col("kept")),
        pl.struct("kept"),
        pl.lit(b"x"),
    ],
    ids=["whole", "text", "null", "list", "structure", "bytes"],
)
def test_a_column_of_kept_rows_of_another_type_is_refused(chosen: SelectionSet, column: pl.Expr) -> None:
    sidecar = chosen.selection.sidecar
    selection = Selection.read(sidecar)
    write_frame(sidecar, selection.frame.with_columns(column.alias("kept")), selection.manifest, run={})
    with pytest.raises(ScoresError, match="its column kept should hold") as raised:
        Selection.read(sidecar)
    assert raised.value.message.count(". ") == 0


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Where something stands in a record."""
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [*([path] if path else []), *(place for key, inner in entries for place in places(inner, (*path, key)))]


def test_a_record_with_any_value_of_another_type_is_read_or_refused(chosen: SelectionSet) -> None:
    record = json.loads(chosen.path.read_text(encoding="utf-8"))
    for path in places(record):
        for value in (7, None, [], {}, "x", [7], {"a": 7}, True, -1, 1.5):
            forged = copy.deepcopy(record)
            inner = forged
            for key in path[:-1]:
                inner = inner[key]
            inner[path[-1]] = value
            chosen.path.write_text(json.dumps(forged), encoding="utf-8")
            try:
                SelectionSet.read(chosen.path).arms()
            except InstructselError as error:
                assert "subscriptable" not in error.message and "attribute" not in error.message, (path, value)
