"""On-disk cache for expensive model outputs, by the digest of everything they depend on.

A namespace holds the values of one fingerprint (a model, its tokenizer, template, truncation, precision, batch shape); a value
stands under the digest of the exact text that was given. Files are immutable, written whole, and checked against their own
digest when they are read; a damaged one counts as a miss. Processes share a cache without locks: nobody changes a file, and
a file is removed only by who has written all it holds into another. Nothing is ever unpickled.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import sys
import time
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import atomic_write, dump_json, fingerprint, sweep
from instructsel.errors import EnvironmentFault, UsageError

MAGIC: Final = b"instructsel-cache-2\n"
DIGEST: Final = 32
HEAD: Final = struct.Struct("<QI4s")
"""Rows, values of a row, and their type."""
SEGMENT: Final = ".values"
SPACE: Final = "fingerprint.json"
MERGED: Final = "merged"
"""Changed by every merge after its file is written and before any other is removed."""
NAMESPACES: Final = "shelves"
"""The folder of namespaces, as earlier releases called it."""
LIMIT: Final = 20 << 30
"""Bytes a cache may hold by default; INSTRUCTSEL_CACHE_LIMIT changes it."""
MANY: Final = 24
"""From this many small files on, a namespace's are merged."""
SMALL: Final = 16 << 20
EVERY: Final = 5.0
"""Seconds of work that a kill can cost, about."""

Keys = NDArray[np.uint64]
"""(n, 2), the halves of 128-bit digests."""


def default_folder() -> Path:
    """INSTRUCTSEL_CACHE, or the user's cache folder of this system."""
    if stated := os.environ.get("INSTRUCTSEL_CACHE"):
        return Path(stated)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "instructsel"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "instructsel"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "instructsel"


def parse_size(text: str) -> int:
    """Bytes of "500MB", "20GiB" or "1000".

    Raises:
        UsageError: it is no size.
    """
    match = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([kmgt]?)(i?)b?\s*", text.lower())
    if not match:
        raise UsageError(f"'{text}' is no size.", fix="Write 500MB or 20GiB, for example.")
    number, unit, binary = match.groups()
    if len(number) > 15:
        raise UsageError(f"'{text}' is no size.", fix="Write 500MB or 20GiB, for example.")
    return int(float(number) * (1024 if binary else 1000) ** " kmgt".index(unit or " "))


def keys_of(texts: Sequence[str | Sequence[str | None]]) -> Keys:
    """The digests of texts, or of lists of texts and nothings; lists of other lengths or cuts never meet."""
    digests = bytearray()
    for text in texts:
        parts = (text,) if isinstance(text, str) else text
        digest = hashlib.blake2b(digest_size=16)
        for part in parts:
            content = b"" if part is None else part.encode("utf-8", "surrogatepass")
            digest.update((b"-" if part is None else b"+") + len(content).to_bytes(8, "little") + content)
        digests += digest.digest()
    return np.frombuffer(bytes(digests), dtype="<u8").reshape(-1, 2).astype(np.uint64)


@dataclass(frozen=True)
class NamespaceUsage:
    """What a namespace holds."""

    folder: Path
    description: dict[str, Any]
    """The fingerprint its values depend on."""
    files: int
    bytes: int
    used: float
    """When it was last used, seconds since 1970."""


