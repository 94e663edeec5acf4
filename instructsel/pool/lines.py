"""Bytes to rows: a line reader and a parser with quarantine.

Dataframe readers lose keys, swallow duplicate keys and crash on deep nesting, so none reads JSON here. Memory is bounded
by one row: a longer one is skipped over and quarantined. Lines end at a line feed only.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
import orjson

from instructsel.errors import UsageError

CHUNK: Final = 1 << 20
BOM: Final = b"\xef\xbb\xbf"
OBJECT: Final = ord("{")
LINE_FEED: Final = ord("\n")
LONGEST: Final = 1 << 32
"""Bytes that no row has: a pool holds the length of each in four."""


@dataclass(frozen=True)
class Limits:
    """How much of a stranger's file is read before it is refused."""

    max_line_bytes: int = 16 << 20
    """A longer row is quarantined; below 4 GiB."""
    max_depth: int = 64
    """JSON nested deeper is quarantined."""
    max_ratio: float = 250.0
    """A compressed file that unpacks to more than this many times its size is refused (checked above `free_bytes`)."""
    free_bytes: int = 64 << 20
    """What any compressed file may unpack to whatever its ratio."""
    max_bytes: int = 64 << 30
    """What a compressed file or a stream may come to in all."""
    free_rows: int = 100_000
    """Rows that any compressed or columnar file may hold."""
    packed_row: int = 4
    """Bytes of such a file that each further row takes at least; one of more rows is refused."""
    max_values: int = 2_000_000
    """JSON with more values, or a row of records with more fields, is quarantined."""
    max_examples: int = 1_024
    """A row that holds more examples is quarantined."""
    max_read_again: int = 256 << 20
    """So is one whose bytes times its examples are more: it is read again for each of them."""
    max_turns: int = 4_096
    """A row with an example of more turns is quarantined."""
    max_text: int = 2 << 20
    """A row whose several examples repeat more characters is quarantined."""
    max_paths: int = 16
    """A tree of messages whose paths have more turns than this many times its messages (and 1,024) is quarantined."""
    duplicate_key: str = "error"
    """`error` quarantines a row that names a key twice; `last` keeps the last value."""

    def __post_init__(self) -> None:
        if not 0 < self.max_line_bytes < LONGEST:
            raise UsageError(f"Limits.max_line_bytes is {self.max_line_bytes:,}; a row has from 1 to {LONGEST - 1:,} bytes.")

    def most_rows(self, packed: int) -> int:
        """The rows that a compressed or columnar file of so many bytes may hold."""
        return self.free_rows + packed // self.packed_row


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
    passed: int = 0
    """Bytes passed over in search of the next row, which may have held rows."""

    @classmethod
    def too_long(cls, line: int, offset: int, size: int, limits: Limits) -> Row:
        """A line that was passed over."""
        fault = RowFault("line_too_long", f"{size:,} bytes, the limit is {limits.max_line_bytes:,}")
        return cls(line, offset, b"", size, fault, passed=size)


def read_lines(file: BinaryIO, limits: Limits, origin: tuple[int, int] = (0, 0)) -> Iterator[Row]:
    """The lines of a JSON Lines file. Blank lines are passed over, and the byte-order mark of the file or of one that was put behind it.

    Args:
        file: seekable.
        limits: how long a line may be.
        origin: offset and lines before the first byte of `file`, where it is a part of another.
    """
    file.seek(0)
    offset, line = origin
    most = limits.max_line_bytes + 2
    while raw := file.readline(most):
        line += 1
        size = len(raw)
        if size >= most - 1 and (excess := overlong(raw, file, limits)):
            size = excess
            yield Row.too_long(line, offset, size, limits)
        elif raw[0] == OBJECT and raw[-1] == LINE_FEED:
            yield Row(line, offset, raw[:-1], size - 1)
        elif raw.strip(b" \t\r\n"):
            content = raw[:-1] if raw.endswith(b"\n") else raw
            mark = len(BOM) if content.startswith(BOM) else 0
            if mark:
                content = content[mark:]
            if not mark or content.strip(b" \t\r"):
                yield Row(line, offset + mark, content, len(content))
        offset += size


def overlong(raw: bytes, file: BinaryIO, limits: Limits) -> int:
    """The size of the line that begins with these bytes if it is too long, after passing it over in the file; 0 for one that can be read."""
    size = len(raw)
    if size < limits.max_line_bytes + 1 or (size == limits.max_line_bytes + 1 and raw.endswith(b"\n")):
        return 0
    while not raw.endswith(b"\n") and (raw := file.readline(CHUNK)):
        size += len(raw)
    return size


