"""Arms trained and graded alike: the runs of a verification, each recorded when it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import fingerprint
from instructsel.errors import StudyError, UsageError
from instructsel.experiments import execute
from instructsel.experiments.arms import Arm, Failure, rows_digest
from instructsel.experiments.execute import Entry, ExecutionSettings, Progress, Seconds, Workshop
from instructsel.experiments.store import SAFE, GradedRecord, RecordStore, grades_of, record_of, slug
from instructsel.grading.tokenization import KEY
from instructsel.models.chat_files import renderer_of
from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
from instructsel.stats.loss_units import AUTO
from instructsel.verification.grades_table import Label, Run
from instructsel.verification.verification import Verification

TRAINED: Final = ("steps", "tokens_seen", "tokens_trained", "rows_seen", "audit")
"""What of a trainer's record is kept with the grades."""


@dataclass(frozen=True, eq=False)
class Verified:
    """The runs of a verification, and what they cost."""

    verification: Verification
    failures: tuple[Failure, ...]
    """Runs that are missing from it, with the reason; a later call tries them again."""
    pending: tuple[str, ...]
    """Runs that other workers have begun, or that a limit left."""
    costs: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Arm → seconds of `selection`, `training` and `grading`, over its runs here; None where it is not known: it was done elsewhere."""
    runs: tuple[Run, ...] = field(default=(), repr=False)
    """Every run by every grader, with the grader's record."""
    trained: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Of every model trained here: arm, replicate, seed and seconds, steps, rows and tokens it saw, and the audit of its subset's rows."""
    ranked: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """Arm → digests of the models that ranked its rows: what these grade of it is leakage."""
    subsets: Mapping[str, tuple[Mapping[str, Any], ...]] = field(default_factory=dict, repr=False)
    """Arm → its subsets, each with the number of its rows and a digest of their ids."""
    allow_unlike: bool = False
    """Whether batch size, number format, device, backend and release may differ from run to run."""
    loss_unit: str = AUTO
    """In which losses are compared, as of `Verification.of`."""

    def in_loss_unit(self, unit: str) -> Verified:
        """The same with losses in another unit; nothing is graded anew.

        Raises:
            StudyError: losses per token of models whose tokenizers or chat templates differ.
        """
        return self if unit == self.loss_unit else replace(self, verification=self._compared(self.runs, unit), loss_unit=unit)

    def _compared(self, runs: Iterable[Run], unit: str) -> Verification:
        return Verification.of(runs, fixed=self.verification.fixed, allow_unlike=self.allow_unlike, loss_unit=unit)

    variants: Mapping[str, Verified] = field(default_factory=dict, repr=False)
    """Name → the same arms by another trainer, for those of which a run is graded."""

    def with_runs(self, runs: Iterable[Run]) -> Verified:
        """The same with other grades, e.g. those of a judge in place of the outputs it judged.

        Raises:
            StudyError: no run has a grade.
        """
        graded = tuple(runs)
        valid = tuple(run for run in graded if run.grades.valid.any())
        failures = [*self.failures, *(_without_value(run) for run in graded if not run.grades.valid.any())]
        if not valid:
            raise _no_grade(failures)
        costs = {arm: dict(cost) for arm, cost in self.costs.items()}
        for run in graded:
            if run.seconds and run.arm in costs:
                costs[run.arm]["grading"] = (costs[run.arm]["grading"] or 0.0) + run.seconds
        verification = self._compared(valid, self.loss_unit)
        return replace(self, verification=verification, runs=valid, failures=tuple(failures), costs=costs)

    def n_missing(self, arm: str) -> int:
        """How many runs of an arm are missing: they failed, have no grade, or are pending."""
        return self.n_pending(arm) + len({failure.run for failure in self.failures if failure.run.startswith(_prefix(arm))})

    def n_pending(self, arm: str) -> int:
        """How many runs of an arm are pending."""
        return sum(name.startswith(_prefix(arm)) for name in self.pending)


