"""JSON values to text and back with nothing lost: keys keep their order, integers their digits, halves of surrogate pairs their place."""

from __future__ import annotations

import json
from typing import Any, Final

import orjson

from instructsel.pool.lines import RowFault
from instructsel.pool.opaque import NOT_TEXT, Opaque


def _refused(value: Any) -> Any:
    if isinstance(value, Opaque):
        raise RowFault(NOT_TEXT, f"{value.kind} stands in a structure that is read")
    raise TypeError(f"{type(value).__name__} has no form in JSON")


COMPACT: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_refused)


def dumped(value: Any) -> str:
    """A value as compact JSON, keys in their order.

    Raises:
        RowFault: a date or another value that JSON has no form for.

    >>> dumped({"port": "Brest"})
    '{"port":"Brest"}'
    """
    return COMPACT.encode(value)


def parsed(text: str) -> Any:
    """The value of a JSON text; integers of any length keep their digits.

    Raises:
        ValueError: it is no JSON, or is nested too deeply.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def as_bytes(value: Any) -> bytes:
    """A value as compact JSON in UTF-8; half of a surrogate pair, which the standard parser lets through, as its three bytes."""
    try:
        return orjson.dumps(value)
    except TypeError:
        return COMPACT.encode(value).encode("utf-8", "surrogatepass")


__all__ = ["as_bytes", "dumped", "parsed"]
