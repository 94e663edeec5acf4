"""How many rows to keep: fine-tune on the best n of a ranking for several n and seeds, and see which losses noise cannot explain."""

from __future__ import annotations

import logging
import math
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
import polars as pl

from instructsel.artifact import atomic_write, dump_json, fingerprint, release
from instructsel.errors import EnvironmentFault, ScoresError, StudyError, TrainingError, UsageError
from instructsel.experiments import execute
from instructsel.experiments.store import FAILED, RecordStore, as_json
from instructsel.extras import require
from instructsel.kinds import SIZE_RUN, SIZE_SEARCH, head
from instructsel.pool.contamination import check_graders, render_of
from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
from instructsel.selection.candidates import Positions, ScoredCandidates
from instructsel.selection.choose import KEPT, NEAR, fill_distinct
from instructsel.selection.selection import Selection
from instructsel.structured import Refusal, read_json
from instructsel.study.shape import SearchRecord, SizeRecord

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
from instructsel.study.size_curve import LEAST, MOST, NAMED, NEEDED_BY, SizeCurve, SizeRow, _mean
from instructsel.text import counted

Method = Literal["grid", "blend"]
Progress = Callable[[int, int], None]
"""Called with how many fine-tunes are done, and of how many at most."""
Message = Callable[[str], None]
"""Called with a line for people."""

CONFIGURATION: Final = "search.json"

METHODS: Final = ("grid", "blend")


@dataclass(frozen=True)
class SizeSettings:
    """Which sizes are tried, and how often."""

    sizes: tuple[int, ...] | None = None
    """Of a grid; None for `least`, doubled as often as there is room, and `most`."""
    method: Method = "grid"
    """grid, or blend: BlendSearch from FLAML over log-uniform whole numbers from `least` to `most`, starting at `least`."""
    least: int = LEAST
    """The smallest size."""
    most: int | None = None
    """The largest; None for 10,000, or all rows that are left where these are fewer."""
    trials: int = 8
    """Sizes that blend asks for; one that it asks for again is not trained again."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Of training, whole numbers; with one, no size can be distinguished from luck."""
    seed: int = 0
    """Of blend."""
    allow_contamination: bool = False
    """Whether evaluation examples may be in the pool; warnings say which."""

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise UsageError.named(self.method, METHODS, noun="method of size search")
        _check_numbers("seed", self.seeds, floor=0)
        if self.method == "blend":
            _check_numbers("number of trials", [self.trials], floor=1)
            _check_numbers("seed", [self.seed], floor=0)
            if self.sizes is not None:
                raise UsageError("BlendSearch finds its sizes itself.", fix="Give least and most, or the method grid.")


def search_size(
    selection: Selection,
    *,
    trainer: Trainer,
    grader: Grader,
    report: Grader,
    settings: SizeSettings | None = None,
    folder: str | Path | None = None,
    progress: Progress | None = None,
    message: Message | None = None,
) -> SizeCurve:
    """Fine-tune on the best n rows of a selection's ranking, for several n, and compare the losses.

    The best n are what `select` keeps with a budget of n: same ranking, duplicates, quotas and minima. Sizes are compared by the
    search set alone; the report set says how good the chosen one is, and the two may not share an item. Every size is trained with
    every seed, and a checkpoint is removed when it is graded.

    Args:
        selection: made by `select` or `baselines`, not read from a file; its own budget has no part in the search.
        trainer: fine-tunes.
        grader: the search set, lower is better. One with its evaluation set as `pool`, as `HeldOutLoss`, may share no example with the
            selection's pool.
        report: the report set, lower is better; the same holds for it.
        settings: sizes, method and seeds.
        folder: where every finished fine-tune is written down, so that a search goes on where it was interrupted; it may be given again
            with other sizes, seeds, or method. None keeps nothing.
        progress: called with how many fine-tunes are done, and of how many at most.
        message: called with warnings: evaluation instructions that are in the pool.

    Raises:
        UsageError: a selection read from a file, more rows than are left, a grader whose higher values are better, or search set,
            report set and pool that share an item.
        StudyError: an evaluation set is in the pool, the folder is of another search, or a grader had no value for any item, or other
            items than before.
        MissingExtra: blend without FLAML, or several seeds without SciPy.
        TrainingError, TrainingDiverged: from the trainer; what finished before is in the folder.

    Source: InstructMining v2, arXiv:2307.06290v3, which searched the size by BlendSearch (Wang et al. 2021, ICLR) and reported the metric
    that it searched by; that is what the second set is for.
    """
    settings = settings or SizeSettings()
    ranked = _Ranked.of(selection)
    grid, least, most = _range(ranked, settings.sizes, settings.least, settings.most)
    pool_items = frozenset() if settings.allow_contamination else frozenset(ranked.candidates.ids)
    # With the places of the rows, where a grader shows them; by their items below, where it does not.
    for warning in check_graders(ranked.candidates.pool, grader, report, render=render_of(trainer), allow=settings.allow_contamination):
        if message is not None:
            message(warning)
    _check_graders(grader, report, pool_items)
    # Before anything is trained: what is needed at the end must not be missing then.
    if len(settings.seeds) > 1:
        require("scipy.special", needed_by=NEEDED_BY)
    flaml = _flaml() if settings.method == "blend" else None
    _check_audit(ranked, trainer, (least, most) if flaml else grid)
    search = _Search(
        ranked=ranked,
        trainer=trainer,
        grader=grader,
        report=report,
        pool_items=pool_items,
        place=_Folder.of(folder, _configuration(ranked, trainer, grader, report)),
        seeds=settings.seeds,
        total=(settings.trials if flaml else len(grid)) * len(settings.seeds),
        progress=progress,
    )
    if flaml is None:
        search.train(grid)
    else:
        _blend(flaml, search.loss, least=least, most=most, trials=settings.trials, seed=settings.seed)
    return SizeCurve(
        rows=tuple(row for size in sorted(search.rows) for row in search.rows[size]),
        search=grader.name,
        report=report.name,
        unit=search.units[0] if search.units else "",
        method=settings.method,
        least=least,
        most=most,
        configuration=search.place.configuration,
    )


