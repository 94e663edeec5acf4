"""Rows in memory as a pool: lists of dicts, data sets, frames, tables and iterators, spooled as JSON lines to an unnamed temporary file.

Each row becomes the line that it would have in a .jsonl, so that formats, ids and the account are those of a file. What JSON has no form for
(dates, decimal numbers, bytes, any other object) becomes a mark: a format that reads it refuses the row, and it takes no part elsewhere. Libraries are told by the
module of their class; none is imported that is not there. Nothing is held but the batch at hand.
"""

from __future__ import annotations

import datetime
import decimal
import enum
import itertools
import json
import math
import tempfile
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from instructsel.artifact import full
from instructsel.errors import InstructselError, PoolError, UsageError
from instructsel.pool.columnar import are_tools
from instructsel.pool.example import Conversation, Example
from instructsel.pool.json_text import parsed
from instructsel.pool.lines import Limits
from instructsel.pool.marks import BYTES, LONG, MARK, ODD, OPAQUE, SHOWN, Mark, escaped, sized
from instructsel.pool.message import Json, Message, ToolCall

BATCH: Final = 1024
"""Rows of a frame or table that are Python's values at a time."""
OPTIONS: Final = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
JSON: Final = "arrow.json"
"""The type of a column of JSON texts, as `datasets` writes mixed types."""

IMAGE: Final = frozenset({"bytes", "path"})
"""The fields of a picture, a sound or a film as `datasets` stores it."""
SHOWING: Final = ("PIL", "torchcodec", "torchvision", "decord")
DECODED: Final = "datasets.features."
"""Where the classes of pictures, sounds and films are from that a data set gives."""

Tree = Mapping[str, Any] | str
"""Where in a value JSON texts stand: JSON, or an object of field → tree, with "" for the elements of a list."""


def spool(rows: Any, name: str, limits: Limits) -> BinaryIO:
    """Rows as JSON lines in an unnamed temporary file.

    Args:
        rows: what `Pool.of` takes.
        name: for messages.
        limits: on the bytes of a row, whose longest fields are left out beyond it, and of all rows.

    Raises:
        UsageError: it is nothing that has rows.
        PoolError: the rows are beyond the limit in bytes, or a frame cannot be read.
        EnvironmentFault: the temporary folder is full.
    """
    lines = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
    total = 0
    try:
        for line in _lines(rows, name, limits):
            total += len(line) + 1
            if total > limits.max_bytes:
                raise PoolError(f"{name}: more than {limits.max_bytes:,} bytes.", fix="Split it, or raise Limits.max_bytes.")
            try:
                lines.write(line + b"\n")
            except OSError as error:
                raise full(error) from error
        try:
            lines.flush()
        except OSError as error:
            raise full(error) from error
        if not total:
            raise PoolError(f"{name}: there are no rows.", fix="Give at least one row, e.g. Pool.of([{'instruction': …, 'output': …}])")
    except BaseException:
        lines.close()
        raise
    return lines


def _lines(rows: Any, name: str, limits: Limits) -> Iterator[bytes]:
    for batch, writer in _batches(rows, name, limits):
        for row in batch:
            yield writer.line(row)


def _batches(rows: Any, name: str, limits: Limits) -> Iterator[tuple[Iterable[Any], _Writer]]:
    """Rows some at a time, with what makes lines of them."""
    library = type(rows).__module__.partition(".")[0]
    maker = LIBRARIES.get(library)
    columnar = maker(rows) if maker is not None else None
    if columnar is None and maker is None and hasattr(rows, "__arrow_c_stream__"):
        columnar = _streamed(rows)
    if columnar is None:
        yield _rows_of(rows), _Writer(limits, columnar=False)
        return
    try:
        for batch, tree in columnar:
            yield batch, _Writer(limits, columnar=True, tree=tree)
    except (InstructselError, MemoryError):
        raise
    except Exception as error:
        cause = (str(error).splitlines() or [type(error).__name__])[0][:200]
        raise PoolError(f"{name}: the {type(rows).__name__} cannot be read ({cause}).", fix="Give its rows, as a list of dicts.") from error


def _rows_of(rows: Any) -> Iterator[Any]:
    """The rows of a list or an iterator."""
    if isinstance(rows, str | bytes | Path):
        raise UsageError("Pool.of takes rows, not a path.", fix=f"To read a file: Pool.read({str(rows)[:60]!r})")
    if isinstance(rows, Mapping):
        if rows and all(hasattr(value, "column_names") or hasattr(value, "features") for value in rows.values()):
            names = ", ".join(map(str, list(rows)[:8]))
            first = str(next(iter(rows)))
            raise UsageError(f"This is {type(rows).__name__} with the splits {names}.", fix=f"Name one: Pool.of(data[{first!r}])")
        raise UsageError(
            f"Pool.of takes rows, and {type(rows).__name__} is a single one, or columns.",
            fix="For a row: Pool.of([row]). For columns: Pool.of(polars.DataFrame(columns))",
        )
    try:
        return iter(rows)
    except TypeError:
        raise UsageError(
            f"Pool.of takes rows, not {type(rows).__name__}.", fix="Give a list of dicts, a datasets.Dataset, a frame, or an Arrow table."
        ) from None


