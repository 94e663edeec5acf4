"""How the rows of a text file lie: lines, arrays, objects over several lines, records; and its encoding as UTF-8."""

from __future__ import annotations

import codecs
import json
import re
import tempfile
from dataclasses import dataclass
from typing import BinaryIO, Final

import orjson

from instructsel.artifact import full
from instructsel.errors import EmptyFile, PoolError, UsageError
from instructsel.pool.formats._turns import are_turns
from instructsel.pool.lines import BOM, CHUNK, Limits, RowFault
from instructsel.pool.records import read_records

EXTENSIONS: Final = {
    ".jsonl": "lines",
    ".ndjson": "lines",
    ".json": "lines",
    ".csv": "csv",
    ".tsv": "tsv",
    ".parquet": "parquet",
    ".arrow": "arrow",
}
DELIMITERS: Final = {"csv": ",", "tsv": "\t"}
"""Container of records → its delimiter, where the file shows no other."""
NAMED: Final = {"tab": "\t", "\\t": "\t", "comma": ",", "semicolon": ";", "pipe": "|"}
"""Delimiters by name."""
OTHERS: Final = (",", ";", "\t", "|")
"""Delimiters that are looked for in a header."""
LFS: Final = b"version https://git-lfs.github.com/spec/"
HEAD: Final = 64 << 10
"""Bytes that show how a file is laid out."""
TRIED: Final = 4
"""Records that have to agree with a header's delimiter."""
ENCODINGS: Final = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}
"""Byte-order mark → encoding; the longer marks first, which begin as the shorter ones do."""
UNMARKED: Final = {
    "UTF-16-LE": re.compile(rb"[\t\r\n\x20-\x7e]\x00[\t\r\n\x20-\x7e]\x00"),
    "UTF-16-BE": re.compile(rb"\x00[\t\r\n\x20-\x7e]\x00[\t\r\n\x20-\x7e]"),
}
SEPARATOR_LINE: Final = re.compile(rb"(?:\xef\xbb\xbf)?sep=(.)\r?\n", re.IGNORECASE)
"""What Excel writes above the header to name the delimiter."""


@dataclass(frozen=True)
class Layout:
    """How the rows of a text file lie."""

    container: str
    """lines, array, csv or tsv."""
    spread: bool = False
    """Whether objects have several lines, or none end between them."""
    header: tuple[str, ...] = ()
    """Column names of a CSV or TSV file; "" for a column that is passed over."""
    header_raw: bytes = b""
    """The header's own bytes."""
    delimiter: str = ","
    """Between two fields of a record."""
    start: tuple[int, int] | None = None
    """Offset and line of the first record."""


def encoding_of(start: bytes) -> str | None:
    """The encoding of a file that is not UTF-8, told from its first bytes; None where they tell nothing."""
    for mark, encoding in ENCODINGS.items():
        if start.startswith(mark):
            return encoding
    return next((encoding for encoding, pattern in UNMARKED.items() if pattern.match(start)), None)


def as_utf8(file: BinaryIO, name: str, encoding: str, limits: Limits) -> BinaryIO:
    """A copy of a file in UTF-8, in an unnamed temporary file.

    Raises:
        PoolError: it is not of this encoding, or beyond the limits.
        EnvironmentFault: the copy cannot be written.
    """
    decoder = codecs.getincrementaldecoder(encoding)()
    copy = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
    file.seek(0)
    size = 0
    try:
        while True:
            chunk = file.read(CHUNK)
            try:
                data = decoder.decode(chunk, final=not chunk).encode("utf-8")
            except UnicodeError as error:
                raise PoolError(
                    f"{name}, byte {size:,}: begins as {encoding} and is none ({error}).", fix="Write the file as UTF-8."
                ) from error
            size += len(chunk)
            if size > limits.max_bytes:
                raise PoolError(f"{name}: more than {limits.max_bytes:,} bytes.", fix="Split it, or raise Limits.max_bytes from Python.")
            _write(copy, data)
            if not chunk:
                break
        copy.flush()
    except OSError as error:
        copy.close()
        raise full(error) from error
    except PoolError:
        copy.close()
        raise
    copy.seek(0)
    return copy


def with_line_feeds(file: BinaryIO) -> BinaryIO:
    """A copy of a file whose lines end in carriage returns alone, with line feeds for them."""
    copy = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
    file.seek(0)
    while chunk := file.read(CHUNK):
        _write(copy, chunk.replace(b"\r", b"\n"))
    copy.seek(0)
    return copy


def _write(copy: BinaryIO, data: bytes) -> None:
    try:
        copy.write(data)
    except OSError as error:
        raise full(error) from error


@dataclass(frozen=True)
class Records:
    """What is said of a CSV or TSV file beside it."""

    columns: tuple[str, ...] | None = None
    """Names for its columns where it has no header."""
    delimiter: str | None = None
    """Between two fields; told from the header where None."""


