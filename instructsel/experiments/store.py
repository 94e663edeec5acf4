"""Run records: checksummed files in the folder of an experiment, leased to one worker each.

The files are the whole state of an experiment, so that any number of workers can come, go and be killed. Each is written whole and
holds its own digest; only the worker that holds the lease of a run writes or moves that run's files.
"""

from __future__ import annotations

import hashlib
import os
import re
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Required, TypedDict

import numpy as np
import orjson

from instructsel.artifact import atomic_write, dump_json, fingerprint, machine, stamped, sweep
from instructsel.errors import EnvironmentFault, StudyError, UsageError
from instructsel.experiments.leases import Leases
from instructsel.kinds import FAILED_RUN, GRADED_RUN
from instructsel.pool.outputs import check_apart
from instructsel.protocols import Grades
from instructsel.shapes import Count, Seconds, checked
from instructsel.stats.loss_units import LossTotals
from instructsel.structured import Refusal, read_json
from instructsel.text import excerpt

RUNS: Final = "runs"
"""The folder of records in that of a verification or a study."""
ENDING: Final = ".json"
FAILED: Final = ".failed.json"
DAMAGED: Final = ".damaged"
SAFE: Final = re.compile(r"[^A-Za-z0-9._+-]")


def slug(arm: str, replicate: int, seed: int) -> str:
    """A file's name for a run, one to one. It says `draw` where a replicate is meant, as files of earlier releases do.

    >>> slug("random", 2, 0)
    'random-draw2-seed0'
    """
    name = SAFE.sub("_", arm)[:60]
    mark = "" if name == arm else "-" + hashlib.blake2b(arm.encode(), digest_size=4).hexdigest()
    return f"{name}{mark}-draw{replicate}-seed{seed}"


def record_of(grades: Grades, *, run: Mapping[str, Any], **about: Any) -> dict[str, Any]:
    """The record of a model's grades by one grader.

    Args:
        grades: item by item.
        run: what differs from time to time, as seconds.
        about: whose they are.
    """
    return {
        "kind": GRADED_RUN,
        **about,
        "items": list(grades.items),
        "values": grades.values.tolist(),
        "weight": grades.weights.tolist(),
        "reasons": list(grades.reasons),
        "unit": grades.unit,
        "higher_is_better": grades.higher_is_better,
        "truncated": grades.truncated,
        **({"clusters": list(grades.clusters)} if grades.clusters else {}),
        **({"sources": list(grades.sources)} if grades.sources else {}),
        **({"totals": grades.totals.as_dict()} if grades.totals is not None else {}),
        "run": {**run, "grader": as_json(grades.record) if grades.record else {}},
    }


class TotalsRecord(TypedDict):
    """The totals of a loss."""

    nats: list[float]
    tokens: list[float]
    bytes: list[float]


class GradedTimes(TypedDict, total=False):
    """What differs from time to time."""

    grader: dict[str, Any] | None
    training_seconds: Seconds
    grading_seconds: Required[Seconds]
    removing: str | None


class GradedRecord(TypedDict, total=False):
    """The record of a model's grades; those of the last release have no clusters, sources or totals."""

    items: Required[list[str]]
    values: Required[list[float]]
    weight: Required[list[float]]
    reasons: Required[list[str | None]]
    unit: Required[str]
    higher_is_better: Required[bool]
    truncated: Required[Count]
    clusters: list[str] | None
    sources: list[str] | None
    totals: TotalsRecord | None
    training: dict[str, Any] | None
    run: Required[GradedTimes]


class Times(TypedDict, total=False):
    """What differs from time to time, in any record."""

    removing: str | None


class AnyRecord(TypedDict, total=False):
    """What a record has, whatever it is of."""

    run: Required[Times]


class FailedTimes(TypedDict, total=False):
    """When a run failed."""

    at: Required[float]


class FailedRecord(TypedDict, total=False):
    """The record of a run that failed."""

    reason: Required[str]
    message: Required[str]
    run: Required[FailedTimes]


def grades_of(grader: str, record: Mapping[str, Any]) -> Grades:
    """The grades in a record.

    Raises:
        StudyError: it is of another shape, or its parts contradict each other.
    """
    try:
        checked(dict(record), GradedRecord)
        return Grades(
            grader=grader,
            items=tuple(record["items"]),
            values=np.array(record["values"], dtype=np.float64),
            weights=np.array(record["weight"], dtype=np.float64),
            reasons=tuple(record["reasons"]),
            unit=record["unit"],
            higher_is_better=record["higher_is_better"],
            truncated=record["truncated"],
            record=record["run"].get("grader") or {},
            # Records of the last release have none of these.
            clusters=tuple(record.get("clusters") or ()),
            sources=tuple(record.get("sources") or ()),
            totals=LossTotals.of(record.get("totals")),
        )
    except ValueError as error:
        # A Misfit, or what Grades and LossTotals refuse.
        raise StudyError(
            f"A record of grades by {excerpt(grader)} is damaged: {str(error).rstrip('.')}.",
            fix="Remove it from the folder runs, and give the same command again.",
        ) from error