@dataclass(frozen=True)
class Cache:
    """A folder of namespaces."""

    folder: Path
    _namespaces: dict[str, Namespace] = field(default_factory=dict, repr=False, compare=False)

    @classmethod
    def open(cls, folder: str | Path | None = None, *, to_write: bool = True) -> Cache:
        """The cache in this folder, made if it is not there.

        Args:
            folder: the default one where it is None.
            to_write: whether it will be written into.

        Raises:
            EnvironmentFault: it cannot be made or written into, or others could write into it.
        """
        place = Path(folder) if folder is not None else default_folder()
        try:
            place.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = place.stat()
        except OSError as error:
            raise EnvironmentFault(
                f"The cache {place} cannot be used: {error.strerror or error}.",
                fix="Choose another with --cache, or go without: --no-cache",
            ) from error
        if os.name == "posix" and (status.st_uid != os.getuid() or status.st_mode & stat.S_IWOTH):
            raise EnvironmentFault(
                f"The cache {place} belongs to somebody else or can be written by anybody.",
                fix="Choose another with --cache, or go without: --no-cache",
            )
        if to_write and not os.access(place, os.W_OK | os.X_OK):
            raise EnvironmentFault(f"The cache {place} cannot be written.", fix="Choose another with --cache, or go without: --no-cache")
        return cls(place)

    def namespace(self, description: dict[str, Any], *, width: int, dtype: str, model: str = "") -> Namespace:
        """The values that depend on this fingerprint.

        Args:
            description: everything a value depends on besides the text it is stored under.
            model: a name for people who look into the cache; no part of the fingerprint.
            width: numbers of a value.
            dtype: "<f4" or "<f8".

        Raises:
            EnvironmentFault: the cache cannot be written.
        """
        name = fingerprint({**description, "width": width, "dtype": dtype})
        if name in self._namespaces:
            # Its files have been checked once.
            return self._namespaces[name]
        place = self.folder / NAMESPACES / name
        try:
            namespace = Namespace(
                place, width, np.dtype(dtype), dump_json({**({"model": model} if model else {}), **description}, indent=True)
            )
            namespace.settle()
            os.utime(place / SPACE)
        except OSError as error:
            raise _unwritable(self.folder, error) from error
        sweep(place)
        self._namespaces[name] = namespace
        return self._namespaces[name]

    def usage(self) -> list[NamespaceUsage]:
        """What every namespace holds, the least recently used first."""
        usages = []
        for place in sorted((self.folder / NAMESPACES).glob("*")):
            try:
                description = orjson.loads((place / SPACE).read_bytes())
                used = (place / SPACE).stat().st_mtime
            except (OSError, orjson.JSONDecodeError):
                description, used = {}, 0.0
            sizes = [_size(path) for path in place.glob(f"*{SEGMENT}")]
            usages.append(NamespaceUsage(place, description if isinstance(description, dict) else {}, len(sizes), sum(sizes), used))
        return sorted(usages, key=lambda each: (each.used, each.folder.name))

    def damaged(self) -> list[Path]:
        """Files whose content is not what was written."""
        return [path for path in sorted((self.folder / NAMESPACES).glob(f"*/*{SEGMENT}")) if _opened(path) is None and path.exists()]

    def prune(self, limit: int, *, since: float | None = None) -> int:
        """Remove the least recently used namespaces until no more than `limit` bytes are left, and the files of killed writers.

        Damaged files are not looked for, since that reads everything: `damaged` names them.

        Args:
            limit: bytes.
            since: leave namespaces used after this time alone, seconds since 1970.

        Returns:
            The bytes freed.
        """
        freed = 0
        namespaces = self.usage()
        total = sum(namespace.bytes for namespace in namespaces)
        for namespace in namespaces:
            sweep(namespace.folder)
            if total - freed <= limit:
                continue
            if since is not None and namespace.used >= since:
                continue
            for path in sorted(namespace.folder.glob(f"*{SEGMENT}"), key=lambda path: (_modified(path), path.name)):
                if total - freed <= limit:
                    break
                freed += _size(path)
                path.unlink(missing_ok=True)
            if not any(namespace.folder.glob(f"*{SEGMENT}")):
                for name in (SPACE, MERGED):
                    (namespace.folder / name).unlink(missing_ok=True)
                _remove_folder(namespace.folder)
        return freed


@dataclass(eq=False)
class _Segment:
    """One file: keys ascending, and a value to each."""

    path: Path
    keys: Keys
    values: NDArray[Any]


