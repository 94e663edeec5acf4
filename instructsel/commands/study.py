"""instructsel study: fine-tune on many subsets, measure the loss of each, and make what `rules fit` takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _effects, _size
from instructsel.commands import _options as options
from instructsel.commands._console import messages, reported, say, write, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._help import Command, Group
from instructsel.commands._progress import span
from instructsel.commands._recipe import RecipeChanges, TrainerSettings
from instructsel.commands._runs import display
from instructsel.commands._study_launch import LaunchSettings, build, untouched_of
from instructsel.commands._study_options import DesignSettings, listed_in
from instructsel.errors import Negative, NothingToDo, UsageError
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.limits import MOST_PROCESSES, MOST_ROWS
from instructsel.experiments.store import check_folder
from instructsel.experiments.workers import shared_gpus, shares, workers
from instructsel.paths import resolved
from instructsel.pool import spec
from instructsel.pool.naming import is_here
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.scores.table import ScoreTable
from instructsel.stats.loss_units import AUTO, FLAGS
from instructsel.study.design import Design
from instructsel.study.folder import Plan, Run, StudyFolder, StudyStatus, listed
from instructsel.study.one_source import UNTOUCHED
from instructsel.study.study import (
    MAX_NULL_FRACTION,
    Progress,
    Study,
    StudyInputs,
    StudySettings,
    collect,
    continue_study,
    plan_study,
)
from instructsel.text import aligned, clean, counted

if TYPE_CHECKING:
    from instructsel.protocols import Trainer

app: typer.Typer = typer.Typer(
    cls=Group,
    help="Fine-tune on many subsets of a pool and measure their loss: what a rule of one's own is fitted on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PLAN_EXAMPLES: Final = """Examples:
  instructsel study plan study-demo/sources/clean.jsonl study-demo/sources/short.jsonl study-demo/sources/mismatched.jsonl study-demo/sources/shuffled.jsonl --scores study-demo/sources.scores.parquet --base study-demo/toybase --eval study-demo/sources/evaluation.jsonl --preset tiny --steps 4 --mixtures 3 --rows 40 --max-skipped-fraction 0.5 -o /tmp/study
  instructsel study plan study-demo/sources/clean.jsonl study-demo/sources/short.jsonl study-demo/sources/mismatched.jsonl study-demo/sources/shuffled.jsonl --add-one --base-sources clean --rows 20 --add-rows 20 --replicates 2 --base study-demo/toybase --eval study-demo/sources/evaluation.jsonl --eval study-demo/sources/report.jsonl --preset tiny --steps 2 --max-skipped-fraction 0.5 -o /tmp/one-source

\b
All of it is made by make toy-study.
"""
RUN_EXAMPLES: Final = """Examples:
  instructsel study run /tmp/study --limit 1
  instructsel study run /tmp/one-source --jobs 2
"""
STATUS_EXAMPLES: Final = "Examples:\n  instructsel study status /tmp/study\n  instructsel study status /tmp/study --json\n"

NOUNS: Final = {
    "mixture": "mixtures",
    "bin": "bins",
    "add-one": "arms of a base and one more source",
    "leave-one": "arms of all sources but one",
}
Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's folder, as planned.")]


@reported
@with_options
def plan(
    pools: Annotated[list[str], typer.Argument(metavar="POOL...", help="Pool files; each file is a source.")],
    evaluation: Annotated[
        list[str],
        typer.Option(
            "--eval",
            metavar="FILE",
            help="Held-out examples; their responses' loss is what is measured. Repeated, each file is an outcome.",
        ),
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The study's folder.")],
    subsets: DesignSettings,
    training: TrainerSettings,
    recipe: RecipeChanges,
    scores: Annotated[Path | None, typer.Option(help="The score table of the pool, for a rule to be fitted; bins need it.")] = None,
    indicators: Annotated[str | None, typer.Option(help="Indicators of the table to keep, comma-separated; all by default.")] = None,
    max_null_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of a subset's rows that may lack a value.")
    ] = MAX_NULL_FRACTION,
    loss_unit: options.LossUnit = AUTO,
    read: ReadingOptions = DEFAULTS,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Plan the subsets of a study and say what a fit can see of them. Trains nothing."""
    design = subsets.design()
    if "-" in (*pools, *evaluation):
        raise UsageError("A study reads its pool again whenever it goes on; standard input is gone by then.", fix="Name files.")
    tables = [] if scores is None else [scores]
    check_folder(output, [*pools, *tables, *evaluation, training.base], pools=[*pools, *evaluation])
    reading = read.settled()
    settings = LaunchSettings(
        folder=output,
        pools=tuple(_absolute(name) for name in pools),
        scores=None if scores is None else str(resolved(scores)),
        # As earlier releases have it, where there is one.
        evaluation=_absolute(evaluation[0]) if len(evaluation) == 1 else [_absolute(file) for file in evaluation],
        base=_absolute(training.base),
        revision=training.revision,
        preset=training.preset,
        changes=recipe.as_dict(),
        precision=training.precision,
        device=training.device,
        reading=reading.as_dict(),
        max_null_fraction=max_null_fraction,
        max_skipped_fraction=training.max_skipped_fraction,
        allow_contamination=training.allow_contamination,
        loss_unit=loss_unit,
    )
    table = None if scores is None else ScoreTable.read(scores)
    pool = reading.read(list(pools), message=messages(quiet=quiet))
    trainer, grader = build(settings, message=messages(quiet=quiet))
    planned = plan_study(
        pool,
        table,
        design,
        trainer=trainer,
        grader=grader,
        folder=output,
        settings=StudySettings(listed_in(indicators), max_null_fraction, training.allow_contamination),
        launch=settings.as_dict(),
    )
    for line in audited(trainer, planned):
        say(line, quiet=quiet)
    _print_plan(planned, pool.source_counts, planned.warnings(), output, json=json, quiet=quiet)
    say(f"wrote {StudyFolder(output).plan_file}; begin with: instructsel study run {output}", quiet=quiet)


