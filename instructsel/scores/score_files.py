"""Files of scores that another program computed: JSON lines, arrays, CSV, TSV or Parquet, also .gz or .zst.

    {"id": "a-17", "reward": 0.25}
    {"id": "a-18", "reward": null}

Reading is strict: a row that cannot be read, or a cell that is no number, refuses the file, and the message names the row. What is no
finite number is null with a reason.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import file_digest
from instructsel.errors import PoolError, ScoresError, UsageError
from instructsel.magnitude import LARGEST, LARGEST_WHOLE
from instructsel.pool.lines import Limits, Row
from instructsel.pool.row_sources import field_of
from instructsel.pool.sources import Source, open_source
from instructsel.shapes import is_path
from instructsel.text import excerpt

NO_SCORE: Final = "no_imported_score"
"""There is no row for the example, or its cell holds nothing."""
NOT_FINITE: Final = "not_finite"
OUT_OF_RANGE: Final = "out_of_range"
"""A number larger than any rule can compute with."""
REASONS: Final = (None, NO_SCORE, NOT_FINITE, OUT_OF_RANGE)
"""By code."""
PRESENT, EMPTY, INFINITE, TOO_LARGE = range(len(REASONS))

KEYS: Final = (
    *("instructsel_id", "id", "uuid", "uid", "_id", "row_id", "example_id", "sample_id", "prompt_id", "conversation_id", "custom_id"),
    *("key", "index", "idx"),
)
"""Fields that may name a row, in the order in which they are tried."""
TEXT_TABLES: Final = ("csv", "tsv")
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
NO_NUMBER: Final = re.compile(r"[+-]?(?:nan|inf|infinity)", re.IGNORECASE)
BLANK: Final = frozenset({"", "NA", "N/A", "null", "None"})
"""Cells of a CSV that say that there is no value."""
PEEKED: Final = 256
"""Rows in which fields are looked for; JSON lines need not have all of them in each."""
SHOWN: Final = 12
"""Names of fields in a message."""
WRITTEN: Final = "Write numbers as 0.5 or 1e-3 without quotes, and null where there is no score."

Key = str | bytes
Floats = NDArray[np.float64]
Codes = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ScoreColumn:
    """The values of a column, a row of the file each."""

    values: Floats
    """(n,), 0 where the code is not PRESENT."""
    codes: Codes
    """(n,), positions in REASONS."""
    booleans: int
    """Cells that held true or false, read as 1 and 0."""


@dataclass(frozen=True, eq=False)
class ScoreFile:
    """One file of scores, as far as it is used."""

    name: str
    """Without its folder."""
    path: str
    """As messages name it."""
    sha256: str
    """Of its bytes as they lie on disk, in hexadecimal."""
    lines: NDArray[np.int64]
    """(n,), where each row stands, from 1."""
    noun: str
    """What `lines` counts: line or row."""
    columns: Mapping[str, ScoreColumn] = field(repr=False)
    """Those of the wanted columns that some row has."""
    keys: Mapping[tuple[str, ...], list[Key | None]] = field(repr=False)
    """Fields that may name a row → the names, (n,); None where a row has none."""
    fields: tuple[str, ...]
    """Names of the fields of the first rows."""
    texts: tuple[str, ...] = ()
    """Fields of the pool's format that the first row has, too; together they are one of `keys`."""

    def __len__(self) -> int:
        return len(self.lines)

    def place(self, row: int) -> str:
        """A row, counted from 0, as messages name it."""
        return f"{self.path}, {self.noun} {int(self.lines[row]):,}"


def read_score_file(
    path: str | Path, columns: Sequence[str], keys: Sequence[tuple[str, ...]] = (), *, content: Sequence[str] = ()
) -> ScoreFile:
    """A file of scores.

    Args:
        path: .jsonl, .ndjson, .json, .csv, .tsv or .parquet, each also .gz or .zst.
        columns: the fields to read numbers from; `scores.reward` is the field reward of the object scores.
        keys: fields, or several together, that may name a row, besides KEYS.
        content: fields of the pool's formats, by which rows are compared with the pool's.

    Raises:
        ScoresError: it cannot be read, a row is damaged, or a cell of these columns is no number; the row is named.
    """
    name = str(path)
    digest = digest_of(path)
    try:
        result = _read(path, digest, columns, [*((name,) for name in KEYS), *keys], content)
        if file_digest(path) != digest:
            raise ScoresError(f"{name} has changed while it was read.", fix="Run the command again.")
    except PoolError as error:
        # A pool may be read with flags that a file of scores does not have.
        fix = None if error.fix is None or "--" in error.fix else error.fix
        raise ScoresError(error.message, fix=fix or "Write it again as JSON lines, CSV or Parquet, with names for its columns.") from error
    except OSError as error:
        raise ScoresError(f"{name} cannot be read: {error.strerror or error}.", fix="Check the path.") from error
    return result


