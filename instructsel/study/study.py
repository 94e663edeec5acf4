"""Studies: fine-tune on each subset of a design, measure the loss, and keep what a rule is fitted on."""

from __future__ import annotations

import hashlib
import math
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import orjson

from instructsel.artifact import dump_json, read_manifest, release
from instructsel.errors import ScoresError, StudyError, UsageError
from instructsel.experiments import execute
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.store import RecordStore
from instructsel.kinds import STUDY, STUDY_RUN, head
from instructsel.magnitude import mean
from instructsel.pool.contamination import check_graders, render_of
from instructsel.rules.fit import Fitted, fit
from instructsel.rules.observations import SHARE, Observations
from instructsel.study.design import Design, Subset, table_rows
from instructsel.study.folder import Plan, Run, StudyFolder, StudyStatus
from instructsel.study.foreseen import Foreseen
from instructsel.study.one_source import ADD_ONE, LEAVE_ONE
from instructsel.study.shape import StudyManifest, WithFailures
from instructsel.tables import read_frame, write_frame
from instructsel.text import counted

if TYPE_CHECKING:
    import polars

    from instructsel.pool.pool import Pool
    from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
    from instructsel.scores.table import ScoreTable

MAX_NULL_FRACTION: Final = 0.05
NULLS: Final = "_nulls"
MEASURED: Final = ("loss", "loss_example_weighted", "log_loss")
COUNTED: Final = ("n_items", "tokens_trained", "steps")
COLUMNS: Final = ("subset", "design", "seed", "rows", *MEASURED, *COUNTED, "checkpoint", "ids")
"""The columns of a study that hold neither indicators nor shares."""
OUTCOME: Final = "outcome_"
"""Before the name of a grader, where a study has several: the column of its loss or grade."""
OUTCOMES: Final = "outcomes"
"""What several graders together are called where one is named."""
NAMED: Final = 3
"""Places a message names."""


@dataclass(frozen=True)
class Failure:
    """A run that came to no observation."""

    subset: str
    seed: int
    reason: str
    """diverged, training, no_value, or invalid_value: a loss that is not finite or not above 0."""
    message: str = ""
    """What was said of it; empty where the file beside the observations is gone."""


@dataclass(frozen=True)
class Progress:
    """Where a study stands, reported after every run and for what a worker finds in the folder."""

    done: int
    """Runs that ended, failed ones among them, whoever did them."""
    total: int
    """Runs planned."""
    run: Run | None = None
    """The one that has just ended here; None for a note."""
    loss: float | None = None
    """Of the run, in the grader's unit; None where it failed."""
    seconds: float | None = None
    """Of the run."""
    seconds_left: float | None = None
    """For the rest, if its runs take as long and as many workers go on; None where it is not known."""
    note: str = ""
    """Why the run failed, or what was found."""