KEY: Final = re.compile(rb'"[ \t\r\n]*:')
LONG_NUMBER: Final = re.compile(rb"[0-9]{19}")
OPENING: Final = np.frombuffer(b"[{", dtype=np.uint8)
CLOSING: Final = np.frombuffer(b"]}", dtype=np.uint8)
LARGE: Final = 1 << 16
"""Bytes of a row whose values are not looked through one by one."""
STRUCTURES: Final = frozenset({dict, list})
NUMBERS_IN: Final = frozenset({dict, list, float})
"""Types that are a float or may hold one."""
STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
"""A text of JSON. One that is not closed ends where the row does: were it no match, each of its quotes would be tried to the end of the row."""


def parse(raw: bytes, limits: Limits) -> Any:
    """The value of one JSON row.

    Strict: UTF-8, no NaN or Infinity, no number beyond a double, no lone surrogate, no key twice, bounded depth.

    Raises:
        RowFault: with the code of what is wrong.
    """
    opened = raw.count(b"[") + raw.count(b"{")
    if opened > limits.max_depth:
        depth = _depth(raw)
        if depth > limits.max_depth:
            raise RowFault("too_deep", f"nested {depth} deep, the limit is {limits.max_depth}")
    if len(raw) > limits.max_values and opened + raw.count(b",") > limits.max_values:
        bare = STRING.sub(b"", raw)
        values = bare.count(b"[") + bare.count(b"{") + bare.count(b",")
        if values > limits.max_values:
            raise RowFault("too_many_values", f"{values:,} values, the limit is {limits.max_values:,}")
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _diagnose(raw, error) from None
    if type(value) is dict and NUMBERS_IN.isdisjoint(map(type, value.values())) and raw.count(b":") == len(value):
        # Most rows: texts alone, without a colon in them, so that each is that of a key.
        return value
    if len(raw) <= LARGE and (keys := _keys_of_texts(value)):
        if limits.duplicate_key != "last" and len(KEY.findall(raw)) != keys:
            _exact(raw)
        return value
    if limits.duplicate_key != "last" and ((len(raw) > LARGE and opened > len(raw) >> 5) or len(KEY.findall(raw)) != _count_keys(value)):
        # The pattern also finds escaped quotes inside texts; only then is the slower, exact look needed.
        _exact(raw)
    return _with_long_numbers(raw, value)


def _keys_of_texts(value: Any) -> int:
    """The keys of an object that holds texts, and lists of texts and of objects of texts, as most conversations do; 0 of anything else."""
    if type(value) is not dict:
        return 0
    keys = len(value)
    for item in value.values():
        if type(item) is list:
            for entry in item:
                if type(entry) is dict:
                    for text in entry.values():
                        if type(text) is not str:
                            return 0
                    keys += len(entry)
                elif type(entry) is not str:
                    return 0
        elif type(item) is not str:
            return 0
    return keys


def parse_again(raw: bytes) -> Any:
    """The value of a row that `parse` has accepted before: the same value, without looking for faults again.

    Raises:
        RowFault: it is no JSON, so the file has changed.
    """
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise _diagnose(raw, error) from None
    return value if _keys_of_texts(value) else _with_long_numbers(raw, value)


def _with_long_numbers(raw: bytes, value: Any) -> Any:
    """The value with every digit of its integers: orjson makes floats of those beyond 64 bits, the standard parser does not.

    Rows without a float, most of them, are not searched for digits: that took a quarter of the time of reading.
    """
    if len(raw) > LARGE:
        return json.loads(raw) if LONG_NUMBER.search(raw) else value
    return json.loads(raw) if _holds_float(value) and LONG_NUMBER.search(raw) else value


def _holds_float(value: Any) -> bool:
    if type(value) is dict:
        items: Any = value.values()
    elif type(value) is list:
        items = value
    else:
        return type(value) is float
    if NUMBERS_IN.isdisjoint(map(type, items)):
        return False
    return any(type(item) in NUMBERS_IN and _holds_float(item) for item in items)


def _depth(raw: bytes) -> int:
    marks = np.frombuffer(STRING.sub(b"", raw), dtype=np.uint8)
    steps = np.isin(marks, OPENING).astype(np.int64) - np.isin(marks, CLOSING)
    return int(np.cumsum(steps).max(initial=0))


def _count_keys(value: Any) -> int:
    if type(value) is dict:
        keys = len(value)
        items: Any = value.values()
    elif type(value) is list:
        keys, items = 0, value
    else:
        return 0
    if STRUCTURES.isdisjoint(map(type, items)):
        return keys
    return keys + sum(_count_keys(item) for item in items if type(item) in STRUCTURES)


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
