"""Run a plan: load its arms, check that they can be compared, train and grade all alike, and say what the difference is worth."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from subprocess import Popen
from typing import Any

from instructsel.artifact import check_outputs, manifest_path
from instructsel.errors import StudyError, UsageError
from instructsel.experiments.changes import added, listed, replaced
from instructsel.experiments.execute import ExecutionSettings, Progress
from instructsel.experiments.plan import PLAN, Experiment
from instructsel.experiments.plan_content import check_paths
from instructsel.experiments.store import FAILED, check_folder
from instructsel.experiments.toolkit import Toolkit
from instructsel.experiments.workers import shared_gpus, shares, workers
from instructsel.text import counted
from instructsel.verification.concluding import ExperimentResult, concluded, stated_power
from instructsel.verification.judging import with_judges
from instructsel.verification.learning_rates import at_multiple, with_rate
from instructsel.verification.planned import PLANNED, TABLE
from instructsel.verification.prepared import Prepared
from instructsel.verification.preparing import prepare
from instructsel.verification.results import VERDICT, check_results_replaced
from instructsel.verification.run import Verified, verify_arms
from instructsel.verification.watch import Watch


def run(
    plan: Experiment, toolkit: Toolkit, folder: Path, *, settings: ExecutionSettings, watch: Watch, force: bool = False
) -> ExperimentResult:
    """Train every arm alike, grade every model alike, and say what the difference is worth.

    Args:
        plan: with paths that hold from the working directory.
        toolkit: makes trainers and graders.
        folder: of the results.
        settings: processes, a limit of runs, whether models are kept.
        watch: callbacks for messages and progress.
        force: replace the results of another plan in the folder.

    Raises:
        UsageError, StudyError, EnvironmentFault: see `instructsel.adapters.experiment.verify`.
    """
    plan.check_confirmed()
    # Before a model is loaded: then a process that has seen all GPUs goes on seeing them.
    gpus = shared_gpus(settings.jobs - 1)
    plan = plan.resolved(Path.cwd())
    check_folder(folder, plan.files, pools=plan.pools)
    if folder.is_dir():
        outputs = [folder / name for name in (PLAN, PLANNED, TABLE, VERDICT)]
        check_outputs([*outputs, manifest_path(folder / TABLE)], plan.files)
        check_results_replaced(folder)
    check_paths(plan)
    earlier = None if force else _earlier(folder)
    if earlier is not None:
        _check_continues(earlier, plan, folder)
    prepared = prepare(plan, toolkit, folder, watch)
    if earlier is not None:
        _check_continues(earlier, prepared.plan, folder)
        if changes := added(earlier, prepared.plan):
            watch.say(f"plan.toml is replaced: {listed(changes)}.")
    power = stated_power(prepared)
    prepared.plan.write(folder / PLAN)
    since = time.time()
    verified = _run_all(prepared, settings, since, gpus)
    if prepared.responses is not None:
        graded = with_judges(prepared, verified)
        if graded is None:
            more = f"; {counted(len(verified.pending), 'run')} pending, and the same command continues" if verified.pending else ""
            watch.say(f"There is no verdict{more}.")
            return ExperimentResult(prepared.plan, folder, verified, None)
        at_others = {
            name: judged_ for name, other in verified.variants.items() if (judged_ := with_judges(prepared, other, name)) is not None
        }
        verified = replace(graded, variants=at_others)
    return concluded(prepared, verified, power)


def _earlier(folder: Path) -> Experiment | None:
    """The plan of the results in a folder; None where there are none, or the plan is damaged."""
    # A run that failed has no result, so that what was mended may be tried in its place.
    graded = any(not path.name.endswith(FAILED) for path in (folder / "runs").glob("*.json"))
    if not (folder / VERDICT).exists() and not graded:
        return None
    with suppress(UsageError):
        return Experiment.read(folder / PLAN)
    return None


def _check_continues(earlier: Experiment, plan: Experiment, folder: Path) -> None:
    """Refuse a plan whose results would replace those of another.

    Raises:
        UsageError: training, arms, graders or rows differ, or are fewer.
    """
    if changes := replaced(earlier, plan):
        raise UsageError(
            f"{folder} has the results of another plan: {listed(changes)}.",
            fix="Choose another folder with -o, or replace plan.toml and verdict.json with --force.",
        )


def work(plan: Experiment, toolkit: Toolkit, folder: Path, *, settings: ExecutionSettings, since: float) -> None:
    """Make runs of a plan for another process, which checks, judges and concludes; what failed is kept, and reported by that one."""
    plan.check_confirmed()
    prepared = prepare(plan.resolved(Path.cwd()), toolkit, folder, Watch(), checks=False)
    # All runs may be another's, and then there is no grade.
    with suppress(StudyError):
        _verified(prepared, settings, since)


def _run_all(prepared: Prepared, settings: ExecutionSettings, since: float, gpus: Sequence[str]) -> Verified:
    """Make the runs here and in worker processes; then make what these left, and take over what they made."""
    limits = shares(settings.jobs, settings.limit) or [0]
    commands = [_worker(prepared, settings, since, limit) for limit in limits[1:]]
    mine = replace(settings, limit=limits[0])
    with workers(commands, gpus) as processes:
        if not processes:
            return _verified(prepared, mine, since, announce=True)
        return _shared(prepared, mine, since, processes, then=0 if settings.limit is not None else None)


def _shared(
    prepared: Prepared, settings: ExecutionSettings, since: float, processes: Sequence[Popen[bytes]], *, then: int | None
) -> Verified:
    # All runs may be the workers', and then there is no grade yet.
    with suppress(StudyError):
        _verified(prepared, settings, since, announce=True)
    for process in processes:
        process.wait()
    return _verified(prepared, replace(settings, limit=then), since)


def _verified(prepared: Prepared, settings: ExecutionSettings, since: float, *, announce: bool = False) -> Verified:
    watch, begun = prepared.watch, not announce

    def progress(step: Progress) -> None:
        nonlocal begun
        if not begun and step.done and step.run is None:
            watch.say(f"{step.done:,} of {counted(step.total, 'run')} {'was' if step.done == 1 else 'were'} finished before.")
        begun = True
        if watch.runs is not None and step.total:
            watch.runs(step)

    verified = verify_arms(
        prepared.arms,
        graders=prepared.measured,
        trainer=prepared.trainer,
        seeds=tuple(range(prepared.plan.seeds)),
        folder=prepared.folder,
        settings=settings,
        since=since,
        progress=progress,
        allow_unlike=prepared.plan.statistics.allow_unlike,
        variants=_variants(prepared),
    )
    unit = prepared.plan.grading.unit
    return replace(verified.in_loss_unit(unit), variants={name: other.in_loss_unit(unit) for name, other in verified.variants.items()})


def _variants(prepared: Prepared) -> dict[str, Any]:
    """The trainer of each further learning rate, by its name."""
    _, *others = prepared.plan.training.learning_rates or (1.0,)
    if prepared.trainer is None:
        return {}
    rate = prepared.toolkit.recipe(prepared.plan.training).learning_rate
    return {at_multiple(multiple): with_rate(prepared.trainer, rate * multiple) for multiple in others}


def _worker(prepared: Prepared, settings: ExecutionSettings, since: float, limit: int | None) -> list[str]:
    """The command of a worker process."""
    folder = prepared.folder
    return [
        *(sys.executable, "-m", "instructsel", "verify", str(folder / PLAN), "-o", str(folder), "--worker", repr(since), "-q"),
        *(["--limit", str(limit)] if limit is not None else []),
        *(["--keep-checkpoints"] if settings.keep_checkpoints else []),
        *prepared.plan.confirmations,
    ]


__all__ = ["run", "work"]
