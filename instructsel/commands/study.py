"""instructsel study: fine-tune on many subsets, measure the loss of each, and make what `rules fit` takes."""

from __future__ import annotations

import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final, cast

import orjson
import typer

from instructsel.commands import _options as options
from instructsel.commands import _recipe as recipes
from instructsel.commands import _size
from instructsel.commands._console import messages, reported, say
from instructsel.commands._help import Command, Group
from instructsel.commands._workers import helped, shared_gpus
from instructsel.errors import Negative, NothingToDo, StudyError, UsageError
from instructsel.pool import spec
from instructsel.pool.overlap import check_evaluation
from instructsel.pool.pool import Pool
from instructsel.scores.table import ScoreTable
from instructsel.study.design import Bins, Design, Mixtures
from instructsel.study.folder import CHECKPOINTS, Plan, Run, StudyFolder, StudyStatus, listed
from instructsel.study.study import MAX_NULL_FRACTION, Progress, Study, collect, plan_study, run_study
from instructsel.text import aligned, clean

if TYPE_CHECKING:
    from instructsel.protocols import Grader, Trainer

app: typer.Typer = typer.Typer(
    cls=Group,
    help="Fine-tune on many subsets of a pool and measure their loss: what a rule of one's own is fitted on.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

PLAN_EXAMPLES: Final = """Examples:
  instructsel study plan study-demo/sources/clean.jsonl study-demo/sources/short.jsonl study-demo/sources/mismatched.jsonl study-demo/sources/shuffled.jsonl --scores study-demo/sources.scores.parquet --base study-demo/toybase --eval study-demo/sources/evaluation.jsonl --preset tiny --steps 4 --mixtures 3 --rows 40 --max-skipped-fraction 0.5 -o /tmp/study
  instructsel study plan study-demo/sources/clean.jsonl study-demo/sources/short.jsonl study-demo/sources/mismatched.jsonl study-demo/sources/shuffled.jsonl --scores study-demo/sources.scores.parquet --base study-demo/toybase --eval study-demo/sources/evaluation.jsonl --preset tiny --mixtures 0 --bins len:4 -o /tmp/bins

\b
All of it is made by make toy-study.
"""
RUN_EXAMPLES: Final = """Examples:
  instructsel study run /tmp/study --limit 1
  instructsel study run /tmp/study --jobs 2
"""
STATUS_EXAMPLES: Final = "Examples:\n  instructsel study status /tmp/study\n  instructsel study status /tmp/study --json\n"

BINS: Final = 8
MAX_SKIPPED_FRACTION: Final = 0.05
LAUNCH: Final = {"max_refused": "max_skipped_fraction"}
"""What launch settings of earlier releases are called now."""

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", help="The study's folder, as planned.")]


@dataclass(frozen=True)
class Settings:
    """What trainer and grader are made of. Kept with the plan; what decides the result is in their fingerprints too."""

    folder: Path
    """Of the study; not kept, as it may be moved."""
    pools: tuple[str, ...]
    scores: str
    evaluation: str
    base: str
    """A local folder, or a hub id."""
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

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without the folder."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "folder"}

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> Settings:
        """The settings in a plan.

        Raises:
            UsageError: it was not planned from the command line.
            StudyError: they are not whole.
        """
        if plan.launch is None:
            raise UsageError(f"{folder} was planned from Python, without saying where its files are.", fix="Go on with run_study(…).")
        # As earlier releases call it.
        launch = {LAUNCH.get(key, key): value for key, value in plan.launch.items()}
        try:
            return cls(folder, **{**launch, "pools": tuple(launch["pools"])})
        except (KeyError, TypeError) as error:
            raise StudyError(f"The plan in {folder} does not say where its files are: {error}.", fix="Plan it again.") from error


def wire(settings: Settings) -> tuple[Trainer, Grader]:
    """The trainer and the grader of a study.

    Raises:
        UsageError: a recipe that cannot be.
        PoolError: the evaluation set cannot be read.
        EnvironmentFault: an extra or a model is missing.
    """
    from instructsel.adapters.recipe import recipe
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    chosen = recipe(settings.preset, **settings.changes)
    trainer = TrlTrainer(
        settings.base,
        chosen,
        settings.folder / CHECKPOINTS,
        revision=settings.revision,
        device=settings.device,
        precision=settings.precision,
        max_skipped_fraction=settings.max_skipped_fraction,
    )
    grader = HeldOutLoss(Pool.read(settings.evaluation), max_length=chosen.max_length, device=settings.device, precision=settings.precision)
    # A checker may not take a cached property for the property of a protocol.
    return cast("Trainer", trainer), grader


@reported
def plan(
    pools: Annotated[list[str], typer.Argument(metavar="POOL...", help="Pool files; each file is a source.")],
    scores: Annotated[Path, typer.Option(help="The score table of the pool.")],
    base: Annotated[str, typer.Option(help="The model to fine-tune: a local folder or a hub id.")],
    evaluation: Annotated[
        str, typer.Option("--eval", metavar="FILE", help="Held-out examples; their responses' loss is what is measured.")
    ],
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FOLDER", help="The study's folder.")],
    sources: Annotated[str | None, typer.Option(help="Draw from these sources only, comma-separated; all by default.")] = None,
    indicators: Annotated[str | None, typer.Option(help="Indicators of the table to keep, comma-separated; all by default.")] = None,
    mixtures: Annotated[int, typer.Option(min=0, help="Subsets with random shares of the sources.")] = 78,
    rows: Annotated[int, typer.Option(min=1, help="Examples in each mixture.")] = 2000,
    bins: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYMBOL[:K]", help="Cut the pool by an indicator into K (8) equal parts as well. Comma-separated, or repeated."
        ),
    ] = None,
    bin_rows: Annotated[int | None, typer.Option(min=1, help="Draw so many examples from each bin; all of them by default.")] = None,
    design_seed: Annotated[int, typer.Option(min=0, help="Seed of the draws.")] = 0,
    seeds: Annotated[int, typer.Option(min=1, help="How often each subset is trained on, with seeds 0, 1, …")] = 1,
    preset: recipes.Preset = "paper-v1",
    epochs: recipes.Epochs = None,
    steps: recipes.Steps = None,
    tokens: recipes.Tokens = None,
    method: recipes.Method = None,
    bits: recipes.Bits = None,
    lr: recipes.LearningRate = None,
    batch_size: recipes.BatchSize = None,
    max_length: recipes.MaxLength = None,
    revision: recipes.Revision = None,
    precision: recipes.Precision = "auto",
    device: recipes.Device = "auto",
    max_null_fraction: Annotated[float, typer.Option(help="Share of a subset's rows that may lack a value.")] = MAX_NULL_FRACTION,
    max_skipped_fraction: recipes.MaxSkippedFraction = MAX_SKIPPED_FRACTION,
    form: options.Form = "auto",
    mapping: options.Mapping = None,
    columns: options.Columns = None,
    oasst: options.Oasst = "best-path",
    on_duplicate_key: options.DuplicateKey = "error",
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Draw the subsets of a study and say what a fit can see of them. Trains nothing."""
    chosen = _split(sources)
    design = Design(_parts(mixtures, rows, bins or [], bin_rows, design_seed, chosen), seeds=tuple(range(seeds)))
    changes = recipes.changes(
        epochs=epochs, learning_rate=lr, batch_size=batch_size, max_length=max_length, method=method, bits=bits, steps=steps, tokens=tokens
    )
    if "-" in (*pools, evaluation):
        raise UsageError("A study reads its pool again whenever it goes on; standard input is gone by then.", fix="Name files.")
    reading = spec.Reading(form, mapping, columns, oasst, on_duplicate_key)
    settings = Settings(
        folder=output,
        pools=tuple(_absolute(name) for name in pools),
        scores=str(scores.resolve()),
        evaluation=_absolute(evaluation),
        base=_absolute(base),
        revision=revision,
        preset=preset,
        changes=changes,
        precision=precision,
        device=device,
        reading=reading.as_dict(),
        max_null_fraction=max_null_fraction,
        max_skipped_fraction=max_skipped_fraction,
    )
    table = ScoreTable.read(scores)
    pool = reading.read(list(pools), message=messages(quiet=quiet))
    warning = check_evaluation(pool, spec.Reading().read([evaluation], message=messages(quiet=quiet)))
    trainer, grader = wire(settings)
    for line in audited(trainer, pool):
        say(line, quiet=quiet)
    found = plan_study(
        pool,
        table,
        design,
        trainer=trainer,
        grader=grader,
        folder=output,
        indicators=_split(indicators),
        max_null_fraction=max_null_fraction,
        launch=settings.as_dict(),
    )
    warnings = [*found.warnings(), *([warning] if warning else [])]
    held = Counter(pool.sources)
    if json:
        told = {
            "folder": str(output),
            "configuration": found.hash,
            "sources": {source: held[source] for source in found.sources},
            "subsets": list(found.subsets),
            "seeds": list(found.seeds),
            "runs": len(found.runs),
            "ranges": {symbol: list(ends) for symbol, ends in found.ranges().items()},
            "warnings": warnings,
        }
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
    elif not quiet:
        for line in lines(found, held):
            typer.echo(line)
    for warning in warnings:
        say(f"warning: {warning}", quiet=quiet)
    say(f"wrote {StudyFolder(output).plan_file}; begin with: instructsel study run {output}", quiet=quiet)


@reported
def run(
    folder: Folder,
    jobs: Annotated[int, typer.Option(min=1, help="Work in so many processes; each loads the model for itself.")] = 1,
    limit: Annotated[int | None, typer.Option(min=1, help="Do N runs at most and end; the next call goes on.")] = None,
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
    # A process that another one of these started to help: it begins no others, and leaves the summary to it.
    helper = since is not None
    before = place.status(planned)
    if len(before.finished) == before.total:
        collect(place, planned)
        if helper:
            return
        raise NothingToDo(
            f"All {before.total:,} runs of {folder} are finished.", fix=f"Fit a rule: instructsel rules fit {place.table} -o my.toml"
        )
    shares = [None] * jobs if limit is None else [share for at in range(jobs) if (share := len(range(at, limit, jobs)))]
    began = time.time() if since is None else since
    try:
        with helped(
            [command(folder, began, share, keep_checkpoints, quiet=quiet) for share in shares[1:]], shared_gpus(len(shares) - 1)
        ) as helpers:
            study = _work(settings, planned, shares[0], keep_checkpoints, began, helpers, quiet=quiet, helper=helper)
    except KeyboardInterrupt:
        if helper:
            raise typer.Exit(130) from None
        raise
    if helper:
        return
    after = place.status(planned)
    if json:
        typer.echo(orjson.dumps(_told(place, after), option=orjson.OPT_INDENT_2).decode())
    if after.pending:
        who = f", {len(after.running)} of them other workers'" if after.running else ""
        say(f"{after.pending:,} of {after.total:,} runs are left{who}; go on with: instructsel study run {folder}", quiet=quiet)
    if study.failed:
        named = listed([f"{each.subset} seed {each.seed} ({each.reason})" for each in study.failed])
        raise Negative(
            f"{len(study.failed):,} of {after.total:,} runs failed: {named}.",
            fix=f"See instructsel study status {folder}; the same command tries them again.",
        )
    say(f"{place.table}: {len(study.frame):,} observations; fit a rule: instructsel rules fit {place.table} -o my.toml", quiet=quiet)


@reported
def status(folder: Folder, json: options.Json = False, show_traceback: options.Traceback = False) -> None:
    """Say how far a study is, what failed, and how long the rest will take."""
    place, planned = _opened(folder)
    status_now = place.status(planned)
    told = _told(place, status_now)
    if json:
        typer.echo(orjson.dumps(told, option=orjson.OPT_INDENT_2).decode())
        return
    rows = [
        ["planned", f"{status_now.total:,}"],
        ["finished", f"{len(status_now.finished):,}"],
        ["running", f"{len(status_now.running):,}", listed([run.name for run in status_now.running])],
        ["failed", f"{len(status_now.failed):,}"],
        ["left", f"{status_now.pending:,}"],
    ]
    for line in aligned([[*row, ""][:3] for row in rows], right=(1,)):
        typer.echo(line)
    for failed in told["failed"]:
        typer.echo(clean(f"  {failed['subset']} seed {failed['seed']}: {failed['reason']} ({failed['message']})"))
    if told["seconds_per_run"] is not None:
        left = f"; about {span(told['seconds_left'])} left with {told['workers']} at work" if status_now.pending else ""
        typer.echo(f"a run takes {span(told['seconds_per_run'])}{left}")
    if told["observations"]:
        typer.echo(f"observations: {clean(told['observations'])}")
    if status_now.pending or status_now.failed:
        typer.echo(f"to go on: instructsel study run {clean(str(folder))}")


def audited(trainer: Trainer, pool: Pool) -> list[str]:
    """What of the pool the trainer could train on, as lines for people; nothing from a trainer that does not say.

    A subset with too many rows that teach nothing fails when it is its turn: better said here, before anything is trained.
    """
    audit = getattr(trainer, "audit", None)
    if audit is None:
        return []
    told: list[str] = audit(pool).lines()
    return [f"of the pool: {told[0]}", *told[1:]]


def lines(found: Plan, held: Mapping[str, int]) -> list[str]:
    """A plan for people, without its warnings."""
    designs = Counter(subset["design"] for subset in found.subsets)
    sizes = sorted({subset["rows"] for subset in found.subsets})
    spread = f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
    kinds = " and ".join(f"{count} {'mixtures' if design == 'mixture' else 'bins'}" for design, count in designs.items())
    shares = {source: [subset["shares"].get(source, 0.0) for subset in found.subsets] for source in found.sources}
    return [
        f"{kinds} of {spread} rows, {len(found.seeds)} {'seed' if len(found.seeds) == 1 else 'seeds'} each: {len(found.runs):,} runs",
        "",
        *aligned(
            [[source, f"{held.get(source, 0):,}", f"{min(each):.1%} to {max(each):.1%}"] for source, each in shares.items()],
            header=["source", "rows", "share of a subset"],
            right=(1, 2),
        ),
        "",
        *aligned(
            [[symbol, f"{least:.4g}", f"{greatest:.4g}"] for symbol, (least, greatest) in found.ranges().items()],
            header=["indicator", "least mean", "greatest mean of a subset"],
            right=(1, 2),
        ),
        "",
        f"configuration {found.hash}",
    ]


def command(folder: Path, since: float, limit: int | None, keep_checkpoints: bool, *, quiet: bool) -> list[str]:
    """The command of a process that helps with a study."""
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


def _work(
    settings: Settings,
    planned: Plan,
    limit: int | None,
    keep_checkpoints: bool,
    since: float,
    helpers: Sequence[subprocess.Popen[bytes]],
    *,
    quiet: bool,
    helper: bool,
) -> Study:
    """Do runs here until there are none to take; then wait for the helpers, and do what they left."""
    pool = spec.Reading.of(settings.reading).read(list(settings.pools), message=messages(quiet=quiet or helper))
    table = ScoreTable.read(settings.scores)
    trainer, grader = wire(settings)

    def work(most: int | None) -> Study:
        return run_study(
            pool,
            table,
            Design.of(planned.configuration["design"]),
            trainer=trainer,
            grader=grader,
            folder=settings.folder,
            indicators=planned.symbols,
            max_null_fraction=settings.max_null_fraction,
            keep_checkpoints=keep_checkpoints,
            limit=most,
            progress=lambda told: say(_line(told), quiet=quiet),
            since=since,
        )

    study = work(limit)
    for each in helpers:
        each.wait()
    return work(0 if limit is not None else None) if helpers else study


def _line(told: Progress) -> str:
    """What a worker says of a run that ended, or of what it found."""
    if told.run is None:
        return f"note: {told.note}"
    left = f", about {span(told.seconds_left)} left" if told.seconds_left else ""
    came = f"failed: {told.note}" if told.loss is None else f"loss {told.loss:.4f}"
    took = f" ({span(told.seconds)})" if told.seconds is not None else ""
    return f"{told.run.subset} seed {told.run.seed}: {came}{took}; {told.done:,} of {told.total:,} runs{left}"


def _opened(folder: Path) -> tuple[StudyFolder, Plan]:
    place = StudyFolder(folder)
    planned = place.read()
    if planned is None:
        raise UsageError(f"{folder} holds no plan of a study.", fix=f"Make one with: instructsel study plan POOL … -o {folder}")
    return place, planned


def _told(place: StudyFolder, status: StudyStatus) -> dict[str, Any]:
    """How far a study is, as plain data."""
    workers = max(1, len(status.running))

    def named(run: Run) -> dict[str, Any]:
        return {"subset": run.subset, "seed": run.seed}

    return {
        "folder": str(place.path),
        "planned": status.total,
        "finished": len(status.finished),
        "running": [named(run) for run in status.running],
        "failed": [{**named(run), "reason": told["reason"], "message": told["message"]} for run, told in status.failed.items()],
        "left": status.pending,
        "workers": workers,
        "seconds_per_run": status.seconds,
        "seconds_left": status.seconds_left(workers),
        "observations": str(place.table) if place.table.exists() else None,
    }


def _parts(
    mixtures: int, rows: int, bins: Sequence[str], bin_rows: int | None, seed: int, sources: tuple[str, ...] | None
) -> tuple[Mixtures | Bins, ...]:
    parts: list[Mixtures | Bins] = [Mixtures(n=mixtures, rows=rows, seed=seed, sources=sources)] if mixtures else []
    for text in (each for given in bins for each in _split(given) or ()):
        symbol, colon, count = text.partition(":")
        if colon and not count.isdigit():
            raise UsageError(f"'{text}' is not SYMBOL[:K].", fix="For example: --bins len,mtld:4")
        parts.append(Bins(symbol, k=int(count) if colon else BINS, rows=bin_rows, seed=seed, sources=sources))
    if bin_rows is not None and not bins:
        raise UsageError("--bin-rows says how many rows of each bin are drawn; there are no bins.", fix="Name some with --bins.")
    if not parts:
        raise UsageError("There are neither mixtures nor bins.", fix="For example: --mixtures 78 --rows 2000, or --bins len")
    return tuple(parts)


def _split(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(each.strip() for each in text.split(",") if each.strip())


def _absolute(name: str) -> str:
    """A local path as it is from every folder; anything else as it stands."""
    return str(Path(name).resolve()) if not name.startswith("hf://") and Path(name).exists() else name


plan.__doc__ = f"{plan.__doc__}\n\n\b\n{PLAN_EXAMPLES}"
run.__doc__ = f"{run.__doc__}\n\n\b\n{RUN_EXAMPLES}"
status.__doc__ = f"{status.__doc__}\n\n\b\n{STATUS_EXAMPLES}"
app.command("plan", cls=Command)(plan)
app.command("run", cls=Command)(run)
app.command("status", cls=Command)(status)
app.command("size", cls=Command)(_size.command)
