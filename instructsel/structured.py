"""JSON and TOML files that others may have written: read with bounds, checked against a shape, refused by the reader's own error.

Every reader of such a file goes through here, so that a file that is missing, a folder, unreadable, damaged, too deep or of another shape
ends in one sentence that names the file, the field and what was expected, and in nothing else.
"""

from __future__ import annotations

import stat
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.errors import InstructselError
from instructsel.shapes import Misfit, checked

MAX_BYTES: Final = 1 << 30
"""No record of ours is larger: a run of a million items has 60 MB."""
ABSENT: Final = bytes(bytearray(b"absent"))
"""Told apart from a file's bytes by its identity."""
BOM: Final = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class Refusal:
    """How a reader refuses a file."""

    error: type[InstructselError]
    """Its class."""
    fix: str | None = None
    """What to do instead."""
    noun: str = ""
    """What the file should be, for the message: "the plan of a study"; "" says what is wrong alone."""

    def of(self, path: object, reason: str) -> InstructselError:
        """The error for a file and a reason, which is no sentence of its own."""
        name = f"{path} is not {self.noun}" if self.noun else f"{path} cannot be read"
        return self.error(f"{name}: {reason.rstrip('.')}.", fix=self.fix)


def read_bytes(path: str | Path, refusal: Refusal, *, missing: bytes | None = None, max_bytes: int = MAX_BYTES) -> bytes:
    """The bytes of a file.

    Args:
        path: of the file.
        refusal: how it is refused.
        missing: what is returned where there is no file; None refuses that, too.
        max_bytes: larger files are refused unread.

    Raises:
        InstructselError: of the refusal's class: missing, no regular file, unreadable, too large, or a path that cannot be.
    """
    try:
        target = Path(path)
        state = target.stat()
        if not stat.S_ISREG(state.st_mode):
            raise refusal.of(path, "it is a folder" if stat.S_ISDIR(state.st_mode) else "it is no regular file")
        if state.st_size > max_bytes:
            raise refusal.of(path, f"it has {state.st_size:,} bytes, and at most {max_bytes:,} are read")
        return target.read_bytes()
    except InstructselError:
        # A refusal may be a ValueError, too.
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        if missing is not None:
            return missing
        raise refusal.error(f"There is no file {path}.", fix=refusal.fix) from error
    except OSError as error:
        raise refusal.of(path, error.strerror or str(error)) from error
    except ValueError as error:
        # A NUL, or half of a surrogate pair, in the path.
        raise refusal.of(repr(str(path)), str(error)) from error


def read_json(path: str | Path, shape: Any, refusal: Refusal, *, missing: Any = ..., max_bytes: int = MAX_BYTES) -> Any:
    """A JSON file of a shape.

    Args:
        path: of the file.
        shape: a type hint, as `shapes.checked` takes it.
        refusal: how it is refused.
        missing: what is returned where there is no file; without it that is refused, too.
        max_bytes: larger files are refused unread.

    Raises:
        InstructselError: of the refusal's class: it cannot be read, is no JSON, too deep, or of another shape.
    """
    data = read_bytes(path, refusal, missing=None if missing is ... else ABSENT, max_bytes=max_bytes)
    return missing if data is ABSENT else parse_json(data, shape, path, refusal)


def parse_json(
    data: bytes | str, shape: Any, where: object, refusal: Refusal, *, loads: Callable[[bytes | str], Any] = orjson.loads
) -> Any:
    """JSON of a shape.

    Args:
        data: the text.
        shape: a type hint.
        where: the text stands, for the message.
        refusal: how it is refused.
        loads: `json.loads` for files of other programs, whose NaN orjson refuses.

    Raises:
        InstructselError: as of `read_json`.
    """
    try:
        return checked(loads(data), shape)
    except Misfit as misfit:
        raise refusal.of(where, str(misfit)) from misfit
    except (ValueError, RecursionError) as error:
        raise refusal.of(where, f"it is not readable JSON ({first_line(error)})") from error


def read_toml(path: str | Path, shape: Any, refusal: Refusal, *, max_bytes: int = MAX_BYTES) -> Any:
    """A TOML file of a shape; a byte order mark and Windows line ends are passed over.

    Raises:
        InstructselError: of the refusal's class: it cannot be read, is no TOML, too deep, or of another shape.
    """
    return parse_toml(read_bytes(path, refusal, max_bytes=max_bytes), shape, path, refusal)


def parse_toml(data: bytes, shape: Any, where: object, refusal: Refusal) -> Any:
    """TOML of a shape.

    Raises:
        InstructselError: as of `read_toml`.
    """
    try:
        return checked(tomllib.loads(data.removeprefix(BOM).decode("utf-8").replace("\r\n", "\n")), shape)
    except Misfit as misfit:
        raise refusal.of(where, str(misfit)) from misfit
    except (ValueError, RecursionError) as error:
        # ValueError: no UTF-8, no TOML, or a whole number of thousands of digits.
        raise refusal.of(where, f"it is not readable TOML ({first_line(error)})") from error


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or its class where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:200].rstrip(".") if lines else type(error).__name__


__all__ = ["MAX_BYTES", "Refusal", "first_line", "parse_json", "parse_toml", "read_bytes", "read_json", "read_toml"]
