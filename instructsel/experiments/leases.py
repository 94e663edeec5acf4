"""Leases: which worker is at work on what in a folder that several share; made by exclusive creation, renewed while their worker lives.

No server and no lock: workers may come, go and be killed, on one machine or on several that share the folder.
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from instructsel.artifact import TEMPORARY, dump_json, machine, running
from instructsel.errors import EnvironmentFault

LEASE: Final = ".lease"
"""The ending of a lease's file."""
HEARTBEAT: Final = 60.0
"""Seconds after which a worker renews its lease."""
STALE: Final = 3600.0
"""Seconds without a heartbeat after which a lease has expired, on whichever machine its process was."""
UNREADABLE: Final = 60.0
"""Seconds that a lease may be without content: where files cannot be linked, it is filled after it is made."""

_held: set[Path] = set()
"""The leases of this process; one that bears its number and is not among them is of a process before it."""


@dataclass(frozen=True)
class Leases:
    """The leases in one folder, each on a name."""

    folder: Path

    def names(self) -> tuple[str, ...]:
        """What is leased, by workers dead or alive."""
        return tuple(self._files())

    def active(self) -> frozenset[str]:
        """What is leased by workers that live."""
        return frozenset(name for name, paths in self._files().items() if _any_alive(paths))

    def busy(self, name: str) -> bool:
        """Whether a worker that lives has a lease on a name."""
        return _any_alive(self._files().get(name, ()))

    def tidy(self, name: str) -> None:
        """Remove the expired leases on a name."""
        for path in self._files().get(name, ()):
            if not _alive(path):
                path.unlink(missing_ok=True)

    @contextmanager
    def hold(self, name: str) -> Iterator[bool]:
        """Whether the name is this worker's alone until the block ends; it is not while another one that lives has a lease on it.

        Raises:
            EnvironmentFault: the lease cannot be written.
        """
        lease = self._take(name)
        if lease is None:
            yield False
            return
        ended = threading.Event()
        heartbeat = threading.Thread(target=_renew, args=(lease, ended), daemon=True)
        heartbeat.start()
        try:
            yield True
        finally:
            ended.set()
            heartbeat.join()
            _release(lease)

    def _take(self, name: str) -> Path | None:
        """A lease on a name, if nobody who lives has one.

        An expired one is not replaced, which two workers could do one after the other, but followed by the next number, which
        only one of them can make. Whoever has made a lease looks again, and steps back where another one lives: of two workers
        at least the later to look sees the other.
        """
        before = self._files().get(name, [])
        if _any_alive(before):
            return None
        number = 1 + max((_number(path) for path in before), default=-1)
        lease = (self.folder / f"{name}{LEASE}{f'-{number}' if number else ''}").resolve()
        if not _create(lease):
            return None
        if _any_alive(path for path in self._files().get(name, ()) if path != lease):
            _release(lease)
            return None
        for path in before:
            path.unlink(missing_ok=True)
        return lease

    def _files(self) -> dict[str, list[Path]]:
        """Name → its leases, dead or alive."""
        leases: dict[str, list[Path]] = {}
        folder = self.folder.resolve()
        try:
            files = os.listdir(folder)
        except FileNotFoundError:
            return leases
        for file in files:
            name, ending, _ = file.rpartition(LEASE)
            if ending and not file.startswith("."):
                leases.setdefault(name, []).append(folder / file)
        return leases


def _release(lease: Path) -> None:
    _held.discard(lease)
    lease.unlink(missing_ok=True)


def _renew(lease: Path, ended: threading.Event) -> None:
    while not ended.wait(HEARTBEAT):
        try:
            os.utime(lease)
        except OSError:
            # Taken over by a worker that could not see it renewed; both come to the same result.
            return


def _create(path: Path) -> bool:
    """Make a lease with its content at once; False where it is already there.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    content = dump_json({"machine": machine(), "process": os.getpid(), "time": time.time()})
    temporary = None
    created = False
    try:
        _held.add(path)
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name[:80]}.{machine()}-{os.getpid()}-", suffix=TEMPORARY, dir=path.parent)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        try:
            os.link(temporary, path)
        except FileExistsError:
            raise
        except OSError:
            # A file system without links.
            with open(path, "xb") as file:
                file.write(content)
        created = True
    except FileExistsError:
        return False
    except OSError as error:
        raise EnvironmentFault(f"Cannot write {path}: {error.strerror or error}.", fix="Free some space there.") from error
    finally:
        if not created:
            _held.discard(path)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return True


def _any_alive(leases: Iterable[Path]) -> bool:
    return any(_alive(path) for path in leases)


def _alive(lease: Path) -> bool:
    """Whether the worker that made a lease still lives, as far as can be known from here."""
    try:
        silent = time.time() - lease.stat().st_mtime
        content = lease.read_bytes()
    except FileNotFoundError:
        return False
    try:
        owner = orjson.loads(content)
        host, process = str(owner["machine"]), int(owner["process"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return silent < UNREADABLE
    if silent > STALE:
        return False
    if host != machine():
        return True
    # In a container every process may bear the same number as the one before it.
    return lease in _held if process == os.getpid() else running(process)


def _number(lease: Path) -> int:
    tail = lease.name.rpartition(LEASE)[2].removeprefix("-")
    return int(tail) if tail.isdigit() else 0


__all__ = ["Leases"]
