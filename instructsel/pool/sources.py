"""Where rows come from: plain and compressed files, standard input, Parquet and Arrow.

A source is seekable: what is compressed or a stream is spooled to an unnamed temporary file first, with limits on how
much it may unpack to. What a file is, is decided by its content; the extension only settles what content cannot.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EmptyFile, PoolError, UsageError
from instructsel.pool.columnar import CALLED, Columns, plain, spool_rows
from instructsel.pool.formats._turns import are_turns
from instructsel.pool.lines import Limits, Row, RowFault, parse, parse_again, read_lines
from instructsel.pool.marks import Marks
from instructsel.pool.memory import spool
from instructsel.pool.records import fields_of, read_records
from instructsel.pool.streams import STDIN, opened, spooled, standard_input
from instructsel.pool.streams import zstd as zstd
from instructsel.pool.text_files import DELIMITERS, EXTENSIONS, Records, as_utf8, encoding_of, head_of, layout_of, with_line_feeds
from instructsel.pool.values import read_values, values_of

MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
    b"PARE": "parquet",
    b"ARROW1\0\0": "arrow",
    b"\xff\xff\xff\xff": "arrow-stream",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7z",
}
ARCHIVES: Final = {"gzip", "zstd", "zip", "xz", "bzip2", "7z"}
COMPRESSED: Final = {".gz", ".zst"}
MAX_NAME: Final = 255
"""Bytes of the name of a pool from memory."""


@dataclass(frozen=True)
class Source:
    """One readable, seekable pool file."""

    name: str
    """What the user called it, for messages."""
    label: str
    """The source its examples are counted under: the file's name without folder and extensions."""
    container: str
    """lines, array, csv, tsv, parquet or arrow."""
    file: BinaryIO
    """The (decompressed) bytes; for Parquet and Arrow, the rows as JSON lines."""
    columns: Columns | None = None
    """What a Parquet or Arrow file says of itself."""
    header: tuple[str, ...] = ()
    """Column names of a CSV or TSV file."""
    header_raw: bytes = b""
    """The header's own bytes."""
    limits: Limits = field(default_factory=Limits)
    keep: object = None
    """What must live as long as the source does: a temporary file."""
    marks: Marks | None = None
    """Of rows from memory: reads the values that JSON has no form for."""
    delimiter: str = ","
    """Between two fields of a CSV or TSV record."""
    start: tuple[int, int] | None = None
    """Offset and line of the first record behind the header."""
    origin: tuple[int, int] = (0, 0)
    """Offset and lines before the first byte of `file`, where it is a part of a file of lines."""
    spread: bool = False
    """Whether JSON objects have several lines, or none end between them."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was read in spite of a small fault, by its name, with how often."""
    most_rows: int | None = None
    """Of a compressed or columnar file, how many rows it may hold."""
    through: Callable[[Iterator[Row]], Iterator[Row]] | None = None
    """Of JSON lines, what the lines go through before they are parsed: lines that are known already are left out there."""

    passes: Callable[[Row], bool] | None = None
    """Which rows are read; all of them where None."""
    unanswered: bool = False
    """Whether it is read although every response in it is empty, as a gate does, which says so of each row."""
    held: bool = False
    """Whether its conversations stay in memory once they are read, as a gate wants, which looks at all of them: no row is parsed twice."""

    def rows(self) -> Iterator[tuple[Row, Any]]:
        """Every row with its parsed value; the value is None where the row has a fault."""
        passes = self.passes
        if passes is None or self._is_by_line:
            return self._rows()
        return (pair for pair in self._rows() if passes(pair[0]))

    @property
    def _is_by_line(self) -> bool:
        return self.container == "lines" and not self.spread and self.columns is None

    def _rows(self) -> Iterator[tuple[Row, Any]]:
        if self.container in DELIMITERS:
            yield from self._records()
        elif self.columns is not None:
            yield from self._table(self.columns)
        elif self.container == "array" or self.spread:
            yield from self._json(read_values(self.file, self.limits, self.notes))
        else:
            lines = read_lines(self.file, self.limits, self.origin)
            # Both before they are parsed; a line that holds several rows passes as one. All lines go through, those that do not pass as well: a row that
            # stays takes what is known of it, and its copy is new.
            if self.through is not None:
                lines = self.through(lines)
            yield from self._json(lines if self.passes is None else filter(self.passes, lines))

    def _json(self, rows: Iterator[Row]) -> Iterator[tuple[Row, Any]]:
        for row in rows:
            value = self._parsed(row)
            if (value is None or type(value) is list) and (several := self._several(row, value)):
                yield from several
            else:
                yield row, value

    def _table(self, columns: Columns) -> Iterator[tuple[Row, Any]]:
        for row in read_lines(self.file, self.limits, self.origin):
            value = self._parsed(row)
            if value is not None and columns.media and (fault := columns.more_than_text(value)) is not None:
                row.fault, value = fault, None
            yield row, value if value is None else columns.restored(row.raw, value)

    def _parsed(self, row: Row) -> Any:
        if row.fault is not None:
            return None
        try:
            return _as_row(self._restored(row.raw, parse(row.raw, self.limits)))
        except RowFault as fault:
            row.fault = fault
            return None

    def _several(self, row: Row, value: Any) -> list[tuple[Row, Any]]:
        """The objects of a row that holds several, or a list of them, or a comma behind one; none where it is one row."""
        if value is None and (row.fault is None or row.fault.code != "extra_data"):
            return []
        try:
            pairs = [(part, self._parsed(part)) for part in values_of(row, self.limits)]
        except RowFault:
            return []
        objects = sum(type(part) is dict for _, part in pairs)
        whole = objects == len(pairs)
        if not objects or not (whole or (value is None and objects > 1)):
            return []
        what = "rows in a list of their own" if value is not None else "lines with more than one object"
        self.notes[what if value is not None or objects > 1 else "a comma behind the object of a line"] += 1
        return pairs

    def _records(self) -> Iterator[tuple[Row, Any]]:
        for row, fields in read_records(self.file, self.limits, delimiter=self.delimiter, width=len(self.header), start=self.start):
            if row.fault is None and len(fields) != len(self.header):
                row.fault = RowFault("ragged_row", f"{len(fields)} fields, the header has {len(self.header)}")
            yield row, self._named(fields) if row.fault is None else None

    def _named(self, fields: list[str]) -> dict[str, str]:
        """The fields by their columns; one without a name is no field."""
        return {name: text for name, text in zip(self.header, fields, strict=True) if name}

    def check_rows(self, count: int) -> None:
        """Refuse a file that holds more rows than it may, of which so many are read.

        Raises:
            PoolError: it does.
        """
        if self.most_rows is not None and count > self.most_rows:
            raise PoolError(
                f"{self.name}: more than {self.most_rows:,} rows in a compressed file of its size.",
                fix="It looks like a decompression bomb; unpack it yourself if you trust it, or raise Limits.free_rows from Python.",
            )

    def raw(self, offset: int, length: int) -> bytes:
        """The bytes of a row that was read before; threads and forked processes may ask at once."""
        if isinstance(self.file, io.BytesIO) or not hasattr(os, "pread"):  # not on Windows
            self.file.seek(offset)
            return self.file.read(length)
        # Read at a place, not from one: the place where a file stands is shared.
        raw = os.pread(self.file.fileno(), length, offset)
        while len(raw) < length and (more := os.pread(self.file.fileno(), length - len(raw), offset + len(raw))):
            raw += more
        return raw

    def raw_rows(self, offsets: NDArray[np.int64], lengths: NDArray[np.uint32]) -> tuple[bytes, NDArray[np.int64]]:
        """The bytes of rows that were read before, ascending, and where each begins in them; what stands between close rows comes along."""
        size = int(lengths.sum())
        span = int(offsets[-1]) + int(lengths[-1]) - int(offsets[0])
        if span <= 2 * size:
            return self.raw(int(offsets[0]), span), offsets - offsets[0]
        rows = [self.raw(offset, length) for offset, length in zip(offsets.tolist(), lengths.tolist(), strict=True)]
        # A file that was cut has rows of other lengths; whoever compares the digests sees it.
        return b"".join(rows), np.cumsum(lengths, dtype=np.int64) - lengths

    def with_bytes(self, raw: bytes, origin: tuple[int, int] = (0, 0)) -> Source:
        """The source with these bytes for its file, as another process can have it.

        Args:
            raw: some of the file.
            origin: offset and lines before them.
        """
        columns = None if self.columns is None else replace(self.columns, keep=None)
        return replace(
            self, file=io.BytesIO(raw), columns=columns, keep=None, origin=origin, notes=Counter(), through=None, passes=None, held=False
        )

    def value_of(self, raw: bytes) -> Any:
        """The parsed value of a row that was read before."""
        if self.container in DELIMITERS:
            return self._named(fields_of(raw, delimiter=self.delimiter, width=len(self.header)))
        value = _as_row(self._restored(raw, parse_again(raw)))
        return value if self.columns is None else self.columns.restored(raw, value)

    def _restored(self, raw: bytes, value: Any) -> Any:
        return value if self.marks is None else self.marks.restored(raw, value)

    def identity(self, raw: bytes) -> bytes:
        """The bytes by which a row is known, whether it lies in a file or in memory."""
        return raw if self.marks is None else self.marks.identity(raw)

    def plain(self, raw: bytes) -> dict[str, Any]:
        """A row that was read before, as JSON can hold it: the dates and decimal numbers of Parquet and of rows from memory as texts.

        Raises:
            UsageError: it holds bytes, or a text that was too long to be read.
        """
        value = self.value_of(raw)
        if self.marks is not None:
            value = self.marks.plain(value, self.name)
        return value if self.columns is None else plain(value, self.name)


