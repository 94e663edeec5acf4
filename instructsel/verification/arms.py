"""Arms trained and graded alike: the runs a verification is made of, each kept in a file when it is done."""

from __future__ import annotations

import hashlib
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
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
    """What is compared: subsets to train on, models that are trained already, or finished grades."""

    name: str
    """As verdicts call it."""
    pools: tuple[Pool, ...] = ()
    """A draw each: one for a selection, several for random selection."""
    checkpoints: tuple[Checkpoint | tuple[Checkpoint, ...], ...] = ()
    """Models instead: one a draw, or the seeds of a draw together."""
    results: tuple[tuple[tuple[Grades, ...], ...], ...] = field(default=(), repr=False)
    """Grades instead, of models that are gone: draw by draw, seed by seed, grader by grader."""
    fixed: bool = False
    """Whether it is one model as it is, such as the base: no training of it could have come out otherwise."""
    selection_seconds: float | None = None
    """What choosing the rows took, scoring included; None where nobody knows."""
    ranked_with: frozenset[str] = frozenset()
    """Digests of the models that ranked the rows, as far as it is known."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("An arm has a name.")
        if sum(map(bool, (self.pools, self.checkpoints, self.results))) != 1:
            raise UsageError(
                f"The arm {self.name} has subsets to train on, or models, or finished results, and one of these alone.",
                fix="Give one of the three.",
            )
        if self.fixed and (self.pools or [len(each) for each in self.models or self.results] != [1]):
            raise UsageError(f"The arm {self.name} is not one model as it is.", fix="Only a single model can be fixed.")

    @property
    def models(self) -> tuple[tuple[Checkpoint, ...], ...]:
        """Its checkpoints, draw by draw."""
        return tuple(each if isinstance(each, tuple) else (each,) for each in self.checkpoints)

    @property
    def draws(self) -> int:
        """Subsets, whatever was made of them."""
        return len(self.pools or self.checkpoints or self.results)


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
    """Arm → seconds of `selection`, `training` and `grading`, over its runs here; None where nobody knows: it was done elsewhere."""
    runs: tuple[Run, ...] = field(default=(), repr=False)
    """Every run by every grader, with what the grader wrote down."""
    trained: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Of every model trained here: arm, draw, seed and seconds, steps, rows and tokens it saw, and the audit of its subset's rows, as the trainer tells."""
    ranked: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """Arm → digests of the models that ranked its rows: what these say of it is circular."""
    subsets: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict, repr=False)
    """Arm → its subsets, each with the number of its rows and a digest of their ids."""

    def but(self, runs: Iterable[Run]) -> Verified:
        """The same with other grades, e.g. those of a judge in place of the outputs it judged.

        Raises:
            StudyError: no run has a grade.
        """
        given = tuple(runs)
        empty = [run for run in given if not run.grades.valid.any()]
        kept = tuple(run for run in given if run.grades.valid.any())
        failures = [*self.failures, *(_empty(run) for run in empty)]
        if not kept:
            raise _nothing(failures)
        costs = {arm: dict(cost) for arm, cost in self.costs.items()}
        for run in given:
            if run.seconds and run.arm in costs:
                costs[run.arm]["grading"] = (costs[run.arm]["grading"] or 0.0) + run.seconds
        whole = Verification.of(kept, fixed=self.verification.fixed)
        return replace(self, verification=whole, runs=kept, failures=tuple(failures), costs=costs)

    def lacking(self, arm: str) -> int:
        """How many runs of an arm are missing: they failed, have no grade, or are left to be made."""
        return self.waiting(arm) + len({each.run for each in self.failures if each.run.startswith(f"{arm} draw ")})

    def waiting(self, arm: str) -> int:
        """How many runs of an arm are left to be made."""
        return sum(name.startswith(f"{arm} draw ") for name in self.left)