def digest_of(path: str | Path) -> str:
    """SHA-256 of a file's bytes, in hexadecimal.

    Raises:
        UsageError: it is standard input, or on the hub.
        ScoresError: there is no such file, or it cannot be read.
    """
    name = str(path)
    if name == "-" or name.startswith("hf://"):
        raise UsageError(f"Scores are imported from a file, not from {name}.", fix="Write them to a file first, and name it.")
    if not is_path(name) or not os.path.isfile(name):
        raise ScoresError(f"There is no file {name}.", fix="Check the path.")
    try:
        return file_digest(path)
    except OSError as error:
        raise ScoresError(f"{name} cannot be read: {error.strerror or error}.", fix="Check the path.") from error


def _read(path: str | Path, digest: str, columns: Sequence[str], keys: Sequence[tuple[str, ...]], content: Sequence[str]) -> ScoreFile:
    source = open_source(path, Limits())
    noun = "row" if source.container in ("parquet", "arrow", "array") else "line"
    lines: list[int] = []
    cells = {column: Cells(column) for column in columns}
    names: dict[tuple[str, ...], list[Key | None]] = {}
    fields: dict[str, None] = {}
    texts: tuple[str, ...] = ()
    wanted = {column.partition(".")[0] for column in columns} | set(columns)
    for row, record in _records(source, str(path), noun):
        if not lines and (texts := tuple(name for name in content if name in record and name not in wanted)):
            names[texts] = []
        if len(lines) < PEEKED:
            fields |= dict.fromkeys(record)
            names |= {key: [None] * len(lines) for key in keys if key not in names and all(has_field(record, part) for part in key)}
        number = len(lines) + 1 if noun == "row" else row.line
        lines.append(number)
        for key, listed in names.items():
            listed.append(key_of(record, key))
        for cell in cells.values():
            cell.add(record, source.container, f"{path}, {noun} {number:,}")
    if not lines:
        raise ScoresError(f"{path} has no rows.", fix="Name a file with a row for each example.")
    for cell in cells.values():
        cell.mark_infinite(source)
    seen = {column: cell.finished() for column, cell in cells.items() if cell.seen}
    return ScoreFile(Path(path).name, str(path), digest, np.array(lines, dtype=np.int64), noun, seen, names, tuple(fields), texts)


def _records(source: Source, path: str, noun: str) -> Iterator[tuple[Row, dict[str, Any]]]:
    for count, (row, record) in enumerate(source.rows(), start=1):
        place = f"{path}, {noun} {count if noun == 'row' else row.line:,}"
        if row.fault is not None and row.fault.code == "not_finite" and source.container not in TEXT_TABLES:
            # Python writes NaN and Infinity into JSON, which has neither: here they are numbers that are not finite.
            try:
                record = json.loads(row.raw)
            except (ValueError, RecursionError) as error:
                raise ScoresError(f"{place}: {row.fault.detail}.", fix="Correct the row, or write the file again.") from error
        elif row.fault is not None:
            raise ScoresError(f"{place}: {row.fault.detail}.", fix="Correct the row, or write the file again.")
        if not isinstance(record, dict):
            raise ScoresError(f"{place} is {_kind(record)}, not an object.", fix='Write rows such as {"id": "a-17", "reward": 0.25}')
        yield row, record


