"""Arrays that were dear to compute, kept under the digest of everything they depend on.

Files are immutable, written whole, and checked against their own digest when they are read; a damaged one counts as a
miss. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import io
import os
import stat
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import atomic_write, fingerprint
from instructsel.errors import EnvironmentFault

MAGIC: Final = b"instructsel-cache-1\n"
DIGEST: Final = 32


def default_folder() -> Path:
    """INSTRUCTSEL_CACHE, or the user's cache folder of this system."""
    if given := os.environ.get("INSTRUCTSEL_CACHE"):
        return Path(given)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "instructsel"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "instructsel"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "instructsel"


@dataclass(frozen=True)
class Cache:
    """A folder of arrays by key."""

    folder: Path

    @classmethod
    def open(cls, folder: str | Path | None = None) -> Cache:
        """The cache in this folder, made if it is not there.

        Raises:
            EnvironmentFault: it cannot be made, or others could write into it.
        """
        place = Path(folder) if folder is not None else default_folder()
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            found = place.stat()
        except OSError as error:
            raise EnvironmentFault(
                f"The cache {place} cannot be used: {error.strerror or error}.",
                fix="Choose another with --cache, or go without: --no-cache",
            ) from error
        if os.name == "posix" and (found.st_uid != os.getuid() or found.st_mode & stat.S_IWOTH):
            raise EnvironmentFault(
                f"The cache {place} belongs to somebody else or can be written by anybody.",
                fix="Choose another with --cache, or go without: --no-cache",
            )
        return cls(place)

    def path(self, kind: str, key: Any) -> Path:
        """Where the array of a key stands."""
        return self.folder / kind / f"{fingerprint(key)}.npy"

    def get(self, kind: str, key: Any) -> NDArray[Any] | None:
        """The array stored under a key; None where there is none, or where it is damaged."""
        try:
            content = self.path(kind, key).read_bytes()
        except OSError:
            return None
        body = content[len(MAGIC) + DIGEST :]
        if not content.startswith(MAGIC) or hashlib.blake2b(body, digest_size=DIGEST).digest() != content[len(MAGIC) : len(MAGIC) + DIGEST]:
            return None
        found: NDArray[Any] = np.load(io.BytesIO(body), allow_pickle=False)
        return found

    def put(self, kind: str, key: Any, value: NDArray[Any]) -> None:
        """Store an array under a key; the same key always means the same array, so the last writer does no harm."""
        target = self.path(kind, key)
        body = io.BytesIO()
        np.save(body, value, allow_pickle=False)
        packed = body.getvalue()
        try:
            target.parent.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(
                f"The cache {self.folder} cannot be written: {error.strerror or error}.",
                fix="Choose another with --cache, or go without: --no-cache",
            ) from error
        with atomic_write(target) as file:
            file.write(MAGIC + hashlib.blake2b(packed, digest_size=DIGEST).digest())
            file.write(packed)