@dataclass(frozen=True, eq=False)
class Study:
    """What came of a study, or has come of it so far."""

    frame: polars.DataFrame = field(repr=False)
    """A row a run that finished: `subset`, `design`, `seed` (of training), `rows`, `share_<source>`; a Float64 column for each
    indicator, the mean over the rows that have a value; `<symbol>_nulls`, rows without, where there are any; `loss` (in the
    grader's unit, each token or byte counted once; of several graders, the plain mean of their losses), `loss_example_weighted` (each
    example once), `log_loss` (natural logarithm of `loss`), `outcome_<grader>` where there are several, `n_items` graded,
    `tokens_trained`, `steps`, `checkpoint` and `ids` (digests)."""
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """What it was made from: `indicators` (symbol → fingerprint), `configuration` (the plan's hash), `pool`, `scores`, `trainer`,
    `grader`, `planned`, `failed`."""
    failed: tuple[Failure, ...] = ()
    """Runs that were done and are not in the frame."""
    folder: Path | None = field(default=None, repr=False)
    """Where its plan and records are; None where they are not known."""

    @property
    def planned(self) -> int:
        """Runs of the plan."""
        return int(self.manifest.get("planned", len(self.frame)))

    @property
    def of_sources(self) -> bool:
        """Whether its arms show what one source is worth, so that it has an effect matrix."""
        parts = (self.manifest.get("design") or {}).get("parts") or ()
        return any(part.get("design") in (ADD_ONE, LEAVE_ONE) for part in parts)

    @property
    def complete(self) -> bool:
        """Whether every planned run has finished."""
        return len(self.frame) == self.planned

    @property
    def observations(self) -> Observations:
        """What `fit` takes.

        Raises:
            ObservationsError: no run has finished.
        """
        return Observations.of(self.frame, self.manifest)

    def fit(self, **settings: Any) -> Fitted:
        """A fit to the observations; the settings are those of `instructsel.rules.fit.fit`.

        Raises:
            ObservationsError: too few observations, or dependent indicators.
            Negative: a stepwise method leaves no indicator.
        """
        return fit(self.observations, **settings)

    def write(self, path: str | Path, *, run: dict[str, Any] | None = None) -> None:
        """Write .parquet, the same bytes for the same observations, and the manifest as JSON beside it.

        Args:
            path: where.
            run: what differs from run to run (seconds); goes into the JSON only, as do the messages of failed runs.

        Raises:
            UsageError: another suffix than .parquet or .csv.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        messages = {Run(failure.subset, failure.seed).name: failure.message for failure in self.failed if failure.message}
        write_frame(path, self.frame, dict(self.manifest), run={**(run or {}), "failed": messages})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The study in a folder, or in the file of observations itself.

        Raises:
            StudyError: missing, damaged, not a study, or of a newer release.
        """
        target = Path(path)
        target = StudyFolder(target).table if target.is_dir() else target
        try:
            frame, manifest = read_frame(target, kind=STUDY, noun="a study's observations", shape=StudyManifest)
            run = (read_manifest(target, WithFailures) or {}).get("run") or {}
        except ScoresError as error:
            raise StudyError(error.message, fix="Give the folder of a study, or its study.parquet.") from error
        messages = run.get("failed") or {}
        failed = tuple(
            Failure(failure["subset"], failure["seed"], failure["reason"], messages.get(Run(failure["subset"], failure["seed"]).name, ""))
            for failure in manifest.get("failed") or []
        )
        place = StudyFolder(target.parent)
        return cls(frame, manifest, failed, place.path if place.plan_file.exists() else None)


@dataclass(frozen=True)
class StudySettings:
    """Which indicators a study keeps, and how many nulls it accepts."""

    indicators: tuple[str, ...] | None = None
    """Symbols whose means are kept; None for all of the score table."""
    max_null_fraction: float = MAX_NULL_FRACTION
    """Share of a subset's rows that may lack a value."""
    allow_contamination: bool = False
    """Whether evaluation examples may be in the pool; the plan's warnings say which."""


@dataclass(frozen=True, eq=False)
class StudyInputs:
    """What a study is made from."""

    pool: Pool
    """Where the subsets are drawn from."""
    table: ScoreTable | None
    """Scores of every example of the pool; None for a study without indicators."""
    design: Design
    """Which subsets and seeds."""
    trainer: Trainer
    """Makes a checkpoint of a subset."""
    grader: Grader | Sequence[Grader]
    """Gives a checkpoint losses; of several, each is an outcome of its own, by its name."""
    settings: StudySettings = field(default_factory=StudySettings)
    """Indicators and nulls."""
    untouched: Checkpoint | None = None
    """The model before any training, where the design has it as an arm."""

    @property
    def graders(self) -> tuple[Grader, ...]:
        """All of them.

        Raises:
            UsageError: none, or two of one name.
        """
        graders = tuple(self.grader) if isinstance(self.grader, Sequence) else (self.grader,)
        names = Counter(grader.name for grader in graders)
        if not graders or max(names.values()) > 1:
            raise UsageError(
                f"The outcomes of a study have different names; these are {', '.join(names.elements()) or 'none'}.",
                fix="Name the evaluation files differently.",
            )
        return graders

    @property
    def by_outcome(self) -> bool:
        """Whether outcomes are kept item by item: there are several, or arms are compared by them."""
        return len(self.graders) > 1 or self.design.of_sources is not None


