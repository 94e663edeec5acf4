"""Plain data as TOML: the same bytes for the same data. What is None is left out, as TOML has no null."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, Final

from instructsel.errors import UsageError

BARE: Final = re.compile(r"[A-Za-z0-9_-]+")
SHORT: Final = {"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"}
WIDTH: Final = 100
"""A list longer than this gets a line for each item."""


def dumps(data: Mapping[str, Any]) -> str:
    """A document: plain keys first, then tables, each in the order given."""
    return "\n".join(_table(data, ())).strip("\n") + "\n"


def _table(data: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    present = {key: value for key, value in data.items() if value is not None}
    nested = {key for key, value in present.items() if _is_table(value) or _is_tables(value)}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in present.items() if key not in nested]
    for key in (key for key in present if key in nested):
        at = (*path, key)
        name = ".".join(map(_key, at))
        if _is_tables(present[key]):
            for entry in present[key]:
                lines += ["", f"[[{name}]]", *_table(entry, at)]
        else:
            lines += ["", f"[{name}]", *_table(present[key], at)]
    return lines


def _is_table(value: Any) -> bool:
    return isinstance(value, Mapping)


def _is_tables(value: Any) -> bool:
    # A table as short as {name, digest} stands inline, so that a list of them reads as one.
    return isinstance(value, list | tuple) and bool(value) and all(_is_table(item) and set(item) - {"name", "digest"} for item in value)


def _key(key: str) -> str:
    return key if BARE.fullmatch(key) else _text(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        if not math.isfinite(value):
            raise UsageError(f"A rule file cannot hold {value}.")
        return repr(value)
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{_key(key)} = {_value(item)}" for key, item in value.items() if item is not None) + " }"
    if isinstance(value, list | tuple):
        items = [_value(item) for item in value]
        line = f"[{', '.join(items)}]"
        return line if len(line) <= WIDTH else "[\n" + "".join(f"    {item},\n" for item in items) + "]"
    raise UsageError(f"A rule file cannot hold {type(value).__name__}.")


def _text(text: str) -> str:
    escaped = "".join(SHORT.get(sign) or (f"\\u{ord(sign):04x}" if ord(sign) < 32 or ord(sign) == 127 else sign) for sign in text)
    return f'"{escaped}"'
