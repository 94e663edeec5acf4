"""Where rows come from: plain and compressed files, standard input, Parquet, the hub.

A source is seekable: what is compressed or a stream is spooled to an unnamed temporary file first, with limits on how
much it may unpack to. What a file is, is decided by its content; the extension only settles what content cannot.
"""

from __future__ import annotations

import gzip
import io
import sys
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final

import orjson

from instructsel.artifact import full
from instructsel.errors import InstructselError, PoolError
from instructsel.pool.columnar import spool_rows
from instructsel.pool.hub import fetch
from instructsel.pool.lines import BOM, CHUNK, Limits, Row, RowFault, fields_of, parse, parse_again, read_array, read_lines, read_records

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

MAGIC: Final = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PAR1": "parquet",
    b"PK\x03\x04": "zip",
    b"\xfd7zXZ\x00": "xz",
    b"BZh": "bzip2",
    b"7z\xbc\xaf\x27\x1c": "7z",
}
ARCHIVES: Final = {"gzip", "zstd", "zip", "xz", "bzip2", "7z"}
COMPRESSED: Final = {".gz", ".zst"}
EXTENSIONS: Final = {".jsonl": "lines", ".ndjson": "lines", ".json": "lines", ".csv": "csv", ".tsv": "tsv", ".parquet": "parquet"}
DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
LFS: Final = b"version https://git-lfs.github.com/spec/"


@dataclass(frozen=True)
class Source:
    """One readable, seekable pool file."""

    name: str
    """What the user called it, for messages."""
    label: str
    """The source its examples are counted under: the file's name without folder and extensions."""
    container: str
    """lines, array, csv, tsv or parquet."""
    file: BinaryIO
    """The (decompressed) bytes; for Parquet, its rows as JSON lines."""
    original: Path | None
    """A Parquet file that rows are copied from on export."""
    header: tuple[str, ...] = ()
    """Column names of a CSV or TSV file."""
    header_raw: bytes = b""
    """The header's own bytes."""
    limits: Limits = field(default_factory=Limits)
    keep: object = None
    """What must live as long as the source does: a temporary file."""

    def rows(self) -> Iterator[tuple[Row, Any]]:
        """Every row with its parsed value; the value is None where the row has a fault."""
        if self.container in DELIMITERS:
            records = read_records(self.file, self.limits, delimiter=DELIMITERS[self.container], width=len(self.header))
            if self.header_raw:
                next(records)
            for row, fields in records:
                yield row, self._record(row, fields)
            return
        reader = read_array if self.container == "array" else read_lines
        for row in reader(self.file, self.limits):
            value = None
            if row.fault is None:
                try:
                    value = parse(row.raw, self.limits)
                except RowFault as fault:
                    row.fault = fault
            yield row, value

    def _record(self, row: Row, fields: list[str]) -> dict[str, str] | None:
        if row.fault is None and len(fields) != len(self.header):
            row.fault = RowFault("ragged_row", f"{len(fields)} fields, the header has {len(self.header)}")
        return dict(zip(self.header, fields, strict=True)) if row.fault is None else None

    def raw(self, offset: int, length: int) -> bytes:
        """The bytes of a row that was read before."""
        self.file.seek(offset)
        return self.file.read(length)

    def value(self, offset: int, length: int) -> Any:
        """The parsed value of a row that was read before."""
        raw = self.raw(offset, length)
        if self.container in DELIMITERS:
            fields = fields_of(raw, delimiter=DELIMITERS[self.container], width=len(self.header))
            return dict(zip(self.header, fields, strict=True))
        return parse_again(raw)


def label_of(path: str | Path) -> str:
    """The label of a file: its name up to the first known extension."""
    name = Path(path).name
    while (suffix := Path(name).suffix.lower()) in COMPRESSED or suffix in EXTENSIONS:
        name = name[: -len(suffix)]
    return name or "pool"