@dataclass(frozen=True)
class RecordStore:
    """The records of an experiment's runs, by file name without its ending."""

    folder: Path | None
    """Where the files are; None keeps the records in memory, for this process alone."""
    shape: Any = AnyRecord
    """Of a record, a type hint as `shapes.checked` takes it; a record of another shape is damaged."""
    indented: bool = False
    """Whether a file has a line a field, for records that people read."""
    memory: dict[str, dict[str, Any]] = field(default_factory=dict, repr=False, compare=False)
    """The records where there is no folder."""

    @classmethod
    def of(cls, folder: str | Path | None, shape: Any = AnyRecord) -> RecordStore:
        """In the folder of a verification, made if need be.

        Args:
            folder: None keeps the records in memory.
            shape: of a record.

        Raises:
            EnvironmentFault: it cannot be made.
        """
        if folder is None:
            return cls(None, shape)
        runs = Path(folder) / RUNS
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"Cannot make the folder {runs}: {error.strerror or error}.", fix="Choose another with -o.") from error
        sweep(runs)
        return cls(runs, shape)

    def read(self, name: str, identity: Mapping[str, Any], *, failed: bool = False) -> dict[str, Any] | None:
        """A record; None where there is none, it is damaged, or of another experiment.

        Args:
            name: of its file.
            identity: what the record must say to be of the experiment at hand.
            failed: whether the record of its failure is meant.
        """
        if self.folder is None:
            record = self.memory.get(name + FAILED if failed else name)
            return record if record is not None and _agrees(record, identity) else None
        try:
            record = read_json(self._file(name, failed=failed), FailedRecord if failed else self.shape, Refusal(StudyError), missing=None)
        except StudyError:
            return None
        if record is None or record.pop("digest", None) != fingerprint(record) or not _agrees(record, identity):
            return None
        content: dict[str, Any] = record
        return content

    def exists(self, name: str) -> bool:
        """Whether there is a record of that name, whatever is in it."""
        return name in self.memory if self.folder is None else self._file(name).exists()

    def write(self, name: str, record: Mapping[str, Any], *, run: str) -> None:
        """Keep a record, with its digest, and forget that the run failed before. The run's lease must be held.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        self._write(name, record)
        if self.folder is None:
            self.memory.pop(run + FAILED, None)
        else:
            self._file(run, failed=True).unlink(missing_ok=True)

    def fail(self, run: str, identity: Mapping[str, Any], *, reason: str, message: str, seconds: float) -> None:
        """Keep why a run failed. Its lease must be held.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        run_record = {"at": time.time(), "seconds": seconds, "machine": machine()}
        self._write(run, {"kind": FAILED_RUN, **identity, "reason": reason, "message": message, "run": run_record}, failed=True)

    def set_aside(self, name: str) -> str | None:
        """Move a record that cannot be used out of the way; the name it has now. The run's lease must be held."""
        if self.folder is None or not (path := self._file(name)).exists():
            return None
        target = path.with_name(path.name + DAMAGED)
        os.replace(path, target)
        return target.name

    @contextmanager
    def lease(self, name: str) -> Iterator[bool]:
        """Whether a run is this worker's alone until the block ends."""
        if self.folder is None:
            yield True
            return
        with Leases(self.folder).hold(name) as held:
            yield held

    def leased(self) -> frozenset[str]:
        """What workers that live, this one among them, have leased."""
        return frozenset() if self.folder is None else Leases(self.folder).active()

    def tidy(self, names: Iterable[str]) -> None:
        """Remove expired leases that killed workers left."""
        if self.folder is not None:
            leases = Leases(self.folder)
            for name in set(leases.names()) & set(names):
                leases.tidy(name)

    def _write(self, name: str, record: Mapping[str, Any], *, failed: bool = False) -> None:
        # As it will be read again.
        content = as_json(stamped(record))
        if self.folder is None:
            self.memory[name + FAILED if failed else name] = content
            return
        with atomic_write(self._file(name, failed=failed)) as file:
            file.write(dump_json({**content, "digest": fingerprint(content)}, indent=self.indented) + b"\n")

    def _file(self, name: str, *, failed: bool = False) -> Path:
        assert self.folder is not None
        return self.folder / f"{name}{FAILED if failed else ENDING}"


def check_folder(folder: Path, inputs: Iterable[str | Path], *, pools: Iterable[str | Path] = ()) -> None:
    """Refuse a folder of results that cannot be written, or that is an input. Called before any work; nothing is made.

    Args:
        folder: of the results.
        inputs: all that is read.
        pools: of these, the pools: a folder of one that held results would be read with them.

    Raises:
        EnvironmentFault: it cannot be written.
        UsageError: it is an input, or lies in a folder that is one.
    """
    for path in inputs:
        if folder.exists() and Path(path).exists() and folder.samefile(path):
            raise UsageError(f"The output {folder} is an input.", fix="Choose another folder with -o.")
    check_apart([folder], pools)
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        why = "not writable" if there.is_dir() else "not a folder"
        raise EnvironmentFault(f"{folder} cannot be used: {there} is {why}.", fix="Choose another with -o.")


def _agrees(record: Mapping[str, Any], identity: Mapping[str, Any]) -> bool:
    return all(record.get(key) == value for key, value in identity.items())


def as_json(value: Any) -> Any:
    """A value as JSON has it, so that what is read again is what was written; what JSON has no form for, as its text."""
    return orjson.loads(dump_json(_writable(value)))


def _writable(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _writable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if isinstance(value, np.generic):
        return value.item()
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)


__all__ = ["FAILED", "RUNS", "GradedRecord", "RecordStore", "as_json", "check_folder", "grades_of", "record_of", "slug"]
