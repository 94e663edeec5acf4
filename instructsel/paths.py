"""Paths as the system resolves them, whatever they lead to, and what the system says of a disk that is full."""

from __future__ import annotations

import errno
import os
import re
from pathlib import Path
from typing import Final

FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""What the system says of a disk or a share of one that is full, and of a file that may grow no further."""
NUMBER: Final = re.compile(r"\(os error (\d{1,4})\)")
"""How libraries in Rust name the system's error in their own."""


def resolved(path: str | Path) -> Path:
    """A path without links and dots, as far as they can be followed: a link that leads to itself stays as it is."""
    try:
        return Path(os.path.realpath(path))
    except (OSError, ValueError):
        return Path(os.path.abspath(path))


def of_full_disk(error: BaseException) -> OSError | None:
    """The system's error where a disk is full: the error itself, or the one that a library has in its own; None of any other error.

    >>> of_full_disk(RuntimeError("parquet: No space left on device (os error 28)")).strerror
    'No space left on device'
    """
    if isinstance(error, OSError) and error.errno is not None:
        return error if error.errno in FULL else None
    match = NUMBER.search(str(error))
    number = int(match[1]) if match is not None else 0
    return OSError(number, os.strerror(number)) if number in FULL else None


__all__ = ["FULL", "of_full_disk", "resolved"]