def verify_arms(
    arms: Sequence[Arm],
    *,
    graders: Sequence[Grader],
    trainer: Trainer | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    folder: str | Path | None = None,
    settings: ExecutionSettings | None = None,
    since: float | None = None,
    progress: Callable[[Progress], None] | None = None,
    allow_unlike: bool = False,
    variants: Mapping[str, Trainer] | None = None,
) -> Verified:
    """Train every arm alike, grade every model alike, and put the grades together.

    A run that stands in the folder, made of the same rows, trainer, seed and grader, is not made again; one grader more is graded
    by itself. Several workers may share the folder. What fails is reported and left out; nothing is put in its place.

    Args:
        arms: of different names.
        graders: of different names.
        trainer: for arms with rows to train on.
        seeds: of training, the same for every subset; models that are there are graded once, and finished results taken over.
        folder: where finished runs are kept; None keeps nothing.
        settings: limit, and whether models trained here are kept; by default each is removed when it is graded.
        since: seconds since the epoch; runs that failed before are tried again. By default now.
        progress: called after each run that ends here, and for what is found in the folder.
        allow_unlike: whether finished results may differ in batch size, number format, device, backend and release.
        variants: further trainers by name, such as that of another learning rate: all arms are trained by each of them in the same loop,
            and the verification by each is in `Verified.variants`.

    Raises:
        UsageError: arms or graders of one name, none of them, or rows without a trainer.
        StudyError: no run has a grade.
        EnvironmentFault: no memory, no room, an extra missing; what is finished stays.
    """
    _check(arms, graders, trainer, seeds)
    store = RecordStore.of(folder, GradedRecord)
    tasks = _tasks(arms, graders, trainer, seeds)
    trained = [arm for arm in arms if arm.pools]
    others = {name: _tasks(trained, graders, other, seeds, name) for name, other in (variants or {}).items()}
    workshop = Workshop(trainer, store, _content, settings or ExecutionSettings(), since=since, progress=progress, announce=True)
    result = execute.execute([task.run for every in (tasks, *others.values()) for task in every], workshop)
    verified = {}
    for name, its_tasks in others.items():
        with suppress(StudyError):
            # Nothing of it is graded yet, or nothing can be.
            untrained = [task for task in tasks if not task.arm.pools]
            if any(store.read(entry.name, entry.identity) for task in its_tasks for entry in task.run.entries):
                verified[name] = _collected(arms, [*untrained, *its_tasks], store, result, allow_unlike)
    return replace(_collected(arms, tasks, store, result, allow_unlike), variants=verified)


def _check(arms: Sequence[Arm], graders: Sequence[Grader], trainer: Trainer | None, seeds: Sequence[int]) -> None:
    for noun, names in (("arm", [arm.name for arm in arms]), ("grader", [grader.name for grader in graders])):
        # Finished results bring their graders along.
        wanted = noun == "arm" or any(arm.pools or arm.checkpoints for arm in arms)
        if (wanted and not names) or len(set(names)) < len(names):
            raise UsageError(f"A verification needs {noun}s of different names, one at least; found: {', '.join(names) or 'none'}.")
    if trainer is None and any(arm.pools for arm in arms):
        raise UsageError("Arms with rows to train on need a trainer.", fix="Give one, or models that are trained already.")
    if not seeds or len(set(seeds)) < len(seeds):
        raise UsageError(f"Seeds are different whole numbers, one at least; found: {', '.join(map(str, seeds)) or 'none'}.")


@dataclass(frozen=True, eq=False)
class _Task:
    """A run of the loop, and whose it is."""

    arm: Arm
    replicate: int
    seed: int
    run: execute.Run


def _tasks(arms: Sequence[Arm], graders: Sequence[Grader], trainer: Trainer | None, seeds: Sequence[int], variant: str = "") -> list[_Task]:
    """Every model of every arm, in the order in which they are made; those of another trainer have its name in theirs."""
    tasks: list[_Task] = []
    leases: dict[tuple[str, int], str] = {}
    for arm in arms:
        models: list[tuple[int, int, Checkpoint | None]] = [
            *((replicate, seed, None) for replicate in range(len(arm.pools)) for seed in seeds),
            *((replicate, seed, model) for replicate, by_seed in enumerate(arm.models) for seed, model in enumerate(by_seed)),
        ]
        for replicate, seed, model in models:
            name = slug(arm.name, replicate, seed) + (f"-{SAFE.sub('_', variant)}" if variant else "")
            made_of = rows_digest(arm.pools[replicate].ids) if model is None else model.digest
            made_by = dict(trainer.fingerprint) if model is None and trainer is not None else _dated(model)
            # A trainer makes one checkpoint of equal rows and seeds: whichever run comes first gives the lease its name.
            lease = leases.setdefault((made_of, seed), name) if model is None else name
            entries = []
            for grader in graders:
                key = fingerprint(
                    {"rows": made_of, "trainer": made_by, "seed": seed, "grader": dict(grader.fingerprint), "name": grader.name}
                )
                entries.append(Entry(f"{name}.{key[:12]}", {"key": key}, (grader,)))
            run = execute.Run(
                name=_name(arm.name, replicate, seed) + (f" {variant}" if variant else ""),
                slug=name,
                trainer=trainer,
                seed=seed,
                entries=tuple(entries),
                pool=partial(arm.pools.__getitem__, replicate) if model is None else None,
                checkpoint=model,
                identity={"key": fingerprint({"rows": made_of, "trainer": made_by, "seed": seed})},
                lease=lease,
            )
            tasks.append(_Task(arm, replicate, seed, run))
    return tasks


def _dated(model: Checkpoint | None) -> dict[str, str] | None:
    """The date that a model's chat template is told; None where it writes none: its grades are kept by the names that they had."""
    if model is None or not model.folder.is_dir():
        return None
    renderer = renderer_of(model.folder, model.folder.name)
    return (renderer.dated or None) if renderer is not None else None


