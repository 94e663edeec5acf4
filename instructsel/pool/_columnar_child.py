"""The program that decodes Parquet and Arrow files, in a process of its own with limits of memory and processor time.

The library that decodes them can crash on a damaged file, or unpack a few bytes to gigabytes. Run by
`instructsel.pool.columnar`; reads a request a line from standard input and answers with frames: a line of JSON, then as many bytes as its
`size` says. Imports nothing but the standard library, polars and orjson; opens the files that it is told to read, and writes none.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import itertools
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import orjson
import polars as pl

try:
    import resource
except ImportError:  # no such limits on this system
    resource = None  # type: ignore[assignment]

FLOOR = 768 << 20
"""Bytes of addresses that decoding may take whatever the file's size: orjson reserves sixteen for each of a text, and crashes where it gets none."""
ADDRESSES = 2 << 30
"""Bytes of addresses beside: the library reserves more than it uses."""
TIMES = 4
"""Bytes that decoding may take for each byte of the largest part that a file says it unpacks to."""
PACKED = 16
"""The same for each byte of an Arrow file, which does not say what it unpacks to."""
SMALL = 1 << 20
"""Bytes of a file that unpacks to little, however well it is packed."""
SMALL_FLOOR = 384 << 20
"""What decoding may take for a small file in place of FLOOR."""
SECONDS = 4
"""Seconds of processor time that a file has, whatever its size."""
RATE = 1 << 16
"""Bytes of a file that earn another second."""
BATCH = 4096
"""Rows that are decoded at a time."""
FRAME = 1 << 20
"""Bytes of rows that are sent at a time, about."""
MAX_FOOTER = 4 << 20
"""Bytes of a footer that is looked at; a longer one is left to the library."""
MAX_NESTING = 192
"""Levels of a schema: three of them make one of JSON."""
NO_MEMORY = ("allocate memory", "memory allocation", "OOM")
"""How the library says that there is no memory left."""
MAX_CAUSE = 200
"""Characters of a cause."""
MARKS = {"bytes": "\0bytes", "long": "\0long", "odd": "\0odd"}
"""Keys of objects that stand for a value without a form in JSON."""


class Refusal(Exception):
    """Why a file is not read, in words."""


class Limit(Exception):
    """The limit that a file meets: time, memory, size or depth."""


Kind = Any
"""A type of polars, whose own names for it differ from what it accepts."""
Convert = Callable[[Any], Any]


# The footer of a Parquet file, in Thrift's compact protocol: only what says how large and how deep it is.