Columnar = Iterator[tuple[Iterable[Any], Tree | None]]
"""Batches of rows, and where JSON texts stand in them."""


def _polars(rows: Any) -> Columnar | None:
    kind = type(rows).__name__
    if kind == "LazyFrame":
        return _polars_frames(rows.collect_batches(chunk_size=BATCH, maintain_order=True))
    return _polars_frames(rows.iter_slices(BATCH)) if kind == "DataFrame" else None


def _polars_frames(frames: Iterable[Any]) -> Columnar:
    for frame in frames:
        tree = {name: inner for name, kind in frame.schema.items() if (inner := _polars_tree(kind)) is not None}
        for part in frame.iter_slices(BATCH):
            yield part.iter_rows(named=True), tree or None


def _polars_tree(kind: Any) -> Tree | None:
    if kind.is_extension():
        return JSON if kind.ext_name() == JSON else _polars_tree(kind.ext_storage())
    if fields := getattr(kind, "fields", None):
        inner = {field.name: tree for field in fields if (tree := _polars_tree(field.dtype)) is not None}
        return inner or None
    element = getattr(kind, "inner", None)
    tree = _polars_tree(element) if element is not None else None
    return None if tree is None else {"": tree}


def _pandas(rows: Any) -> Columnar | None:
    return _pandas_rows(rows) if type(rows).__name__ == "DataFrame" else None


def _pandas_rows(frame: Any) -> Columnar:
    names = [str(name) for name in frame.columns]
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    for start in range(0, len(frame), BATCH):
        part = frame.iloc[start : start + BATCH]
        columns = [part.iloc[:, number] for number in range(len(names))]
        yield (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)), None


def _pyarrow(rows: Any) -> Columnar | None:
    if hasattr(rows, "to_batches"):  # a table, a data set
        return _arrow_batches(rows.to_batches())
    if hasattr(rows, "read_next_batch"):
        return _arrow_batches(rows)
    return _arrow_batches([rows]) if hasattr(rows, "to_pylist") and hasattr(rows, "schema") else None


def _arrow_batches(batches: Iterable[Any]) -> Columnar:
    for batch in batches:
        tree = {field.name: inner for field in batch.schema if (inner := _arrow_tree(field.type)) is not None}
        for start in range(0, batch.num_rows, BATCH):
            yield _arrow_rows(batch.slice(start, BATCH)), tree or None


def _arrow_rows(batch: Any) -> Iterator[dict[str, Any]]:
    names = batch.schema.names
    if len(set(names)) < len(names):
        raise ValueError("two columns have the same name")
    columns = [_arrow_values(column) for column in batch.columns]
    return (dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True))


def _arrow_values(column: Any) -> list[Any]:
    """The values of a column; a mark for one that Python has no form for, such as the year 148108."""
    try:
        return list(column.to_pylist(maps_as_pydicts="lossy"))
    except (ValueError, OverflowError, TypeError):
        values: list[Any] = []
        for number in range(len(column)):
            try:
                values += column.slice(number, 1).to_pylist(maps_as_pydicts="lossy")
            except (ValueError, OverflowError, TypeError):
                values.append(_Odd(f"a value of the type {column.type}"))
        return values


def _arrow_tree(kind: Any) -> Tree | None:
    if hasattr(kind, "extension_name"):
        return JSON if kind.extension_name == JSON else _arrow_tree(kind.storage_type)
    if hasattr(kind, "fields") and kind.num_fields and hasattr(kind, "names"):  # a structure
        inner = {field.name: tree for field in kind.fields if (tree := _arrow_tree(field.type)) is not None}
        return inner or None
    element = getattr(kind, "value_type", None) if getattr(kind, "num_fields", 0) == 1 else None
    tree = _arrow_tree(element) if element is not None else None
    return None if tree is None else {"": tree}


def _datasets(rows: Any) -> Columnar | None:
    kind = type(rows).__name__
    transformed = isinstance(rows.format, dict) and rows.format.get("type") == "custom" if hasattr(rows, "format") else False
    if kind == "Dataset" and not transformed:
        return _arrow_batches(itertools.chain.from_iterable(map(_tables, rows.with_format("arrow").iter(batch_size=BATCH))))
    if kind == "IterableDataset" and (rows.features is not None or getattr(getattr(rows, "_ex_iterable", None), "iter_arrow", None)):
        return _arrow_batches(itertools.chain.from_iterable(map(_tables, rows.with_format("arrow").iter(batch_size=BATCH))))
    return None


