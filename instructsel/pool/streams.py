"""Bytes from wherever they come: regular files as they are; pipes, standard input and compressed files through a temporary file."""

from __future__ import annotations

import gzip
import io
import os
import stat
import sys
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any, BinaryIO, Final

from instructsel.artifact import full
from instructsel.errors import InstructselError, PoolError, UsageError
from instructsel.pool.lines import CHUNK, Limits

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

STDIN: Final = "stdin"
"""What messages call standard input."""
WAITS: Final = 50
"""How often a pipe without a writer is looked at again."""
LINES: Final = 16
"""Lines of a compressed file for each row that it may hold: of a table a row may have several, and some are blank."""
PAUSE: Final = 0.1
"""Seconds between two looks."""


def opened(path: str | Path) -> tuple[BinaryIO, bool]:
    """A file open for reading, and whether it is a stream, which can be read once.

    Raises:
        PoolError: it is missing, a folder, a device, or a pipe that nobody writes to.
        UsageError: its name cannot be.
    """
    name = str(path)
    try:
        state = os.stat(path)
        if stat.S_ISDIR(state.st_mode):
            raise PoolError(f"{name} is a folder.", fix=f"Name the files in it, e.g. {name.rstrip('/')}/*.jsonl")
        if stat.S_ISFIFO(state.st_mode):
            return _pipe(path), True
        _refuse_device(name, state.st_mode)
        return open(path, "rb"), False
    except InstructselError:
        raise
    except ValueError as error:
        raise UsageError(f"{name!r} is no name of a file: {error}.", fix="Check the path.") from error
    except OSError as error:
        raise PoolError(f"{name}: {error.strerror or error}.", fix="Check the path.") from error


def is_pipe(path: str | Path) -> bool:
    """Whether a path is that of a pipe, named or the shell's."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode) or "/fd/pipe:[" in str(path)
    except (OSError, ValueError):
        return "/fd/pipe:[" in str(path)


def standard_input() -> BinaryIO:
    """Standard input, if it is a file or a pipe.

    Raises:
        PoolError: it is closed, a terminal, or another device.
    """
    if sys.stdin is None:
        raise PoolError("Standard input is closed.", fix="Name a file, or pipe one in.")
    try:
        mode = os.fstat(sys.stdin.fileno()).st_mode
    except (OSError, ValueError):
        # A stand-in without a file below, as tests and notebooks have it.
        mode = 0
    _refuse_device("standard input", mode)
    return sys.stdin.buffer


def _refuse_device(name: str, mode: int) -> None:
    if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
        raise PoolError(f"{name} is a device, not a file.", fix="Name a file, or pipe the rows in with -.")
    if stat.S_ISSOCK(mode):
        raise PoolError(f"{name} is a socket, not a file.", fix="Name a file, or pipe the rows in with -.")


def _pipe(path: str | Path) -> BinaryIO:
    """A named pipe, or one of the shell's <(…), once somebody has written to it."""
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    file = os.fdopen(handle, "rb", buffering=0)
    for _ in range(WAITS):
        try:
            first = os.read(handle, CHUNK)
        except BlockingIOError:
            first = None
        if first is None or first:
            # Somebody has opened it for writing: from here on it is waited for.
            os.set_blocking(handle, True)
            return io.BufferedReader(_Chained(first or b"", file), CHUNK)
        time.sleep(PAUSE)
    file.close()
    raise PoolError(f"{path} is a pipe, and nobody writes to it.", fix="Start what writes to it first, or name a file.")


class _Chained(io.RawIOBase):
    """A stream whose first bytes have been read already."""

    def __init__(self, start: bytes, stream: BinaryIO) -> None:
        self.start = start
        self.stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.start[: len(buffer)] if self.start else self.stream.read(len(buffer))
        self.start = self.start[len(data) :] if self.start else b""
        buffer[: len(data)] = data
        return len(data)


class _Counted(io.RawIOBase):
    """Counts the compressed bytes that go by, for the ratio."""

    def __init__(self, inner: BinaryIO) -> None:
        self.inner = inner
        self.count = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self.inner.read(len(buffer))
        buffer[: len(data)] = data
        self.count += len(data)
        return len(data)


def spooled(file: BinaryIO, start: bytes, name: str, kind: str | None, limits: Limits) -> tuple[BinaryIO, int]:
    """Unpack to an unnamed temporary file, within the limits; the file, and the bytes that were unpacked."""
    packed = _Counted(io.BufferedReader(_Chained(start, file)) if start else file)
    inner = io.BufferedReader(packed, CHUNK)
    stream: Any = gzip.GzipFile(fileobj=inner) if kind == "gzip" else zstd.ZstdFile(inner) if kind == "zstd" else inner
    unpacked = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
    size = lines = 0
    try:
        while chunk := stream.read(CHUNK):
            size += len(chunk)
            lines += chunk.count(b"\n")
            if size > limits.max_bytes:
                raise PoolError(f"{name}: more than {limits.max_bytes:,} bytes.", fix="Split it, or raise Limits.max_bytes from Python.")
            if kind in ("gzip", "zstd") and size > limits.free_bytes and size > limits.max_ratio * max(packed.count, 1):
                raise PoolError(
                    f"{name}, byte {size:,}: unpacks to more than {limits.max_ratio:g} times its size.",
                    fix="It looks like a decompression bomb; unpack it yourself if you trust it.",
                )
            if kind in ("gzip", "zstd") and lines > LINES * limits.most_rows(packed.count):
                raise PoolError(
                    f"{name}, byte {size:,}: {lines:,} lines in {packed.count:,} bytes.",
                    fix="It looks like a decompression bomb; unpack it yourself if you trust it.",
                )
            try:
                unpacked.write(chunk)
            except OSError as error:
                raise full(error) from error
        try:
            unpacked.flush()
        except OSError as error:
            raise full(error) from error
    except (EOFError, gzip.BadGzipFile, zstd.ZstdError, zlib.error) as error:
        unpacked.close()
        raise PoolError(
            f"{name}, byte {size:,}: the {kind} stream is damaged or cut off ({error}).", fix="Fetch the file again."
        ) from error
    except OSError as error:
        unpacked.close()
        raise PoolError(
            f"{name}: {error.strerror or error} while spooling {size:,} bytes.", fix="Free some space in the temporary folder."
        ) from error
    except InstructselError:
        unpacked.close()
        raise
    finally:
        if name != STDIN:
            file.close()
    unpacked.seek(0)
    return unpacked, packed.count


__all__ = ["STDIN", "is_pipe", "opened", "spooled", "standard_input", "zstd"]