def _next(place: StudyFolder, plan: Plan) -> str:
    """What to do with a study that is finished."""
    if plan.of_sources is not None:
        return f"see what each source is worth: instructsel study effects {place.path}"
    if not plan.symbols:
        return f"fit shares: instructsel mix fit {place.path} -o recipe.toml"
    return f"fit a rule: instructsel rules fit {place.table} -o my.toml"


def _print_plan(plan: Plan, rows: Mapping[str, int], warnings: Sequence[str], folder: Path, *, json: bool, quiet: bool) -> None:
    """A plan on stdout, its warnings on stderr."""
    if json:
        content = {
            "folder": str(folder),
            "configuration": plan.hash,
            "sources": {source: rows[source] for source in plan.sources},
            "subsets": list(plan.subsets),
            "seeds": list(plan.seeds),
            "runs": len(plan.runs),
            "ranges": {symbol: list(ends) for symbol, ends in plan.ranges().items()},
            "refused": [] if plan.foreseen is None else [vars(refusal) for refusal in plan.foreseen.refused],
            "warnings": list(warnings),
        }
        write_json(content)
    elif not quiet:
        for line in lines(plan, rows):
            write(line)
    for warning in warnings:
        say(f"warning: {warning}", quiet=quiet)


@reported
def run(
    folder: Folder,
    jobs: Annotated[int, typer.Option(min=1, max=MOST_PROCESSES, help="Work in so many processes; each loads the model for itself.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, max=MOST_ROWS, help="Do N runs at most and end; the next call goes on.")] = None,
    keep_checkpoints: Annotated[
        bool, typer.Option("--keep-checkpoints", help="Keep every fine-tuned model; by default each is removed after grading.")
    ] = False,
    since: Annotated[float | None, typer.Option(hidden=True)] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Do the runs of a study that are left. May be killed, called again, and called several times at once, on several machines."""
    place, planned = _opened(folder)
    settings = LaunchSettings.of(planned, folder)
    # A worker process begins no others, and leaves the summary to the one that started it.
    is_worker = since is not None
    before = place.status(planned)
    if len(before.finished) == before.total:
        collect(place, planned)
        if is_worker:
            return
        raise NothingToDo(
            f"All {counted(before.total, 'run')} of {folder} are finished.",
            fix=_next(place, planned).capitalize(),
        )
    limits = shares(jobs, limit)
    began = time.time() if since is None else since
    commands = [worker_command(folder, began, share, keep_checkpoints, quiet=quiet) for share in limits[1:]]
    launch = _Launch(settings, planned, keep_checkpoints, began, quiet, is_worker)
    try:
        with workers(commands, shared_gpus(len(limits) - 1)) as processes:
            study = _work(launch, limits[0], processes)
    except KeyboardInterrupt:
        if is_worker:
            raise typer.Exit(130) from None
        raise
    if not is_worker:
        _print_end(place, planned, study, json=json, quiet=quiet)


def _print_end(place: StudyFolder, plan: Plan, study: Study, *, json: bool, quiet: bool) -> None:
    """How far the study is, and what to do next.

    Raises:
        Negative: runs failed.
    """
    after, folder = place.status(plan), place.path
    if json:
        write_json(_status_of(place, after))
    if after.pending:
        who = f", {len(after.running)} of them other workers'" if after.running else ""
        say(f"{after.pending:,} of {counted(after.total, 'run')} are pending{who}; go on with: instructsel study run {folder}", quiet=quiet)
    if study.failed:
        names = listed([f"{failure.subset} seed {failure.seed} ({failure.reason})" for failure in study.failed])
        raise Negative(
            f"{len(study.failed):,} of {counted(after.total, 'run')} failed: {names}.",
            fix=f"See instructsel study status {folder}; the same command tries them again.",
        )
    say(
        f"{place.table}: {counted(len(study.frame), 'observation')}; {_next(place, plan)}",
        quiet=quiet,
    )


@reported
def status(folder: Folder, json: options.Json = False, show_traceback: options.Traceback = False) -> None:
    """Say how far a study is, what failed, and how long the rest will take."""
    place, planned = _opened(folder)
    progress = place.status(planned)
    summary = _status_of(place, progress)
    if json:
        write_json(summary)
        return
    rows = [
        ["planned", f"{progress.total:,}", ""],
        ["finished", f"{len(progress.finished):,}", ""],
        ["running", f"{len(progress.running):,}", listed([run.name for run in progress.running])],
        ["failed", f"{len(progress.failed):,}", ""],
        ["pending", f"{progress.pending:,}", ""],
    ]
    for line in aligned(rows, right=(1,)):
        write(line)
    for failure in summary["failed"]:
        write(clean(f"  {failure['subset']} seed {failure['seed']}: {failure['reason']} ({failure['message']})"))
    if summary["seconds_per_run"] is not None:
        workers = f"; about {span(summary['seconds_left'])} left with {summary['workers']} at work" if progress.pending else ""
        write(f"a run takes {took(summary['seconds_per_run'])}{workers}")
    if summary["observations"]:
        write(f"observations: {clean(summary['observations'])}")
    if progress.pending or progress.failed:
        write(f"to go on: instructsel study run {clean(str(folder))}")


def audited(trainer: Trainer, plan: Plan) -> list[str]:
    """What of the pool the trainer could train on, as lines for people; nothing from a trainer that does not say."""
    if plan.foreseen is None:
        return []
    first, *others = plan.foreseen.audit.lines()
    return [f"of the pool: {first}", *others, *getattr(trainer, "notices", ())]


def lines(plan: Plan, rows: Mapping[str, int]) -> list[str]:
    """A plan for people, without its warnings.

    Args:
        plan: of the study.
        rows: source → rows of the pool.
    """
    designs = Counter(subset["design"] for subset in plan.subsets)
    sizes = sorted({subset["rows"] for subset in plan.subsets if subset["rows"]})
    spread = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    kinds = " and ".join(f"{count} {NOUNS[design]}" for design, count in designs.items() if design in NOUNS)
    shares_of = {source: [subset["shares"].get(source, 0.0) for subset in plan.subsets if subset["rows"]] for source in plan.sources}
    ranges = aligned(
        [[symbol, f"{least:.4g}", f"{greatest:.4g}"] for symbol, (least, greatest) in plan.ranges().items()],
        header=["indicator", "least mean", "greatest mean of a subset"],
        right=(1, 2),
    )
    part = plan.of_sources
    times = counted(len(plan.seeds), "seed") + " each" if part is None else counted(part["replicates"], "replicate")
    return [
        f"{kinds} of {spread} rows, {times}: {counted(len(plan.runs), 'run')}",
        "",
        *aligned(
            [[source, f"{rows.get(source, 0):,}", f"{min(values):.1%} to {max(values):.1%}"] for source, values in shares_of.items()],
            header=["source", "rows", "share of a subset"],
            right=(1, 2),
        ),
        "",
        *([*ranges, ""] if plan.symbols else []),
        f"configuration {plan.hash}",
    ]


def worker_command(folder: Path, since: float, limit: int | None, keep_checkpoints: bool, *, quiet: bool) -> list[str]:
    """The command of a worker process."""
    return [
        *(sys.executable, "-m", "instructsel", "study", "run", str(folder), "--jobs", "1", "--since", repr(since)),
        *(["--limit", str(limit)] if limit is not None else []),
        *(["--keep-checkpoints"] if keep_checkpoints else []),
        *(["-q"] if quiet else []),
    ]


def took(seconds: float) -> str:
    """How long a run took, for people.

    >>> took(0.4217), took(95), took(9000)
    ('0.42 s', '95 s', '2 h 30 min')
    """
    return f"{seconds:.2g} s" if seconds < 9.5 else span(seconds)


@dataclass(frozen=True)
class _Launch:
    """A study as one process runs it."""

    settings: LaunchSettings
    plan: Plan
    keep_checkpoints: bool
    since: float
    quiet: bool
    is_worker: bool


def _work(launch: _Launch, limit: int | None, processes: Sequence[subprocess.Popen[bytes]]) -> Study:
    """Do runs here until there are none to take; then wait for the workers, and do what they left."""
    settings = launch.settings
    pool = spec.Reading.of(settings.reading).read(list(settings.pools), message=messages(quiet=launch.quiet or launch.is_worker))
    table = None if settings.scores is None else ScoreTable.read(settings.scores)
    with display("study", quiet=launch.quiet or launch.is_worker) as runs:
        trainer, grader = build(settings, runs.training)

        def report(step: Progress) -> None:
            runs.counted(step.done, step.total, step.seconds_left)
            say(_line(step, FLAGS[settings.loss_unit]), quiet=launch.quiet)

        of_plan = StudySettings(launch.plan.symbols or None, settings.max_null_fraction, settings.allow_contamination)
        design = Design.of(launch.plan.configuration["design"])
        is_graded_as_is = any(subset.get("arm") == UNTOUCHED for subset in launch.plan.subsets)
        inputs = StudyInputs(pool, table, design, trainer, grader, of_plan, untouched_of(settings) if is_graded_as_is else None)

        def work(most: int | None) -> Study:
            execution = ExecutionSettings(limit=most, keep_checkpoints=launch.keep_checkpoints)
            return continue_study(inputs, settings.folder, execution, progress=report, since=launch.since)

        study = work(limit)
        for process in processes:
            process.wait()
        return work(0 if limit is not None else None) if processes else study


def _line(step: Progress, unit: str = AUTO) -> str:
    """What a worker says of a run that ended, or of what it found; the unit of its loss where that was asked for."""
    if step.run is None:
        return f"note: {step.note}"
    left = f", about {span(step.seconds_left)} left" if step.seconds_left else ""
    result = f"failed: {step.note}" if step.loss is None else f"loss {step.loss:.4f}{'' if unit == AUTO else f' {unit}'}"
    seconds = f" ({took(step.seconds)})" if step.seconds is not None else ""
    return f"{step.run.subset} seed {step.run.seed}: {result}{seconds}; {step.done:,} of {counted(step.total, 'run')}{left}"


def _opened(folder: Path) -> tuple[StudyFolder, Plan]:
    place = StudyFolder(folder)
    planned = place.read()
    if planned is None:
        raise UsageError(f"{folder} holds no plan of a study.", fix=f"Make one with: instructsel study plan POOL … -o {folder}")
    return place, planned


def _status_of(place: StudyFolder, progress: StudyStatus) -> dict[str, Any]:
    """How far a study is, as plain data."""
    n_workers = max(1, len(progress.running))

    def named(run: Run) -> dict[str, Any]:
        return {"subset": run.subset, "seed": run.seed}

    return {
        "folder": str(place.path),
        "planned": progress.total,
        "finished": len(progress.finished),
        "running": [named(run) for run in progress.running],
        "failed": [{**named(run), "reason": record["reason"], "message": record["message"]} for run, record in progress.failed.items()],
        "pending": progress.pending,
        "workers": n_workers,
        "seconds_per_run": progress.seconds,
        "seconds_left": progress.seconds_left(n_workers),
        "observations": str(place.table) if place.table.exists() else None,
    }


def _absolute(name: str) -> str:
    """A local path as it is from every folder; anything else as it stands."""
    return str(resolved(name)) if not name.startswith("hf://") and is_here(name) else name


plan.__doc__ = f"{plan.__doc__}\n\n\b\n{PLAN_EXAMPLES}"
run.__doc__ = f"{run.__doc__}\n\n\b\n{RUN_EXAMPLES}"
status.__doc__ = f"{status.__doc__}\n\n\b\n{STATUS_EXAMPLES}"
app.command("plan", cls=Command)(plan)
app.command("run", cls=Command)(run)
app.command("status", cls=Command)(status)
app.command("effects", cls=Command)(_effects.command)
app.command("size", cls=Command)(_size.command)