def open_source(path: str | Path, limits: Limits, *, columns: tuple[str, ...] | None = None) -> Source:
    """Open a pool file, `-` for standard input, or `hf://OWNER/NAME[/CONFIG][:SPLIT][@REVISION]`.

    Args:
        path: the file.
        limits: how much of it is read before it is refused.
        columns: names for the columns of a CSV or TSV file without a header.

    Raises:
        PoolError: it is missing, an archive of files, a Git LFS pointer, truncated, beyond the limits, or of no known kind.
    """
    name = str(path)
    if name.startswith("hf://"):
        return _open_hub(name, limits)
    if name == "-":
        return _open_stream(sys.stdin.buffer, "stdin", "stdin", "", limits, columns)
    target = Path(path)
    try:
        if target.is_dir():
            raise PoolError(f"{name} is a folder.", fix=f"Name the files in it, e.g. {name.rstrip('/')}/*.jsonl")
        file = open(target, "rb")  # noqa: SIM115 - the source owns it
    except OSError as error:
        raise PoolError(f"{name}: {error.strerror or error}.", fix="Check the path.") from error
    return _open_stream(file, name, label_of(target), _suffix(target), limits, columns, path=target)


def _suffix(path: Path) -> str:
    suffixes = [suffix.lower() for suffix in path.suffixes]
    while suffixes and suffixes[-1] in COMPRESSED:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _open_stream(
    file: BinaryIO, name: str, label: str, suffix: str, limits: Limits, columns: tuple[str, ...] | None, *, path: Path | None = None
) -> Source:
    start = file.read(8) if path is None else _start(file)
    kind = _magic(start)
    if path is None or kind in ("gzip", "zstd"):
        file = _spool(file, start if path is None else b"", name, kind, limits)
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
    if kind == "parquet":
        return _open_parquet(file, name, label, path, limits)
    return _open_text(file, name, label, suffix, limits, columns)


def _start(file: BinaryIO) -> bytes:
    file.seek(0)
    start = file.read(8)
    file.seek(0)
    return start


def _magic(start: bytes) -> str | None:
    return next((kind for magic, kind in MAGIC.items() if start.startswith(magic)), None)


