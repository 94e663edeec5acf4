"""The records of a CSV or TSV file: quoted fields may hold line breaks; the bytes of each record are kept."""

from __future__ import annotations

import csv
import threading
from collections.abc import Iterator
from typing import BinaryIO, Final

from instructsel.pool.lines import BOM, CHUNK, Limits, Row, RowFault

RESCAN: Final = 32 << 20
"""How much is read again to find the next record after quotes that do not close, beyond the size of the file."""
RESCAN_AT_MOST: Final = 256 << 20

_field_limit = threading.Lock()


def read_records(
    file: BinaryIO, limits: Limits, *, delimiter: str, width: int | None = None, start: tuple[int, int] | None = None
) -> Iterator[tuple[Row, list[str]]]:
    """The records of a CSV or TSV file, without those whose every field is empty.

    Quoting is as the csv module's default dialect, strict. After a fault, reading goes on at the next line, so that one
    stray quote costs one line and not the rest of the file. A TSV line whose quotes make no sense is split at its tabs
    if that gives `width` fields: plain TSV knows no quoting.

    Args:
        file: seekable, of UTF-8 text.
        limits: how long a record may be.
        delimiter: between two fields.
        width: how many fields a record has.
        start: offset and line of the first record; the beginning of the file by default.

    Raises:
        RowFault: quotes that do not close, again and again.
    """
    budget = min(RESCAN_AT_MOST, RESCAN + file.seek(0, 2))
    file.seek(0)
    offset, line = start or (len(BOM) if file.read(len(BOM)) == BOM else 0, 1)
    rescanned = 0
    while True:
        file.seek(offset)
        record = _Record(file, limits)
        fault: RowFault | None = None
        fields: list[str] = []
        try:
            fields = _fields(record.lines(), delimiter, limits.max_line_bytes)
        except StopIteration:
            return
        except RowFault as row_fault:
            fault = row_fault
        if fault is None:
            raw = b"".join(record.taken)
            if any(fields):
                yield Row(line, offset, raw, len(raw)), fields
            offset += len(raw)
            line += len(record.taken)
            continue
        first = record.first_size
        if delimiter == "\t" and width and fault.code in ("invalid_csv", "truncated") and (plain := split_plain(record.taken[0], width)):
            yield Row(line, offset, record.taken[0], first), plain
            offset += first
            line += 1
            continue
        rescanned += record.size - first
        if rescanned > budget:
            raise RowFault("invalid_csv", f"line {line}: quotes that do not close, again and again")
        yield Row(line, offset, b"", first, fault), []
        offset += first
        line += 1


def split_plain(raw: bytes, width: int) -> list[str] | None:
    """The fields of a TSV line that quotes nothing, if there are `width` of them."""
    fields = raw.decode("utf-8", "replace").rstrip("\r\n").split("\t")
    return fields if len(fields) == width else None


def fields_of(raw: bytes, *, delimiter: str, width: int) -> list[str]:
    """The fields of one record that `read_records` gave before.

    Raises:
        RowFault: it is no record, so the file has changed.
    """
    try:
        return _fields(_lines_of(raw.decode("utf-8")), delimiter, len(raw) + 1)
    except StopIteration:
        return []
    except RowFault:
        fields = split_plain(raw, width) if delimiter == "\t" else None
        if fields is None:
            raise
        return fields


def _lines_of(record: str) -> Iterator[str]:
    """The lines of a record as the file gave them: at line feeds only, a carriage return ends none."""
    start = 0
    while start < len(record):
        end = record.find("\n", start) + 1 or len(record)
        yield record[start:end]
        start = end


def _fields(lines: Iterator[str], delimiter: str, longest: int) -> list[str]:
    """The fields of the record that begins the lines.

    Raises:
        RowFault: it is none.
        StopIteration: there are no lines.
    """
    first = next(lines)
    if '"' not in first:
        # What the csv module makes of it, without it.
        body = first.removesuffix("\n").removesuffix("\r")
        if "\r" not in body:
            return body.split(delimiter) if body else []
    # The csv module's field limit is global.
    with _field_limit:
        before = csv.field_size_limit(longest)
        try:
            return next(csv.reader(_after(first, lines), delimiter=delimiter, strict=True))
        except csv.Error as error:
            raise RowFault("truncated" if "end of data" in str(error) else "invalid_csv", str(error)) from None
        finally:
            csv.field_size_limit(before)


def _after(first: str, lines: Iterator[str]) -> Iterator[str]:
    yield first
    yield from lines


class _Record:
    """The lines one CSV record takes from a file, decoded; it remembers how many bytes they were."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.taken: list[bytes] = []
        self.size = 0
        self.first_size = 0

    def lines(self) -> Iterator[str]:
        limit = self.limits.max_line_bytes
        while raw := self.file.readline(limit + 1):
            self.taken.append(raw)
            self.size += len(raw)
            over = self.size > limit
            while over and not raw.endswith(b"\n") and (raw := self.file.readline(CHUNK)):
                self.size += len(raw)
            if len(self.taken) == 1:
                self.first_size = self.size
            if over:
                raise RowFault("line_too_long", f"a record over {limit:,} bytes")
            try:
                text = raw.decode("utf-8")
            except UnicodeDecodeError as error:
                raise RowFault("invalid_utf8", f"byte {error.start} of the record") from error
            yield text


__all__ = ["fields_of", "read_records"]
