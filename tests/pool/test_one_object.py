"""A table in one JSON object is refused with the line that makes JSON lines of it, and that line works."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import PoolError
from instructsel.pool.lines import Limits
from instructsel.pool.pool import Pool

ROWS = [{"instruction": f"Question {n}?", "output": f"Answer é {n} of 3.10"} for n in range(3)]
CELLS = [list(row.values()) for row in ROWS]
TURNS = [[{"role": "user", "content": "Tide?"}, {"role": "assistant", "content": f"{n} m."}] for n in range(3)]


@pytest.mark.parametrize(
    ("table", "rows"),
    [
        ({"columns": ["instruction", "output"], "index": [0, 1, 2], "data": CELLS}, ROWS),
        ({"columns": ["instruction", "output"], "data": CELLS}, ROWS),
        ({"data": CELLS, "columns": ["instruction", "output"]}, ROWS),
        ({str(n): row for n, row in enumerate(ROWS)}, ROWS),
        ({name: {str(n): row[name] for n, row in enumerate(ROWS)} for name in ("instruction", "output")}, ROWS),
        ({name: [row[name] for row in ROWS] for name in ("instruction", "output")}, ROWS),
        ({"schema": {"fields": [{"name": "index"}], "primaryKey": ["index"]}, "data": ROWS}, ROWS),
        ({"features": [{"name": "instruction"}], "rows": [{"row_idx": n, "row": row} for n, row in enumerate(ROWS)]}, ROWS),
        ({"version": "1.0", "data": ROWS}, ROWS),
        (
            {"messages": {str(n): turns for n, turns in enumerate(TURNS)}, "id": {str(n): n for n in range(3)}},
            [{"messages": turns} for turns in TURNS],
        ),
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_table_in_one_object_is_refused_with_the_line_that_makes_rows_of_it(
    tmp_path: Path, table: Any, rows: Any, indent: int | None
) -> None:
    (tmp_path / "my pool.json").write_text(json.dumps(table, indent=indent), encoding="utf-8")
    with pytest.raises(PoolError) as raised:
        Pool.read(tmp_path / "my pool.json")
    fix = str(raised.value.fix)
    assert fix.startswith("Write its rows as JSON lines: python -c ") and fix.endswith(" < 'my pool.json' > 'my pool.jsonl'")
    command = fix.partition(": ")[2].replace("python -c", f"{sys.executable} -c", 1)
    subprocess.run([str(shutil.which("sh")), "-c", command], cwd=tmp_path, check=True)
    assert Pool.read(tmp_path / "my pool.jsonl").ids == Pool.of(rows).ids


@pytest.mark.parametrize(
    "row",
    [
        {"system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": 5}]},
        {"messages": [{"role": "user", "content": 5}, {"role": "assistant", "content": "A"}]},
        {"instruction": ["Q"], "output": "A"},
        {"id": "simple", "question": [[{"role": "user", "content": "Q"}]], "function": [{"name": "f", "parameters": {}}]},
        {"messages": [{"type": "human", "content": "Q"}, {"type": "ai", "content": "A"}]},
        {"instruction": {"a": "Q"}, "output": {"b": "A"}},
    ],
)
def test_one_row_that_cannot_be_read_is_no_table(tmp_path: Path, row: Any) -> None:
    (tmp_path / "pool.json").write_text(json.dumps(row), encoding="utf-8")
    with pytest.raises(PoolError) as raised:
        Pool.read(tmp_path / "pool.json")
    assert "python -c" not in str(raised.value.fix)


def test_a_list_of_pairs_beside_columns_is_no_dialogue(tmp_path: Path) -> None:
    table = {"columns": ["instruction", "output"], "data": [["Is rain wet?", "Yes."], ["And snow?", "Cold, too."]]}
    (tmp_path / "pool.json").write_text(json.dumps(table), encoding="utf-8")
    with pytest.raises(PoolError, match=r"one JSON object \(keys columns, data\), not a list of rows"):
        Pool.read(tmp_path / "pool.json")
    (tmp_path / "pool.json").write_text(json.dumps({"data": table["data"]}), encoding="utf-8")
    assert len(Pool.read(tmp_path / "pool.json")) == 1


def test_one_object_that_is_too_long_for_a_row_is_told_apart(tmp_path: Path) -> None:
    (tmp_path / "pool.json").write_text(
        json.dumps({str(n): {"instruction": "Q" * 1000, "output": "A"} for n in range(20)}), encoding="utf-8"
    )
    with pytest.raises(PoolError, match="line_too_long") as raised:
        Pool.read(tmp_path / "pool.json", limits=Limits(max_line_bytes=10_000))
    assert str(raised.value.fix).startswith("If the file is one object with all rows in it")