def plan_study(
    pool: Pool,
    table: ScoreTable | None,
    design: Design,
    *,
    trainer: Trainer,
    grader: Grader | Sequence[Grader],
    folder: str | Path,
    settings: StudySettings | None = None,
    launch: Mapping[str, Any] | None = None,
) -> Plan:
    """Draw the subsets and write down what is to be done; nothing is trained.

    A folder that was planned in the same way keeps its plan; only the launch is renewed.

    The plan's warnings name subsets that the trainer would refuse, where it says beforehand what it would train on.

    Args:
        pool: where the subsets are drawn from.
        table: scores of every example of the pool. A value that depends on the pool, such as knn_6, is that over the pool. None where
            only the sources' shares are looked at.
        design: which subsets and seeds.
        trainer: what will train.
        grader: what will measure the loss, or several, each an outcome. One with its evaluation set as `pool`, as `HeldOutLoss`, may
            share no example with the pool.
        folder: of the study; made where it is missing.
        settings: indicators and nulls; by default all indicators of the table.
        launch: where things are, for who resumes the study from the command line; no part of the plan's hash.

    Raises:
        StudyError: sources or scores that do not suffice; too many nulls in a subset; an evaluation set that is in the pool; a folder
            of another plan.
        UsageError: a source or an indicator that is not there.
        EnvironmentFault: the folder cannot be written.
    """
    inputs = StudyInputs(pool, table, design, trainer, grader, settings or StudySettings())
    foreseen = Foreseen.of(trainer, pool)
    plan, subsets = _planned(inputs, StudyFolder(Path(folder)), launch)
    return plan if foreseen is None else replace(plan, foreseen=replace(foreseen, refused=foreseen.subsets(subsets, pool)))


def run_study(
    pool: Pool,
    table: ScoreTable | None,
    design: Design,
    *,
    trainer: Trainer,
    grader: Grader | Sequence[Grader],
    folder: str | Path | None = None,
    settings: StudySettings | None = None,
    execution: ExecutionSettings | None = None,
    progress: Callable[[Progress], None] | None = None,
    untouched: Checkpoint | None = None,
) -> Study:
    """Train on each subset with each seed, measure the loss, and collect the observations.

    The folder is the state: runs that finished are not done again, runs that failed are tried once more, and what was killed goes
    on. Several processes may work in one folder; each takes runs that no other has claimed and ends when there are none. The
    bytes of `study.parquet` depend on the plan and on what training and grading gave, not on order, workers or interruptions.

    Args:
        pool: where the subsets are drawn from.
        table: scores of every example of the pool.
        design: which subsets and seeds.
        trainer: makes a checkpoint of a subset.
        grader: gives it losses. One with its evaluation set as `pool`, as `HeldOutLoss`, may share no example with the pool.
        folder: of the study, planned or new; None for one that is removed at the end.
        settings: indicators and nulls; by default all indicators of the table.
        execution: a limit of runs to do here, and whether fine-tuned models are kept. Other processes are the caller's to start.
        progress: called after every run that ends here, and with notes.
        untouched: the model before any training, where the design has it as an arm.

    Returns:
        All runs that have finished, whoever did them, and those that failed.

    Raises:
        StudyError: as `plan_study`; a folder planned with another pool, other scores, design, trainer or grader is left alone.
        UsageError: a source or an indicator that is not there, grades that are better when higher, or several jobs.
        EnvironmentFault: the machine lacks disk, memory or a package: what has finished stays.
    """
    inputs = StudyInputs(pool, table, design, trainer, grader, settings or StudySettings(), untouched)
    if folder is not None:
        return continue_study(inputs, folder, execution, progress=progress)
    with tempfile.TemporaryDirectory(prefix="instructsel-study-") as temporary:
        return continue_study(inputs, temporary, execution, progress=progress)


