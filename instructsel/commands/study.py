"""instructsel study: fine-tune on many subsets, measure the loss of each, and make what `rules fit` takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _effects, _size
from instructsel.commands import _options as options
from instructsel.commands._console import messages, reported, say, write, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._help import Command, Group
from instructsel.commands._recipe import RecipeChanges, TrainerSettings
from instructsel.commands._runs import display
from instructsel.errors import Negative, NothingToDo, StudyError, UsageError
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.limits import LARGEST_SEED, MOST_PROCESSES, MOST_ROWS, MOST_SEEDS, MOST_SUBSETS, between, check_limits
from instructsel.experiments.plan import TrainingSettings
from instructsel.experiments.store import check_folder
from instructsel.experiments.workers import shared_gpus, shares, workers
from instructsel.paths import resolved
from instructsel.pool import spec
from instructsel.pool.naming import is_here
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.scores.table import ScoreTable
from instructsel.stats.loss_units import AUTO, FLAGS
from instructsel.study.design import Bins, Design, Mixtures
from instructsel.study.folder import CHECKPOINTS, Plan, Run, StudyFolder, StudyStatus, listed
from instructsel.study.one_source import UNTOUCHED, AddOne, LeaveOne
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
    from instructsel.protocols import Checkpoint, Grader, Trainer

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

BINS: Final = 8
MIXTURES: Final = 78
NOUNS: Final = {
    "mixture": "mixtures",
    "bin": "bins",
    "add-one": "arms of a base and one more source",
    "leave-one": "arms of all sources but one",
}
REPLICATES: Final = 3
MAX_SKIPPED_FRACTION: Final = 0.05
LAUNCH: Final = {"max_refused": "max_skipped_fraction"}
"""What launch settings of earlier releases are called now."""

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's folder, as planned.")]


@dataclass(frozen=True)
class DesignSettings:
    """Which subsets are trained on."""

    mixtures: int | None = field(default=None, metadata=between(0, MOST_SUBSETS))
    """Subsets with random shares of the sources: 78 by default, none beside --add-one and --leave-one."""
    rows: int = field(default=2000, metadata=between(1, MOST_ROWS))
    """Examples in each mixture; of --add-one, in the base; of --leave-one, in the whole."""
    bins: tuple[str, ...] = ()
    """Cut the pool by an indicator into K (8) equal parts as well: SYMBOL[:K], comma-separated or repeated."""
    bin_rows: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """Examples from each bin; all of them by default."""
    sources: str | None = None
    """Sources to use, comma-separated; all by default."""
    design_seed: int = field(default=0, metadata=between(0, LARGEST_SEED))
    """Seed of the subsets."""
    seeds: int = field(default=1, metadata=between(1, MOST_SEEDS))
    """How often each subset is trained on, with seeds 0, 1, …"""
    add_one: bool = False
    """Train on a base mixture and on the same rows plus rows of each source in turn: what each source adds."""
    leave_one: bool = False
    """Train on all sources and on all less each in turn: what each source contributes."""
    base_sources: str | None = None
    """Sources of the base mixture of --add-one, comma-separated; the others are added. By default all are both."""
    add_rows: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """Rows that --add-one adds of a source; by default as many as the base has, or half of them with --equal-rows."""
    equal_rows: bool = False
    """Give every arm the same number of rows: added rows take the place of base rows, and rows left out are made up for by the others."""
    replicates: int | None = field(default=None, metadata=between(1, MOST_SEEDS))
    """How often all arms are drawn anew and trained with another seed: 3 by default. One gives no interval."""
    no_untouched: bool = False
    """Leave out the model before any training, which is graded beside the arms otherwise."""

    def __post_init__(self) -> None:
        check_limits(self)

    def design(self) -> Design:
        """The design of a study.

        Raises:
            UsageError: neither mixtures nor bins, or bins that cannot be.
        """
        sources = _split(self.sources)
        parts: list[Mixtures | Bins | AddOne | LeaveOne] = []
        of_sources = self._of_sources(sources)
        if of_sources is not None:
            return Design([of_sources], seeds=tuple(range(self.seeds)))
        mixtures = MIXTURES if self.mixtures is None else self.mixtures
        if mixtures:
            parts.append(Mixtures(n=mixtures, rows=self.rows, seed=self.design_seed, sources=sources))
        for text in (part for entry in self.bins for part in _split(entry) or ()):
            symbol, colon, count = text.partition(":")
            if colon and not count.isdigit():
                raise UsageError(f"'{text}' is not SYMBOL[:K].", fix="For example: --bins len,mtld:4")
            k = int(count) if colon else BINS
            parts.append(Bins(symbol, k=k, rows=self.bin_rows, seed=self.design_seed, sources=sources))
        if self.bin_rows is not None and not self.bins:
            raise UsageError("--bin-rows says how many rows each bin has; there are no bins.", fix="Name some with --bins.")
        if not parts:
            raise UsageError("There are neither mixtures nor bins.", fix="For example: --mixtures 78 --rows 2000, or --bins len")
        return Design(parts, seeds=tuple(range(self.seeds)))

    def _of_sources(self, sources: tuple[str, ...] | None) -> AddOne | LeaveOne | None:
        """The design that shows what each source is worth; None where none is asked for."""
        alone = {
            "--base-sources": self.base_sources is not None,
            "--add-rows": self.add_rows is not None,
            "--equal-rows": self.equal_rows,
            "--replicates": self.replicates is not None,
            "--no-untouched": self.no_untouched,
        }
        if not self.add_one and not self.leave_one:
            for flag, is_given in alone.items():
                if is_given:
                    raise UsageError(f"{flag} belongs to --add-one or --leave-one.", fix="Add one of the two.")
            return None
        if self.add_one and self.leave_one:
            raise UsageError(
                "A study adds one source at a time or leaves one out, not both.", fix="Plan them as two studies, in two folders."
            )
        if self.mixtures or self.bins:
            raise UsageError(
                "Mixtures and bins are other subsets than those of --add-one and --leave-one.", fix="Plan them in a folder of their own."
            )
        replicates = REPLICATES if self.replicates is None else self.replicates
        if self.leave_one:
            for flag in ("--base-sources", "--add-rows"):
                if alone[flag]:
                    raise UsageError(f"{flag} belongs to --add-one; --leave-one begins with all sources.", fix=f"Leave {flag} out.")
            return LeaveOne(
                self.rows,
                replicates,
                sources,
                equal_rows=self.equal_rows,
                untouched=not self.no_untouched,
                seed=self.design_seed,
            )
        by_default = max(self.rows // 2, 1) if self.equal_rows else self.rows
        return AddOne(
            self.rows,
            by_default if self.add_rows is None else self.add_rows,
            replicates,
            _split(self.base_sources),
            sources,
            equal_rows=self.equal_rows,
            untouched=not self.no_untouched,
            seed=self.design_seed,
        )


@dataclass(frozen=True)
class Settings:
    """Launch settings: what trainer and grader are made of, and where the files are. What decides the result is in their fingerprints."""

    folder: Path
    """Of the study; not kept, as it may be moved."""
    pools: tuple[str, ...]
    scores: str | None
    """The score table; None for a study without indicators."""
    evaluation: str | list[str]
    """One evaluation file, or several, each an outcome."""
    base: str
    """A local folder, a hub id, or embedded."""
    revision: str | None = None
    preset: str = "paper-v1"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the recipe that differ from the preset."""
    precision: str = "auto"
    device: str = "auto"
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the pool is read."""
    max_null_fraction: float = MAX_NULL_FRACTION
    max_skipped_fraction: float = MAX_SKIPPED_FRACTION
    allow_contamination: bool = False
    """Whether evaluation examples may be in the pool."""
    loss_unit: str = AUTO
    """Of the loss that is measured, as the command line has it; auto is per token."""

    @property
    def evaluations(self) -> tuple[str, ...]:
        """All evaluation files."""
        return (self.evaluation,) if isinstance(self.evaluation, str) else tuple(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without the folder."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "folder"}

    @property
    def training(self) -> TrainingSettings:
        """How every subset is trained on."""
        return TrainingSettings(
            self.base,
            self.revision,
            self.preset,
            self.changes,
            max_skipped_fraction=self.max_skipped_fraction,
            precision=self.precision,
            device=self.device,
        )

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Settings:
        """The launch settings in a plan.

        Raises:
            UsageError: it was not planned from the command line.
            StudyError: they are incomplete.
        """
        if plan.launch is None:
            raise UsageError(f"{folder} was planned from Python, without saying where its files are.", fix="Go on with run_study(…).")
        launch = {LAUNCH.get(key, key): value for key, value in plan.launch.items()}
        try:
            return cls(folder, **{**launch, "pools": tuple(launch["pools"])})
        except (KeyError, TypeError) as error:
            raise StudyError(f"The plan in {folder} does not say where its files are: {error}.", fix="Plan it again.") from error


def build(
    settings: Settings,
    progress: Callable[[int, int, float], None] | None = None,
    message: Callable[[str], None] | None = None,
) -> tuple[Trainer, Grader | Sequence[Grader]]:
    """The trainer and the grader of a study, or its graders, one a file and called by it.

    Args:
        settings: the launch settings.
        progress: called with steps done, steps in all and the loss of a training.
        message: called with what reading the evaluation set has to report.

    Raises:
        UsageError: a recipe that cannot be.
        PoolError: the evaluation set cannot be read.
        EnvironmentFault: an extra or a model is missing.
    """
    from instructsel.adapters.experiment import Adapters
    from instructsel.grading.graders.held_out_loss import HeldOutLoss, SharedCheckpoint

    toolkit = Adapters()
    recipe = toolkit.recipe(settings.training)
    trainer = toolkit.trainer(settings.training, recipe, settings.folder / CHECKPOINTS, progress)
    names = _outcome_names(settings.evaluations)
    shared = SharedCheckpoint(len(names)) if len(names) > 1 else None
    graders = [
        HeldOutLoss(
            spec.Reading().read([file], message=message),
            name=name,
            max_length=recipe.max_length,
            device=settings.device,
            precision=settings.precision,
            unit=FLAGS[settings.loss_unit],
            template_date=recipe.template_date,
            shared=shared,
        )
        for file, name in zip(settings.evaluations, names, strict=True)
    ]
    return trainer, graders[0] if len(graders) == 1 else graders


def _outcome_names(files: Sequence[str]) -> list[str]:
    """What the outcome of each evaluation file is called: the file, up to the first dot; of a single one, what it always was.

    Raises:
        UsageError: two files of one name.
    """
    from instructsel.grading.graders.held_out_loss import KIND

    if len(files) == 1:
        return [KIND]
    names = [Path(file).name.split(".")[0] for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"Two evaluation files are called {twice}; outcomes are told apart by it.", fix="Name the files differently.")
    return names


def untouched_of(settings: Settings) -> Checkpoint:
    """The model that a study fine-tunes, as it is."""
    from instructsel.grading.checkpoint import checkpoint_of

    return checkpoint_of(settings.base, settings.revision)


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
    settings = Settings(
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
    for line in audited(trainer, pool):
        say(line, quiet=quiet)
    planned = plan_study(
        pool,
        table,
        design,
        trainer=trainer,
        grader=grader,
        folder=output,
        settings=StudySettings(_split(indicators), max_null_fraction, training.allow_contamination),
        launch=settings.as_dict(),
    )
    _print_plan(planned, Counter(pool.sources), planned.warnings(), output, json=json, quiet=quiet)
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
    settings = Settings.of(planned, folder)
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
        write(f"a run takes {span(summary['seconds_per_run'])}{workers}")
    if summary["observations"]:
        write(f"observations: {clean(summary['observations'])}")
    if progress.pending or progress.failed:
        write(f"to go on: instructsel study run {clean(str(folder))}")


def audited(trainer: Trainer, pool: Pool) -> list[str]:
    """What of the pool the trainer could train on, as lines for people; nothing from a trainer that does not say.

    A subset with too many rows without a loss token fails when it is its turn: better said here, before anything is trained.
    """
    audit = getattr(trainer, "audit", None)
    if audit is None:
        return []
    check = getattr(trainer, "check", None)
    if check is not None:
        check()
    first, *others = audit(pool).lines()
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
        *aligned(
            [[symbol, f"{least:.4g}", f"{greatest:.4g}"] for symbol, (least, greatest) in plan.ranges().items()],
            header=["indicator", "least mean", "greatest mean of a subset"],
            right=(1, 2),
        ),
        "",
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


def span(seconds: float) -> str:
    """A time for people.

    >>> span(95), span(600), span(9000)
    ('95 s', '10 min', '2.5 h')
    """
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"


@dataclass(frozen=True)
class _Launch:
    """A study as one process runs it."""

    settings: Settings
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
            runs.counted(step.done, step.total)
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
    took = f" ({span(step.seconds)})" if step.seconds is not None else ""
    return f"{step.run.subset} seed {step.run.seed}: {result}{took}; {step.done:,} of {counted(step.total, 'run')}{left}"


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


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


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
