"""Who is at work on what in a folder that several workers share: claims made by exclusive creation, renewed while their maker lives.

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

CLAIM: Final = ".claim"
BEAT: Final = 60.0
"""Seconds after which a worker renews its claim."""
STALE: Final = 3600.0
"""Seconds without renewal after which a claim is nobody's, on whichever machine its process was."""
UNREADABLE: Final = 60.0
"""Seconds that a claim may be without content: where files cannot be linked, it is filled after it is made."""

_held: set[Path] = set()
"""The claims of this process; one that bears its number and is not among them is of a process before it."""


@dataclass(frozen=True)
class Claims:
    """The claims in one folder, each on a name."""

    folder: Path

    def names(self) -> tuple[str, ...]:
        """What is claimed, by workers dead or alive."""
        return tuple(self._found())

    def busy(self, name: str) -> bool:
        """Whether a worker that lives has claimed a name."""
        return _any_alive(self._found().get(name, ()))

    def tidy(self, name: str) -> None:
        """Remove the claims on a name that are nobody's."""
        for path in self._found().get(name, ()):
            if not _alive(path):
                path.unlink(missing_ok=True)

    @contextmanager
    def held(self, name: str) -> Iterator[bool]:
        """Whether the name is this worker's alone until the block ends; it is not while another one lives that claimed it.

        Raises:
            EnvironmentFault: the claim cannot be written.
        """
        mine = self._claim(name)
        if mine is None:
            yield False
            return
        ended = threading.Event()
        beating = threading.Thread(target=_renew, args=(mine, ended), daemon=True)
        beating.start()
        try:
            yield True
        finally:
            ended.set()
            beating.join()
            _released(mine)

    def _claim(self, name: str) -> Path | None:
        """The claim on a name, if nobody who lives has one.

        A dead one is not replaced, which two workers could do one after the other, but followed by the next number, which only
        one of them can make. Whoever has made a claim looks again, and steps back where another one lives: of two workers at
        least the later to look sees the other.
        """
        before = self._found().get(name, [])
        if _any_alive(before):
            return None
        number = 1 + max((_number(path) for path in before), default=-1)
        mine = (self.folder / f"{name}{CLAIM}{f'-{number}' if number else ''}").resolve()
        if not _created(mine):
            return None
        if _any_alive(path for path in self._found().get(name, ()) if path != mine):
            _released(mine)
            return None
        for path in before:
            path.unlink(missing_ok=True)
        return mine

    def _found(self) -> dict[str, list[Path]]:
        """Name → its claims, dead or alive."""
        found: dict[str, list[Path]] = {}
        folder = self.folder.resolve()
        try:
            names = os.listdir(folder)
        except FileNotFoundError:
            return found
        for file in names:
            name, claim, _ = file.rpartition(CLAIM)
            if claim and not file.startswith("."):
                found.setdefault(name, []).append(folder / file)
        return found


def _released(claim: Path) -> None:
    _held.discard(claim)
    claim.unlink(missing_ok=True)


def _renew(claim: Path, ended: threading.Event) -> None:
    while not ended.wait(BEAT):
        try:
            os.utime(claim)
        except OSError:
            # Taken over by a worker that could not see it renewed; both come to the same result.
            return


def _created(path: Path) -> bool:
    """Make a claim with its content at once; False where it is already there.

    Raises:
        EnvironmentFault: it cannot be made.
    """
    content = dump_json({"machine": machine(), "process": os.getpid(), "time": time.time()})
    temporary = None
    made = False
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
        made = True
    except FileExistsError:
        return False
    except OSError as error:
        raise EnvironmentFault(f"Cannot write {path}: {error.strerror or error}.", fix="Free some space there.") from error
    finally:
        if not made:
            _held.discard(path)
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return True


def _any_alive(claims: Iterable[Path]) -> bool:
    return any(_alive(path) for path in claims)


def _alive(claim: Path) -> bool:
    """Whether the worker that made a claim still lives, as far as can be told from here."""
    try:
        silent = time.time() - claim.stat().st_mtime
        content = claim.read_bytes()
    except FileNotFoundError:
        return False
    try:
        told = orjson.loads(content)
        host, process = str(told["machine"]), int(told["process"])
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError):
        return silent < UNREADABLE
    if silent > STALE:
        return False
    if host != machine():
        return True
    # In a container every process may bear the same number as the one before it.
    return claim in _held if process == os.getpid() else running(process)


def _number(claim: Path) -> int:
    tail = claim.name.rpartition(CLAIM)[2].removeprefix("-")
    return int(tail) if tail.isdigit() else 0
