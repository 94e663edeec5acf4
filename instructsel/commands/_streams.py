"""Standard streams as commands have them: nothing but our own bars commands the terminal, and a reader that leaves stops no work.

A reader that goes, as `head` does, changes neither what a command writes nor its exit code: the code says what became of the work, and
of a reader that failed its own code speaks. All commands share this one rule, since it holds below them.
"""

from __future__ import annotations

import io
import os
import sys
from typing import Any, BinaryIO, TextIO, cast

from instructsel.text import clean


class SafeStream:
    """A stream of text on which nothing can command a terminal: warnings, logs and tracebacks of other packages name what files hold."""

    def __init__(self, stream: TextIO) -> None:
        """Around a stream, which everything else is asked of."""
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text, unsafe characters as escapes. A carriage return stays: bars of other packages begin their line anew with it."""
        self.stream.write("\r".join(map(clean, text.split("\r"))))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class _Leavable(io.FileIO):
    """An open file descriptor that becomes nobody's where its reader has gone."""

    left: type[OSError] = BrokenPipeError
    """What says that nobody reads."""

    def write(self, data: Any, /) -> int:
        """Write bytes; from where the reader has gone, to nobody."""
        try:
            return super().write(data)
        except self.left:
            # The descriptor itself: processes begun from here on, and what Python flushes at exit, write to it, too.
            os.dup2(os.open(os.devnull, os.O_WRONLY), self.fileno())
            return len(memoryview(data).cast("B"))


class _Dispensable(_Leavable):
    """An open file descriptor that the work does without, also where its disk is full."""

    left = OSError


def guard() -> None:
    """Make stdout and stderr what the head of this file says."""
    _open_closed()
    sys.stdout, sys.stderr = _leavable(sys.stdout, _Leavable), _leavable(sys.stderr, _Dispensable)
    if not isinstance(sys.stderr, SafeStream):
        sys.stderr = cast(TextIO, SafeStream(sys.stderr))


def _open_closed() -> None:
    """Where a shell closed a standard stream (`2>&-`), open it to nobody: else the next file would have its number, and get its lines."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w" if number else "r", encoding="utf-8", closefd=False))  # noqa: SIM115


def _leavable(stream: TextIO, kind: type[_Leavable]) -> TextIO:
    """A stream whose reader may leave; anything but a plain one stays as it is."""
    buffer = getattr(stream, "buffer", None)
    raw = getattr(buffer, "raw", buffer)  # PYTHONUNBUFFERED has no buffer between
    if type(raw) is not io.FileIO:
        return stream
    stream.flush()
    file = kind(raw.fileno(), "wb", closefd=False)
    return io.TextIOWrapper(
        cast(BinaryIO, file) if buffer is raw else io.BufferedWriter(file),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=getattr(stream, "line_buffering", False),
        write_through=getattr(stream, "write_through", False),
    )


__all__ = ["SafeStream", "guard"]