class Footer:
    """What a Parquet file says of itself before anything is decoded."""

    def __init__(self, file: BinaryIO) -> None:
        self.rows = 0
        self.largest = 0
        self.total = 0
        self.known = False
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 8))
        tail = file.read(8)
        if size < 12 or tail[4:] not in (b"PAR1", b"PARE"):
            raise Refusal("it does not end as Parquet does: it is cut off or damaged")
        if tail[4:] == b"PARE":
            raise Refusal("it is encrypted")
        length = int.from_bytes(tail[:4], "little")
        if length > size - 12:
            raise Refusal("its footer is damaged")
        if length > MAX_FOOTER:
            return
        file.seek(size - 8 - length)
        self.data = file.read(length)
        self.at = 0
        children: list[int] = []
        try:
            for field, kind in self._fields():
                if field == 2 and kind == 9:
                    for _ in range(self._list()[0]):
                        children.append(self._number(5))
                elif field == 3 and kind == 6:
                    self.rows = self._varint()
                elif field == 4 and kind == 9:
                    for _ in range(self._list()[0]):
                        group = self._number(2)
                        self.largest = max(self.largest, group)
                        self.total += max(group, 0)
                else:
                    self._skip(kind, 0)
        except (IndexError, RecursionError) as error:
            raise Refusal("its footer is damaged") from error
        if self.rows < 0 or self.largest < 0:
            raise Refusal("its footer is damaged")
        self.known = True
        _check_nesting(children)

    def _byte(self) -> int:
        value = self.data[self.at]
        self.at += 1
        return value

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value
            if shift > 63:
                raise IndexError

    def _varint(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _list(self) -> tuple[int, int]:
        head = self._byte()
        count = head >> 4 if head >> 4 != 15 else self._unsigned()
        if count > len(self.data):
            raise IndexError
        return count, head & 15

    def _fields(self) -> Iterator[tuple[int, int]]:
        field = 0
        while head := self._byte():
            field = field + (head >> 4) if head >> 4 else self._varint()
            yield field, head & 15

    def _number(self, wanted: int) -> int:
        """A whole number of a structure, 0 where it has none of that number."""
        value = 0
        for field, kind in self._fields():
            if field == wanted and kind in (4, 5, 6):
                value = self._varint()
            else:
                self._skip(kind, 0)
        return value

    def _skip(self, kind: int, depth: int) -> None:
        if depth > 64:
            raise IndexError
        if kind in (1, 2):
            return
        if kind == 3:
            self.at += 1
        elif kind in (4, 5, 6):
            self._unsigned()
        elif kind == 7:
            self.at += 8
        elif kind == 8:
            length = self._unsigned()
            self.at += length
        elif kind in (9, 10):
            count, inner = self._list()
            for _ in range(count):
                # A truth value in a list is a byte; in a structure its kind says it.
                self._skip(3 if inner in (1, 2) else inner, depth + 1)
        elif kind == 11:
            count = self._unsigned()
            if count > len(self.data):
                raise IndexError
            if count:
                kinds = self._byte()
                for _ in range(count):
                    self._skip(kinds >> 4, depth + 1)
                    self._skip(kinds & 15, depth + 1)
        elif kind == 12:
            for _, inner in self._fields():
                self._skip(inner, depth + 1)
        else:
            raise IndexError
        if self.at > len(self.data):
            raise IndexError


def _check_nesting(children: list[int]) -> None:
    """Refuse a schema that is nested too deeply, or whose numbers of children make no tree."""
    left: list[int] = []
    for count in children:
        while left and left[-1] == 0:
            left.pop()
        if left:
            left[-1] -= 1
        if count < 0:
            raise Refusal("its footer is damaged")
        left.append(count)
        if len(left) > MAX_NESTING:
            raise Limit("depth")


# Limits of this process.


def used(name: str) -> int:
    """Bytes that this process has: of addresses (VmSize), or of memory of its own (VmData)."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(name + ":")[2].split()[0]) << 10


def limit_memory(size: int) -> None:
    """Let this process allocate so many bytes more."""
    if resource is None:
        return
    for kind, name, room in ((resource.RLIMIT_DATA, "VmData", size), (resource.RLIMIT_AS, "VmSize", 2 * size - FLOOR + ADDRESSES)):
        with contextlib.suppress(OSError, ValueError, IndexError):
            hard = resource.getrlimit(kind)[1]
            wanted = used(name) + room
            resource.setrlimit(kind, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard))


def limit_time(seconds: int) -> None:
    """Let this process compute so many seconds more; then the system ends it."""
    if resource is None:
        return
    usage = resource.getrusage(resource.RUSAGE_SELF)
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    soft = int(usage.ru_utime + usage.ru_stime) + seconds
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_CPU, (soft if hard == resource.RLIM_INFINITY else min(soft, hard), hard))


# Files.


class Table:
    """A Parquet or Arrow file that is to be decoded."""

    def __init__(self, request: dict[str, Any], limits: dict[str, Any]) -> None:
        raw = bytes.fromhex(request["path"])
        self.kind: str = request["kind"]
        try:
            self.file = open(raw, "rb")  # noqa: SIM115 - as long as the table
            self.size = os.fstat(self.file.fileno()).st_size
        except OSError as error:
            raise Refusal(error.strerror or str(error)) from error
        limit_time(SECONDS + self.size // RATE)
        self.rows: int | None = None
        largest = self.size
        if self.kind == "parquet":
            footer = Footer(self.file)
            if footer.known:
                self.rows = footer.rows
                if footer.total > limits["free_bytes"] and footer.total > limits["max_ratio"] * self.size:
                    raise Limit("ratio")
                if footer.total > limits["max_bytes"]:
                    raise Limit("size")
                largest = footer.largest
        floor = FLOOR if self.size > SMALL else SMALL_FLOOR
        limit_memory(floor + (TIMES * largest if self.kind == "parquet" else PACKED * self.size))
        # The library takes names as text; a name that is none is opened by its number.
        name = os.fsdecode(raw)
        self.path = name if name.isprintable() and "\\" not in name else f"/proc/self/fd/{self.file.fileno()}"

    def lazy(self) -> pl.LazyFrame:
        """The table, not yet decoded."""
        if self.kind == "parquet":
            return pl.scan_parquet(self.path, glob=False, hive_partitioning=False, low_memory=True)
        if self.kind == "arrow":
            return pl.scan_ipc(self.path, glob=False, hive_partitioning=False)
        return pl.read_ipc_stream(self.path).lazy()

    def batches(self, names: list[str] | None = None) -> Iterator[pl.DataFrame]:
        """Its rows, some at a time, with all columns or those of these names; all rows, or an error."""
        lazy = self.lazy()
        rows = self.rows
        if rows is None:
            rows = lazy.select(pl.len()).collect().item()
        count = 0
        if rows:
            for frame in (lazy if names is None else lazy.select(names)).collect_batches(
                chunk_size=BATCH, maintain_order=True, lazy=True, engine="streaming"
            ):
                count += frame.height
                yield frame
        if count != rows:
            raise Refusal(f"{count:,} rows could be decoded, and it says that it has {rows:,}")


# Values.


def json_of(text: str) -> Any:
    """The value that JSON text stands for, digit for digit; the text itself where it is none."""
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return orjson.Fragment(text.replace("\n", " ").replace("\r", " ").encode())


class Held:
    """What was in memory and is not sent."""

    size = 0
    """Bytes of the values since it was last set to 0."""


def text_of(value: bytes) -> Any:
    """Bytes as the text that they are; as a mark where they are none."""
    Held.size += len(value)
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError:
        return mark("bytes", value)


def mark(kind: str, value: bytes) -> dict[str, Any]:
    """What stands for a value that is not sent."""
    return {MARKS[kind]: [len(value), hashlib.blake2b(value, digest_size=16).hexdigest()]}


def converter(kind: Kind) -> Convert | None:
    """What makes a value of a type one that JSON has; None where it is one already. What is null in a structure was not there."""
    if isinstance(kind, pl.Struct):
        inner = {field.name: converter(field.dtype) for field in kind.fields}
        if not any(inner.values()):
            return lambda value: {key: item for key, item in value.items() if item is not None}
        return lambda value: {key: _converted(inner[key], item) for key, item in value.items() if item is not None}
    if isinstance(kind, pl.List | pl.Array):
        element = converter(kind.inner)
        return None if element is None else lambda value: [None if item is None else _converted(element, item) for item in value]
    if isinstance(kind, pl.Map):
        element = converter(kind.value)
        return lambda value: {str(key): _converted(element, item) for key, item in value.items() if item is not None}
    if kind.is_extension():
        if kind.ext_name() == "arrow.json":
            return json_of
        return converter(kind.ext_storage())
    if kind == pl.Binary:
        return text_of
    if kind.is_decimal() or kind == pl.Duration:
        return str
    if kind in (pl.Int128, pl.UInt128):
        return lambda value: orjson.Fragment(str(value).encode())
    return None


def _converted(element: Convert | None, item: Any) -> Any:
    return item if element is None else element(item)


def is_media(kind: Kind) -> bool:
    """Whether values of a type are pictures, sounds or films as `datasets` stores them, or lists of them: bytes and the path they came from."""
    if isinstance(kind, pl.List | pl.Array):
        return is_media(kind.inner)
    fields = {field.name: field.dtype for field in kind.fields} if isinstance(kind, pl.Struct) else {}
    return fields.keys() == {"bytes", "path"} and fields["bytes"] == pl.Binary


def opaque(kind: Kind) -> Any:
    """Where values of a type stand as texts that they are not: the words for a leaf, or an object of them; None for nowhere."""
    if isinstance(kind, pl.Struct):
        inner = {field.name: tree for field in kind.fields if (tree := opaque(field.dtype)) is not None}
        return {"struct": inner} if inner else None
    if isinstance(kind, pl.List | pl.Array):
        tree = opaque(kind.inner)
        return None if tree is None else {"list": tree}
    if isinstance(kind, pl.Map):
        tree = opaque(kind.value)
        return None if tree is None else {"map": tree}
    if kind.is_extension():
        return opaque(kind.ext_storage())
    if kind.is_decimal():
        return "a decimal number"
    if kind == pl.Date:
        return "a date"
    if kind == pl.Datetime:
        return "a date with a time"
    if kind == pl.Time:
        return "a time"
    return "a duration" if kind == pl.Duration else None


def turn_fields(kind: Kind) -> list[str]:
    """The fields of a column's structures, where it holds lists of them, as of turns; nothing for any other."""
    if isinstance(kind, pl.List | pl.Array) and isinstance(kind.inner, pl.Struct):
        return [field.name for field in kind.inner.fields]
    return []


def values_of(column: pl.Series) -> list[Any]:
    """The values of a column; a mark for one that Python has no form for, such as the year 148108."""
    try:
        return column.to_list()
    except (ValueError, OverflowError, TypeError, pl.exceptions.PolarsError):
        values: list[Any] = []
        for row in range(len(column)):
            try:
                values += column.slice(row, 1).to_list()
            except (ValueError, OverflowError, TypeError, pl.exceptions.PolarsError):
                values.append({MARKS["odd"]: []})
        return values


def shortened(row: dict[str, Any], limit: int) -> bytes:
    """A row whose longest fields are marks, so that it keeps within the limit."""
    parts = {name: in_bytes(value) for name, value in row.items()}
    total = sum(map(len, parts.values()))
    line = b""
    for name in sorted(parts, key=lambda name: -len(parts[name])):
        if total <= limit and len(line := dumped(row)) <= limit:
            return line
        total -= len(parts[name])
        row[name] = mark("long", parts[name])
    return line or dumped(row)


def in_bytes(value: Any) -> bytes:
    """A value as bytes: a text in UTF-8, anything else as JSON."""
    return (
        value.encode("utf-8", "surrogatepass") if type(value) is str else orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS)
    )


