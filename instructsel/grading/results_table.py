"""Tables of finished results: a row a run and task, or a row an item, as CSV, JSON lines or Parquet.

    arm,replicate,seed,task,value,higher_is_better
    selection,0,0,gsm8k,0.412,true
    random,0,0,gsm8k,0.397,true

Reading is strict: a table with one row that is not of this form is refused, and the message names the row.
"""

from __future__ import annotations

import difflib
import json
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any, Final, Self

from instructsel.errors import ObservationsError, PoolError
from instructsel.magnitude import is_usable
from instructsel.pool.lines import Limits
from instructsel.pool.sources import COMPRESSED, Source, open_source
from instructsel.stats.loss_units import LOSS_UNITS
from instructsel.text import UNSAFE, counted, excerpt

REQUIRED: Final = ("arm", "replicate", "seed", "task", "value")
OPTIONAL: Final = ("item", "cluster", "source", "weight", "unit", "higher_is_better")
COLUMNS: Final = REQUIRED + OPTIONAL
TABLES: Final = (".csv", ".tsv", ".parquet", ".jsonl", ".ndjson")
"""How the name of a table ends, before .gz or .zst."""
LINES: Final = (".jsonl", ".ndjson")
ANNOTATION: Final = ("instruction", "preference")
"""Columns of annotations, which are JSON lines, too."""
JUDGMENT: Final = (b"preference", b"evaluator", b"model_a")
"""Columns of people's judgments, which are CSV, too."""

MOST_ROWS: Final = 5_000_000
MOST_BYTES: Final = 4 << 30
LIMITS: Final = Limits(max_line_bytes=1 << 20, max_depth=16, max_bytes=MOST_BYTES)
LONGEST: Final[Mapping[str, int]] = {"arm": 100, "task": 200, "unit": 50}
"""Column → characters of its longest text; others have LONGEST_LABEL."""
LONGEST_LABEL: Final = 1000
LARGEST: Final = 2**31 - 1
"""Of a replicate or seed."""
PEEKED: Final = 64 << 10
"""Bytes of a file that are looked at to tell a table from annotations."""
FORM: Final = f"A table of results has the columns {', '.join(REQUIRED)}; for values per item also item."
NUMBER: Final = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
NAN: Final = frozenset({"", "nan", "NaN", "NA", "null", "None"})
"""Cells of a CSV that say that there is no value."""

NUMBERS: Final = "Write numbers as 0.5 or 1e-3, and nothing (in JSON null) where a run or item has no value."

CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
PER_TOKEN: Final = re.compile(r"(?<![a-z])(?:loss|losses|nll|perplexity|perplexities|ppl|cross[ _-]?entropy)(?![a-z])")
"""Words in the name of a task whose values may be per token; lower is better."""
ERRORS: Final = re.compile(r"(?<![a-z])(?:bpb|errors?|wer|cer|mae|mse|rmse|brier)(?![a-z])")
"""Words in the name of another task whose lower values are better."""

Key = tuple[str, int, int, str]
"""Arm, replicate, seed, task."""


@dataclass(frozen=True)
class TaskScale:
    """What the values of a task mean."""

    unit: str
    """Empty where the table names none."""
    higher_is_better: bool | None
    """None where the table does not say."""
    per_item: bool
    """Whether its rows are items, and not runs."""
    where: str
    """The first row of the task, for messages."""

    def higher(self, task: str) -> bool:
        """Whether higher is better: as the table says, else not for losses and error rates, by their unit or the task's name."""
        if self.higher_is_better is not None:
            return self.higher_is_better
        return self.unit not in LOSS_UNITS and not any(words.search(_words(task)) for words in (PER_TOKEN, ERRORS))

    def __str__(self) -> str:
        direction = {None: "no direction", True: "higher is better", False: "lower is better"}[self.higher_is_better]
        return f"{self.unit or 'no unit'}, {direction}, {'a row an item' if self.per_item else 'a row a run'}"


