"""What stands, in the spooled lines of rows from memory, for values that JSON has no form for."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.pool.json_text import as_bytes
from instructsel.pool.lines import RowFault, parse_again
from instructsel.pool.opaque import MEDIA, NOT_TEXT, TOO_LONG, Opaque
from instructsel.text import counted

MARK: Final = b'{"\\u0000'
"""How a mark begins in a line."""
NUL: Final = "\0"
"""What the key of a mark begins with, and no other key of an object that has no more."""
OPAQUE: Final = "\0opaque"
"""Key of the mark of a value with a form as text: its kind, and the text."""
BYTES: Final = "\0bytes"
LONG: Final = "\0long"
"""Of bytes, and of a field that is too long: how many bytes it has, and their digest."""
ODD: Final = "\0odd"
"""Of a value that has no such form: its kind."""
SHOWN: Final = "\0shown"
"""Of a picture, a sound or a film: nothing."""
SHOWN_MARK: Final = b'{"\\u0000shown"'
MADE: Final[Mapping[str, Callable[[Any], Opaque]]] = {
    OPAQUE: lambda held: Opaque(held[0], held[1]),
    BYTES: lambda held: Opaque(counted(held[0], "byte")),
    LONG: lambda held: Opaque(counted(held[0], "byte"), code=TOO_LONG),
    ODD: lambda held: Opaque(held[0]),
    SHOWN: lambda held: Opaque("a picture, sound or film"),
}
"""Key of a mark → what stands for it."""


@dataclass(frozen=True)
class Mark:
    """A value that JSON has no form for."""

    key: str
    """OPAQUE, BYTES, LONG, ODD or SHOWN."""
    holds: list[Any]
    """As the key says."""

    def as_dict(self) -> dict[str, Any]:
        """What stands for it in a line."""
        return {self.key: self.holds}


class Marks:
    """Reads spooled lines: a mark becomes an `Opaque`, so that whoever reads it refuses the row."""

    @staticmethod
    def restored(raw: bytes, value: Any) -> Any:
        """The value of a line.

        Raises:
            RowFault: it holds a picture, a sound or a film.
        """
        if SHOWN_MARK in raw:
            name = next((name for name, held in value.items() if _is_shown(held)), "") if isinstance(value, dict) else ""
            raise RowFault(NOT_TEXT, f"'{name}' holds {MEDIA}" if name else f"the row holds {MEDIA}")
        return unmarked(value, MADE) if MARK in raw else value

    @staticmethod
    def line(raw: bytes, name: str) -> bytes:
        """The line as it is written to a file: dates and decimal numbers as texts.

        Raises:
            UsageError: it holds bytes or another object, which JSON has no form for, or a field that is too long.
        """
        return as_bytes(_plain(unmarked(parse_again(raw), MADE), name)) if MARK in raw else raw

    @staticmethod
    def plain(value: Any, name: str) -> Any:
        """A value that was read, as JSON can hold it: dates and decimal numbers as texts.

        Raises:
            UsageError: it holds bytes or another object, which JSON has no form for, or a field that is too long.
        """
        return _plain(value, name)

    @classmethod
    def identity(cls, raw: bytes) -> bytes:
        """The bytes by which a row is known: those that it would have in a file; its own where it can be in none."""
        try:
            return cls.line(raw, "")
        except UsageError:
            return raw


def sized(key: str, data: bytes) -> Mark:
    """The mark of bytes that are not held."""
    return Mark(key, [len(data), hashlib.blake2b(data, digest_size=16).hexdigest()])


def escaped(value: dict[str, Any]) -> dict[str, Any]:
    """An object that could be taken for a mark, with another NUL before its key."""
    if len(value) == 1:
        ((key, item),) = value.items()
        if key.startswith(NUL):
            return {NUL + key: item}
    return value


def _is_shown(value: Any) -> bool:
    return any(map(_is_shown, value)) if isinstance(value, list) else isinstance(value, dict) and value.keys() == {SHOWN}


def unmarked(value: Any, made: Mapping[str, Callable[[Any], Opaque]]) -> Any:
    """A value with `Opaque` for the marks in it.

    Args:
        value: of a line.
        made: key of a mark → what stands for it, by what it holds.
    """
    if type(value) is list:
        return [unmarked(item, made) for item in value]
    if type(value) is not dict:
        return value
    if len(value) == 1:
        ((key, held),) = value.items()
        if key in made:
            return made[key](held)
        if key.startswith(NUL + NUL):
            return {key[1:]: unmarked(held, made)}
    return {key: unmarked(item, made) for key, item in value.items()}


def _plain(value: Any, name: str, field: str = "") -> Any:
    if isinstance(value, Opaque):
        if value.text is None:
            raise UsageError(
                f"{name}: the field '{field}' holds {value.kind}, which JSON has no form for.",
                fix="Leave the field out of the rows, or write messages alone: pool.write(path, to='messages')",
            )
        return value.text
    if isinstance(value, list):
        return [_plain(item, name, field) for item in value]
    if isinstance(value, dict):
        return {key: _plain(item, name, field or key) for key, item in value.items()}
    return value


__all__ = ["BYTES", "LONG", "MARK", "ODD", "OPAQUE", "SHOWN", "Mark", "Marks", "escaped", "sized", "unmarked"]