def continue_study(
    inputs: StudyInputs,
    folder: str | Path,
    execution: ExecutionSettings | None = None,
    *,
    progress: Callable[[Progress], None] | None = None,
    since: float | None = None,
) -> Study:
    """`run_study` for one of several processes of a study.

    Args:
        inputs: what the study is made from.
        folder: of the study, planned or new.
        execution: as of `run_study`.
        progress: as of `run_study`.
        since: seconds since the epoch at which the first process began: runs that failed before are tried again. By default now.

    Raises:
        StudyError, UsageError, EnvironmentFault: as `run_study`.
    """
    execution = execution or ExecutionSettings()
    if execution.jobs != 1:
        raise UsageError(
            f"One call of a study works in one process, not in {execution.jobs}.",
            fix="Call it in several processes with the same folder, or use: instructsel study run FOLDER --jobs N",
        )
    place = StudyFolder(Path(folder))
    is_new = place.read() is None
    plan, subsets = _planned(inputs, place, None)
    RecordStore.of(place.path)

    def report(step: execute.Progress) -> None:
        if progress is not None:
            progress(_progress(place, plan, step))
        if step.run is not None:
            collect(place, plan)

    if is_new and progress is not None:
        for warning in plan.overlap:
            progress(Progress(0, len(plan.runs), note=warning))
    collect(place, plan)
    execute.execute(
        _runs(plan, {subset.name: subset for subset in subsets}, inputs),
        execute.Workshop(inputs.trainer, place.store, partial(_content, inputs.by_outcome), execution, since=since, progress=report),
    )
    return collect(place, plan)


def collect(place: StudyFolder, plan: Plan) -> Study:
    """The study as its runs are now, written to its `study.parquet`.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    while True:
        status = place.status(plan)
        study = _study(plan, status, place.path)
        seconds = {run.name: record["run"]["seconds"] for run, record in status.finished.items()}
        study.write(place.table, run={"seconds": seconds})
        # Another worker may have written in between with a run fewer than are there now. Whoever writes last, looks after it.
        if _ended(place.status(plan)) == _ended(status):
            return study


def _runs(plan: Plan, subsets: Mapping[str, Subset], inputs: StudyInputs) -> list[execute.Run]:
    """The plan's runs, in the order they are made; each leaves one record, its observation."""
    runs = []
    for run in plan.runs:
        identity = plan.identity(run)
        is_trained = len(subsets[run.subset]) > 0
        if not is_trained and inputs.untouched is None:
            raise UsageError("The plan has the model before any training as an arm.", fix="Give it as untouched, or plan without it.")
        runs.append(
            execute.Run(
                name=run.name,
                slug=run.name,
                seed=run.seed,
                entries=(execute.Entry(run.name, identity, inputs.graders),),
                pool=partial(subsets[run.subset].of, inputs.pool) if is_trained else None,
                checkpoint=None if is_trained else inputs.untouched,
                identity=identity,
                lease=plan.leases[run].name,
            )
        )
    return runs