def layout_of(file: BinaryIO, name: str, suffix: str, limits: Limits, records: Records) -> Layout:
    """How the rows of a file lie, told from its beginning; the extension settles what that cannot.

    Args:
        file: seekable, of UTF-8 text.
        name: for messages.
        suffix: of its name, without that of its packing.
        limits: how long a row may be.
        records: what is said of a CSV or TSV file beside it.

    Raises:
        PoolError: it is empty, a Git LFS pointer, or of no known kind; its header cannot be read.
        UsageError: the delimiter cannot be one.
    """
    body = head_of(file).removeprefix(BOM).lstrip(b" \t\r\n")
    if not body:
        raise EmptyFile(f"{name}: the file is empty.", fix="Name a file with rows.")
    if body.startswith(LFS):
        raise PoolError(f"{name}, line 1: a Git LFS pointer, not the data.", fix="Fetch the data with: git lfs pull")
    container = EXTENSIONS.get(suffix)
    if container in ("parquet", "arrow"):
        kind = container.capitalize()
        raise PoolError(f"{name}, line 1: named {suffix}, but it does not begin as {kind} does.", fix="Check where it came from.")
    if container is None and body[:1] not in b"[{":
        if suffix:
            raise PoolError(
                f"{name}, line 1: '{suffix}' is not a pool format.", fix=f"Known: {', '.join(EXTENSIONS)}, each also as .gz or .zst."
            )
        container = "tsv" if b"\t" in body.split(b"\n", 1)[0] else "csv"
    if container in DELIMITERS:
        return _table(file, name, str(container), limits, records)
    if body.startswith(b"["):
        return Layout("lines" if _is_turns(body.split(b"\n", 1)[0]) else "array")
    return Layout("lines", spread=_spread(body))


def _is_turns(line: bytes) -> bool:
    """Whether a line is a list of turns, one conversation."""
    try:
        return are_turns(orjson.loads(line))
    except orjson.JSONDecodeError:
        return False


def head_of(file: BinaryIO) -> bytes:
    """The beginning of a file."""
    file.seek(0)
    return file.read(HEAD)


def _spread(body: bytes) -> bool:
    """Whether the first object has several lines, or others follow it on its line."""
    first = body.split(b"\n", 1)[0].strip()
    if first == b"{":
        return True
    text = body.decode("latin-1")
    try:
        end = json.JSONDecoder(parse_int=str).raw_decode(text)[1]
    except (json.JSONDecodeError, RecursionError):
        return False
    if "\n" in text[:end] or "\r" in text[:end]:
        return True
    behind = text[end:].lstrip(" \t\r,")
    return bool(behind) and not behind.startswith("\n") and behind[0] in "{["


def _table(file: BinaryIO, name: str, container: str, limits: Limits, records: Records) -> Layout:
    columns, delimiter = records.columns, records.delimiter
    delimiter = NAMED.get(delimiter.lower(), delimiter) if delimiter is not None else None
    if delimiter is not None and (len(delimiter) != 1 or delimiter in '"\r\n' or not delimiter.isascii()):
        raise UsageError(f"A delimiter is one character, not {delimiter!r}.", fix="For example: --delimiter ';'")
    start: tuple[int, int] | None = None
    mark = SEPARATOR_LINE.match(head_of(file))
    if mark is not None:
        start = (mark.end(), 2)
        delimiter = delimiter or mark[1].decode("latin-1")
    if columns is not None:
        return Layout(container, header=tuple(columns), delimiter=delimiter or DELIMITERS[container], start=start)
    chosen = delimiter or _delimiter(file, limits, DELIMITERS[container], start)
    row, fields = next(read_records(file, limits, delimiter=chosen, start=start), (None, []))
    if row is None or row.fault is not None:
        why = row.fault.detail if row and row.fault else "no rows"
        raise PoolError(f"{name}, line 1: the header cannot be read ({why}).", fix="Name the columns with --columns a,b,c")
    stripped = [field.strip() for field in fields]
    fields = stripped if len({*stripped}) == len({*fields}) else fields
    names = [field for field in fields if field]
    if len(set(names)) != len(names):
        raise PoolError(
            f"{name}, line 1: two columns of the header have the same name.", fix="Rename one, or name the columns with --columns a,b,c"
        )
    behind = (row.offset + row.length, row.line + row.raw.count(b"\n"))
    return Layout(container, header=tuple(fields), header_raw=row.raw, delimiter=chosen, start=behind)


def _delimiter(file: BinaryIO, limits: Limits, usual: str, start: tuple[int, int] | None) -> str:
    """The delimiter of a table: the usual one, unless that leaves the header whole and another splits the first records alike."""
    for delimiter in (usual, *(other for other in OTHERS if other != usual)):
        widths: list[int] = []
        try:
            for row, fields in read_records(file, limits, delimiter=delimiter, start=start):
                widths.append(0 if row.fault else len(fields))
                if len(widths) > TRIED or widths[0] < 2:
                    break
        except RowFault:
            continue
        if widths and widths[0] > 1 and (delimiter == usual or set(widths) == {widths[0]}):
            return delimiter
    return usual


__all__ = ["DELIMITERS", "EXTENSIONS", "Layout", "Records", "as_utf8", "encoding_of", "head_of", "layout_of", "with_line_feeds"]
