"""A pool's rows with their scores beside them.

Every example is one row: the fields of its own row, then `instructsel_id`, and per indicator `instructsel_SYMBOL` and
`instructsel_SYMBOL_reason`. Rows stand in the order of the files; what was dropped or quarantined is left out. In JSON lines
the original bytes of a row stay as they are and the new fields follow them.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
import orjson
import polars as pl

from instructsel.artifact import atomic_write
from instructsel.errors import PoolError, UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.writer import columnar_frame, compressed, line_of
from instructsel.scores.table import REASON, ScoreTable

PREFIX: Final = "instructsel_"
"""How the names of the added fields begin."""
ENDINGS: Final = (".jsonl", ".csv", ".parquet")


def check_ending(path: str | Path) -> str:
    """The ending that says in which form rows are written: one of ENDINGS, without .gz or .zst.

    Raises:
        UsageError: it is none of them, or a compressed Parquet file.
    """
    name = Path(path).name.lower()
    ending = Path(re.sub(r"\.(gz|zst)$", "", name)).suffix
    if ending not in ENDINGS or (ending == ".parquet" and not name.endswith(ending)):
        raise UsageError(
            f"{path} ends in none of {', '.join(ENDINGS)}.", fix="Name the rows with one of these endings, e.g. --with-scores scored.jsonl"
        )
    return ending


def write_with_scores(pool: Pool, table: ScoreTable, path: str | Path, positions: Sequence[int] | None = None) -> int:
    """Write examples with their fields and their scores, in the form that the file's ending says.

    Args:
        pool: the examples.
        table: their scores.
        path: .jsonl or .csv, also .gz or .zst; or .parquet.
        positions: which of the pool's examples, in the order to write them; all, in the order of the files, by default.

    Returns:
        The rows written.

    Raises:
        UsageError: another ending; or a row has a field of the same name as one of ours.
        PoolError: the rows do not make one Parquet table.
    """
    ending = check_ending(path)
    if positions is None:
        first = pool.places["line"].to_numpy()
        ordered: list[int] = np.lexsort((pool.part_of, pool.row_of, first, pool.file_of)).tolist()
        positions = ordered
    scores = _scores(pool, table, positions)
    if ending == ".jsonl":
        with compressed(path) as out:
            for raw, fields, added in zip(_raws(pool, positions), _fields(pool, positions), scores, strict=True):
                _check_names(fields, added, path)
                # Before the closing brace, so that what stood there stays as it was written.
                out.write(raw.rstrip()[:-1] + (b"," if fields else b"") + orjson.dumps(added)[1:] + b"\n")
        return len(positions)
    columnar = ending == ".parquet" and all(file.source.columns is not None for file in pool.files)
    names: dict[str, None] = {}
    for file in pool.files if columnar else ():
        names.update(dict.fromkeys(file.source.columns.schema if file.source.columns is not None else ()))
    for fields in () if columnar else _fields(pool, positions):
        names.update(dict.fromkeys(fields))
    added_names = [PREFIX + "id", *(f"{PREFIX}{symbol}{part}" for symbol in table.symbols for part in ("", REASON))]
    _check_names(names, added_names, path)
    if ending == ".csv":
        _write_csv(pool, path, positions, list(names), scores)
    else:
        _write_parquet(pool, table, path, positions, list(names), list(scores))
    return len(positions)


def _scores(pool: Pool, table: ScoreTable, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The added fields of each example."""
    if not table.has_ids(pool.ids):
        raise UsageError("The score table is of another pool.", fix="Score the pool again.")
    columns = {
        PREFIX + name: table.frame[name].to_list() for name in ("id", *(symbol + part for symbol in table.symbols for part in ("", REASON)))
    }
    for position in positions:
        yield {name: values[position] for name, values in columns.items()}


def _rows(pool: Pool, positions: Sequence[int]) -> Iterator[tuple[Any, int]]:
    """The file and the row of each example; of an example of several rows the last, which holds its response."""
    for position in positions:
        file = pool.files[int(pool.file_of[position])]
        yield file, file.rows_of(int(pool.row_of[position]))[-1]


def _fields(pool: Pool, positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    for file, row in _rows(pool, positions):
        yield file.plain(row)


def _raws(pool: Pool, positions: Sequence[int]) -> Iterator[bytes]:
    """Each example's row as one line of JSON."""
    for file, row in _rows(pool, positions):
        yield line_of(file, row).strip()


def _check_names(fields: Mapping[str, Any], added: Any, path: str | Path) -> None:
    if taken := [name for name in added if name in fields]:
        raise UsageError(
            f"{path} is not written: a row has a field {taken[0]} already.", fix="Rename that field, or use rows without earlier scores."
        )


def _write_csv(pool: Pool, path: str | Path, positions: Sequence[int], names: list[str], scores: Iterator[dict[str, Any]]) -> None:
    """Nested values as JSON text; a text cell that a spreadsheet would run gets a ' in front."""
    with compressed(path) as out:
        writer = csv.writer(_Encoded(out), lineterminator="\n")
        for number, (fields, added) in enumerate(zip(_fields(pool, positions), scores, strict=True)):
            if not number:
                writer.writerow([*names, *added])
            writer.writerow([_cell(fields.get(name)) for name in names] + [_cell(value) for value in added.values()])


class _Encoded:
    """A text file over a binary one."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out

    def write(self, text: str) -> int:
        return self.out.write(text.encode("utf-8"))


def _cell(value: Any) -> Any:
    if value is None or isinstance(value, int | float):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return "'" + text if re.match(r"'*[=+\-@\t\r\n]", text) else text


def _write_parquet(
    pool: Pool, table: ScoreTable, path: str | Path, positions: Sequence[int], names: list[str], scores: list[dict[str, Any]]
) -> None:
    try:
        if all(file.source.columns is not None for file in pool.files):
            places = [(int(pool.file_of[position]), row) for position, (_, row) in zip(positions, _rows(pool, positions), strict=True)]
            columns = columnar_frame(pool.files, places).get_columns()
        else:
            rows = list(_fields(pool, positions))
            columns = [pl.Series(name, [fields.get(name) for fields in rows], strict=True) for name in names]
    except (TypeError, pl.exceptions.PolarsError) as error:
        raise PoolError(
            f"{path}: the rows do not make one Parquet table: {str(error).splitlines()[0][:200]}", fix="Write .jsonl instead."
        ) from error
    added = [
        pl.Series(name, [row[name] for row in scores], dtype=table.frame[name.removeprefix(PREFIX)].dtype)
        for name in (scores[0] if scores else ())
    ]
    with atomic_write(path) as out:
        pl.DataFrame([*columns, *added]).write_parquet(out, compression="zstd", statistics=False)


__all__ = ["ENDINGS", "PREFIX", "check_ending", "write_with_scores"]
