"""Arms trained and graded alike: the runs a verification is made of, each kept in a file when it is done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructsel.errors import StudyError, TrainingDiverged, TrainingError, UsageError
from instructsel.experiments.arms import Arm, Failure, rows_digest
from instructsel.experiments.execute import _graded, _key, _Work, _works
from instructsel.experiments.store import RunFolder, unsealed
from instructsel.protocols import Grader, Trainer
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification

if TYPE_CHECKING:
    pass


@dataclass(frozen=True, eq=False)
class Verified:
    """The runs of a verification, and what they cost."""

    verification: Verification
    failures: tuple[Failure, ...]
    """Runs that are missing from it, with the reason; a later call tries them again."""
    pending: tuple[str, ...]
    """Runs that other workers have begun, or that a limit left."""
    costs: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    """Arm → seconds of `selection`, `training` and `grading`, over its runs here; None where nobody knows: it was done elsewhere."""
    runs: tuple[Run, ...] = field(default=(), repr=False)
    """Every run by every grader, with what the grader wrote down."""
    trained: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    """Of every model trained here: arm, draw, seed and seconds, steps, rows and tokens it saw, and the audit of its subset's rows, as the trainer tells."""
    ranked: Mapping[str, frozenset[str]] = field(default_factory=dict, repr=False)
    """Arm → digests of the models that ranked its rows: what these grade of it is leakage."""
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

    def n_missing(self, arm: str) -> int:
        """How many runs of an arm are missing: they failed, have no grade, or are left to be made."""
        return self.n_pending(arm) + len({each.run for each in self.failures if each.run.startswith(f"{arm} draw ")})

    def n_pending(self, arm: str) -> int:
        """How many runs of an arm are left to be made."""
        return sum(name.startswith(f"{arm} draw ") for name in self.pending)


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
                about = {"arm": work.arm.name, "replicate": work.draw, "seed": work.seed, "seconds": seconds}
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
    return Failure(_Work.called(run.arm, run.replicate, run.seed), "no_grades", f"{run.grades.grader} has no value for any item ({told}).")


def _nothing(failures: Sequence[Failure]) -> StudyError:
    told = "; ".join(f"{each.run}: {each.message}" for each in failures[:3]) or "all runs are left"
    return StudyError(f"No run has a grade ({told}).", fix="See what failed, and verify again.")


__all__ = ["Verified", "verify"]
