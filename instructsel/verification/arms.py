"""Arms trained and graded alike: the runs a verification is made of, each kept in a file when it is done."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from instructsel.artifact import SCHEMA_VERSION, atomic_write, dump_json, fingerprint, sweep
from instructsel.claims import Claims
from instructsel.errors import EnvironmentFault, StudyError, TrainingDiverged, TrainingError, UsageError
from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
from instructsel.verification.verify import Run, Verification

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

KIND: Final = "graded run"
FAILED: Final = ".failed.json"
SAFE: Final = re.compile(r"[^A-Za-z0-9._+-]")


@dataclass(frozen=True, eq=False)
class Arm:
    """What is compared: subsets to train on, or models that are trained already."""

    name: str
    """As verdicts call it."""
    pools: tuple[Pool, ...] = ()
    """A draw each: one for a selection, several for random selection."""
    checkpoints: tuple[Checkpoint, ...] = ()
    """Models instead, a draw each, e.g. the base as it is."""
    selection_seconds: float | None = None
    """What choosing the rows took, scoring included; None where nobody knows."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("An arm has a name.")
        if bool(self.pools) == bool(self.checkpoints):
            raise UsageError(f"The arm {self.name} has subsets to train on, or models, and not both.", fix="Give one of the two.")


@dataclass(frozen=True)
class Failure:
    """A run that came to nothing."""

    run: str
    """Arm, draw and seed."""
    reason: str
    """diverged, training, or no_grades."""
    message: str


@dataclass(frozen=True, eq=False)
class Verified:
    """The runs of a verification, and what they cost."""

    verification: Verification
    failures: tuple[Failure, ...]
    """Runs that are missing from it, with the reason; a later call tries them again."""
    left: tuple[str, ...]
    """Runs that other workers have begun, or that a limit left."""
    costs: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Arm → seconds of `selection` (None where nobody knows), `training` and `grading`, over its runs here."""


@dataclass(frozen=True)
class _Work:
    """One model to be graded."""

    arm: Arm
    draw: int
    seed: int

    @property
    def name(self) -> str:
        return f"{self.arm.name} draw {self.draw} seed {self.seed}"

    @property
    def slug(self) -> str:
        """A file's name for it, one to one."""
        told = SAFE.sub("_", self.arm.name)[:60]
        mark = "" if told == self.arm.name else "-" + hashlib.blake2b(self.arm.name.encode(), digest_size=4).hexdigest()
        return f"{told}{mark}-draw{self.draw}-seed{self.seed}"

    @property
    def trained_on(self) -> str:
        """A digest of the rows, or of the weights."""
        if self.arm.pools:
            return hashlib.blake2b("\n".join(self.arm.pools[self.draw].ids).encode(), digest_size=16).hexdigest()
        return self.arm.checkpoints[self.draw].digest