def _content(
    by_outcome: bool,
    run: execute.Run,
    entry: execute.Entry,
    checkpoint: Checkpoint,
    grades: Sequence[Grades],
    seconds: execute.Seconds,
) -> Mapping[str, Any]:
    """An observation: the loss of a checkpoint by each grader, and what trainer and graders recorded."""
    losses = [outcome for outcome in grades if not outcome.higher_is_better]
    if not losses and not by_outcome:
        raise UsageError(f"{grades[0].grader} is better when higher; a study fits the logarithm of a loss.", fix="Grade by a loss.")
    values = [_loss(outcome) for outcome in losses]
    loss = math.fsum(values) / len(values) if values and len({outcome.unit for outcome in losses}) == 1 else None
    observation: dict[str, Any] = {
        "loss": loss,
        "loss_example_weighted": None if loss is None else math.fsum(outcome.mean for outcome in losses) / len(losses),
        "log_loss": None if loss is None else math.log(loss),
        "n_items": sum(int(outcome.valid.sum()) for outcome in grades),
        "tokens_trained": _count(checkpoint.record.get("tokens_trained")),
        "steps": _count(checkpoint.record.get("steps")),
        "checkpoint": checkpoint.digest,
    }
    record: dict[str, Any] = {"trainer": checkpoint.record, "truncated": sum(outcome.truncated for outcome in grades)}
    if by_outcome:
        observation["outcomes"] = {outcome.grader: _outcome(outcome) for outcome in grades}
        record["graders"] = {outcome.grader: outcome.record for outcome in grades}
    else:
        record["grader"] = grades[0].record
    return {"kind": STUDY_RUN, "observation": observation, "run": record}


def _outcome(grades: Grades) -> dict[str, Any]:
    """The grades of one grader as plain data, items without a value left out."""
    mean = grades.weighted_mean
    if not math.isfinite(mean):
        _loss(grades)
    valid = np.flatnonzero(grades.valid).tolist()
    weights = grades.weights[valid]
    return {
        "mean": mean,
        "unit": grades.unit,
        "higher_is_better": grades.higher_is_better,
        "items": [grades.items[position] for position in valid],
        "values": grades.values[valid].tolist(),
        "weights": None if (weights == 1).all() else weights.tolist(),
        "clusters": [grades.clusters[position] for position in valid] if grades.clusters else None,
    }


def _progress(place: StudyFolder, plan: Plan, step: execute.Progress) -> Progress:
    """A step of the loop in the words of a study."""
    if step.run is None:
        return Progress(step.done, step.total, seconds_left=step.seconds_left, note=step.note)
    run = next(run for run in plan.runs if run.name == step.run.slug)
    record = None if step.failed else place.finished(plan, run)
    loss = None if record is None else record["observation"]["loss"]
    return Progress(step.done, step.total, run, loss, step.seconds, step.seconds_left, step.note)


def _loss(grades: Grades) -> float:
    if not grades.valid.any():
        reasons = Counter(reason for reason in grades.reasons if reason is not None).most_common(NAMED)
        counts = ", ".join(f"{reason} {count:,}" for reason, count in reasons)
        raise execute.RunFailed(
            "no_value", f"None of {counted(len(grades.items), 'item')} of {grades.grader} has a value{f': {counts}' if counts else ''}."
        )
    loss = grades.weighted_mean
    if not math.isfinite(loss) or loss <= 0:
        raise execute.RunFailed("invalid_value", f"The loss is {loss:g}; only a finite one above 0 has a logarithm.")
    return loss