def _content(run: execute.Run, entry: Entry, checkpoint: Checkpoint, grades: Sequence[Grades], seconds: Seconds) -> Mapping[str, Any]:
    """A model's grades by one grader, item by item."""
    return record_of(
        grades[0],
        run={"training_seconds": seconds.training, "grading_seconds": seconds.grading},
        model=run.name,
        seed=run.seed,
        weights=checkpoint.digest,
        training={key: checkpoint.record.get(key) for key in TRAINED},
    )


def _collected(arms: Sequence[Arm], tasks: Sequence[_Task], store: RecordStore, result: execute.Executed, allow_unlike: bool) -> Verified:
    """The records of all runs as one table of grades, with their costs."""
    finished = [
        Run(arm.name, replicate, seed, grades)
        for arm in arms
        for labels, by_seed in zip(arm.labels, arm.results, strict=True)
        for (replicate, seed), by_grader in zip(labels, by_seed, strict=True)
        for grades in by_grader
    ]
    # A run without a value is none; an item without one is missing in every run.
    runs = [run for run in finished if run.grades.valid.any()]
    failures = [_without_value(run) for run in finished if not run.grades.valid.any()]
    failures += [
        Failure(task.run.name, failure["reason"], failure["message"])
        for task in tasks
        if (failure := result.failures.get(task.run.slug)) is not None
    ]
    costs: dict[str, dict[str, float | None]] = {
        arm.name: {
            "selection": arm.selection_seconds,
            "training": 0.0 if arm.pools or arm.fixed else None,
            "grading": 0.0 if arm.pools or arm.checkpoints else None,
        }
        for arm in arms
    }
    trained: list[dict[str, Any]] = []
    for task in tasks:
        cost, label = costs[task.arm.name], (task.arm.name, task.replicate, task.seed)
        records = {entry.graders[0].name: store.read(entry.name, entry.identity) for entry in task.run.entries}
        written = {name: record for name, record in records.items() if record is not None}
        for name, record in written.items():
            run = Run(*label, grades_of(name, record))
            if not run.grades.valid.any():
                failures.append(_without_value(run))
                continue
            runs.append(run)
            cost["grading"] = (cost["grading"] or 0.0) + record["run"]["grading_seconds"]
        if written and task.arm.pools:
            seconds = max(record["run"]["training_seconds"] for record in written.values())
            cost["training"] = (cost["training"] or 0.0) + seconds
            first = next(iter(written.values()))
            trained.append({**dict(zip(("arm", "replicate", "seed"), label, strict=True)), "seconds": seconds, **first["training"]})
    if not runs:
        raise _no_grade(failures)
    runs = _with_tokenization(runs, {(task.arm.name, task.replicate, task.seed) for task in tasks if task.arm.pools})
    return Verified(
        Verification.of(runs, fixed=[arm.name for arm in arms if arm.fixed], allow_unlike=allow_unlike),
        tuple(failures),
        tuple(task.run.name for task in tasks if task.run in result.pending),
        costs,
        tuple(runs),
        tuple(trained),
        ranked={arm.name: arm.ranked_with for arm in arms if arm.ranked_with},
        subsets={arm.name: tuple({"rows": len(pool), "digest": rows_digest(pool.ids)} for pool in arm.pools) for arm in arms if arm.pools},
        allow_unlike=allow_unlike,
    )


def _with_tokenization(runs: Sequence[Run], trained: Collection[Label]) -> list[Run]:
    """Runs with the tokenizer and chat template of their losses, which the last release did not write down.

    One trainer made all models trained here of one base, and each has its tokenizer and chat template: what one run's record says
    of them holds for the others.
    """
    known: dict[str, Any] = {}
    for run in runs:
        if (run.arm, run.replicate, run.seed) in trained and KEY in run.grades.record:
            known.setdefault(run.grades.grader, run.grades.record[KEY])

    def completed(run: Run) -> Run:
        tokenization = known.get(run.grades.grader)
        if tokenization is None or KEY in run.grades.record or (run.arm, run.replicate, run.seed) not in trained:
            return run
        return replace(run, grades=replace(run.grades, record={**run.grades.record, KEY: tokenization}))

    return [completed(run) for run in runs]


def _prefix(arm: str) -> str:
    return f"{arm} replicate "


def _name(arm: str, replicate: int, seed: int) -> str:
    """A run as messages name it."""
    return f"{_prefix(arm)}{replicate} seed {seed}"


def _without_value(run: Run) -> Failure:
    """A run without a value for any item."""
    reasons = Counter(reason for reason in run.grades.reasons if reason is not None)
    counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return Failure(_name(run.arm, run.replicate, run.seed), "no_grades", f"{run.grades.grader} has no value for any item ({counts}).")


def _no_grade(failures: Sequence[Failure]) -> StudyError:
    causes = "; ".join(f"{failure.run}: {failure.message}" for failure in failures[:3]) or "all runs are pending"
    return StudyError(f"No run has a grade ({causes}).", fix="See what failed, and verify again.")


__all__ = ["Verified", "verify_arms"]