def verify(
    arms: Sequence[Arm],
    *,
    graders: Sequence[Grader],
    trainer: Trainer | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    folder: str | Path | None = None,
    keep_checkpoints: bool = False,
    limit: int | None = None,
    progress: Callable[[int, int, str], None] | None = None,
) -> Verified:
    """Train every arm alike, grade every model alike, and put the grades together.

    A run that stands in the folder, made of the same rows, trainer, seed and grader, is not made again; one grader more is graded
    by itself. Several workers may share the folder. What fails is told and left out; nothing is put in its place.

    Args:
        arms: of different names.
        graders: of different names.
        trainer: for arms with subsets.
        seeds: of training, the same for every subset; models that are there are graded once.
        folder: where finished runs are kept; None keeps nothing.
        keep_checkpoints: by default a model trained here is removed when it is graded.
        limit: runs to make at most.
        progress: told how many runs are done, of how many, and which one was last.

    Raises:
        UsageError: arms or graders of one name, none of them, or subsets without a trainer.
        StudyError: no run has a grade.
        EnvironmentFault: no memory, no room, an extra missing; what is finished stays.
    """
    for noun, names in (("arm", [arm.name for arm in arms]), ("grader", [grader.name for grader in graders])):
        if not names or len(set(names)) < len(names):
            raise UsageError(f"A verification has {noun}s of different names, one at least; given: {', '.join(names) or 'none'}.")
    if trainer is None and any(arm.pools for arm in arms):
        raise UsageError("Arms with subsets need a trainer.", fix="Give one, or models that are trained already.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"Seeds are different whole numbers, one at least; given: {', '.join(map(str, seeds)) or 'none'}.")
    place = _Place.of(folder)
    works = [work for arm in arms for work in _works(arm, seeds)]
    runs: list[Run] = []
    failures: list[Failure] = []
    left: list[str] = []
    costs: dict[str, dict[str, float | None]] = {
        arm.name: {"selection": arm.selection_seconds, "training": 0.0, "grading": 0.0} for arm in arms
    }
    made = 0
    for number, work in enumerate(works, start=1):
        found: dict[str, dict[str, Any] | None] = {grader.name: place.read(work, _key(work, trainer, grader)) for grader in graders}
        missing = [grader for grader in graders if found[grader.name] is None]
        if missing and limit is not None and made >= limit:
            left.append(work.name)
        elif missing:
            with place.claimed(work) as mine:
                if not mine:
                    left.append(work.name)
                    continue
                made += 1
                try:
                    for name, fresh in _graded(work, trainer, missing, place, keep_checkpoints=keep_checkpoints):
                        found[name] = fresh
                except (TrainingDiverged, TrainingError) as error:
                    failures.append(Failure(work.name, "diverged" if isinstance(error, TrainingDiverged) else "training", error.message))
                    place.fail(work, failures[-1])
        for name, record in found.items():
            if record is None:
                continue
            grades = _grades(name, record)
            if not grades.valid.any():
                failures.append(Failure(work.name, "no_grades", f"{name} has no value for any item."))
                continue
            runs.append(Run(work.arm.name, work.draw, work.seed, grades))
            cost = costs[work.arm.name]
            cost["grading"] = (cost["grading"] or 0.0) + record["run"]["grading_seconds"]
        trained = [record["run"]["training_seconds"] for record in found.values() if record is not None]
        if trained:
            cost = costs[work.arm.name]
            cost["training"] = (cost["training"] or 0.0) + max(trained)
        if progress is not None:
            progress(number, len(works), work.name)
    if not runs:
        told = "; ".join(f"{each.run}: {each.message}" for each in failures[:3]) or "all runs are left"
        raise StudyError(f"No run has a grade ({told}).", fix="See what failed, and verify again.")
    return Verified(Verification.of(runs), tuple(failures), tuple(left), costs)


def _works(arm: Arm, seeds: Sequence[int]) -> Iterator[_Work]:
    for draw in range(len(arm.pools)):
        yield from (_Work(arm, draw, seed) for seed in seeds)
    for draw in range(len(arm.checkpoints)):
        yield _Work(arm, draw, 0)


def _key(work: _Work, trainer: Trainer | None, grader: Grader) -> str:
    """What a grade depends on."""
    made_by = None if trainer is None or not work.arm.pools else dict(trainer.fingerprint)
    return fingerprint(
        {"rows": work.trained_on, "trainer": made_by, "seed": work.seed, "grader": dict(grader.fingerprint), "name": grader.name}
    )


def _graded(
    work: _Work, trainer: Trainer | None, graders: Sequence[Grader], place: _Place, *, keep_checkpoints: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train once, grade by each, write each down before the next."""
    begun = time.monotonic()
    if work.arm.checkpoints or trainer is None:
        checkpoint, training = work.arm.checkpoints[work.draw], 0.0
    else:
        checkpoint = trainer.train(work.arm.pools[work.draw], seed=work.seed)
        training = time.monotonic() - begun
    for grader in graders:
        begun = time.monotonic()
        grades = grader.grade(checkpoint)
        told = {"training_seconds": training, "grading_seconds": time.monotonic() - begun, "grader": _plain(grades.record)}
        record = {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "key": _key(work, trainer, grader),
            "arm": work.arm.name,
            "draw": work.draw,
            "seed": work.seed,
            "weights": checkpoint.digest,
            "training": {key: checkpoint.record.get(key) for key in ("steps", "tokens_seen", "tokens_trained", "rows_seen", "audit")},
            "items": list(grades.items),
            "values": grades.values.tolist(),
            "weight": grades.weights.tolist(),
            "reasons": list(grades.reasons),
            "unit": grades.unit,
            "higher_is_better": grades.higher_is_better,
            "truncated": grades.truncated,
            "run": told,
        }
        place.write(work, record)
        yield grader.name, record
    if work.arm.pools and not keep_checkpoints:
        checkpoint.discard()


def _grades(name: str, record: Mapping[str, Any]) -> Grades:
    return Grades(
        grader=name,
        items=tuple(record["items"]),
        values=np.array(record["values"], dtype=np.float64),
        weights=np.array(record["weight"], dtype=np.float64),
        reasons=tuple(record["reasons"]),
        unit=record["unit"],
        higher_is_better=record["higher_is_better"],
        truncated=record["truncated"],
        record=record["run"].get("grader") or {},
    )


@dataclass(frozen=True)
class _Place:
    """The folder of finished runs; None keeps nothing."""

    folder: Path | None

    @classmethod
    def of(cls, folder: str | Path | None) -> _Place:
        if folder is None:
            return cls(None)
        runs = Path(folder) / "runs"
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"Cannot make the folder {runs}: {error.strerror or error}.", fix="Choose another with -o.") from error
        sweep(runs)
        return cls(runs)

    def claimed(self, work: _Work) -> Any:
        """Whether the run is this worker's."""
        return nullcontext(True) if self.folder is None else Claims(self.folder).held(work.slug)

    def read(self, work: _Work, key: str) -> dict[str, Any] | None:
        """The record of a run by one grader; None where there is none that is whole."""
        if self.folder is None:
            return None
        try:
            whole = orjson.loads((self.folder / f"{work.slug}.{key[:12]}.json").read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if not isinstance(whole, dict) or whole.pop("digest", None) != fingerprint(whole) or whole.get("key") != key:
            return None
        return whole

    def write(self, work: _Work, record: Mapping[str, Any]) -> None:
        """Keep a record, sealed."""
        if self.folder is None:
            return
        with atomic_write(self.folder / f"{work.slug}.{record['key'][:12]}.json") as file:
            file.write(dump_json({**record, "digest": fingerprint(record)}) + b"\n")
        (self.folder / f"{work.slug}{FAILED}").unlink(missing_ok=True)

    def fail(self, work: _Work, failure: Failure) -> None:
        """Keep why a run came to nothing."""
        if self.folder is not None:
            with atomic_write(self.folder / f"{work.slug}{FAILED}") as file:
                file.write(dump_json({"run": failure.run, "reason": failure.reason, "message": failure.message}, indent=True) + b"\n")


def _plain(value: Any) -> Any:
    """As JSON has it, so that what is read again is what was written."""
    return orjson.loads(dump_json(dict(value))) if value else {}


__all__ = ["Arm", "Failure", "Verified", "verify"]