def _planned(inputs: StudyInputs, place: StudyFolder, launch: Mapping[str, Any] | None) -> tuple[Plan, tuple[Subset, ...]]:
    pool, table, design, trainer, graders = inputs.pool, inputs.table, inputs.design, inputs.trainer, inputs.graders
    indicators, max_null_fraction = inputs.settings.indicators, inputs.settings.max_null_fraction
    if table is None and indicators:
        raise UsageError(f"There are no scores that {indicators[0]} could be of.", fix="Give the score table of the pool.")
    symbols = () if table is None else tuple(table.symbols if indicators is None else indicators)
    if table is not None and (not symbols or len(set(symbols)) < len(symbols)):
        raise UsageError(
            f"A study needs indicators, each named once; given are: {', '.join(symbols) or 'none'}.", fix="Score some: instructsel score"
        )
    for symbol in symbols:
        if symbol in COLUMNS or symbol.startswith((SHARE, OUTCOME)):
            raise UsageError(f"A study has a column {symbol} of its own.", fix="Leave it out of the indicators, or call it another name.")
    columns = {} if table is None else {symbol: table.values(symbol) for symbol in symbols}
    order = np.arange(len(pool), dtype=np.int64) if table is None else table_rows(pool, table)
    subsets = design.subsets(pool, table)
    planned = []
    for subset in subsets:
        rows = order[subset.positions(pool)]
        means, nulls = {}, {}
        # The model before any training has no rows, and no means.
        for symbol, (values, valid) in columns.items() if len(subset) else ():
            known = values[rows][valid[rows]]
            nulls[symbol] = len(rows) - len(known)
            if nulls[symbol] > max_null_fraction * len(rows) or not len(known):
                assert table is not None
                reasons = table.reasons(symbol)
                frequent = Counter(reason for row in rows.tolist() if (reason := reasons[row]) is not None).most_common(NAMED)
                raise StudyError(
                    f"{symbol} is null in {nulls[symbol]:,} of {counted(len(rows), 'row')} of {subset.name} (limit {max_null_fraction:.0%}): "
                    + ", ".join(f"{reason} {count:,}" for reason, count in frequent),
                    fix=f"Leave {symbol} out with --indicators, drop these rows from the pool, or allow more with --max-null-fraction.",
                )
            # Exact, so that the order of the rows has no part in it.
            means[symbol] = mean(known.tolist())
        if not len(subset):
            means, nulls = dict.fromkeys(symbols, 0.0), dict.fromkeys(symbols, 0)
        planned.append({**subset.as_dict(), "means": means, "nulls": nulls})
    fingerprints = {} if table is None else table.manifest.get("indicators") or {}
    configuration = {
        "pool": {"fingerprint": pool.fingerprint, "examples": len(pool)},
        "scores": {
            "digest": _digest_of(columns, order),
            "symbols": list(symbols),
            "indicators": {symbol: fingerprints.get(symbol) for symbol in symbols},
            "nulls": {symbol: int((~valid[order]).sum()) for symbol, (_, valid) in columns.items()},
        },
        "design": design.as_dict(),
        "trainer": dict(trainer.fingerprint),
        "grader": _graded_by(graders),
    }
    content = orjson.loads(dump_json({"configuration": configuration, "subsets": planned, "launch": launch}))
    overlap = tuple(check_graders(pool, *graders, render=render_of(trainer), allow=inputs.settings.allow_contamination))
    plan = Plan(content["configuration"], tuple(content["subsets"]), content["launch"], overlap)
    return replace(_settled_on(place, plan), overlap=overlap), subsets


def _graded_by(graders: Sequence[Grader]) -> dict[str, Any]:
    """What a plan says of its graders: of several the first one's unit, as all that state one state the same, and all of them by name."""
    entries = [{"name": grader.name, **grader.fingerprint} for grader in graders]
    if len(entries) == 1:
        return entries[0]
    units = {entry["unit"] for entry in entries if "unit" in entry}
    return {"name": OUTCOMES, **({"unit": units.pop()} if len(units) == 1 else {}), OUTCOMES: entries}


def _settled_on(place: StudyFolder, plan: Plan) -> Plan:
    """The plan in the folder, if it is this one; written where there is none."""
    before = place.read()
    if before is not None:
        differences = before.differences(plan)
        if differences:
            raise StudyError(
                f"{place.path} is the folder of another study; what differs: {'; '.join(differences)}. Nothing in it was changed.",
                fix="Name another folder, or give this study what it was planned with.",
            )
        if plan.launch is None or plan.launch == before.launch:
            return before
    place.write(plan)
    return plan