def _as_row(value: Any) -> Any:
    """A row; a bare list of turns as the object that it is elsewhere."""
    return {"messages": value} if type(value) is list and are_turns(value) else value


def memory_source(rows: Any, name: str, limits: Limits) -> Source:
    """Rows in memory under a name that stands for a file's; see `memory.spool`.

    Raises:
        UsageError: the name is none, or `rows` is nothing that has rows.
        PoolError: the rows are beyond the limit in bytes, or cannot be read.
    """
    if not isinstance(name, str) or not name.strip() or not name.isprintable() or len(name.encode()) > MAX_NAME:
        raise UsageError(f"A pool's name is a text of 1 to {MAX_NAME} bytes.", fix='For example: Pool.of(rows, name="memory")')
    return Source(name, name, "lines", spool(rows, name, limits), limits=limits, marks=Marks())


def label_of(path: str | Path) -> str:
    """The label of a file: its name up to the first known extension."""
    name = Path(path).name
    while (suffix := Path(name).suffix.lower()) in COMPRESSED or suffix in EXTENSIONS:
        name = name[: -len(suffix)]
    return name or "pool"


def open_source(
    path: str | Path,
    limits: Limits,
    *,
    columns: tuple[str, ...] | None = None,
    delimiter: str | None = None,
    name: str | None = None,
    label: str | None = None,
) -> Source:
    """Open a pool file, or `-` for standard input.

    Args:
        path: the file.
        limits: how much of it is read before it is refused.
        columns: names for the columns of a CSV or TSV file without a header.
        delimiter: between two fields of one; told from its header by default.
        name: what messages call it; its path by default.
        label: the source of its examples; made of its name by default.

    Raises:
        EmptyFile: it has no rows.
        PoolError: it is missing, an archive of files, a Git LFS pointer, truncated, beyond the limits, or of no known kind.
    """
    records = Records(columns, delimiter)
    if str(path) == "-":
        return _open_stream(standard_input(), STDIN, label or STDIN, "", limits, records)
    target = Path(path)
    file, stream = opened(target)
    label = label or label_of(name or target)
    return _open_stream(file, name or str(path), label, _suffix(target), limits, records, path=None if stream else target)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open_stream(
    file: BinaryIO, name: str, label: str, suffix: str, limits: Limits, records: Records, *, path: Path | None = None
) -> Source:
    start = file.read(8) if path is None else _start(file)
    kind = _magic(start)
    most_rows: int | None = None
    if path is None or kind in ("gzip", "zstd"):
        file, packed = spooled(file, start if path is None else b"", name, kind, limits)
        most_rows = limits.most_rows(packed) if kind in ("gzip", "zstd") else None
        start = _start(file)
        nested = _magic(start)
        if nested in ARCHIVES:
            raise PoolError(
                f"{name}, line 1: a {nested} archive inside the {kind or 'stream'}.", fix="Unpack it once and name the file inside."
            )
        kind = nested
        path = None
    if kind in ARCHIVES:
        raise PoolError(
            f"{name}, line 1: {kind} archives are not read.", fix="Unpack it; .gz and .zst of a single file can be read as they are."
        )
    if kind in CALLED:
        return _open_columnar(file, name, label, kind, path, limits)
    notes: Counter[str] = Counter()
    if encoding := encoding_of(start):
        file = as_utf8(file, name, encoding, limits)
        notes[f"read as {encoding}"] = 1
    head = head_of(file)
    table = EXTENSIONS.get(suffix) in DELIMITERS or (not suffix and head[:1] not in b"[{")
    if table and b"\r" in head and b"\n" not in head:
        file = with_line_feeds(file)
        notes["carriage returns end the lines"] = 1
    layout = layout_of(file, name, suffix, limits, records)
    return Source(
        name,
        label,
        layout.container,
        file,
        header=layout.header,
        header_raw=layout.header_raw,
        limits=limits,
        delimiter=layout.delimiter,
        start=layout.start,
        spread=layout.spread,
        notes=notes,
        most_rows=most_rows,
    )


def _start(file: BinaryIO) -> bytes:
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    return start


def _magic(start: bytes) -> str | None:
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)


def _open_columnar(file: BinaryIO, name: str, label: str, kind: str, path: Path | None, limits: Limits) -> Source:
    with file:
        spooled = spool_rows(file, name, kind, path, limits)
    if not spooled.columns.rows:
        raise EmptyFile(f"{name}: the file has no rows.", fix="Name a file with rows.")
    container = "parquet" if kind == "parquet" else "arrow"
    return Source(name, label, container, spooled.rows, spooled.columns, limits=limits)