def grid_sizes(least: int, most: int) -> tuple[int, ...]:
    """From `least` to `most` by doubling, both ends included.

    >>> grid_sizes(512, 5000)
    (512, 1024, 2048, 4096, 5000)
    """
    return (*(least * 2**power for power in range((most // least).bit_length()) if least * 2**power < most), most)


@dataclass(frozen=True, eq=False)
class _Ranked:
    """The rows of a selection that were neither removed nor repeat a better one, best first."""

    name: str
    candidates: ScoredCandidates
    positions: Positions
    """In the pool."""

    @classmethod
    def of(cls, selection: Selection) -> _Ranked:
        if selection.candidates is None:
            raise UsageError(
                "Sizes are tried on a selection as it is made; this one was read from a file.",
                fix="Select again, and search in the same run.",
            )
        # A budget leaves its mark in the reasons alone: ranks and near-duplicates are what they are without one.
        deduplicated = (
            selection.frame.with_row_index("position")
            .filter(pl.col("rank").is_not_null() & pl.col("reason").ne_missing(NEAR))
            .sort("rank", maintain_order=True)
        )
        return cls(selection.name, selection.candidates, deduplicated["position"].to_numpy().astype(np.int64))

    def ids(self, n: int) -> tuple[str, ...]:
        """Of the best n under the quotas, best first: what `select` keeps with a budget of n."""
        # Its own filling, so that it cannot come to differ.
        outcomes, _ = fill_distinct(self.candidates.with_budget(n), self.positions)
        return tuple(self.candidates.ids.at(self.positions[outcomes == KEPT]))

    @cached_property
    def available(self) -> int:
        """Rows that the largest budget would keep."""
        return len(self.ids(max(1, len(self.positions))))

    def part(self, ids: Sequence[str]) -> Pool:
        """These rows as a pool."""
        return self.candidates.pool.take(ids)


def _range(ranked: _Ranked, sizes: Sequence[int] | None, least: int, most: int | None) -> tuple[tuple[int, ...], int, int]:
    """The grid, and the smallest and largest size."""
    available = ranked.available
    if sizes is not None:
        _check_numbers("size", sizes, floor=1)
        grid = tuple(sorted(sizes))
        if grid[-1] > available:
            raise UsageError(
                f"The selection has {available:,} rows to keep, fewer than {grid[-1]:,}.", fix=f"Give sizes up to {available:,}."
            )
        return grid, grid[0], grid[-1]
    for end in (least,) if most is None else (least, most):
        _check_numbers("size", [end], floor=1)
    largest = min(MOST, available) if most is None else most
    if largest > available or least > largest:
        raise UsageError(
            f"Sizes from {least:,} to {largest:,} cannot be tried: the selection has {available:,} rows to keep.",
            fix=f"Give least and most within 1 and {available:,}, least not above most.",
        )
    return grid_sizes(least, largest), least, largest


def _check_numbers(noun: str, numbers: Sequence[int], *, floor: int) -> None:
    if not numbers:
        raise UsageError(f"A size search needs a {noun}.", fix="Give one or more.")
    for number in numbers:
        if isinstance(number, bool) or not isinstance(number, int) or number < floor:
            raise UsageError(f"A {noun} is a whole number from {floor}, not {number!r}.")
    if len(set(numbers)) != len(numbers):
        raise UsageError(f"A {noun} stands twice among {', '.join(map(str, numbers))}.", fix="Name each once.")


def _check_graders(grader: Grader, report: Grader, pool_items: frozenset[str]) -> None:
    """Refuse sets that overlap, as far as it can be known before a checkpoint is graded."""
    if as_json(grader.fingerprint) == as_json(report.fingerprint):
        raise UsageError(
            f"{grader.name} would both choose the size and report on it: the two graders are the same.",
            fix="Report on a set that has no part in the choice.",
        )
    _check_disjoint(grader.name, _items(grader), report.name, _items(report), pool_items)


def _check_audit(ranked: _Ranked, trainer: Trainer, sizes: Sequence[int]) -> None:
    """Refuse sizes whose rows cannot be trained on, before anything is written, where the trainer can say so beforehand.

    Raises:
        TrainingError: too many rows have no loss token; the sizes are named.
    """
    audit: Any = getattr(trainer, "audit", None)
    limit = getattr(trainer, "max_skipped_fraction", None)
    if audit is None or limit is None:
        return
    refused: dict[int, TrainingError] = {}
    shares: dict[int, float] = {}
    for size in sizes:
        data = audit(ranked.part(ranked.ids(size)))
        shares[size] = sum(getattr(data, "skipped", {}).values()) / size
        try:
            data.check(limit)
        except TrainingError as error:
            refused[size] = error
    if refused:
        # The one with the largest share: what mends it mends the others, too.
        worst = max(refused, key=lambda size: (shares[size], -size))
        others = [f"{size:,}" for size in sorted(refused) if size != worst]
        also = f" So it is with the first {', '.join(others)}." if others else ""
        raise TrainingError(
            f"Of the first {counted(worst, 'row')} of the ranking too many cannot be trained on: {refused[worst].message}{also}",
            fix=refused[worst].fix,
        )


def _items(grader: Grader) -> Sequence[str]:
    """What a grader says it will grade; nothing where it does not say."""
    for attribute in ("item_hashes", "items"):
        items = getattr(grader, attribute, None)
        if items is not None and not callable(items):
            return tuple(items)
    return ()


def _check_disjoint(search: str, search_items: Sequence[str], report: str, report_items: Sequence[str], pool_items: frozenset[str]) -> None:
    both = sorted(set(search_items) & set(report_items))
    if both:
        raise UsageError(
            f"{len(both):,} of {counted(len(report_items), 'item')} of the report set {report} are in the search set {search}, by which the size is "
            f"chosen: {_first(both)}.",
            fix="Take them out of one of the two.",
        )
    for name, items in ((search, search_items), (report, report_items)):
        inside = sorted(pool_items.intersection(items))
        if inside:
            raise UsageError(
                f"{len(inside):,} of {counted(len(items), 'item')} of {name} are in the pool, so that they would be trained on: {_first(inside)}.",
                fix="Drop them from the pool or from the evaluation set.",
            )


def _first(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", …" if len(names) > NAMED else "")


def _configuration(ranked: _Ranked, trainer: Trainer, grader: Grader, report: Grader) -> dict[str, Any]:
    """What every fine-tune of the search depends on besides its size and seed."""
    candidates = ranked.candidates
    configuration: dict[str, Any] = as_json(
        {
            "pool": {"fingerprint": candidates.pool.fingerprint},
            "selection": {
                "name": ranked.name,
                "ranking": fingerprint(list(candidates.ids.at(ranked.positions))),
                "quotas": candidates.settings.as_dict()["quotas"],
            },
            "trainer": dict(trainer.fingerprint),
            "grader": {"name": grader.name, **grader.fingerprint},
            "report": {"name": report.name, **report.fingerprint},
        }
    )
    return configuration


@dataclass(frozen=True)
class _Folder:
    """The folder of a search: its configuration, and a record for each fine-tune that ended."""

    store: RecordStore
    configuration: Mapping[str, Any]

    @classmethod
    def of(cls, folder: str | Path | None, configuration: Mapping[str, Any]) -> _Folder:
        if folder is None:
            return cls(RecordStore(None), configuration)
        path = Path(folder)
        file = path / CONFIGURATION
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(f"The folder {path} cannot be used: {error.strerror or error}.", fix="Name another one.") from error
        refusal = Refusal(StudyError, "Name another folder.", noun="the configuration of a size search")
        before = read_json(file, SearchRecord, refusal, missing={"configuration": None})["configuration"]
        # Of another search of which nothing has ended there is nothing to protect: a setting that made it fail may be changed.
        store = RecordStore(path, SizeRecord, indented=True)
        if before is None or (before != configuration and not any(path.glob("size*-seed*.json")) and not store.leased()):
            content = {**head(SIZE_SEARCH), "instructsel": release(), "configuration": configuration}
            with atomic_write(file) as out:
                out.write(dump_json(content, indent=True) + b"\n")
        elif before != configuration:
            parts = sorted(part for part in {*configuration, *before} if configuration.get(part) != before.get(part))
            raise StudyError(
                f"{path} is the folder of another size search; what differs: {', '.join(parts)}. Nothing in it was changed.",
                fix="Name another folder, or give this search what that one had.",
            )
        # Records lie beside the configuration, where earlier releases have them.
        return cls(store, configuration)


@dataclass(eq=False)
class _Search:
    """A search under way."""

    ranked: _Ranked
    trainer: Trainer
    grader: Grader
    report: Grader
    pool_items: frozenset[str]
    place: _Folder
    seeds: tuple[int, ...]
    total: int
    progress: Progress | None
    rows: dict[int, list[SizeRow]] = field(default_factory=dict)
    items: dict[str, str] = field(default_factory=dict)
    """search and report → the digest of the items that were graded."""
    units: list[str] = field(default_factory=list)

    def loss(self, size: int) -> float:
        """The mean search loss of a size; what was trained before is not trained again."""
        if size not in self.rows:
            self.train([size])
        return _mean([row.search_loss for row in self.rows[size]])

    def train(self, sizes: Sequence[int]) -> None:
        """Train and grade sizes with every seed, but for what stands in the folder."""
        runs = {(size, seed): self._run(size, seed, ids) for size in sizes for ids in [self.ranked.ids(size)] for seed in self.seeds}
        before = sum(map(len, self.rows.values()))

        def report(step: execute.Progress) -> None:
            if self.progress is not None:
                self.progress(before + step.done, self.total)

        result = execute.execute(
            list(runs.values()),
            execute.Workshop(self.trainer, self.place.store, self._content, stop_at_failure=True, progress=report),
        )
        if result.pending:
            raise StudyError(
                f"Other processes are at work on {', '.join(run.name for run in result.pending[:NAMED])}.",
                fix="Give the same command again when they have ended.",
            )
        for size in sizes:
            self.rows[size] = [self._row(size, seed, runs[size, seed]) for seed in self.seeds]
        if self.progress is not None:
            self.progress(before + len(runs), self.total)

    def _run(self, size: int, seed: int, ids: Sequence[str]) -> execute.Run:
        name = f"size{size}-seed{seed}"
        identity = {
            "configuration": fingerprint(self.place.configuration),
            "size": size,
            "seed": seed,
            "ids": fingerprint(list(ids)),
            "rows": len(ids),
        }
        return execute.Run(
            name=f"{size:,} rows seed {seed}",
            slug=name,
            seed=seed,
            entries=(execute.Entry(name, identity, (self.grader, self.report)),),
            pool=partial(self.ranked.part, ids),
            identity=identity,
        )

    def _content(
        self, run: execute.Run, entry: execute.Entry, checkpoint: Checkpoint, grades: Sequence[Grades], seconds: execute.Seconds
    ) -> Mapping[str, Any]:
        search, report = grades
        _check_disjoint(search.grader, search.items, report.grader, report.items, self.pool_items)
        return {"kind": SIZE_RUN, "search": _summary(search), "report": _summary(report), "checkpoint": checkpoint.digest}

    def _row(self, size: int, seed: int, run: execute.Run) -> SizeRow:
        (entry,) = run.entries
        record = self.place.store.read(entry.name, entry.identity)
        if record is None:
            raise StudyError(f"The record of {run.name} is gone, or was changed meanwhile.", fix="Give the same command again.")
        for part in ("search", "report"):
            if self.items.setdefault(part, record[part]["items"]) != record[part]["items"]:
                raise StudyError(
                    f"{record[part]['grader']} graded other items at {counted(size, 'row')}, seed {seed}, than before: losses cannot be compared.",
                    fix="A grader's items are the same for every checkpoint.",
                )
        self.units.append(record["search"]["unit"])
        return SizeRow(
            size=size,
            rows=record["rows"],
            seed=seed,
            search_loss=record["search"]["loss"],
            report_loss=record["report"]["loss"],
            search_valid=record["search"]["valid"],
            report_valid=record["report"]["valid"],
            seconds=record["run"]["seconds"],
        )


def _summary(grades: Grades) -> dict[str, Any]:
    if grades.higher_is_better:
        raise UsageError(f"{grades.grader} is better when higher; the size of the lowest loss is searched.", fix="Grade by a loss.")
    loss = grades.weighted_mean
    if not math.isfinite(loss):
        raise StudyError(
            f"None of {counted(len(grades.items), 'item')} of {grades.grader} has a value.", fix="See the reasons in its grades."
        )
    return {
        "grader": grades.grader,
        "loss": loss,
        "items": fingerprint(sorted(grades.items)),
        "n": len(grades.items),
        "valid": int(grades.valid.sum()),
        "truncated": grades.truncated,
        "unit": grades.unit,
    }


def _flaml() -> Any:
    with warnings.catch_warnings():
        # That flaml.automl is not installed, which is not needed.
        warnings.simplefilter("ignore")
        # Without optuna BlendSearch ends in a bare AssertionError.
        require("optuna", needed_by="BlendSearch")
        return require("flaml", needed_by="BlendSearch")


def _blend(flaml: Any, loss: Callable[[int], float], *, least: int, most: int, trials: int, seed: int) -> None:
    """Let BlendSearch ask for the losses of sizes. What it asks for next depends on losses and seed alone, never on the time they took."""

    def evaluated(trial: Mapping[str, Any]) -> dict[str, float]:
        # A NumPy scalar where the global search asks.
        return {"loss": loss(int(trial["n"]))}

    with _quiet("optuna", "flaml"):
        search = flaml.BlendSearch(
            metric="loss",
            mode="min",
            # The upper end is exclusive.
            space={"n": flaml.tune.lograndint(least, most + 1)},
            low_cost_partial_config={"n": least},
            cost_attr=None,
            seed=seed,
        )
        flaml.tune.run(evaluated, metric="loss", mode="min", search_alg=search, num_samples=trials, verbose=0)


@contextmanager
def _quiet(*names: str) -> Iterator[None]:
    """Loggers without their notices until the block ends."""
    loggers = [logging.getLogger(name) for name in names]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def read_search(folder: str | Path) -> dict[str, Any]:
    """A size search as plain data, from the files of its fine-tunes.

    Only sizes of which every seed has ended are counted, and how the sizes were chosen is not known.

    Raises:
        ScoresError: the folder has no size search, or none of its sizes is finished.
    """
    place = Path(folder)
    absent = Refusal(ScoresError, "Give the folder of a size search.")
    configuration = read_json(place / CONFIGURATION, SearchRecord, absent)["configuration"]
    again = Refusal(ScoresError, "Run the size search again.", noun="a fine-tune of a size search")
    # Those that failed are told apart by their name.
    files = [file for file in sorted(place.glob("size*-seed*.json")) if not file.name.endswith(FAILED)]
    digest = fingerprint(configuration)
    rows: dict[int, dict[int, SizeRow]] = {}
    units = set()
    for file in files:
        record = read_json(file, SizeRecord, again)
        if record.pop("digest") != fingerprint(record) or record["configuration"] != digest:
            raise again.of(file, "it is damaged, or of another search")
        search, report = record["search"], record["report"]
        rows.setdefault(record["size"], {})[record["seed"]] = SizeRow(
            size=record["size"],
            rows=record["rows"],
            seed=record["seed"],
            search_loss=search["loss"],
            report_loss=report["loss"],
            search_valid=search["valid"],
            report_valid=report["valid"],
            seconds=0.0,
        )
        units.add(search["unit"])
    seeds = sorted({seed for by_seed in rows.values() for seed in by_seed})
    complete = [size for size in sorted(rows) if sorted(rows[size]) == seeds]
    if not complete:
        raise ScoresError(f"No size of the search in {place} is finished with all its seeds.", fix="Run the size search again.")
    curve = SizeCurve(
        rows=tuple(rows[size][seed] for size in complete for seed in seeds),
        search=configuration["grader"]["name"],
        report=configuration["report"]["name"],
        unit=units.pop() if len(units) == 1 else "",
        least=complete[0],
        most=complete[-1],
        configuration=configuration,
    )
    left = sorted(set(rows) - set(complete))
    notes = [f"Not counted, because some of their seeds have not ended: {', '.join(f'{size:,}' for size in left)} rows."] if left else []
    return {**curve.as_dict(), "method": None, "warnings": [*curve.warnings, *notes]}


__all__ = ["SizeSettings", "grid_sizes", "search_size"]
