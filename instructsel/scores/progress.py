"""Records of scoring runs, for status."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import atomic_write, dump_json, fingerprint, machine, read_manifest, running, sweep
from instructsel.cache import Cache, _modified, _remove, _unwritable
from instructsel.errors import UsageError
from instructsel.paths import resolved
from instructsel.scores.table import SUFFIX, newest

RUNS: Final = "runs"
FINISHED: Final = "finished"
"""The folder of the cache that records where the last scores of each working directory went."""


@dataclass(frozen=True)
class Run:
    """A scoring run for `instructsel status`: how far it is, in a small file that is removed when it ends."""

    path: Path
    record: dict[str, Any] = field(default_factory=dict)
    """What the file says: pools, target, indicators, process, times, and how far each indicator is."""

    @classmethod
    def start(cls, cache: Cache, about: dict[str, Any]) -> Run:
        """Begin one; a run of the same kind that was killed is taken over."""
        folder = cache.folder / RUNS
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise _unwritable(cache.folder, error) from error
        sweep(folder)
        run = cls(
            folder / f"{fingerprint(about)}.json",
            {**about, "process": os.getpid(), "machine": machine(), "started": time.time(), "progress": {}},
        )
        run._write()
        return run

    def tell(self, name: str, done: int, total: int) -> None:
        """Note how far an indicator is."""
        self.record["progress"][name] = [done, total]
        self.record["updated"] = time.time()
        self._write()

    def end(self) -> None:
        """Remove the record: the run is done."""
        _remove(self.path)

    def _write(self) -> None:
        with atomic_write(self.path, flag="--cache") as file:
            file.write(dump_json(self.record))


def runs(cache: Cache) -> Iterator[dict[str, Any]]:
    """The runs that have not ended, oldest first; `alive` says whether their process still works."""
    records = []
    for path in sorted((cache.folder / RUNS).glob("*.json")):
        try:
            record = orjson.loads(path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            continue
        if isinstance(record, dict) and isinstance(record.get("process"), int):
            # Another machine's process cannot be asked; it counts as working while its file is written.
            same_machine = record.get("machine") == machine()
            fresh = time.time() - _modified(path) < 600
            records.append({**record, "alive": running(record["process"]) if same_machine else fresh, "note": str(path)})
    yield from sorted(records, key=lambda entry: entry["started"] if isinstance(entry.get("started"), float) else 0.0)


def remember(cache: Cache, table: str | Path) -> None:
    """Record that the last score table of this working directory is `table`."""
    folder = cache.folder / FINISHED
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise _unwritable(cache.folder, error) from error
    place = str(Path.cwd())
    with atomic_write(folder / f"{fingerprint(place)}.json", flag="--cache") as file:
        file.write(dump_json({"folder": place, "scores": str(resolved(table))}))


def latest(cache: Cache | None, folder: str | Path = ".") -> Path:
    """The score table that was finished last: the newest one in a folder, or the one that `score` wrote elsewhere from there.

    Raises:
        UsageError: there is none, or two were finished at the same moment.
        ScoresError: the manifest of a `*.scores.parquet` is damaged.
    """
    elsewhere = _remembered(cache, resolved(folder))
    try:
        newest_here = newest(folder)
    except UsageError:
        if elsewhere is None or any(path.name.endswith(SUFFIX) for path in Path(folder).iterdir()):
            raise
        return elsewhere
    if elsewhere is None or resolved(elsewhere) == resolved(newest_here):
        return newest_here
    return max((newest_here, elsewhere), key=_finished)


def _remembered(cache: Cache | None, folder: Path) -> Path | None:
    """Where the last run of a working directory wrote its scores, if they are still there."""
    if cache is None:
        return None
    try:
        path = Path(orjson.loads((cache.folder / FINISHED / f"{fingerprint(str(folder))}.json").read_bytes())["scores"])
    except (OSError, orjson.JSONDecodeError, KeyError, TypeError):
        return None
    return path if path.is_file() else None


def _finished(path: Path) -> str:
    """When a table was finished, as its manifest says; times in UTC sort as text."""
    return str(((read_manifest(path) or {}).get("run") or {}).get("finished_at", ""))
