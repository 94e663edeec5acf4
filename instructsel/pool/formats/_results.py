"""Results of tools that are no text: objects, lists that are no parts of a content, numbers, true and false."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.pool.json_text import dumped

PARTS: Final = frozenset(
    {"text", "input_text", "output_text", "thinking", "reasoning", "reasoning_text", "think", "tool_use", "tool_result"}
)
"""Kinds of parts of a content."""
MEDIA: Final = frozenset(
    {"image", "image_url", "input_image", "audio", "audio_url", "input_audio", "video", "video_url", "input_video", "file", "input_file"}
)
"""Kinds of parts that are no text."""
PAYLOADS: Final = frozenset({"source", "image_url", "file_id", "file_data", "data", "url"})
"""Fields in which such a part has what it shows."""


def structure_of(content: Any) -> str | None:
    """The JSON text of a result that a row holds as a structure, as `tojson` of chat templates writes it; None of a text, or of parts of a content.

    Raises:
        RowFault: it holds a date or another value that JSON has no form for.

    >>> structure_of({"m": 5.1}), structure_of(5.1), structure_of([{"type": "text", "text": "5.1"}]), structure_of("5.1")
    ('{"m": 5.1}', '5.1', None, None)
    """
    if isinstance(content, bool | int | float):
        return dumped(content, spaced=True)
    if isinstance(content, Mapping):
        return None if _is_part(content, alone=True) else dumped(content, spaced=True)
    if not isinstance(content, list) or all(isinstance(entry, str) or _is_part(entry) for entry in content) or any(map(_is_media, content)):
        return None
    return dumped(content, spaced=True)


def _is_part(entry: Any, *, alone: bool = False) -> bool:
    """Whether an entry is a part of a content; an object that is no entry of a list says so by its type."""
    if not isinstance(entry, Mapping):
        return False
    kind = entry.get("type")
    if kind is None:
        return not alone and entry.keys() <= {"type", "text"} and isinstance(entry.get("text"), str)
    return (isinstance(kind, str) and kind in PARTS) or _is_media(entry)


def _is_media(entry: Any) -> bool:
    if not isinstance(entry, Mapping):
        return False
    kind = entry.get("type")
    return isinstance(kind, str) and kind in MEDIA and (len(entry) == 1 or kind in entry or not PAYLOADS.isdisjoint(entry))


__all__ = ["structure_of"]
