"""Records of scoring runs, for status."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import atomic_write, dump_json, fingerprint, machine, running, sweep
from instructsel.cache import Cache, _modified, _remove, _unwritable

RUNS: Final = "runs"


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
        with atomic_write(self.path) as file:
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