@dataclass(eq=False)
class Block:
    """The rows of one run and task; lists of one length."""

    items: list[str] = field(default_factory=list)
    """Names; one empty name where the row is the whole run."""
    values: list[float | None] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    clusters: list[str | None] = field(default_factory=list)
    sources: list[str | None] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)
    """Line of the file, or row of a Parquet file, counted from 1."""


@dataclass(frozen=True, eq=False)
class ResultsTable:
    """One file of results."""

    path: str
    """As messages name it."""
    noun: str
    """How its rows are counted: line or row."""
    blocks: Mapping[Key, Block] = field(repr=False)
    """In the order of the file."""
    scales: Mapping[str, TaskScale] = field(repr=False)
    """By task."""
    unread: tuple[str, ...] = ()
    """Columns that are not read."""

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """A table from a file that ends in .csv, .tsv, .jsonl or .parquet, also as .gz or .zst.

        Raises:
            ObservationsError: no such file, another form, a column missing, a row that is not of the form, a row twice, or units,
                directions or kinds of rows that differ within a task; the file and the row are named.
        """
        target, shown = Path(path), _from_here(Path(path))
        if not target.is_file():
            raise ObservationsError(f"{shown} is no file.", fix=FORM)
        if target.stat().st_size > MOST_BYTES:
            raise ObservationsError(f"{shown} has more than {MOST_BYTES >> 30} GiB.", fix="Split it by task.")
        try:
            source = open_source(target, LIMITS)
            reading = _Reading(shown, source)
            _check_parquet(reading, source)
            for row, record in source.rows():
                if row.fault is not None:
                    not_text = "no UTF-8: " if row.fault.code == "invalid_utf8" else ""
                    reading.refuse(row.line, f"{not_text}{row.fault.detail}.", "Correct the row, or write the file again.")
                reading.add(row.line, record)
        except PoolError as error:
            # A pool may be read with flags that a table does not have.
            raise ObservationsError(error.message, fix=FORM if error.fix is None or "--" in error.fix else error.fix) from error
        return cls(shown, reading.noun, *reading.finished())

    @property
    def arms(self) -> tuple[str, ...]:
        """In the order of the file."""
        return tuple(dict.fromkeys(arm for arm, _, _, _ in self.blocks))

    @property
    def missing(self) -> int:
        """Rows without a value."""
        return sum(value is None for block in self.blocks.values() for value in block.values)

    def where(self, row: int) -> str:
        """A row, as messages name it."""
        return f"{self.path}, {self.noun} {row:,}"

    def notes(self) -> list[str]:
        """What has to be said of the file, in sentences."""
        sentences = []
        if self.unread:
            names = ", ".join(excerpt(name, 40) for name in self.unread[:5]) + (" …" if len(self.unread) > 5 else "")
            sentences.append(f"{self.path}: {counted(len(self.unread), 'column')} not read: {names}.")
        if self.missing:
            sentences.append(f"{self.path}: {counted(self.missing, 'row')} without a value.")
        undirected = [task for task, scale in self.scales.items() if scale.higher_is_better is None]
        if undirected:
            taken = [
                f"{word} counts as better for {', '.join(named[:3])}" + (f" and {len(named) - 3:,} more" if len(named) > 3 else "")
                for word, higher in (("lower", False), ("higher", True))
                if (named := [task for task in undirected if self.scales[task].higher(task) == higher])
            ]
            sentences.append(f"{self.path} does not say whether higher is better (column higher_is_better): {'; '.join(taken)}.")
        unitless = [task for task, scale in self.scales.items() if not scale.unit and PER_TOKEN.search(_words(task))]
        if unitless:
            sentences.append(
                f"{self.path} does not say in which unit {', '.join(unitless[:3])} {'is' if len(unitless) == 1 else 'are'} (column unit): losses per token compare only where "
                "all models have one tokenizer and chat template."
            )
        return sentences


