"""Train, grade, record: the one loop over the runs of verifications, studies and size searches.

An experiment gives `execute` its runs, each with the records it is to leave, and a function that says what a record holds:

    runs = [Run("mine seed 0", "mine-seed0", 0, pool=lambda: pool, entries=(Entry("mine-seed0", {"key": key}, (grader,)),))]
    result = execute(runs, Workshop(trainer, RecordStore(folder), content))

Killed at any point, called again, or called several times at once, it makes no run twice that stands in the store.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from instructsel.artifact import machine, now
from instructsel.errors import InstructselError, StudyError, TrainingDiverged, TrainingError, UsageError
from instructsel.experiments.limits import MOST_PROCESSES, between, check_limits
from instructsel.experiments.store import RecordStore
from instructsel.magnitude import LARGEST_WHOLE
from instructsel.protocols import Checkpoint, Grader, Grades, Trainer

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


@dataclass(frozen=True)
class Entry:
    """A record that a run leaves."""

    name: str
    """Of its file, without the ending."""
    identity: Mapping[str, Any]
    """What the record says that makes it one of this run: a key of all it depends on, or the configuration, rows and seed."""
    graders: tuple[Grader, ...]
    """Whose grades it holds."""


@dataclass(frozen=True, eq=False)
class Run:
    """A model to be graded: trained on rows with a seed, or there already."""

    name: str
    """As messages name it."""
    slug: str
    """Of the file that says why it failed."""
    seed: int
    """Of the training."""
    entries: tuple[Entry, ...]
    """The records it leaves."""
    pool: Callable[[], Pool] | None = field(default=None, repr=False)
    """The rows to train on."""
    checkpoint: Checkpoint | None = field(default=None, repr=False)
    """The model, where it is there already."""
    identity: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """As an entry's, of the record of its failure."""
    trainer: Trainer | None = field(default=None, repr=False)
    """Makes its model; by default the workshop's."""
    lease: str = ""
    """Runs of one lease are never made at the same time: a trainer has one folder for equal rows and seeds. By default its slug."""


@dataclass(frozen=True)
class Seconds:
    """What a run took."""

    training: float
    """0 for a model that was there already."""
    grading: float
    """By the graders of one entry."""


class Content(Protocol):
    """What an experiment records of a run."""

    def __call__(self, run: Run, entry: Entry, checkpoint: Checkpoint, grades: Sequence[Grades], seconds: Seconds) -> Mapping[str, Any]:
        """The record of an entry, without its identity; what differs from time to time under `run`.

        Raises:
            RunFailed: these grades are no result; the run counts as failed and the experiment goes on.
            UsageError, StudyError: the experiment cannot go on.
        """
        ...


class RunFailed(Exception):
    """A run that comes to no result; the experiment goes on."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason: str = reason
        self.message: str = message


@dataclass(frozen=True)
class Progress:
    """How far an experiment is, reported after each run that ends here and for what a worker finds in the store."""

    done: int
    """Runs that ended, failed ones among them, whoever made them."""
    total: int
    """Runs in all."""
    run: Run | None = None
    """The one that has just ended here; None for a note."""
    failed: bool = False
    """Whether it failed; then `note` says why."""
    seconds: float | None = None
    """It took."""
    seconds_left: float | None = None
    """For what is pending, if its runs take as long and as many workers go on; None where nothing is known of that."""
    note: str = ""


@dataclass(frozen=True)
class ExecutionSettings:
    """How the runs of an experiment are made; none of it changes a result."""

    jobs: int = field(default=1, metadata=between(1, MOST_PROCESSES))
    """Work in N processes; each loads the model for itself, and takes a GPU of its own where there are several."""
    limit: int | None = field(default=None, metadata=between(0, LARGEST_WHOLE))
    """Make at most N runs, then end; the same command continues."""
    keep_checkpoints: bool = False
    """Keep every fine-tuned model; by default a model is removed once it is graded."""

    def __post_init__(self) -> None:
        check_limits(self)


@dataclass(frozen=True)
class Workshop:
    """What all runs of an experiment share."""

    trainer: Trainer | None
    """Makes a checkpoint of a run's rows; None where all models are there already."""
    store: RecordStore
    """Where records are kept."""
    content: Content
    """What is recorded of a run."""
    settings: ExecutionSettings = field(default_factory=ExecutionSettings)
    since: float | None = None
    """Seconds since the epoch: runs that failed before are tried again. By default now."""
    stop_at_failure: bool = False
    """Whether the first run that fails ends the experiment with its error."""
    progress: Callable[[Progress], None] | None = field(default=None, repr=False)
    announce: bool = False
    """Whether progress is reported before the first run, too."""


