"""Numbers that need not stay in memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EnvironmentFault

IN_MEMORY: Final = 1 << 24
"""Bytes of hashes held in memory; a pool that has more keeps them in a temporary file."""


class Spool:
    """Numbers of one type one after the other, in an unnamed temporary file once they are many.

    Read, not mapped: the pages of a mapped file count as the memory of the process.
    """

    def __init__(self, dtype: type[np.uint32] | type[np.uint64] = np.uint64) -> None:
        """Empty."""
        spooled = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY, prefix="instructsel-")  # noqa: SIM115 - the spool owns it
        self.file: tempfile.SpooledTemporaryFile[bytes] = spooled
        self.dtype: np.dtype[Any] = np.dtype(dtype)
        self.length: int = 0

    def append(self, numbers: NDArray[Any]) -> None:
        """Behind the last."""
        self.put(self.length, numbers)

    def put(self, begin: int, numbers: NDArray[Any]) -> None:
        """From a place on."""
        try:
            self.file.seek(self.dtype.itemsize * begin)
            self.file.write(np.ascontiguousarray(numbers, dtype=self.dtype).tobytes())
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot keep the pool's shingles in {tempfile.gettempdir()}: {error.strerror or error}.",
                fix="Free some space there, or name another folder with TMPDIR.",
            ) from error
        self.length = max(self.length, begin + numbers.size)

    def get(self, begin: int, count: int) -> NDArray[Any]:
        """So many from a place on."""
        return np.frombuffer(self._bytes(begin, count), dtype=self.dtype)

    def gather(self, begins: NDArray[np.integer[Any]], counts: NDArray[np.integer[Any]]) -> NDArray[Any]:
        """Several stretches, one after the other."""
        stretches = zip(begins.tolist(), counts.tolist(), strict=True)
        return np.frombuffer(b"".join([self._bytes(begin, count) for begin, count in stretches]), dtype=self.dtype)

    def blocks(self, size: int) -> Iterator[NDArray[Any]]:
        """All of it, `size` numbers at a time."""
        for begin in range(0, self.length, size):
            yield self.get(begin, min(size, self.length - begin))

    def _bytes(self, begin: int, count: int) -> bytes:
        self.file.seek(self.dtype.itemsize * begin)
        return self.file.read(self.dtype.itemsize * count)
