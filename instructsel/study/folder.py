"""A study's folder: its plan, its observations, and a record for each run that ended."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

from instructsel.artifact import atomic_write, checked_version, dump_json, fingerprint, release
from instructsel.errors import ScoresError, StudyError
from instructsel.experiments.store import RUNS, RecordStore
from instructsel.kinds import STUDY_PLAN, head
from instructsel.shapes import Misfit, checked, is_path
from instructsel.structured import Refusal, read_json
from instructsel.study.foreseen import Foreseen
from instructsel.study.shape import PlanRecord, RunRecord
from instructsel.text import counted, excerpt

PLAN: Final = "plan.json"
TABLE: Final = "study.parquet"
CHECKPOINTS: Final = "checkpoints"

AGAIN: Final = "Plan the study again, in another folder."
PER_INDICATOR: Final = 10
"""Subsets that each indicator of a fit should have."""
ALIKE: Final = 1e-9
"""Relative to their size: means that differ less do not vary."""


@dataclass(frozen=True)
class Run:
    """A subset and the seed it is trained with."""

    subset: str
    seed: int

    @property
    def name(self) -> str:
        """What its files are called."""
        return f"{self.subset}-seed{self.seed}"


@dataclass(frozen=True, eq=False)
class Plan:
    """What a study will do, before anything is trained."""

    configuration: Mapping[str, Any]
    """`pool`, `scores`, `design`, `trainer`, `grader`: everything an observation depends on, without a path."""
    subsets: tuple[Mapping[str, Any], ...]
    """Per subset `name`, `design`, `rows`, `counts` and `shares` of sources, `drawn`, `redraws`, `seed`, `indicator`, `ids` (their
    digest), `means` and `nulls` of the indicators."""
    launch: Mapping[str, Any] | None = field(default=None, repr=False)
    """Launch settings: where pool, scores and models are, for the command line; no part of the hash."""
    overlap: tuple[str, ...] = field(default=(), repr=False)
    """Warnings of evaluation instructions that are in the pool; known where the plan is made, and not written down."""
    foreseen: Foreseen | None = field(default=None, repr=False)
    """What the trainer could make of the pool and of each subset; known where the plan is made, if the trainer says so."""

    @cached_property
    def hash(self) -> str:
        """blake2b-128 over configuration and subsets."""
        return fingerprint({"configuration": self.configuration, "subsets": self.subsets})

    @property
    def symbols(self) -> tuple[str, ...]:
        """The indicators, in the order of the score table."""
        return tuple(self.configuration["scores"]["symbols"])

    @property
    def seeds(self) -> tuple[int, ...]:
        """Of training."""
        return tuple(self.configuration["design"]["seeds"])

    @property
    def sources(self) -> tuple[str, ...]:
        """The sources that subsets are drawn from, by name."""
        return tuple(sorted({source for subset in self.subsets for source in subset["counts"]}))

    @cached_property
    def runs(self) -> tuple[Run, ...]:
        """In the order they are done: every subset with the first seed, then with the next; an arm that has a replicate with its number."""
        return tuple(Run(subset["name"], subset.get("replicate", seed)) for seed in self.seeds for subset in self.subsets)

    @property
    def of_sources(self) -> Mapping[str, Any] | None:
        """The part of the design that shows what each source is worth; None where there is none."""
        kinds = {subset["design"] for subset in self.subsets if "arm" in subset}
        return next((part for part in self.configuration["design"].get("parts", ()) if part["design"] in kinds), None)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """The names of the graders."""
        grader = self.configuration["grader"]
        return tuple(entry["name"] for entry in grader.get("outcomes", (grader,)))

    @cached_property
    def by_name(self) -> dict[str, Mapping[str, Any]]:
        """The subsets by name."""
        return {subset["name"]: subset for subset in self.subsets}

    @cached_property
    def leases(self) -> dict[Run, Run]:
        """Run → the first run with the same rows and seed, whose lease both take: a trainer makes one checkpoint of the two."""
        first: dict[str, str] = {}
        for subset in self.subsets:
            first.setdefault(subset["ids"], subset["name"])
        return {run: Run(first[self.by_name[run.subset]["ids"]], run.seed) for run in self.runs}

    def identity(self, run: Run) -> dict[str, Any]:
        """What a record says that is of this plan's run."""
        return {"configuration": self.hash, "ids": self.by_name[run.subset]["ids"], "subset": run.subset, "seed": run.seed}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Symbol → the least and the greatest mean of a subset: as far as a fit will see."""
        means = {symbol: [subset["means"][symbol] for subset in self.subsets if subset["rows"]] for symbol in self.symbols}
        return {symbol: (min(values), max(values)) for symbol, values in means.items()}

    def warnings(self) -> list[str]:
        """What to doubt about the plan, in sentences."""
        warnings = []
        if len(self.subsets) < PER_INDICATOR * len(self.symbols):
            several = f"each of {len(self.symbols)} indicators" if len(self.symbols) > 1 else "an indicator"
            warnings.append(f"{len(self.subsets)} subsets are fewer than {PER_INDICATOR} for {several}: weights will be uncertain.")
        for symbol, (least, greatest) in self.ranges().items():
            if greatest - least <= ALIKE * max(abs(least), abs(greatest)):
                warnings.append(f"{symbol} has the same mean in every subset: nothing can be fitted to it.")
        same = len(self.subsets) - len({subset["ids"] for subset in self.subsets})
        if same:
            warnings.append(f"{same} subsets hold the same rows as another: they are no observations of their own.")
        mixtures = [subset for subset in self.subsets if subset["drawn"]]
        redrawn = sum(subset["redraws"] > 0 for subset in mixtures)
        if redrawn:
            warnings.append(
                f"The shares of {redrawn} of {len(mixtures)} mixtures were drawn again, {sum(subset['redraws'] for subset in mixtures):,} times "
                "in all, because a source was too small: mixtures hold less of small sources than a uniform draw."
            )
        if mixtures and all(len(subset["counts"]) == 1 for subset in mixtures):
            warnings.append("The mixtures are random subsets of one source: their means hardly differ, and a fit sees little.")
        for symbol, count in self.configuration["scores"]["nulls"].items():
            if count:
                warnings.append(
                    f"{symbol} is null in {counted(count, 'row')} of the pool: means leave them out, and they are in no bin of {symbol}."
                )
        part = self.of_sources
        if part is not None and part["replicates"] == 1:
            warnings.append("There is one replicate: nothing will say how much runs vary, and no effect will have an interval.")
        elif part is not None and part["replicates"] == 2:
            warnings.append("There are two replicates: intervals will be wide, and narrower with a third.")
        refused = [] if self.foreseen is None else self.foreseen.warnings(len(self.subsets))
        return [*warnings, *refused, *self.overlap]

    def differences(self, other: Plan) -> list[str]:
        """What of this plan's configuration another one does not share, in words."""
        differences = []
        for part in ("pool", "scores", "design", "trainer", "grader"):
            ours, theirs = self.configuration[part], other.configuration[part]
            if ours != theirs:
                keys = sorted(key for key in {*ours, *theirs} if ours.get(key) != theirs.get(key))
                differences.append(f"{part} ({', '.join(keys[:4])}{', …' if len(keys) > 4 else ''})")
        if not differences and self.hash != other.hash:
            differences.append(f"subsets (drawn by another release than {release()})")
        return differences

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain data, with its hash."""
        return {
            **head(STUDY_PLAN),
            "instructsel": release(),
            "hash": self.hash,
            "configuration": self.configuration,
            "subsets": list(self.subsets),
            "launch": self.launch,
        }

    @classmethod
    def of(cls, content: Any, source: str | Path) -> Self:
        """The plan that `as_dict` gave.

        Args:
            content: what was read.
            source: from which file, for the message.

        Raises:
            StudyError: it is none, was changed by hand, or a newer release wrote it.
        """
        try:
            checked_version(content, source)
        except ScoresError as error:
            raise StudyError(error.message, fix=AGAIN if "newer" not in error.message else error.fix) from error
        refusal = Refusal(StudyError, AGAIN, noun="the plan of a study")
        try:
            checked(content, PlanRecord)
        except Misfit as misfit:
            raise refusal.of(source, str(misfit)) from misfit
        # Earlier releases called the launch settings wiring.
        plan = cls(content["configuration"], tuple(content["subsets"]), content.get("launch", content.get("wiring")))
        if content["hash"] != plan.hash:
            raise StudyError(f"{source} was changed after the study was planned.", fix=AGAIN)
        for subset in plan.subsets:
            if any(symbol not in subset[key] for symbol in plan.symbols for key in ("means", "nulls")):
                raise refusal.of(
                    source, f"the subset {excerpt(subset['name'])} should have a mean and a count of nulls for every indicator"
                )
        for noun, names in (("subsets", [subset["name"] for subset in plan.subsets]), ("seeds", plan.seeds)):
            if not names or len(set(names)) != len(names):
                raise refusal.of(source, f"it should have different {noun}, one at least")
        if not all(is_path(f"{run.name}.failed.json") and "/" not in run.name for run in plan.runs):
            raise refusal.of(source, "the name of a subset should be one that a file can have")
        return plan


@dataclass(frozen=True)
class StudyStatus:
    """How far a study is."""

    finished: Mapping[Run, Mapping[str, Any]]
    """Run → its record, in the order of the plan."""
    failed: Mapping[Run, Mapping[str, Any]]
    """Run → its record; runs that finished later are not here."""
    running: tuple[Run, ...]
    """Not finished, and leased by a worker that lives."""
    total: int
    """Runs planned."""

    @property
    def pending(self) -> int:
        """Runs that neither finished nor failed."""
        return self.total - len(self.finished) - len(self.failed)

    @property
    def seconds(self) -> float | None:
        """The mean of the finished runs; None where there is none."""
        times = [record["run"]["seconds"] for record in self.finished.values()]
        return sum(times) / len(times) if times else None

    def seconds_left(self, workers: int) -> float | None:
        """Seconds that so many workers need for what is pending, if runs go on taking as long; None before the first has finished."""
        return None if self.seconds is None else self.seconds * self.pending / max(1, workers)


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study: its plan, its observations, and a record for each run that ended."""

    path: Path

    @property
    def plan_file(self) -> Path:
        """The plan."""
        return self.path / PLAN

    @property
    def table(self) -> Path:
        """The observations."""
        return self.path / TABLE

    @property
    def store(self) -> RecordStore:
        """The records of its runs."""
        return RecordStore(self.path / RUNS, RunRecord, indented=True)

    def read(self) -> Plan | None:
        """The plan; None where there is none.

        Raises:
            StudyError: it cannot be read, or is none.
        """
        content = read_json(self.plan_file, Any, Refusal(StudyError, AGAIN), missing=None)
        return None if content is None else Plan.of(content, self.plan_file)

    def write(self, plan: Plan) -> None:
        """Write the plan.

        Raises:
            EnvironmentFault: the folder cannot be made, or the disk is full.
        """
        RecordStore.of(self.path)
        with atomic_write(self.plan_file) as file:
            file.write(dump_json(plan.as_dict(), indent=True) + b"\n")

    def finished(self, plan: Plan, run: Run) -> Mapping[str, Any] | None:
        """The record of a run that finished; None where there is none, it is damaged, or of another plan."""
        return self.store.read(run.name, plan.identity(run))

    def failed(self, plan: Plan, run: Run) -> Mapping[str, Any] | None:
        """The record of a run that failed; None where there is none."""
        return self.store.read(run.name, plan.identity(run), failed=True)

    def status(self, plan: Plan) -> StudyStatus:
        """How far the study is now."""
        finished = {run: record for run in plan.runs if (record := self.finished(plan, run)) is not None}
        failed = {run: record for run in plan.runs if run not in finished and (record := self.failed(plan, run)) is not None}
        leased = self.store.leased()
        running: dict[Run, Run] = {}
        for run in plan.runs:
            if run not in finished and plan.leases[run].name in leased:
                running.setdefault(plan.leases[run], run)
        return StudyStatus(finished, failed, tuple(running.values()), len(plan.runs))


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a message: the first ones, and how many more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


__all__ = ["Plan", "Run", "StudyFolder", "StudyStatus", "listed"]