@dataclass(frozen=True)
class Executed:
    """What is known of an experiment's runs when this worker has none left to take."""

    failures: Mapping[str, Mapping[str, Any]]
    """Slug → the record of its failure, for runs that have failed since the experiment was started."""
    pending: tuple[Run, ...]
    """Runs that other workers are making, or that the limit leaves."""


def execute(runs: Sequence[Run], workshop: Workshop) -> Executed:
    """Make every run that has no record and is not another worker's; come back for what was, until nothing is left to take.

    Raises:
        EnvironmentFault: the machine lacks disk, memory or a package: what has finished stays.
        UsageError, StudyError: what is graded is no result of this experiment.
        TrainingError, TrainingDiverged: a run failed, and the workshop stops at failures.
    """
    worker = _Worker(runs, workshop, time.time() if workshop.since is None else workshop.since)
    limit = workshop.settings.limit
    left = math.inf if limit is None else limit
    worker.begin()
    if workshop.announce:
        worker.report()
    while left > 0:
        before = left
        for run in runs:
            if left > 0 and worker.make(run):
                left -= 1
        if left == before:
            break
    return worker.result()


class _Worker:
    """One process at work on the runs of an experiment."""

    def __init__(self, runs: Sequence[Run], workshop: Workshop, since: float) -> None:
        self.runs, self.workshop, self.since = runs, workshop, since
        self.store = workshop.store
        self.finished: set[str] = set()
        """Entries whose records were seen to be whole."""
        self.failed: dict[str, Mapping[str, Any]] = {}
        """Slug → record, of runs that have failed since the experiment was started."""
        self.durations: dict[str, float] = {}
        """Slug → seconds of runs that ended."""

    def make(self, run: Run) -> bool:
        """Make a run, unless it is made or another worker's; whether it was made here."""
        if self._settled(run):
            return False
        with self.store.lease(run.lease or run.slug) as held:
            # Another worker may have ended the run before its lease was free; under our own nobody does.
            if not held or self._settled(run):
                return False
            missing = [entry for entry in run.entries if entry.name not in self.finished]
            for entry in missing:
                self._set_aside(run, entry)
            started = time.perf_counter()
            failure = self._train_and_grade(run, missing, started)
            seconds = time.perf_counter() - started
            if failure is not None:
                reason, message = failure
                self.store.fail(run.slug, run.identity, reason=reason, message=message, seconds=seconds)
                self.failed[run.slug] = {"reason": reason, "message": message}
            self.durations[run.slug] = seconds
        self.report(run, failed=failure is not None, seconds=seconds, note=failure[1] if failure else "")
        return True

    def begin(self) -> None:
        """Remove what killed workers left in the store, and report the models they left behind."""
        by_lease: dict[str, list[Run]] = {}
        for run in self.runs:
            by_lease.setdefault(run.lease or run.slug, []).append(run)
        # A live one that took the same name in between is no loss: what it is leased for is finished.
        self.store.tidy(name for name, runs in by_lease.items() if all(map(self._settled, runs)))
        busy = self.store.leased()
        for run in self.runs:
            folders = {folder for entry in run.entries if (folder := self._removing(entry)) is not None}
            if not all(entry.name in self.finished for entry in run.entries):
                # What grades it is pending, and will take the model as it is.
                continue
            for folder in sorted(folders):
                # Reported and not removed: a path in a file is no permission.
                if (run.lease or run.slug) not in busy and Path(folder).exists():
                    self.report(note=f"the model of {run.name} was left behind when its worker was killed: remove {folder}")

    def result(self) -> Executed:
        """What came of all runs, whoever made them."""
        pending = tuple(run for run in self.runs if not self._settled(run))
        return Executed(dict(self.failed), pending)

    def _removing(self, entry: Entry) -> str | None:
        record = self.store.read(entry.name, entry.identity)
        if record is None:
            return None
        self.finished.add(entry.name)
        folder: str | None = record["run"].get("removing")
        return folder

    def _settled(self, run: Run) -> bool:
        for entry in run.entries:
            if entry.name not in self.finished and self.store.read(entry.name, entry.identity) is not None:
                self.finished.add(entry.name)
        if all(entry.name in self.finished for entry in run.entries):
            self.failed.pop(run.slug, None)
            return True
        failure = self.store.read(run.slug, run.identity, failed=True)
        if failure is None or failure["run"]["at"] < self.since:
            return False
        self.failed[run.slug] = failure
        return True

    def _set_aside(self, run: Run, entry: Entry) -> None:
        moved = self.store.set_aside(entry.name)
        if moved is not None:
            self.report(note=f"the record of {run.name} was damaged or of another plan; it is now {moved}, and the run is made again")

    def _train_and_grade(self, run: Run, entries: Iterable[Entry], started: float) -> tuple[str, str] | None:
        """Train once, grade and record entry by entry; why that failed, or None."""
        checkpoint = run.checkpoint
        keep = self.workshop.settings.keep_checkpoints or run.checkpoint is not None
        try:
            if checkpoint is None:
                checkpoint = self._trained(run)
            training = 0.0 if run.checkpoint is not None else time.perf_counter() - started
            for entry in entries:
                begun = time.perf_counter()
                grades = [_graded(grader, checkpoint) for grader in entry.graders]
                seconds = Seconds(training, time.perf_counter() - begun)
                record = self.workshop.content(run, entry, checkpoint, grades, seconds)
                about = {
                    "seconds": time.perf_counter() - started,
                    "machine": machine(),
                    "finished_at": now(),
                    "removing": str(checkpoint.folder) if checkpoint.owned and not keep else None,
                    **record.get("run", {}),
                }
                self.store.write(entry.name, {**entry.identity, **record, "run": about}, run=run.slug)
                self.finished.add(entry.name)
        except (TrainingDiverged, TrainingError, RunFailed) as error:
            if checkpoint is not None and not keep:
                checkpoint.discard()
            if self.workshop.stop_at_failure and isinstance(error, InstructselError):
                raise
            # With what mends it: the summary of a study has no room for a fix of each run.
            return _reason(error), error.line if isinstance(error, InstructselError) else str(error)
        except (UsageError, StudyError):
            if checkpoint is not None and not keep:
                checkpoint.discard()
            raise
        # Not removed where it is interrupted, or the machine is at fault: asked again, a trainer has it still.
        if not keep:
            checkpoint.discard()
        return None

    def _trained(self, run: Run) -> Checkpoint:
        trainer = run.trainer or self.workshop.trainer
        assert trainer is not None
        assert run.pool is not None
        if getattr(trainer, "names_runs", False):
            # A tracker shows its runs by name.
            named: Any = trainer
            checkpoint: Checkpoint = named.train(run.pool(), seed=run.seed, name=run.slug)
            return checkpoint
        return trainer.train(run.pool(), seed=run.seed)

    def report(self, run: Run | None = None, *, failed: bool = False, seconds: float | None = None, note: str = "") -> None:
        """Report how far all runs are, and of the one that has just ended."""
        if self.workshop.progress is None:
            return
        ended = [one for one in self.runs if self._ended(one)]
        left = len(self.runs) - len(ended)
        workers = len(self.store.leased() & {one.lease or one.slug for one in self.runs if not self._ended(one)}) + 1
        mean = math.fsum(self.durations.values()) / len(self.durations) if self.durations else None
        seconds_left = None if mean is None else mean * left / workers
        self.workshop.progress(Progress(len(ended), len(self.runs), run, failed, seconds, seconds_left, note))

    def _ended(self, run: Run) -> bool:
        """Whether a run has ended, as far as it shows without reading its records."""
        return run.slug in self.failed or all(entry.name in self.finished or self.store.exists(entry.name) for entry in run.entries)


def _graded(grader: Grader, checkpoint: Checkpoint) -> Grades:
    try:
        return grader.grade(checkpoint)
    except ValueError as error:
        if isinstance(error, InstructselError):
            raise
        # Grades refuse values that are not finite.
        raise RunFailed("invalid_value", str(error)) from error


def _reason(error: TrainingDiverged | TrainingError | RunFailed) -> str:
    if isinstance(error, RunFailed):
        return error.reason
    return "diverged" if isinstance(error, TrainingDiverged) else "training"


__all__ = ["Content", "Entry", "Executed", "ExecutionSettings", "Progress", "Run", "RunFailed", "Seconds", "Workshop", "execute"]