def _study(plan: Plan, status: StudyStatus, place: Path) -> Study:
    import polars as pl

    # By subset and not in the order they are done, in which the seeds of one stand apart.
    order = {name: number for number, name in enumerate(plan.by_name)}
    turn = {run: number for number, run in enumerate(plan.runs)}
    runs = sorted(status.finished, key=lambda run: (order[run.subset], turn[run]))
    subsets = [plan.by_name[run.subset] for run in runs]
    observations = [status.finished[run]["observation"] for run in runs]
    columns = [
        pl.Series("subset", [run.subset for run in runs], dtype=pl.String),
        pl.Series("design", [subset["design"] for subset in subsets], dtype=pl.String),
        pl.Series("seed", [run.seed for run in runs], dtype=pl.Int64),
        pl.Series("rows", [subset["rows"] for subset in subsets], dtype=pl.Int64),
    ]
    for source in plan.sources:
        shares = [subset["shares"].get(source, 0.0) for subset in subsets]
        columns.append(pl.Series(f"{SHARE}{source}", shares, dtype=pl.Float64))
    for symbol in plan.symbols:
        columns.append(pl.Series(symbol, [subset["means"][symbol] for subset in subsets], dtype=pl.Float64))
    for symbol in plan.symbols:
        # By the plan, not by what has finished: a column must not come and go.
        if any(subset["nulls"][symbol] for subset in plan.subsets):
            columns.append(pl.Series(f"{symbol}{NULLS}", [subset["nulls"][symbol] for subset in subsets], dtype=pl.Int64))
    for name in MEASURED:
        columns.append(pl.Series(name, [observation[name] for observation in observations], dtype=pl.Float64))
    # By the plan, too.
    for name in plan.outcomes if len(plan.outcomes) > 1 else ():
        outcomes = [observation.get(OUTCOMES, {}).get(name, {}).get("mean") for observation in observations]
        columns.append(pl.Series(f"{OUTCOME}{name}", outcomes, dtype=pl.Float64))
    if plan.of_sources is not None:
        columns.append(pl.Series("arm", [subset.get("arm") for subset in subsets], dtype=pl.String))
        columns.append(pl.Series("changed_source", [subset.get("source") for subset in subsets], dtype=pl.String))
    for name in COUNTED:
        columns.append(pl.Series(name, [observation[name] for observation in observations], dtype=pl.Int64))
    columns.append(pl.Series("checkpoint", [observation["checkpoint"] for observation in observations], dtype=pl.String))
    columns.append(pl.Series("ids", [subset["ids"] for subset in subsets], dtype=pl.String))
    failed = tuple(Failure(run.subset, run.seed, record["reason"], record["message"]) for run, record in status.failed.items())
    configuration = plan.configuration
    manifest = {
        **head(STUDY),
        "instructsel": release(),
        "configuration": plan.hash,
        "pool": configuration["pool"],
        "scores": configuration["scores"]["digest"],
        "indicators": configuration["scores"]["indicators"],
        "design": configuration["design"],
        "trainer": configuration["trainer"],
        "grader": configuration["grader"],
        "planned": len(plan.runs),
        "failed": [{"subset": failure.subset, "seed": failure.seed, "reason": failure.reason} for failure in failed],
    }
    return Study(pl.DataFrame(columns), manifest, failed, place)


def _ended(status: StudyStatus) -> tuple[list[Any], list[Any]]:
    return [*status.finished], [(run, record["reason"]) for run, record in status.failed.items()]


def _digest_of(columns: Mapping[str, tuple[Any, Any]], order: Any) -> str:
    """A digest of values in the order of the pool."""
    digest = hashlib.blake2b(digest_size=16)
    for symbol, (values, valid) in columns.items():
        digest.update(dump_json([symbol, len(order)]))
        digest.update(np.where(valid[order], values[order], 0.0).astype("<f8").tobytes())
        digest.update(np.packbits(valid[order]).tobytes())
    return digest.hexdigest()


def _count(value: Any) -> int | None:
    """A count that a trainer recorded; None for anything else."""
    return int(value) if isinstance(value, int | float | np.integer) and not isinstance(value, bool) and math.isfinite(value) else None


__all__ = ["Failure", "Progress", "Study", "StudyInputs", "StudySettings", "collect", "continue_study", "plan_study", "run_study"]
