"""Bytes to rows: a line reader and an array reader of our own, with quarantine.

Dataframe readers lose keys, swallow duplicate keys and crash on deep nesting, so none reads JSON here. Memory is bounded
by one row: a longer one is skipped over and quarantined. Lines end at a line feed only.
"""

from __future__ import annotations

import csv
import io
import json
import re
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import orjson

CHUNK: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Limits:
    """How much of a stranger's file is read before it is refused."""

    max_line_bytes: int = 16 << 20
    """A longer row is quarantined."""
    max_depth: int = 64
    """JSON nested deeper is quarantined."""
    max_ratio: float = 250.0
    """A compressed file that unpacks to more than this many times its size is refused (checked above `free_bytes`)."""
    free_bytes: int = 64 << 20
    """What any compressed file may unpack to whatever its ratio."""
    max_bytes: int = 64 << 30
    """What a compressed file or a stream may come to in all."""
    duplicate_key: str = "error"
    """`error` quarantines a row that names a key twice; `last` keeps the last value."""


class RowFault(Exception):
    """A malformed row. The code is counted, the detail is printed; neither holds the row's text."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(code, detail)
        self.code = code
        self.detail = detail


class RowDropped(Exception):
    """A well-formed row that is no training example; carries the reason it is counted under."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(slots=True)
class Row:
    """Where a row stands, and its bytes; or the fault that kept it from being read."""

    line: int
    offset: int
    raw: bytes
    length: int
    fault: RowFault | None = None


def read_lines(file: BinaryIO, limits: Limits) -> Iterator[Row]:
    """The lines of a JSON Lines file. Blank lines are passed over; a byte-order mark is stripped once."""
    file.seek(0)
    offset = len(BOM) if file.read(len(BOM)) == BOM else 0
    file.seek(offset)
    line = 0
    limit = limits.max_line_bytes
    while raw := file.readline(limit + 2):
        line += 1
        size = len(raw)
        if size > limit + 1 or (size == limit + 1 and not raw.endswith(b"\n")):
            while not raw.endswith(b"\n") and (raw := file.readline(CHUNK)):
                size += len(raw)
            yield Row(line, offset, b"", size, RowFault("line_too_long", f"{size:,} bytes, the limit is {limit:,}"))
        elif stripped := raw.strip(b" \t\r\n"):
            content = raw[:-1] if raw.endswith(b"\n") else raw
            yield Row(line, offset, content if stripped else b"", len(content))
        offset += size


OUTSIDE: Final = re.compile(rb'["\[\]{},]')
INSIDE: Final = re.compile(rb'["\\]')
BLANK: Final = b" \t\r\n"


def read_array(file: BinaryIO, limits: Limits) -> Iterator[Row]:
    """The elements of a JSON array, found by scanning for their ends; nothing is parsed and nothing recurses."""
    scanner = _ArrayScanner(file, limits)
    yield from scanner.rows()