@dataclass(eq=False)
class Namespace:
    """Values under one fingerprint, by the digest of the text they belong to. Not for several threads at a time."""

    folder: Path
    width: int
    dtype: np.dtype[Any]
    note: bytes
    """What it is for, in JSON."""
    _segments: dict[str, _Segment] = field(default_factory=dict)
    _refused: set[str] = field(default_factory=set)
    _waiting: list[tuple[Keys, NDArray[Any]]] = field(default_factory=list)
    _written: float = field(default_factory=time.monotonic)

    def settle(self) -> None:
        """Make its folder and its note, where they are not there or another process has pruned them away."""
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not (self.folder / SPACE).exists():
            with atomic_write(self.folder / SPACE, flag="--cache") as file:
                file.write(self.note)

    def get(self, keys: Keys) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """What is known of these keys, other processes' work included.

        Returns:
            found, bool (n,); values (n, width), 0 where not found.
        """
        self._look()
        known = np.zeros(len(keys), dtype=bool)
        values = np.zeros((len(keys), self.width), dtype=self.dtype)
        for segment in self._segments.values():
            open_ones = np.flatnonzero(~known)
            if not len(open_ones) or not len(segment.keys):
                continue
            wanted = keys[open_ones]
            positions = np.minimum(np.searchsorted(segment.keys[:, 0], wanted[:, 0]), len(segment.keys) - 1)
            hit = (segment.keys[positions] == wanted).all(axis=1)
            values[open_ones[hit]] = segment.values[positions[hit]]
            known[open_ones[hit]] = True
        return known, values

    def put(self, keys: Keys, values: NDArray[Any]) -> None:
        """Keep values; they reach the disk every few seconds, and with `flush`."""
        self._waiting.append((keys, values.astype(self.dtype).reshape(len(keys), self.width)))
        if time.monotonic() - self._written >= EVERY:
            self.flush()

    def flush(self) -> None:
        """Write what waits.

        Raises:
            EnvironmentFault: the disk is full, or the folder is not writable.
        """
        self._written = time.monotonic()
        if not self._waiting:
            return
        keys = np.concatenate([part for part, _ in self._waiting])
        values = np.concatenate([part for _, part in self._waiting])
        self._write(keys, values)
        self._waiting.clear()
        self._merge()

    def _look(self) -> None:
        """Open the files that are new, forget those that are gone.

        A listing made while another process merges can miss both the file that is removed and the one that holds its values
        from now on. The mark of merges tells: a file that disappears after it was read stands in one written before it.
        """
        while True:
            before = self._mark()
            self._look_once()
            if self._mark() == before:
                return

    def _mark(self) -> bytes:
        try:
            return (self.folder / MERGED).read_bytes()
        except OSError:
            return b""

    def _look_once(self) -> None:
        names = _segments_in(self.folder)
        for name in set(self._segments) - names:
            del self._segments[name]
        for name in sorted(names - set(self._segments) - self._refused):
            opened = _opened(self.folder / name)
            if opened is None or opened.values.shape[1:] != (self.width,) or opened.values.dtype != self.dtype:
                # Gone already (merged by another process), or damaged: a miss either way.
                if (self.folder / name).exists():
                    self._refused.add(name)
                continue
            self._segments[name] = opened

    def _write(self, keys: Keys, values: NDArray[Any]) -> Path:
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        keys, values = keys[order], values[order]
        first = np.ones(len(keys), dtype=bool)
        first[1:] = (keys[1:] != keys[:-1]).any(axis=1)
        keys, values = np.ascontiguousarray(keys[first]), np.ascontiguousarray(values[first])
        head = HEAD.pack(len(keys), self.width, self.dtype.str.encode().ljust(4))
        parts = (head, keys.astype("<u8").tobytes(), values.tobytes())
        digest = hashlib.blake2b(digest_size=DIGEST)
        for part in parts:
            digest.update(part)
        path = self.folder / f"{digest.hexdigest()[:32]}{SEGMENT}"
        self._write_file(path, MAGIC + digest.digest(), *parts)
        return path

    def _write_file(self, path: Path, *parts: bytes) -> None:
        for attempt in range(3):
            try:
                self.settle()
                with atomic_write(path, flag="--cache") as file:
                    for part in parts:
                        file.write(part)
                return
            except OSError as error:
                raise _unwritable(self.folder, error) from error
            except EnvironmentFault as error:
                # Another process may have pruned the folder away in between.
                if attempt == 2 or not isinstance(error.__cause__, FileNotFoundError):
                    raise

    def _merge(self) -> None:
        """Write many small files as one, mark the merge, then remove them: in this order, so that nothing is ever lost."""
        small = [path for path in self.folder.glob(f"*{SEGMENT}") if _size(path) < SMALL]
        if len(small) < MANY:
            return
        opened = [segment for path in small if (segment := _opened(path)) and segment.values.shape[1:] == (self.width,)]
        if not opened:
            return
        merged = self._write(np.concatenate([segment.keys for segment in opened]), np.concatenate([segment.values for segment in opened]))
        self._write_file(self.folder / MERGED, uuid.uuid4().bytes)
        for segment in opened:
            if segment.path != merged:
                self._segments.pop(segment.path.name, None)
                _remove(segment.path)


def _segments_in(folder: Path) -> set[str]:
    try:
        return {entry.name for entry in os.scandir(folder) if entry.name.endswith(SEGMENT)}
    except OSError:
        return set()


def _opened(path: Path) -> _Segment | None:
    """The content of a file, checked; None where it is damaged or gone."""
    try:
        with open(path, "rb") as file:
            head = file.read(len(MAGIC) + DIGEST + HEAD.size)
            if not head.startswith(MAGIC) or len(head) < len(MAGIC) + DIGEST + HEAD.size:
                return None
            digest = hashlib.blake2b(head[len(MAGIC) + DIGEST :], digest_size=DIGEST)
            while piece := file.read(1 << 20):
                digest.update(piece)
            if digest.digest() != head[len(MAGIC) : len(MAGIC) + DIGEST]:
                return None
            rows, width, kind = HEAD.unpack(head[len(MAGIC) + DIGEST :])
            dtype = np.dtype(kind.decode().strip())
            file.seek(len(head))
            keys = np.frombuffer(file.read(rows * 16), dtype="<u8").reshape(rows, 2).astype(np.uint64)
        # The values stay on the disk until they are asked for: embeddings of a million rows are 1.5 GB.
        values: NDArray[Any] = np.memmap(path, dtype=dtype, mode="r", offset=len(head) + rows * 16, shape=(rows, width))
    except (OSError, ValueError, TypeError, struct.error):
        return None
    return _Segment(path, keys, values)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError:
        # Windows does not remove a file that is open somewhere; it stays a harmless copy.
        return


def _remove_folder(folder: Path) -> None:
    try:
        folder.rmdir()
    except OSError:
        return


def _unwritable(folder: Path, error: OSError) -> EnvironmentFault:
    return EnvironmentFault(
        f"The cache {folder} cannot be written: {error.strerror or error}.", fix="Choose another with --cache, or go without: --no-cache"
    )
