"""The small JSON files of a model's folder: objects of bounded size and depth, or an error that names the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.errors import ModelUnavailable

MAX_BYTES: Final = 64 << 20
"""No configuration is larger; the index of a thousand shards has 20 MB."""
MAX_DEPTH: Final = 64
"""Libraries copy what they read by recursion, and Python ends a recursion at a thousand calls."""


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where the file is missing.

    Raises:
        ModelUnavailable: it is there and is not a JSON object, or is larger or deeper than any configuration.
    """
    content = read_value(path, missing={})
    if not isinstance(content, dict):
        raise ModelUnavailable(f"{path} is not a JSON object.", fix="Fetch the model again.")
    return content


def read_value(path: Path, *, missing: Any = None) -> Any:
    """A JSON value of bounded size and depth, or `missing` where the file is.

    Raises:
        ModelUnavailable: it is there and is no JSON, or is larger or deeper than any configuration.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise ModelUnavailable(f"{path} has {size:,} bytes; a configuration has {MAX_BYTES:,} at most.", fix="Fetch the model again.")
        content = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return missing
    except (OSError, orjson.JSONDecodeError) as error:
        raise ModelUnavailable(f"{path} cannot be read: {error}.", fix="Fetch the model again.") from error
    if depth(content) > MAX_DEPTH:
        raise ModelUnavailable(f"{path} nests values more than {MAX_DEPTH} deep.", fix="Fetch the model again.")
    return content


def depth(content: Any) -> int:
    """How deep lists and objects stand in one another; 0 for a number or a text. Stops counting beyond MAX_DEPTH."""
    level, values = 0, [content]
    while level <= MAX_DEPTH:
        values = [
            value
            for container in values
            if isinstance(container, dict | list)
            for value in (container.values() if isinstance(container, dict) else container)
        ]
        if not values:
            break
        level += 1
    return level


__all__ = ["MAX_BYTES", "MAX_DEPTH", "depth", "read_json", "read_value"]
