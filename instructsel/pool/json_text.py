"""JSON values to text and back with nothing lost: keys keep their order, integers their digits, halves of surrogate pairs their place."""

from __future__ import annotations

import json
import re
from typing import Any, Final

import orjson

from instructsel.pool.lines import LONG_NUMBER, RowFault
from instructsel.pool.opaque import NOT_TEXT, Opaque


def _refused(value: Any) -> Any:
    words = value.kind if isinstance(value, Opaque) else f"a value of the type {type(value).__name__}"
    raise RowFault(NOT_TEXT, f"{words} stands in a structure that is read")


COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False, default=_refused)
SPACED: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, default=_refused)
MAX_DEPTH: Final = 50
"""A structure that stands in a text is nested no deeper, so that a row that holds it as a structure is not too deep."""
BRACKETS: Final = re.compile(r"[\[\]{}]")
TEXT: Final = re.compile(r'"(?:[^"\\]++|\\.)*+"', re.DOTALL)


def dumped(value: Any, *, spaced: bool = False) -> str:
    """A value as compact JSON, keys in their order.

    Args:
        value: of a row.
        spaced: whether a blank follows each comma and colon, as Python's JSON and `tojson` of chat templates have it.

    Raises:
        RowFault: a date or another value that JSON has no form for, a number that is not finite, or a structure that is nested too deeply.

    >>> dumped({"port": "Brest"})
    '{"port":"Brest"}'
    """
    try:
        return (SPACED if spaced else COMPACT).encode(value)
    except ValueError as error:
        raise RowFault("not_finite", "NaN or an infinite number stands in a structure that is read") from error
    except TypeError as error:
        raise RowFault(NOT_TEXT, "a key that is no text stands in a structure that is read") from error
    except RecursionError as error:
        raise RowFault("too_deep", "a structure is nested too deeply") from error


def parsed(text: str) -> Any:
    """The value of a JSON text; integers of any length keep their digits. As strict as the rows of a pool are read.

    Raises:
        ValueError: it is no JSON, holds NaN, an infinite number or half of a surrogate pair, or is nested deeper than MAX_DEPTH.
    """
    if nested_too_deeply(text):
        raise ValueError("nested too deeply")
    raw = text.encode()
    value = orjson.loads(raw)
    return json.loads(raw) if LONG_NUMBER.search(raw) else value


def nested_too_deeply(text: str) -> bool:
    """Whether brackets outside of quotes stand more than MAX_DEPTH deep in one another.

    >>> nested_too_deeply("[" * 51 + "]" * 51), nested_too_deeply("[" + "[]," * 51 + "1]")
    (True, False)
    """
    if text.count("[") + text.count("{") <= MAX_DEPTH:
        return False
    depth = 0
    for mark in BRACKETS.findall(TEXT.sub("", text)):
        depth += 1 if mark in "[{" else -1
        if depth > MAX_DEPTH:
            return True
    return False


def as_bytes(value: Any) -> bytes:
    """A value as compact JSON in UTF-8; half of a surrogate pair, which the standard parser lets through, as its three bytes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return COMPACT.encode(value).encode("utf-8", "surrogatepass")


__all__ = ["as_bytes", "dumped", "parsed"]