class _ArrayScanner:
    """Splits one JSON array at its top-level commas, a chunk at a time."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self.file = file
        self.limits = limits
        self.start = 0
        self.first_line = 1

    def rows(self) -> Iterator[Row]:
        file, depth, in_string, skip, deepest, closed = self.file, 0, False, 0, 0, False
        file.seek(0)
        base = len(BOM) if file.read(len(BOM)) == BOM else 0
        file.seek(base)
        line = 1
        while not closed and (chunk := file.read(CHUNK)):
            index, counted = skip, 0
            skip = 0
            while index < len(chunk) and not closed:
                match = (INSIDE if in_string else OUTSIDE).search(chunk, index)
                if match is None:
                    break
                index, mark = match.end(), match.group()
                if in_string:
                    if mark == b"\\":
                        index += 1  # the escaped byte, which may stand in the next chunk
                    else:
                        in_string = False
                    continue
                if mark == b'"':
                    in_string = True
                elif mark in b"[{":
                    depth += 1
                    deepest = max(deepest, depth - 1)
                    if depth == 1:
                        self.start = base + index
                        line += chunk.count(b"\n", counted, index)
                        counted = index
                        self.first_line = line
                elif mark in b"]}":
                    depth -= 1
                    if depth == 0:
                        line += chunk.count(b"\n", counted, index)
                        counted = index
                        if row := self._row(base + index - 1, deepest, last=True):
                            yield row
                        self.start, self.first_line, closed, deepest = base + index, line, True, 0
                elif depth == 1:
                    line += chunk.count(b"\n", counted, index)
                    counted = index
                    if row := self._row(base + index - 1, deepest, last=False):
                        yield row
                    self.start, self.first_line, deepest = base + index, line, 0
            skip = max(0, index - len(chunk))
            line += chunk.count(b"\n", counted)
            base += len(chunk)
        if not closed:
            size = base - self.start
            yield Row(self.first_line, self.start, b"", size, RowFault("truncated", "the array is not closed: the file ends inside it"))
            return
        file.seek(0, io.SEEK_END)
        left = file.tell() - self.start
        file.seek(self.start)
        while chunk := file.read(CHUNK):
            if chunk.strip(BLANK):
                yield Row(self.first_line, self.start, b"", left, RowFault("extra_data", "text after the end of the array"))
                return

    def _row(self, end: int, deepest: int, *, last: bool) -> Row | None:
        size = end - self.start
        if size > self.limits.max_line_bytes:
            return Row(
                self.first_line,
                self.start,
                b"",
                size,
                RowFault("line_too_long", f"{size:,} bytes, the limit is {self.limits.max_line_bytes:,}"),
            )
        position = self.file.tell()
        self.file.seek(self.start)
        raw = self.file.read(size)
        self.file.seek(position)
        body = raw.strip(BLANK)
        lead = raw[: len(raw) - len(raw.lstrip(BLANK))]
        line, offset = self.first_line + lead.count(b"\n"), self.start + len(lead)
        if not body:
            # "[]" and the blank before a closing bracket hold no element; a blank between commas does.
            return None if last else Row(line, offset, b"", 0, RowFault("invalid_json", "nothing between two commas"))
        if deepest > self.limits.max_depth:
            return Row(line, offset, b"", len(body), RowFault("too_deep", f"nested {deepest} deep, the limit is {self.limits.max_depth}"))
        return Row(line, offset, body, len(body))


RESCAN_BYTES: Final = 256 << 20
"""How much of a CSV file is read again to find the next record after quotes that do not close."""

_field_limit = threading.Lock()


def read_records(file: BinaryIO, limits: Limits, *, delimiter: str, width: int | None = None) -> Iterator[tuple[Row, list[str]]]:
    """The records of a CSV or TSV file: quoted fields may hold line breaks; the bytes of each record are kept.

    Quoting is as the csv module's default dialect, strict. After a fault, reading goes on at the next line, so that one
    stray quote costs one line and not the rest of the file. A TSV line whose quotes make no sense is split at its tabs
    if that gives `width` fields: plain TSV knows no quoting.
    """
    file.seek(0)
    offset = len(BOM) if file.read(len(BOM)) == BOM else 0
    line, rescanned = 1, 0
    while True:
        file.seek(offset)
        record = _Record(file, limits)
        fault: RowFault | None = None
        fields: list[str] = []
        # One reader per record: after a fault the next record starts afresh. The csv module's field limit is global.
        with _field_limit:
            before = csv.field_size_limit(limits.max_line_bytes)
            try:
                fields = next(csv.reader(record.lines(), delimiter=delimiter, strict=True))
            except StopIteration:
                return
            except RowFault as row_fault:
                fault = row_fault
            except csv.Error as error:
                fault = RowFault("truncated" if "end of data" in str(error) else "invalid_csv", str(error))
            finally:
                csv.field_size_limit(before)
        if fault is None:
            raw = b"".join(record.taken)
            if fields:
                yield Row(line, offset, raw, len(raw)), fields
            offset += len(raw)
            line += len(record.taken)
            continue
        first = record.first_size
        if delimiter == "\t" and width and (unquoted := split_plain(record.taken[0], width)) and fault.code in ("invalid_csv", "truncated"):
            yield Row(line, offset, record.taken[0], first), unquoted
            offset += first
            line += 1
            continue
        rescanned += record.size - first
        if rescanned > RESCAN_BYTES:
            raise RowFault("invalid_csv", f"line {line}: quotes that do not close, again and again")
        yield Row(line, offset, b"", first, fault), []
        offset += first
        line += 1


def split_plain(raw: bytes, width: int) -> list[str] | None:
    """The fields of a TSV line that quotes nothing, if there are `width` of them."""
    fields = raw.decode("utf-8", "replace").rstrip("\r\n").split("\t")
    return fields if len(fields) == width else None


def fields_of(raw: bytes, *, delimiter: str, width: int) -> list[str]:
    """The fields of one record that read_records gave before."""
    try:
        return next(csv.reader(io.StringIO(raw.decode("utf-8"), newline=""), delimiter=delimiter, strict=True))
    except csv.Error:
        fields = split_plain(raw, width) if delimiter == "\t" else None
        if fields is None:
            raise
        return fields


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


KEY: Final = re.compile(rb'"[ \t\r\n]*:')
LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
NUMBERS_IN: Final = frozenset({dict, list, float})
"""Types that are a float or may hold one."""
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


def parse(raw: bytes, limits: Limits) -> Any:
    """The value of one JSON row.

    Strict: UTF-8, no NaN or Infinity, no number beyond a double, no lone surrogate, no key twice, bounded depth.

    Raises:
        RowFault: with the code of what is wrong.
    """
    if raw.count(b"[") + raw.count(b"{") > limits.max_depth:
        depth = _depth(raw)
        if depth > limits.max_depth:
            raise RowFault("too_deep", f"nested {depth} deep, the limit is {limits.max_depth}")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _diagnose(raw, error) from None
    if limits.duplicate_key != "last" and len(KEY.findall(raw)) != _count_keys(value):
        # The pattern also finds escaped quotes inside texts; only then is the slower, exact look needed.
        _exact(raw)
    return _with_long_numbers(raw, value)


def parse_again(raw: bytes) -> Any:
    """The value of a row that `parse` has accepted before: the same value, without looking for faults again.

    Raises:
        RowFault: it is no JSON, so the file has changed.
    """
    try:
        return _with_long_numbers(raw, orjson.loads(raw))
    except orjson.JSONDecodeError as error:
        raise _diagnose(raw, error) from None


def _with_long_numbers(raw: bytes, value: Any) -> Any:
    """The value with every digit of its integers: orjson makes floats of those beyond 64 bits, the standard parser does not.

    Rows without a float, most of them, are not searched for digits: that took a quarter of the time of reading.
    """
    return json.loads(raw) if _holds_float(value) and LONG_NUMBER.search(raw) else value


def _holds_float(value: Any) -> bool:
    if type(value) is dict:
        return any(type(item) in NUMBERS_IN and _holds_float(item) for item in value.values())
    if type(value) is list:
        return any(type(item) in NUMBERS_IN and _holds_float(item) for item in value)
    return type(value) is float


def _depth(raw: bytes) -> int:
    depth = deepest = 0
    for mark in re.findall(rb"[\[\]{}]", STRING.sub(b"", raw)):
        if mark in b"[{":
            depth += 1
            deepest = max(deepest, depth)
        else:
            depth -= 1
    return deepest


def _count_keys(value: Any) -> int:
    if isinstance(value, dict):
        return len(value) + sum(_count_keys(item) for item in value.values() if type(item) in (dict, list))
    if isinstance(value, list):
        return sum(_count_keys(item) for item in value if type(item) in (dict, list))
    return 0


def _exact(raw: bytes) -> None:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        unique_pairs = dict(pairs)
        if len(unique_pairs) != len(pairs):
            raise RowFault("duplicate_key", "a key stands twice in one object")
        return unique_pairs

    json.loads(raw, object_pairs_hook=unique)


def _diagnose(raw: bytes, error: orjson.JSONDecodeError) -> RowFault:
    """The reason a row did not parse, in one code."""
    try:
        raw.decode("utf-8")
    except UnicodeDecodeError as wrong:
        return RowFault("invalid_utf8", f"byte {wrong.start} of the row")
    without_texts = STRING.sub(b'""', raw)
    if re.search(rb"\b(NaN|Infinity)\b", without_texts):
        return RowFault("not_finite", "NaN or Infinity is not JSON")
    message = error.msg.lower()
    if "surrogate" in message:
        return RowFault("lone_surrogate", f"half of a surrogate pair at column {error.colno}")
    if "infinity" in message:
        return RowFault("not_finite", "a number beyond what a double holds")
    if "after document" in message:
        return RowFault("extra_data", f"a second value on the line, column {error.colno}")
    if "end of data" in message:
        return RowFault("truncated", f"the row ends inside a value, column {error.colno}")
    return RowFault("invalid_json", f"{error.msg} at column {error.colno}")
