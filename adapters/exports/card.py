"""README.md of a folder that `datasets` and the hub read: a head in YAML, then text."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

INDENT: Final = "  "


def yaml(value: Any, depth: int = 0) -> str:
    """Plain data as YAML: blocks of keys and lists, every text in quotes.

    >>> print(yaml({"a": ["b", {"c": 1}]}), end="")
    a:
    - "b"
    - c: 1
    """
    pad = INDENT * depth
    if isinstance(value, Mapping):
        lines = []
        for key, entry in value.items():
            is_block = isinstance(entry, Mapping | list) and entry
            lines.append(
                f"{pad}{key}:\n{yaml(entry, depth + (0 if isinstance(entry, list) else 1))}"
                if is_block
                else f"{pad}{key}: {json.dumps(entry)}\n"
            )
        return "".join(lines)
    lines = []
    for entry in value:
        if isinstance(entry, Mapping) and entry:
            block = yaml(entry, depth + 1)
            lines.append(f"{pad}- {block[len(pad) + len(INDENT) :]}")
        else:
            lines.append(f"{pad}- {json.dumps(entry)}\n")
    return "".join(lines)


def card(head: Mapping[str, Any], text: str) -> bytes:
    """A README.md."""
    return f"---\n{yaml(head)}---\n\n{text.strip()}\n".encode()


__all__ = ["card", "yaml"]
