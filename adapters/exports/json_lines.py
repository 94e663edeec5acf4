"""Rows as JSON lines and as columns of JSON texts, with every number and every half of a pair as it came."""

from __future__ import annotations

import json
from typing import Any

import orjson

from instructsel.pool.example import Example
from instructsel.text import SURROGATES


def json_bytes(value: Any) -> bytes:
    """A value as compact JSON in valid UTF-8: half of a surrogate pair as an escape, integers of any length with all their digits.

    >>> json_bytes({"a": "é\\ud83d", "b": 1 << 70})
    b'{"a":"\\\\u00e9\\\\ud83d","b":1180591620717411303424}'
    """
    try:
        return orjson.dumps(value)
    except TypeError:
        return json.dumps(value, separators=(",", ":")).encode()


def json_text(value: Any) -> str:
    """The same as a text."""
    return json_bytes(value).decode()


def tools_text(example: Example) -> str | None:
    """The tools of an example as compact JSON that is valid UTF-8; None where it has none."""
    if example.tools is None:
        return None
    return SURROGATES.sub(lambda half: f"\\u{ord(half[0]):04x}", example.tools.canonical)


__all__ = ["json_bytes", "json_text", "tools_text"]