class _Chained(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self.start = start
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.start[: len(buffer)] if self.start else self.stream.read(len(buffer))
        self.start = self.start[len(data) :] if self.start else b""
        buffer[: len(data)] = data
        return len(data)


class _Counted(io.RawIOBase):
    """Counts the compressed bytes that go by, for the ratio."""

    def __init__(self, inner: BinaryIO) -> None:
        self.inner = inner
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


def _spool(file: BinaryIO, start: bytes, name: str, kind: str | None, limits: Limits) -> BinaryIO:
    """Unpack to an unnamed temporary file, within the limits."""
    packed = _Counted(io.BufferedReader(_Chained(start, file)) if start else file)
    inner = io.BufferedReader(packed, CHUNK)
    stream: Any = gzip.GzipFile(fileobj=inner) if kind == "gzip" else zstd.ZstdFile(inner) if kind == "zstd" else inner
    unpacked = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
    size = 0
    try:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            if size > limits.max_bytes:
                raise PoolError(f"{name}: more than {limits.max_bytes:,} bytes.", fix="Split it, or raise Limits.max_bytes from Python.")
            if kind in ("gzip", "zstd") and size > limits.free_bytes and size > limits.max_ratio * max(packed.count, 1):
                raise PoolError(
                    f"{name}, byte {size:,}: unpacks to more than {limits.max_ratio:g} times its size.",
                    fix="It looks like a decompression bomb; unpack it yourself if you trust it.",
                )
            try:
                unpacked.write(chunk)
            except OSError as error:
                raise full(error) from error
        try:
            unpacked.flush()
        except OSError as error:
            raise full(error) from error
    except (EOFError, gzip.BadGzipFile, zstd.ZstdError, zlib.error) as error:
        unpacked.close()
        raise PoolError(
            f"{name}, byte {size:,}: the {kind} stream is damaged or cut off ({error}).", fix="Fetch the file again."
        ) from error
    except OSError as error:
        unpacked.close()
        raise PoolError(
            f"{name}: {error.strerror or error} while spooling {size:,} bytes.", fix="Free some space in the temporary folder."
        ) from error
    except InstructselError:
        unpacked.close()
        raise
    finally:
        if name != "stdin":
            file.close()
    unpacked.seek(0)
    return unpacked


def _open_text(file: BinaryIO, name: str, label: str, suffix: str, limits: Limits, columns: tuple[str, ...] | None) -> Source:
    file.seek(0)
    head = file.read(64 << 10).removeprefix(BOM)
    body = head.lstrip(b" \t\r\n")
    if not body:
        raise PoolError(f"{name}: the file is empty.", fix="Name a file with rows.")
    if body.startswith(LFS):
        raise PoolError(f"{name}, line 1: a Git LFS pointer, not the data.", fix="Fetch the data with: git lfs pull")
    container = EXTENSIONS.get(suffix)
    if container == "parquet":
        raise PoolError(f"{name}, line 1: named .parquet, but it does not begin as Parquet does.", fix="Check where it came from.")
    if container is None and body[:1] not in b"[{":
        if suffix:
            raise PoolError(
                f"{name}, line 1: '{suffix}' is not a pool format.", fix=f"Known: {', '.join(EXTENSIONS)}, each also as .gz or .zst."
            )
        container = "tsv" if b"\t" in body.split(b"\n", 1)[0] else "csv"
    if container in DELIMITERS:
        return _open_table(file, name, label, container, limits, columns)
    if body.startswith(b"["):
        return Source(name, label, "array", file, None, limits=limits)
    if body.startswith(b"{") and suffix != ".jsonl":
        _refuse_single_object(file, body, name, limits)
    return Source(name, label, "lines", file, None, limits=limits)


def _refuse_single_object(file: BinaryIO, body: bytes, name: str, limits: Limits) -> None:
    """A pretty-printed JSON object is one object over many lines, not JSON lines."""
    first = body.split(b"\n", 1)[0].strip()
    try:
        orjson.loads(first)
        return
    except orjson.JSONDecodeError:
        pass
    if len(first) > 60_000:
        return
    file.seek(0)
    content = file.read(limits.max_line_bytes + 1)
    try:
        value = orjson.loads(content.removeprefix(BOM)) if len(content) <= limits.max_line_bytes else None
    except orjson.JSONDecodeError:
        value = None
    file.seek(0)
    if isinstance(value, dict):
        keys = ", ".join(sorted(map(str, value))[:12])
        raise PoolError(
            f"{name}, line 1: one JSON object (keys {keys}), not a list of rows.", fix="Write its rows as JSON lines or as one array."
        )


def _open_table(file: BinaryIO, name: str, label: str, container: str, limits: Limits, columns: tuple[str, ...] | None) -> Source:
    if columns is not None:
        return Source(name, label, container, file, None, header=columns, limits=limits)
    row, fields = next(read_records(file, limits, delimiter=DELIMITERS[container]), (None, []))
    if row is None or row.fault is not None:
        why = row.fault.detail if row and row.fault else "no rows"
        raise PoolError(f"{name}, line 1: the header cannot be read ({why}).", fix="Name the columns with --columns a,b,c")
    names = tuple(fields)
    if len(set(names)) != len(names):
        raise PoolError(
            f"{name}, line 1: two columns of the header have the same name.", fix="Rename one, or name the columns with --columns a,b,c"
        )
    return Source(name, label, container, file, None, header=names, header_raw=row.raw, limits=limits)


def _open_parquet(file: BinaryIO, name: str, label: str, path: Path | None, limits: Limits, *, keep: object = None) -> Source:
    spooled = spool_rows(file, name, path, keep=keep)
    return Source(name, label, "parquet", spooled.rows, spooled.original, limits=limits, keep=spooled.keep)


def _open_hub(name: str, limits: Limits) -> Source:
    label, fetched = fetch(name)
    return _open_parquet(open(fetched.path, "rb"), name, label, fetched.path, limits, keep=fetched)