class Cells:
    """The cells of one column as they come, from a file of scores or from a pool's own rows."""

    def __init__(self, column: str) -> None:
        self.column = column
        self.values: list[float] = []
        self.codes = bytearray()
        self.booleans = 0
        self.seen = False
        """Whether any row had the field."""

    def add(self, record: Mapping[str, Any], container: str, where: str) -> None:
        """The next row's cell.

        Raises:
            ScoresError: it is no number.
        """
        if not has_field(record, self.column):
            self.values.append(0.0)
            self.codes.append(EMPTY)
            return
        self.seen = True
        value, code = self._number(field_of(record, self.column), container in TEXT_TABLES, where)
        self.values.append(value)
        self.codes.append(code)

    def _number(self, cell: Any, from_text: bool, where: str) -> tuple[float, int]:
        if from_text and isinstance(cell, str):
            text = cell.strip()
            if text in BLANK:
                return 0.0, EMPTY
            if NO_NUMBER.fullmatch(text):
                return 0.0, INFINITE
            if text.lower() in ("true", "false"):
                self.booleans += 1
                return float(text.lower() == "true"), PRESENT
            # A number of a million digits is no score, and takes long to read.
            if len(text) > 400 or not NUMBER.fullmatch(text):
                raise self._refused(where, cell)
            if text.lstrip("+-").isdigit() and abs(int(text)) > LARGEST_WHOLE:
                raise self._inexact(where)
            return _checked(float(text))
        if cell is None:
            return 0.0, EMPTY
        if isinstance(cell, bool):
            self.booleans += 1
            return float(cell), PRESENT
        if isinstance(cell, int):
            if abs(cell) > LARGEST_WHOLE:
                raise self._inexact(where)
            return float(cell), PRESENT
        if not isinstance(cell, float):
            raise self._refused(where, cell)
        return _checked(cell)

    def _inexact(self, where: str) -> ScoresError:
        return ScoresError(
            f"{where}: {excerpt(self.column, 40)} is a whole number beyond 2^53, which a float64 does not hold exactly.",
            fix="Write scores as numbers that a float64 holds; an id is no score.",
        )

    def _refused(self, where: str, cell: Any) -> ScoresError:
        shown = f"the text '{excerpt(cell[:200], 40)}'" if isinstance(cell, str) else _kind(cell)
        fix = WRITTEN if isinstance(cell, str) else "Name a field that holds numbers; a field of an object is OBJECT.FIELD."
        return ScoresError(f"{where}: {excerpt(self.column, 40)} is {shown}, not a number.", fix=fix)

    def mark_infinite(self, source: Source) -> None:
        """NaN and infinity of a Parquet file, which are null among its rows as they are read."""
        if source.columns is None or self.column not in source.columns.schema:
            return
        for number in source.columns.not_finite(self.column):
            self.codes[number] = INFINITE
            self.seen = True

    def finished(self) -> ScoreColumn:
        """The column."""
        return ScoreColumn(np.array(self.values, dtype=np.float64), np.frombuffer(bytes(self.codes), dtype=np.uint8), self.booleans)


def _checked(value: float) -> tuple[float, int]:
    if not math.isfinite(value):
        return 0.0, INFINITE
    return (value, PRESENT) if abs(value) <= LARGEST else (0.0, TOO_LARGE)


def has_field(record: Mapping[str, Any], name: str) -> bool:
    """Whether a row has a field, also of an object in it."""
    return field_of(record, name, missing=...) is not ...


def key_of(record: Mapping[str, Any], names: tuple[str, ...]) -> Key | None:
    """What names a row: a text or whole number of one field, or a digest of several; None where a part is missing.

    >>> key_of({"id": 17}, ("id",)), key_of({"id": 17.0}, ("id",)), key_of({"id": ""}, ("id",))
    ('17', '17', None)
    """
    if len(names) == 1:
        return _name(field_of(record, names[0]))
    values = [field_of(record, name) for name in names]
    if all(value is None for value in values):
        return None
    try:
        return hashlib.blake2b(
            orjson.dumps([_without_nulls(value) for value in values], option=orjson.OPT_SORT_KEYS), digest_size=16
        ).digest()
    except (orjson.JSONEncodeError, RecursionError):
        return None


def _name(value: Any) -> str | None:
    if isinstance(value, str):
        return value or None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= LARGEST_WHOLE else None
    return str(value) if abs(value) < 10**40 else None


def _without_nulls(value: Any) -> Any:
    """Without keys that hold null, and an empty text as none: a CSV and a Parquet file do not tell these apart."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return None if value == "" else value


def _kind(cell: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(cell), "a number")


__all__ = [
    "KEYS",
    "NOT_FINITE",
    "NO_SCORE",
    "OUT_OF_RANGE",
    "REASONS",
    "Cells",
    "Key",
    "ScoreColumn",
    "ScoreFile",
    "digest_of",
    "has_field",
    "key_of",
    "read_score_file",
]
