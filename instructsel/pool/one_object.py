"""A file of one JSON object that holds a table, as pandas and others write it: not read, and how its rows become lines of JSON."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from instructsel.pool.formats import _registry as registry
from instructsel.pool.lines import Row
from instructsel.pool.sources import Source

ONE_OBJECT: Final = "one JSON object"
FIX: Final = "Write its rows as JSON lines or as one array; if it is one conversation: --map messages=FIELD,role=KEY,content=KEY"
SHOWN: Final = 12
"""Keys that a message names."""


def what_it_is(source: Source, sample: Sequence[tuple[Row, Any]]) -> str:
    """What a file is that holds one object with lists of objects or a table in it, and no row; "" of another. A list or a table of one row is none."""
    value = _value(source, sample)
    if value is None or not any(
        isinstance(entry, dict) or (isinstance(entry, list) and entry and isinstance(entry[0], dict | list)) for entry in value.values()
    ):
        return ""
    if any(map(registry.holds_turns, value.values())):
        return ""
    keys = sorted(str(key)[:32] for key in value)
    return f"{ONE_OBJECT} (keys {', '.join(keys[:SHOWN])}{' …' if len(keys) > SHOWN else ''}), not a list of rows"


def fix_of(source: Source, sample: Sequence[tuple[Row, Any]]) -> str:
    """What makes lines of the table that a file's one object is; "" where it is none."""
    value = _value(source, sample)
    rows = None if value is None or any(map(registry.holds_turns, value.values())) else rows_of(value)
    if rows is None:
        return ""
    name = Path(source.name).name
    new = f"{Path(name).stem}.jsonl" if not name.endswith(".jsonl") else f"{Path(name).stem}.rows.jsonl"
    code = f'python -c "import json, sys; t = json.load(sys.stdin); [print(json.dumps(r)) for r in {rows}]"'
    return f"Write its rows as JSON lines: {code} < {shlex.quote(name)} > {shlex.quote(new)}"


def rows_of(table: Mapping[str, Any]) -> str | None:
    """The rows of a table, as Python's text of them where the table is called t; None where it is none that is known.

    >>> rows_of({"columns": ["a"], "data": [[1]]}), rows_of({"0": {"a": 1}, "1": {"a": 2}}), rows_of({"a": {"0": 1, "1": 2}})
    ("(dict(zip(t['columns'], r)) for r in t['data'])", 't.values()', '({k: c.get(i) for k, c in t.items()} for i in next(iter(t.values())))')
    """
    columns, values = table.get("columns"), list(table.values())
    lists = {name: rows for name, rows in table.items() if name.isidentifier() and isinstance(rows, list) and rows}
    for name, rows in lists.items():
        if isinstance(columns, list) and name != "columns" and all(isinstance(row, list) and len(row) == len(columns) for row in rows):
            return f"(dict(zip(t['columns'], r)) for r in t['{name}'])"
        if all(isinstance(row, dict) and isinstance(row.get("row"), dict) for row in rows):
            return f"(r['row'] for r in t['{name}'])"
    for name, rows in lists.items():
        # A row that cannot be read may hold lists of objects, too: these are rows where they are examples.
        if all(isinstance(row, dict) for row in rows) and registry.detect(rows[: registry.SAMPLE]).format is not None:
            return f"t['{name}']"
    if not values:
        return None
    if all(isinstance(entry, dict) and entry for entry in values):
        # Rows by their number, or columns by their name, of which one number names the values.
        numbered = all(str(key).isdigit() for key in table)
        by_number = all(str(key).isdigit() for entry in values for key in entry)
        if numbered and not by_number:
            return "t.values()"
        return "({k: c.get(i) for k, c in t.items()} for i in next(iter(t.values())))" if by_number and not numbered else None
    if len(values) > 1 and all(isinstance(entry, list) for entry in values) and len({len(entry) for entry in values}) == 1 and values[0]:
        return "(dict(zip(t, r)) for r in zip(*t.values()))"
    return None


def _value(source: Source, sample: Sequence[tuple[Row, Any]]) -> dict[str, Any] | None:
    """The one object of a file of text."""
    if source.container != "lines" or source.columns is not None or source.marks is not None:
        return None
    return sample[0][1] if len(sample) == 1 and isinstance(sample[0][1], dict) else None


__all__ = ["FIX", "ONE_OBJECT", "fix_of", "rows_of", "what_it_is"]