def dumped(row: dict[str, Any]) -> bytes:
    """A row as JSON."""
    return orjson.dumps(row, default=str, option=orjson.OPT_NON_STR_KEYS)


class Rows:
    """Rows of frames as JSON lines."""

    def __init__(self, schema: pl.Schema, longest: int) -> None:
        self.names = list(schema)
        self.converters = [converter(kind) for kind in schema.values()]
        self.floats = [name for name, kind in schema.items() if kind.is_float()]
        self.infinite: dict[str, int] = {}
        self.longest = longest
        self.count = 0
        self.step = 16

    def lines(self, frame: pl.DataFrame) -> Iterator[tuple[int, bytes]]:
        """Some rows at a time: how many, and their lines. As many as make a frame, judged by those before."""
        for name in self.floats:
            if name not in self.infinite and len(rows := frame[name].is_infinite().fill_null(value=False).arg_true()):
                self.infinite[name] = self.count + int(rows[0])
        start = 0
        while start < frame.height:
            part = frame.slice(start, self.step)
            Held.size = 0
            data = self._lines(part)
            size = max(len(data), Held.size, 1)
            yield part.height, data
            start += part.height
            self.count += part.height
            self.step = max(1, min(BATCH, 4 * self.step, FRAME * part.height // size))

    def _lines(self, part: pl.DataFrame) -> bytes:
        columns: list[list[Any]] = []
        for column, convert in zip(part.get_columns(), self.converters, strict=True):
            values = values_of(column)
            if convert is not None:
                values = [value if value is None or (type(value) is dict and MARKS["odd"] in value) else convert(value) for value in values]
            columns.append(values)
        lines: list[bytes] = []
        names = self.names
        for row in zip(*columns, strict=True):
            fields = {
                # As JSON it may take six times as much, for which there may be no memory: orjson crashes where it gets none.
                name: mark("long", in_bytes(value)) if type(value) is str and len(value) > self.longest else value
                for name, value in zip(names, row, strict=True)
                if value is not None
            }
            line = dumped(fields)
            if len(line) > self.longest:
                del line
                line = shortened(fields, self.longest)
            lines.append(line)
        lines.append(b"")
        return b"\n".join(lines)


# One schema for the rows of several files.

EXACT = 2**53
"""Up to here every whole number is a real one."""


class Merging:
    """What the columns of several files need to make one table."""

    def __init__(self) -> None:
        self.notes: dict[str, None] = {}
        """What is changed, in words."""
        self.exact: dict[tuple[str, ...], str] = {}
        """Where whole numbers of 64 bits become real ones: the steps from a column, [] into a list; and the type of the other."""


def merged(first: Kind, second: Kind, path: tuple[str, ...], merging: Merging) -> Kind:
    """A type that holds the values of both without loss."""
    if first == second or second == pl.Null:
        return first
    if first == pl.Null:
        return second
    if isinstance(first, pl.Struct) and isinstance(second, pl.Struct):
        fields = {field.name: field.dtype for field in first.fields}
        for field in second.fields:
            fields[field.name] = (
                merged(fields[field.name], field.dtype, (*path, field.name), merging) if field.name in fields else field.dtype
            )
        return pl.Struct(fields)
    if isinstance(first, pl.List) and isinstance(second, pl.List):
        return pl.List(merged(first.inner, second.inner, (*path, "[]"), merging))
    texts = (pl.String, pl.Categorical, pl.Enum)
    if first in texts and second in texts:
        return pl.String()
    if first.is_integer() and second.is_integer():
        both = {first, second}
        if both <= {pl.Int8(), pl.Int16(), pl.Int32(), pl.Int64(), pl.UInt8(), pl.UInt16(), pl.UInt32()}:
            return pl.Int64()
        if all(kind.is_unsigned_integer() for kind in both) and pl.UInt128() not in both:
            return pl.UInt64()
    if first in (pl.Float32, pl.Float64) and second in (pl.Float32, pl.Float64):
        return pl.Float64()
    small = {pl.Int8(), pl.Int16(), pl.Int32(), pl.UInt8(), pl.UInt16(), pl.UInt32()}
    for integer, real in ((first, second), (second, first)):
        if integer in {*small, pl.Int64(), pl.UInt64()} and real in (pl.Float32, pl.Float64):
            if integer not in small:
                merging.exact[path] = named(real)
            merging.notes[f"{shown(path)} is a whole number in some files and a real one in others: it is written as a real one"] = None
            return pl.Float64()
        if integer.is_integer() and real in texts:
            merging.notes[f"{shown(path)} is a whole number in some files and a text in others: it is written as text"] = None
            return pl.String()
    raise Refusal(f"{shown(path)} is {named(first)} in one and {named(second)} in another")


def shown(path: tuple[str, ...]) -> str:
    """A place in a column, in words."""
    return ".".join(path).replace(".[]", "[]")


def check_exact(tables: Iterable[Table], merging: Merging) -> None:
    """Refuse whole numbers beyond those that a real number holds exactly, where they would become real ones."""
    for table in tables if merging.exact else ():
        kinds = table.lazy().collect_schema()
        for path, other in merging.exact.items():
            for frame in table.batches([path[0]]) if path[0] in kinds else ():
                values = _values_at(frame[path[0]], path[1:])
                if values is not None and not values.is_between(-EXACT, EXACT).fill_null(value=True).all():
                    raise Refusal(f"{shown(path)} is a whole number beyond 2^53 in one and {other} in another")


def _values_at(values: pl.Series, steps: tuple[str, ...]) -> pl.Series | None:
    """The whole numbers at a place in a column; None where this file has none there."""
    for step in steps:
        if step == "[]" and isinstance(values.dtype, pl.List):
            values = values.explode()
        elif isinstance(values.dtype, pl.Struct) and step in {field.name for field in values.dtype.fields}:
            values = values.struct.field(step)
        else:
            return None
    return values if values.dtype in (pl.Int64, pl.UInt64) else None


def named(kind: Kind) -> str:
    """A type in words that fit a line."""
    text = str(kind)
    return text if len(text) <= 60 else text[:59] + "…"


def union(tables: list[Table], merging: Merging) -> dict[str, Kind]:
    """The columns of all files, in the order in which they first appear."""
    columns: dict[str, Kind] = {}
    for table in tables:
        for name, kind in table.lazy().collect_schema().items():
            columns[name] = merged(columns[name], kind, (name,), merging) if name in columns else kind
    return columns


def widened(value: pl.Expr, first: Kind, second: Kind) -> pl.Expr:
    """A value of the first type as one of the second, which holds it: structures by the names of their fields."""
    if first == second:
        return value
    if isinstance(first, pl.Struct) and isinstance(second, pl.Struct):
        kinds = {field.name: field.dtype for field in first.fields}
        parts = [
            (
                widened(value.struct.field(field.name), kinds[field.name], field.dtype)
                if field.name in kinds
                else pl.lit(None, dtype=field.dtype)
            ).alias(field.name)
            for field in second.fields
        ]
        return pl.when(value.is_not_null()).then(pl.struct(parts)).otherwise(None)
    if isinstance(first, pl.List) and isinstance(second, pl.List):
        return value.list.eval(widened(pl.element(), first.inner, second.inner))
    return value.cast(second)


def picked(table: Table, rows: list[int]) -> pl.DataFrame:
    """The rows of a file by their numbers, which ascend."""
    parts: list[pl.DataFrame] = []
    start = next_row = 0
    for frame in table.batches():
        end = bisect.bisect_left(rows, start + frame.height, next_row)
        if end > next_row:
            parts.append(frame[[row - start for row in rows[next_row:end]]])
        start, next_row = start + frame.height, end
    if next_row < len(rows):
        raise Refusal(f"row {rows[next_row] + 1:,} is gone")
    return pl.concat(parts, how="vertical") if parts else table.lazy().head(0).collect()


# Requests.


class Replies:
    """Frames to whoever asks."""

    def __init__(self, out: BinaryIO) -> None:
        self.out = out

    def send(self, head: dict[str, Any], data: bytes = b"") -> None:
        """A frame."""
        self.out.write(orjson.dumps({**head, "size": len(data)}) + b"\n")
        self.out.write(data)

    def write(self, data: Any) -> int:
        """Bytes of a file."""
        view = memoryview(data)
        for start in range(0, len(view), FRAME):
            self.send({}, bytes(view[start : start + FRAME]))
        return len(view)

    def flush(self) -> None:
        """All that was sent."""
        self.out.flush()


def send_rows(request: dict[str, Any], replies: Replies) -> dict[str, Any]:
    """The rows of a file as JSON lines."""
    table = Table(request, request["limits"])
    schema = table.lazy().collect_schema()
    rows = Rows(schema, request["limits"]["max_line_bytes"])
    for frame in table.batches():
        for count, data in rows.lines(frame):
            replies.send({"rows": count}, data)
    return {
        "rows": rows.count,
        "schema": {name: str(kind) for name, kind in schema.items()},
        "turns": {name: fields for name, kind in schema.items() if (fields := turn_fields(kind))},
        "opaque": {name: tree for name, kind in schema.items() if (tree := opaque(kind)) is not None},
        "infinite": rows.infinite,
        "media": [name for name, kind in schema.items() if is_media(kind)],
    }


def check_union(request: dict[str, Any], _: Replies) -> dict[str, Any]:
    """Whether the rows of several files make one, and what is changed for that."""
    merging = Merging()
    union([Table(file, request["limits"]) for file in request["files"]], merging)
    check_exact((Table(file, request["limits"]) for file in request["all"]), merging)
    return {"notes": list(merging.notes)}


def not_finite(request: dict[str, Any], _: Replies) -> dict[str, Any]:
    """The rows of a file in which a column is NaN or infinite."""
    table = Table(request["files"][0], request["limits"])
    name = request["column"]
    rows: list[int] = []
    start = 0
    for frame in table.batches([name]):
        if frame[name].dtype.is_float():
            rows += [start + row for row in (~frame[name].is_finite()).fill_null(value=False).arg_true().to_list()]
        start += frame.height
    return {"rows": rows}


def send_copy(request: dict[str, Any], replies: Replies) -> dict[str, Any]:
    """Rows of several files as one Parquet or Arrow file, with all columns of all files."""
    tables = [Table(file, request["limits"]) for file in request["files"]]
    merging = Merging()
    columns = union(tables, merging)
    check_exact(tables, merging)
    frames: list[pl.DataFrame] = []
    room = 0
    for table, file in zip(tables, request["files"], strict=True):
        frame = picked(table, file["rows"])
        kinds = frame.schema
        frames.append(
            frame.select(
                (widened(pl.col(name), kinds[name], kind) if name in kinds else pl.lit(None, dtype=kind)).alias(name)
                for name, kind in columns.items()
            )
        )
        room += int(frame.estimated_size())
        limit_memory(FLOOR + 4 * room)
    combined = pl.concat(frames, how="vertical")[request["order"]] if frames else pl.DataFrame()
    writable: Any = replies
    if request["to"] == "parquet":
        combined.write_parquet(writable)
    else:
        combined.write_ipc_stream(writable)
    return {}


def end_of(error: BaseException) -> dict[str, Any]:
    """What is told of an error: the limit of memory, or the cause."""
    cause = cause_of(error)
    return {"limit": "memory"} if any(words in cause for words in NO_MEMORY) else {"refused": cause}


def cause_of(error: BaseException) -> str:
    """An error in a line."""
    try:
        text = next(itertools.chain(filter(str.strip, str(error).split("\n")), [""])).strip()[:MAX_CAUSE]
    except Exception:  # an error may be unable to say what it is
        text = ""
    return text or type(error).__name__


REQUESTS: dict[str, Callable[[dict[str, Any], Replies], dict[str, Any]]] = {
    "rows": send_rows,
    "union": check_union,
    "copy": send_copy,
    "not_finite": not_finite,
}
"""What may be asked for."""


def main() -> None:
    """Answer requests until there are none."""
    # The parent is told of an interrupt by itself, and closes the pipe.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if resource is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for kind, most in ((resource.RLIMIT_CORE, 0), (resource.RLIMIT_FSIZE, 1 << 20)):
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(kind, (most, most))
    # What the library prints has no place among the frames.
    replies = Replies(os.fdopen(os.dup(1), "wb", buffering=FRAME))
    os.dup2(2, 1)
    for line in sys.stdin.buffer:
        request = orjson.loads(line)
        try:
            end: dict[str, Any] = {"done": REQUESTS[request["do"]](request, replies)}
        except Refusal as refusal:
            end = {"refused": str(refusal)}
        except Limit as limit:
            end = {"limit": str(limit)}
        except MemoryError:
            end = {"limit": "memory"}
        except (pl.exceptions.PolarsError, OSError, ValueError) as error:
            end = end_of(error)
        except BaseException as error:  # the library's panics are no Exception
            end = {**end_of(error), "broken": True}
        replies.send(end)
        replies.flush()


if __name__ == "__main__":
    main()