def _tables(table: Any) -> Sequence[Any]:
    batches: Sequence[Any] = table.to_batches()
    return batches


def _streamed(rows: Any) -> Columnar:
    """What offers Arrow's stream: a relation of DuckDB, a frame of another library."""
    import polars

    frame: Any = polars.DataFrame(rows)
    return _polars_frames([frame])


LIBRARIES: Final[dict[str, Callable[[Any], Columnar | None]]] = {
    "polars": _polars,
    "pandas": _pandas,
    "pyarrow": _pyarrow,
    "datasets": _datasets,
}
"""Package of a class → what gives the rows of its objects in batches; None for an object whose rows are iterated over."""


@dataclass(frozen=True)
class _Odd:
    """A value that Python has no form for."""

    kind: str


def _is_array(value: Any) -> bool:
    """Whether it is an array of numpy's, as pandas has for the lists of Arrow."""
    return type(value).__module__.partition(".")[0] == "numpy" and bool(getattr(value, "ndim", 0))


class _TooDeep(Exception):
    """A row is nested deeper than a pool may be."""


class _Writer:
    """Makes a row's line."""

    def __init__(self, limits: Limits, *, columnar: bool, tree: Tree | None = None) -> None:
        """`columnar`: structures have every key of their column, so what is null in one was not there; texts may be bytes."""
        self.limits = limits
        self.columnar = columnar
        self.tree = tree

    def line(self, row: Any) -> bytes:
        """The row as JSON; too long a row without its longest fields, too deep a one as nothing but its depth."""
        row = _as_dict(row)
        line = self._line(row)
        if len(line) > self.limits.max_line_bytes and isinstance(row, Mapping):
            line = self._shortened(row)
        return line

    def _line(self, row: Any) -> bytes:
        if not self.columnar:
            try:
                line = orjson.dumps(row, default=self._default, option=OPTIONS)
            except (TypeError, RecursionError):
                pass
            else:
                # An object may look like a mark, and has to be told from one.
                # Neither NaN, which stands for null, nor infinity is JSON; the library writes null for both.
                if MARK not in line and (b"null" not in line or not _holds_infinity(row, self.limits.max_depth)):
                    return line
        try:
            value = self._fields(row) if isinstance(row, Mapping) else self._value(row, 0, None)
        except _TooDeep:
            depth = self.limits.max_depth + 1
            return b"[" * depth + b"]" * depth
        try:
            return orjson.dumps(value)
        except TypeError:
            return json.dumps(value, separators=(",", ":")).encode()

    def _fields(self, row: Mapping[Any, Any]) -> dict[str, Any]:
        """A row's fields; one that is null stays."""
        return escaped({_key(key): self._column(item, _below(self.tree, key)) for key, item in row.items()})

    def _column(self, value: Any, tree: Tree | None) -> Any:
        """A value of a column: of a list of structures, as of turns, each has all its fields, as in a columnar file (`Columns.restored`)."""
        if self.columnar and not isinstance(value, list | str | bytes | Mapping) and _is_array(value):
            value = list(value)
        if not self.columnar or not isinstance(value, list):
            return self._value(value, 1, tree)
        inner = _below(tree, "")
        return [
            self._structure(item, inner)
            if type(item) is dict and item.keys() != IMAGE and not are_tools(item)
            else self._value(item, 2, inner)
            for item in value
        ]

    def _structure(self, fields: Mapping[Any, Any], tree: Tree | None) -> Any:
        return escaped({_key(key): self._value(item, 3, _below(tree, key)) for key, item in fields.items()})

    def _value(self, value: Any, depth: int, tree: Tree | None) -> Any:
        """A value as JSON has it, with marks for what it has not."""
        kind = type(value)
        if value is None or kind is bool or kind is int:
            return value
        if kind is str:
            return _json(value) if tree == JSON else value
        if kind is float and math.isfinite(value):
            return value
        if depth > self.limits.max_depth + 8:
            raise _TooDeep
        if kind is dict or isinstance(value, Mapping):
            if value.keys() == IMAGE and (isinstance(value["bytes"], bytes) or (value["bytes"] is None and isinstance(value["path"], str))):
                return Mark(SHOWN, []).as_dict()
            items = ((_key(key), self._value(item, depth + 1, _below(tree, key))) for key, item in value.items())
            return escaped({key: item for key, item in items if item is not None or not self.columnar})
        if kind is list or kind is tuple:
            inner = _below(tree, "")
            return [self._value(item, depth + 1, inner) for item in value]
        if kind is Mark:
            return value.as_dict()
        if kind is bytes and self.columnar:
            try:
                return value.decode("utf-8")
            except UnicodeDecodeError:
                pass
        return self._value(self._default(value), depth + 1, tree)

    def _default(self, value: Any) -> Any:
        """What stands for an object that JSON does not know."""
        if isinstance(value, Mark):
            return value.as_dict()
        if isinstance(value, Message):
            return value.as_row()
        if isinstance(value, ToolCall):
            return value.as_dict()
        if isinstance(value, Json):
            return value.as_given
        if isinstance(value, enum.Enum):
            return value.value
        if isinstance(value, float):
            return _number(value)
        for base in (str, int):
            if isinstance(value, base):
                return base(value)
        if isinstance(value, bytes | bytearray | memoryview):
            return sized(BYTES, bytes(value))
        for cls, words in WORDS:
            if isinstance(value, cls):
                return None if type(value).__name__ == "NaTType" else Mark(OPAQUE, [words, _text(value)])
        if isinstance(value, uuid.UUID):
            return str(value)
        if isinstance(value, Mapping):
            return dict(value)
        if isinstance(value, _Odd):
            return Mark(ODD, [value.kind])
        return self._foreign(value)

    def _foreign(self, value: Any) -> Any:
        """A value of a library's own class."""
        library = type(value).__module__.partition(".")[0]
        if library == "pandas" and type(value).__name__ == "NAType":
            return None
        if library in SHOWING or type(value).__module__.startswith(DECODED):
            return Mark(SHOWN, [])
        letter = getattr(getattr(value, "dtype", None), "kind", "")
        if library == "numpy" and letter in ("M", "m"):
            if getattr(value, "ndim", 0):
                return list(value)
            return None if str(value) == "NaT" else Mark(OPAQUE, ["a date with a time" if letter == "M" else "a duration", str(value)])
        if library in ("numpy", "torch", "jax", "jaxlib", "tensorflow", "pyarrow", "polars", "pandas"):
            for name in ("tolist", "to_list", "as_py", "numpy"):
                if callable(convert := getattr(value, name, None)):
                    converted = convert()
                    if type(converted) is not type(value):
                        return _number(converted) if type(converted) is float else converted
        if isinstance(value, Sequence):
            return list(value)
        return Mark(ODD, [f"a value of the type {type(value).__name__}"])

    def _shortened(self, row: Mapping[Any, Any]) -> bytes:
        """The line of a row without its longest fields, which count only where they are read."""
        lines = {key: self._line({key: item}) for key, item in row.items()}
        left = sum(map(len, lines.values()))
        short: dict[Any, Any] = dict(row)
        for key in sorted(lines, key=lambda key: -len(lines[key])):
            if left <= self.limits.max_line_bytes:
                break
            left -= len(lines[key])
            short[key] = sized(LONG, lines[key])
        return self._line(short)