@dataclass(frozen=True)
class _Work:
    """One model to be graded."""

    arm: Arm
    draw: int
    seed: int

    @property
    def name(self) -> str:
        return self.called(self.arm.name, self.draw, self.seed)

    @staticmethod
    def called(arm: str, draw: int, seed: int) -> str:
        """As messages name it."""
        return f"{arm} draw {draw} seed {seed}"

    @property
    def slug(self) -> str:
        """A file's name for it."""
        return slug(self.arm.name, self.draw, self.seed)

    @property
    def trained_on(self) -> str:
        """A digest of the rows, or of the weights."""
        if self.arm.pools:
            return rows_digest(self.arm.pools[self.draw].ids)
        return self.arm.models[self.draw][self.seed].digest


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
        seeds: of training, the same for every subset; models that are there are graded once, and finished results taken over.
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
        # Finished results bring their graders along.
        wanted = noun == "arm" or any(not arm.results for arm in arms)
        if (wanted and not names) or len(set(names)) < len(names):
            raise UsageError(f"A verification has {noun}s of different names, one at least; given: {', '.join(names) or 'none'}.")
    if trainer is None and any(arm.pools for arm in arms):
        raise UsageError("Arms with subsets need a trainer.", fix="Give one, or models that are trained already.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"Seeds are different whole numbers, one at least; given: {', '.join(map(str, seeds)) or 'none'}.")
    place = RunFolder.of(folder)
    works = [work for arm in arms for work in _works(arm, seeds)]
    runs = [
        Run(arm.name, draw, seed, grades)
        for arm in arms
        for draw, by_seed in enumerate(arm.results)
        for seed, each in enumerate(by_seed)
        for grades in each
    ]
    failures: list[Failure] = []
    left: list[str] = []
    costs: dict[str, dict[str, float | None]] = {
        arm.name: {
            "selection": arm.selection_seconds,
            "training": 0.0 if arm.pools or arm.fixed else None,
            "grading": 0.0 if arm.pools or arm.checkpoints else None,
        }
        for arm in arms
    }
    taught: list[dict[str, Any]] = []
    made = 0
    for number, work in enumerate(works, start=1):
        found: dict[str, dict[str, Any] | None] = {grader.name: place.read(work.slug, _key(work, trainer, grader)) for grader in graders}
        missing = [grader for grader in graders if found[grader.name] is None]
        if missing and limit is not None and made >= limit:
            left.append(work.name)
        elif missing:
            with place.claimed(work.slug) as mine:
                if not mine:
                    left.append(work.name)
                    continue
                made += 1
                try:
                    for name, fresh in _graded(work, trainer, missing, place, keep_checkpoints=keep_checkpoints):
                        found[name] = fresh
                except (TrainingDiverged, TrainingError) as error:
                    failures.append(Failure(work.name, "diverged" if isinstance(error, TrainingDiverged) else "training", error.message))
                    place.fail(work.slug, failures[-1])
        for name, record in found.items():
            if record is None:
                continue
            grades = unsealed(name, record)
            run = Run(work.arm.name, work.draw, work.seed, grades)
            if not grades.valid.any():
                failures.append(_empty(run))
                continue
            runs.append(run)
            cost = costs[work.arm.name]
            cost["grading"] = (cost["grading"] or 0.0) + record["run"]["grading_seconds"]
        written = [record for record in found.values() if record is not None]
        if written:
            cost = costs[work.arm.name]
            if work.arm.pools:
                seconds = max(record["run"]["training_seconds"] for record in written)
                cost["training"] = (cost["training"] or 0.0) + seconds
                about = {"arm": work.arm.name, "draw": work.draw, "seed": work.seed, "seconds": seconds}
                taught.append({**about, **written[0]["training"]})
        if progress is not None:
            progress(number, len(works), work.name)
    if not runs:
        raise _nothing(failures)
    fixed = [arm.name for arm in arms if arm.fixed]
    ranked = {arm.name: arm.ranked_with for arm in arms if arm.ranked_with}
    subsets = {arm.name: tuple({"rows": len(pool), "digest": rows_digest(pool.ids)} for pool in arm.pools) for arm in arms if arm.pools}
    return Verified(Verification.of(runs, fixed=fixed), tuple(failures), tuple(left), costs, tuple(runs), tuple(taught), ranked, subsets)


def _empty(run: Run) -> Failure:
    """A run without a value for any item."""
    reasons = Counter(reason for reason in run.grades.reasons if reason is not None)
    told = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return Failure(_Work.called(run.arm, run.draw, run.seed), "no_grades", f"{run.grades.grader} has no value for any item ({told}).")


def _nothing(failures: Sequence[Failure]) -> StudyError:
    told = "; ".join(f"{each.run}: {each.message}" for each in failures[:3]) or "all runs are left"
    return StudyError(f"No run has a grade ({told}).", fix="See what failed, and verify again.")


def rows_digest(ids: Iterable[str]) -> str:
    """A digest of rows by their ids, which a pool has in order.

    >>> rows_digest(["a", "b"]) == rows_digest(["b", "a"])
    False
    """
    return hashlib.blake2b("\n".join(ids).encode(), digest_size=16).hexdigest()


def slug(arm: str, draw: int, seed: int) -> str:
    """A file's name for a run, one to one.

    >>> slug("random", 2, 0)
    'random-draw2-seed0'
    """
    told = SAFE.sub("_", arm)[:60]
    mark = "" if told == arm else "-" + hashlib.blake2b(arm.encode(), digest_size=4).hexdigest()
    return f"{told}{mark}-draw{draw}-seed{seed}"


def _works(arm: Arm, seeds: Sequence[int]) -> Iterator[_Work]:
    for draw in range(len(arm.pools)):
        yield from (_Work(arm, draw, seed) for seed in seeds)
    for draw, models in enumerate(arm.models):
        yield from (_Work(arm, draw, seed) for seed in range(len(models)))


def _key(work: _Work, trainer: Trainer | None, grader: Grader) -> str:
    """What a grade depends on."""
    made_by = None if trainer is None or not work.arm.pools else dict(trainer.fingerprint)
    return fingerprint(
        {"rows": work.trained_on, "trainer": made_by, "seed": work.seed, "grader": dict(grader.fingerprint), "name": grader.name}
    )


def _graded(
    work: _Work, trainer: Trainer | None, graders: Sequence[Grader], place: RunFolder, *, keep_checkpoints: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train once, grade by each, write each down before the next."""
    begun = time.monotonic()
    if work.arm.checkpoints or trainer is None:
        checkpoint, training = work.arm.models[work.draw][work.seed], 0.0
    else:
        checkpoint = trainer.train(work.arm.pools[work.draw], seed=work.seed)
        training = time.monotonic() - begun
    for grader in graders:
        begun = time.monotonic()
        grades = grader.grade(checkpoint)
        told = {"training_seconds": training, "grading_seconds": time.monotonic() - begun}
        trained = {key: checkpoint.record.get(key) for key in ("steps", "tokens_seen", "tokens_trained", "rows_seen", "audit")}
        about = {"arm": work.arm.name, "draw": work.draw, "seed": work.seed, "weights": checkpoint.digest, "training": trained}
        record = sealed(_key(work, trainer, grader), about, grades, told)
        place.write(work.slug, record)
        yield grader.name, record
    if work.arm.pools and not keep_checkpoints:
        checkpoint.discard()


def sealed(key: str, about: Mapping[str, Any], grades: Grades, run: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of a run's grades.

    Args:
        key: of all that they depend on.
        about: whose they are.
        grades: item by item.
        run: what differs from time to time, as seconds.
    """
    return {
        "kind": KIND,
        "schema_version": SCHEMA_VERSION,
        "key": key,
        **about,
        "items": list(grades.items),
        "values": grades.values.tolist(),
        "weight": grades.weights.tolist(),
        "reasons": list(grades.reasons),
        "unit": grades.unit,
        "higher_is_better": grades.higher_is_better,
        "truncated": grades.truncated,
        "run": {**run, "grader": _plain(grades.record)},
    }


def unsealed(name: str, record: Mapping[str, Any]) -> Grades:
    """The grades that were kept."""
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
class RunFolder:
    """Where grades are kept, each sealed in a file of its own that is named after what it depends on; None keeps nothing."""

    folder: Path | None
    """`runs` in the folder of a verification."""

    @classmethod
    def of(cls, folder: str | Path | None) -> RunFolder:
        """In the folder of a verification, made if need be.

        Raises:
            EnvironmentFault: it cannot be made.
        """
        if folder is None:
            return cls(None)
        runs = Path(folder) / "runs"
        try:
            runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"Cannot make the folder {runs}: {error.strerror or error}.", fix="Choose another with -o.") from error
        sweep(runs)
        return cls(runs)

    def claimed(self, slug: str) -> Any:
        """Whether a run is this worker's."""
        return nullcontext(True) if self.folder is None else Claims(self.folder).held(slug)

    def read(self, slug: str, key: str) -> dict[str, Any] | None:
        """The record of a run by one grader; None where there is none that is whole."""
        if self.folder is None:
            return None
        try:
            whole = orjson.loads((self.folder / f"{slug}.{key[:12]}.json").read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if not isinstance(whole, dict) or whole.pop("digest", None) != fingerprint(whole) or whole.get("key") != key:
            return None
        return whole

    def write(self, slug: str, record: Mapping[str, Any]) -> None:
        """Keep a record, sealed."""
        if self.folder is None:
            return
        with atomic_write(self.folder / f"{slug}.{record['key'][:12]}.json") as file:
            file.write(dump_json({**record, "digest": fingerprint(record)}) + b"\n")
        (self.folder / f"{slug}{FAILED}").unlink(missing_ok=True)

    def fail(self, slug: str, failure: Failure) -> None:
        """Keep why a run came to nothing."""
        if self.folder is not None:
            with atomic_write(self.folder / f"{slug}{FAILED}") as file:
                file.write(dump_json({"run": failure.run, "reason": failure.reason, "message": failure.message}, indent=True) + b"\n")


def _plain(value: Any) -> Any:
    """As JSON has it, so that what is read again is what was written."""
    return orjson.loads(dump_json(dict(value))) if value else {}


__all__ = ["Arm", "Failure", "RunFolder", "Verified", "sealed", "slug", "unsealed", "verify"]