def _words(task: str) -> str:
    """The name of a task in small letters, with a space before a capital one."""
    return CAMEL.sub(" ", task).lower()


def _from_here(path: Path) -> str:
    """A path as messages name it: from the working directory, where it lies below."""
    folder = Path.cwd()
    return str(path.relative_to(folder)) if path.is_absolute() and path.is_relative_to(folder) else str(path)


def is_table(path: str | Path) -> bool:
    """Whether a file is a table of results by its name, and not annotations, which may be JSON lines, too."""
    target = Path(path)
    suffixes = [suffix.lower() for suffix in target.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    if not target.is_file() or not suffixes or suffixes[-1] not in TABLES:
        return False
    if suffixes[-1] not in (*LINES, ".csv") or target.suffix.lower() in COMPRESSED:
        return True
    try:
        with target.open("rb") as file:
            head = file.read(PEEKED)
    except OSError:
        # Whoever reads it says why it cannot be.
        return True
    first = next((line for line in head.split(b"\n") if line.strip()), b"")
    if suffixes[-1] == ".csv":
        return not all(name in first for name in JUDGMENT)
    try:
        record = json.loads(first)
    except (ValueError, RecursionError):
        return not any(f'"{name}"'.encode() in first for name in ANNOTATION)
    return not (isinstance(record, dict) and any(name in record for name in ANNOTATION))


def read_table(path: str | Path) -> ResultsTable:
    """`ResultsTable.read`, once for a file that has not changed since.

    Raises:
        ObservationsError: as there.
    """
    try:
        status = Path(path).stat()
    except OSError as error:
        raise ObservationsError(f"{path} cannot be read: {error.strerror or error}.", fix=FORM) from error
    return _read_once(str(path), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _read_once(path: str, size: int, changed: int) -> ResultsTable:
    return ResultsTable.read(path)


class _Reading:
    """A table as it is read, row by row."""

    def __init__(self, path: str, source: Source) -> None:
        self.path, self.from_text = path, source.container in ("csv", "tsv")
        self.container = source.container
        self.noun = "row" if source.container in ("parquet", "array") else "line"
        self.blocks: dict[Key, Block] = {}
        self.scales: dict[str, TaskScale] = {}
        self.places: dict[Key, dict[str, int]] = {}
        self.columns: dict[str, None] = {}
        # The same names stand in many rows: one object each.
        self.names: dict[str, str] = {}
        self.n = 0
        if self.from_text:
            self.check_columns(source.header, 1)

    def refuse(self, row: int, why: str, fix: str = FORM) -> None:
        """Refuse the table for one of its rows.

        Raises:
            ObservationsError: always.
        """
        raise ObservationsError(f"{self.path}, {self.noun} {row:,}: {why}", fix=fix)

    def add(self, row: int, record: Any) -> None:
        """One row.

        Raises:
            ObservationsError: it is not of the form, or stands twice.
        """
        self.n += 1
        if self.n > MOST_ROWS:
            raise ObservationsError(f"{self.path} has more than {MOST_ROWS:,} rows.", fix="Split it by task.")
        if not isinstance(record, dict):
            self.refuse(row, f"a row is an object of columns; found {_kind(record)}.")
        if record.keys() - self.columns.keys():
            self.columns |= dict.fromkeys(map(str, record))
        try:
            self._add(row, record)
        except _Cell as cell:
            absent = [name for name in REQUIRED if name not in record]
            if absent and self.container != "parquet":
                self.check_columns(record, row)
            self.refuse(row, f"{cell}.", cell.fix)

    def _add(self, row: int, record: Mapping[str, Any]) -> None:
        arm, task = self._text(record, "arm"), self._text(record, "task")
        key = (arm, self._whole(record, "replicate"), self._whole(record, "seed"), task)
        item = self._label(record, "item")
        if self.container not in ("csv", "tsv", "parquet") and "value" not in record:
            raise _Cell("there is no value", "Write null where an item has none.")
        value = self._number(record, "value", missing=True)
        weight = 1.0 if self._empty(record, "weight") else self._number(record, "weight")
        if weight is None or weight < 0:
            raise _Cell(f"weight is a number of at least 0; found {_shown(record['weight'])}")
        self._scale(task, record, item is not None, row)
        cluster, source = self._label(record, "cluster"), self._label(record, "source")
        block = self.blocks.setdefault(key, Block())
        places = self.places.setdefault(key, {})
        name = item or ""
        if (before := places.setdefault(name, row)) != row:
            of_item = f", item {excerpt(name, 40)}" if item is not None else ""
            raise _Cell(
                f"{arm}, replicate {key[1]}, seed {key[2]}, task {task}{of_item} stands in {self.noun} {before:,} already",
                "Keep one of the two rows.",
            )
        block.items.append(name)
        block.values.append(value)
        block.weights.append(weight)
        block.clusters.append(cluster)
        block.sources.append(source)
        block.rows.append(row)

    def _scale(self, task: str, record: Mapping[str, Any], per_item: bool, row: int) -> None:
        unit = "" if self._empty(record, "unit") else self._text(record, "unit")
        higher = None if self._empty(record, "higher_is_better") else self._flag(record, "higher_is_better")
        before = self.scales.get(task)
        if before is None:
            self.scales[task] = TaskScale(unit, higher, per_item, f"{self.path}, {self.noun} {row:,}")
        elif (before.unit, before.higher_is_better, before.per_item) != (unit, higher, per_item):
            scale = TaskScale(unit, higher, per_item, "")
            raise _Cell(
                f"{task} has values of two kinds: {scale}; and in {before.where.rpartition(', ')[2]}: {before}",
                "Give all values of a task in one way.",
            )

    def _empty(self, record: Mapping[str, Any], name: str) -> bool:
        cell = record.get(name)
        return cell is None or cell == ""

    def _label(self, record: Mapping[str, Any], name: str) -> str | None:
        """An optional name; a whole number is one, too."""
        if self._empty(record, name):
            return None
        cell = record[name]
        if isinstance(cell, int) and not isinstance(cell, bool):
            cell = str(cell) if abs(cell) < 10**30 else _refused(name, "a text", cell)
            return self.names.setdefault(cell, cell)
        return self._text(record, name)

    def _text(self, record: Mapping[str, Any], name: str) -> str:
        cell = record.get(name)
        if isinstance(cell, str) and (known := self.names.get(cell)) is not None and len(cell) <= LONGEST.get(name, LONGEST_LABEL):
            return known
        if not isinstance(cell, str) or not cell:
            cell = str(_refused(name, "a text", cell))
        limit = LONGEST.get(name, LONGEST_LABEL)
        if len(cell) > limit:
            raise _Cell(f"{name} has {len(cell):,} characters; {limit:,} are the most")
        if cell != cell.strip() or UNSAFE.search(cell):
            raise _Cell(f"{name} has control characters, or begins or ends with a space: {_shown(cell)}")
        return self.names.setdefault(cell, cell)

    def _whole(self, record: Mapping[str, Any], name: str) -> int:
        cell = record.get(name)
        number = -1
        if self.from_text and isinstance(cell, str):
            number = int(cell.partition(".")[0]) if re.fullmatch(r"[0-9]{1,10}(?:\.0)?", cell) else -1
        elif isinstance(cell, int) and not isinstance(cell, bool):
            number = cell
        elif isinstance(cell, float) and cell.is_integer():
            number = int(cell)
        if not 0 <= number <= LARGEST:
            _refused(name, f"a whole number from 0 to {LARGEST:,}", cell)
        return number

    def _number(self, record: Mapping[str, Any], name: str, *, missing: bool = False) -> float | None:
        cell = record.get(name)
        if cell is None or (self.from_text and cell in NAN):
            return None if missing else _refused(name, "a number", cell, NUMBERS)
        number = math.nan
        if self.from_text and isinstance(cell, str):
            if NUMBER.fullmatch(cell):
                number = float(cell)
        elif isinstance(cell, int | float) and not isinstance(cell, bool):
            try:
                number = float(cell)
            except OverflowError:
                number = math.inf
        if not is_usable(number):
            _refused(name, "a number of at most 1e150 in size" if math.isfinite(number) else "a finite number", cell, NUMBERS)
        return number

    def _flag(self, record: Mapping[str, Any], name: str) -> bool:
        cell = record.get(name)
        if isinstance(cell, bool):
            return cell
        if isinstance(cell, str) and cell.lower() in ("true", "false"):
            return cell.lower() == "true"
        return bool(_refused(name, "true or false", cell))

    def check_columns(self, names: Iterable[Any], row: int) -> None:
        """Refuse columns of which one is missing, or has the name of another but for a letter.

        Raises:
            ObservationsError: one is.
        """
        columns = [str(name) for name in names]
        self.columns |= dict.fromkeys(columns)
        self._check_typos(columns)
        absent = [name for name in REQUIRED if name not in columns]
        if absent:
            shown = ", ".join(excerpt(name, 30) for name in columns[:12]) or "none"
            self.refuse(
                row,
                f"{'the row lacks' if self.noun == 'line' and not self.from_text else 'there is no column'} {', '.join(absent)}; there are {shown}.",
            )

    def _check_typos(self, columns: Iterable[str]) -> None:
        absent = [name for name in COLUMNS if name not in columns]
        for name in columns:
            close = [] if name in COLUMNS else difflib.get_close_matches(name[:40].lower(), absent, n=1, cutoff=0.8)
            if close:
                raise ObservationsError(
                    f"{self.path}: '{excerpt(name, 40)}' is no column that is read.",
                    fix=f"Did you mean '{close[0]}'? Rename it; other columns may stand there and are not read.",
                )

    def finished(self) -> tuple[dict[Key, Block], dict[str, TaskScale], tuple[str, ...]]:
        """What was read, by run and by task, and the columns that were not.

        Raises:
            ObservationsError: no rows, or a column missing.
        """
        if not self.n:
            raise ObservationsError(f"{self.path} has no rows.", fix=FORM)
        self._check_typos(list(self.columns))
        return self.blocks, self.scales, tuple(name for name in self.columns if name not in COLUMNS)


def _check_parquet(reading: _Reading, source: Source) -> None:
    """Refuse a Parquet file that lacks a column, or has an infinite number, which is null among its rows as they are read; NaN is no value.

    Raises:
        ObservationsError: a column is missing, or a value or weight is infinite.
    """
    if source.columns is None:
        return
    reading.check_columns(list(source.columns.schema), 1)
    for name in ("value", "weight"):
        if name in source.columns.infinite:
            reading.refuse(source.columns.infinite[name] + 1, f"{name} is a finite number; found an infinite one.", NUMBERS)


class _Cell(Exception):
    """What is wrong with a row, and what to do instead."""

    def __init__(self, why: str, fix: str = "Correct the row.") -> None:
        super().__init__(why)
        self.fix = fix


def _refused(name: str, expected: str, cell: Any, fix: str = "Correct the row.") -> Any:
    raise _Cell(f"{name} is {expected}; found {_shown(cell)}", fix)


def _shown(cell: Any) -> str:
    """A cell as messages show it: what it is, and the beginning of it."""
    if cell is None or cell == "":
        return "none"
    if isinstance(cell, str):
        return f"the text '{excerpt(cell[:200], 40)}'"
    if isinstance(cell, bool | int | float):
        return (
            str(cell).lower()
            if isinstance(cell, bool)
            else excerpt(str(cell), 40)
            if abs(cell) < 10**40
            else "a number of more than 40 digits"
        )
    return _kind(cell)


def _kind(cell: Any) -> str:
    return {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "null"}.get(type(cell), "a number")


__all__ = ["COLUMNS", "Block", "ResultsTable", "TaskScale", "is_table", "read_table"]