def _as_dict(row: Any) -> Any:
    """An example, a conversation or a list of messages as the row that it is written as; anything else as it is."""
    if isinstance(row, Example | Conversation):
        fields: dict[str, Any] = {"messages": [turn.as_row() for turn in row.messages]}
        return fields if row.tools is None else {**fields, "tools": row.tools.as_given}
    if isinstance(row, list | tuple) and row and all(isinstance(turn, Message) for turn in row):
        return {"messages": [turn.as_row() for turn in row]}
    return row


WORDS: Final[tuple[tuple[type, str], ...]] = (
    (datetime.datetime, "a date with a time"),
    (datetime.date, "a date"),
    (datetime.time, "a time"),
    (datetime.timedelta, "a duration"),
    (decimal.Decimal, "a decimal number"),
)
"""Classes of values that have a form as text and are none → what messages call them."""


def _text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime.date | datetime.time) else str(value)


def _number(value: float) -> Any:
    """A float: null for NaN, which stands for a missing value; a mark for infinity."""
    value = float(value)
    if math.isfinite(value):
        return value
    return None if math.isnan(value) else Mark(ODD, ["an infinite number"])


def _key(key: Any) -> str:
    """The key of an object: a text; another one as JSON writes it."""
    if isinstance(key, str):
        return str(key.value) if isinstance(key, enum.Enum) else str(key)
    return json.dumps(key) if key is None or isinstance(key, bool | int | float) else str(key)


def _below(tree: Tree | None, key: Any) -> Tree | None:
    return tree.get(key) if isinstance(tree, Mapping) else None


def _json(text: str) -> Any:
    """The value of a JSON text; the text where it is none."""
    try:
        return parsed(text)
    except ValueError:
        return text


def _holds_infinity(value: Any, depth: int) -> bool:
    if type(value) is float:
        return math.isinf(value)
    if depth < 0:
        return False
    if isinstance(value, Mapping):
        return any(_holds_infinity(item, depth - 1) for item in value.values())
    return isinstance(value, list | tuple) and any(_holds_infinity(item, depth - 1) for item in value)


__all__ = ["spool"]
