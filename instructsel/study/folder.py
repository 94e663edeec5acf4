"""A study's folder: its plan, a file for each run that ended, and who is at work on which.

The files are the whole state, so that any number of workers can come, go and be killed. Every file is written whole and sealed
with its own digest; only the worker that holds the claim of a run writes or moves that run's files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import orjson

from instructsel.artifact import SCHEMA_VERSION, atomic_write, checked_version, dump_json, fingerprint, sweep
from instructsel.errors import EnvironmentFault, ScoresError, StudyError
from instructsel.experiments.leases import Claims
from instructsel.tables import release

KIND: Final = "study-plan"
PLAN: Final = "plan.json"
TABLE: Final = "study.parquet"
CHECKPOINTS: Final = "checkpoints"
RUNS: Final = "runs"
DAMAGED: Final = ".damaged"

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
    wiring: Mapping[str, Any] | None = field(default=None, repr=False)
    """Where pool, scores and models are, for the command line; no part of the hash."""

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
        """In the order they are done: every subset with the first seed, then with the next."""
        return tuple(Run(subset["name"], seed) for seed in self.seeds for subset in self.subsets)

    @cached_property
    def by_name(self) -> dict[str, Mapping[str, Any]]:
        """The subsets by name."""
        return {subset["name"]: subset for subset in self.subsets}

    @cached_property
    def claims(self) -> dict[Run, Run]:
        """Run → the first run with the same rows and seed, whose claim both take: a trainer makes one checkpoint of the two."""
        first: dict[str, str] = {}
        for subset in self.subsets:
            first.setdefault(subset["ids"], subset["name"])
        return {run: Run(first[self.by_name[run.subset]["ids"]], run.seed) for run in self.runs}

    def ranges(self) -> dict[str, tuple[float, float]]:
        """Symbol → the least and the greatest mean of a subset: as far as a fit will see."""
        means = {symbol: [subset["means"][symbol] for subset in self.subsets] for symbol in self.symbols}
        return {symbol: (min(values), max(values)) for symbol, values in means.items()}

    def cautions(self) -> list[str]:
        """What to doubt about the plan, in sentences."""
        found = []
        if len(self.subsets) < PER_INDICATOR * len(self.symbols):
            several = f"each of {len(self.symbols)} indicators" if len(self.symbols) > 1 else "an indicator"
            found.append(f"{len(self.subsets)} subsets are fewer than {PER_INDICATOR} for {several}: weights will be uncertain.")
        for symbol, (least, greatest) in self.ranges().items():
            if greatest - least <= ALIKE * max(abs(least), abs(greatest)):
                found.append(f"{symbol} has the same mean in every subset: nothing can be fitted to it.")
        same = len(self.subsets) - len({subset["ids"] for subset in self.subsets})
        if same:
            found.append(f"{same} subsets hold the same rows as another: they are no observations of their own.")
        mixtures = [subset for subset in self.subsets if subset["drawn"]]
        redrawn = sum(subset["redraws"] > 0 for subset in mixtures)
        if redrawn:
            found.append(
                f"The shares of {redrawn} of {len(mixtures)} mixtures were drawn again, {sum(each['redraws'] for each in mixtures):,} times "
                "in all, because a source was too small: mixtures hold less of small sources than a uniform draw."
            )
        if mixtures and all(len(subset["counts"]) == 1 for subset in mixtures):
            found.append("The mixtures are random subsets of one source: their means hardly differ, and a fit sees little.")
        for symbol, count in self.configuration["scores"]["nulls"].items():
            if count:
                found.append(f"{symbol} is null in {count:,} rows of the pool: means leave them out, and they are in no bin of {symbol}.")
        return found

    def differences(self, other: Plan) -> list[str]:
        """What of this plan's configuration another one does not share, in words."""
        found = []
        for part in ("pool", "scores", "design", "trainer", "grader"):
            mine, its = self.configuration[part], other.configuration[part]
            if mine != its:
                keys = sorted(key for key in {*mine, *its} if mine.get(key) != its.get(key))
                found.append(f"{part} ({', '.join(keys[:4])}{', …' if len(keys) > 4 else ''})")
        if not found and self.hash != other.hash:
            found.append(f"subsets (drawn by another release than {release()})")
        return found

    def as_dict(self) -> dict[str, Any]:
        """The plan as plain data, with its hash."""
        return {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "instructsel": release(),
            "hash": self.hash,
            "configuration": self.configuration,
            "subsets": list(self.subsets),
            "wiring": self.wiring,
        }

    @classmethod
    def of(cls, plain: Any, where: str | Path) -> Self:
        """The plan that `as_dict` gave.

        Args:
            plain: what was read.
            where: from which file, for the message.

        Raises:
            StudyError: it is none, was changed by hand, or a newer release wrote it.
        """
        try:
            checked_version(plain, where)
        except ScoresError as error:
            raise StudyError(error.message, fix=AGAIN if "newer" not in error.message else error.fix) from error
        try:
            found = cls(plain["configuration"], tuple(plain["subsets"]), plain["wiring"])
            whole = plain["kind"] == KIND and plain["hash"] == found.hash
        except (KeyError, TypeError) as error:
            raise StudyError(f"{where} is not the plan of a study.", fix=AGAIN) from error
        if not whole:
            raise StudyError(f"{where} was changed after the study was planned.", fix=AGAIN)
        return found


@dataclass(frozen=True)
class Survey:
    """How far a study is."""

    finished: Mapping[Run, Mapping[str, Any]]
    """Run → its record, in the order of the plan."""
    failed: Mapping[Run, Mapping[str, Any]]
    """Run → its record; runs that finished later are not here."""
    running: tuple[Run, ...]
    """Not finished, and claimed by a worker that lives."""
    total: int
    """Runs planned."""

    @property
    def left(self) -> int:
        """Runs that neither finished nor failed."""
        return self.total - len(self.finished) - len(self.failed)

    @property
    def seconds(self) -> float | None:
        """The mean of the finished runs; None where there is none."""
        times = [record["run"]["seconds"] for record in self.finished.values()]
        return sum(times) / len(times) if times else None

    def seconds_left(self, workers: int) -> float | None:
        """Seconds that so many workers need for what is left, if runs go on taking as long; None before the first has finished."""
        return None if self.seconds is None else self.seconds * self.left / max(1, workers)


@dataclass(frozen=True)
class StudyFolder:
    """The files of one study."""

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
    def runs(self) -> Path:
        """The folder of runs."""
        return self.path / RUNS

    @property
    def claims(self) -> Claims:
        """Who is at work on which run."""
        return Claims(self.runs)

    def file(self, run: Run, ending: str = ".json") -> Path:
        """A run's file: its record, or `.failed.json`."""
        return self.runs / f"{run.name}{ending}"

    def read(self) -> Plan | None:
        """The plan; None where there is none.

        Raises:
            StudyError: it cannot be read, or is none.
        """
        try:
            return Plan.of(orjson.loads(self.plan_file.read_bytes()), self.plan_file)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, orjson.JSONDecodeError) as error:
            raise StudyError(f"{self.plan_file} cannot be read: {error}.", fix=AGAIN) from error

    def write(self, plan: Plan) -> None:
        """Write the plan.

        Raises:
            EnvironmentFault: the folder cannot be made, or the disk is full.
        """
        try:
            self.runs.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentFault(
                f"Cannot make the folder {self.runs}: {error.strerror or error}.", fix="Choose another place with -o."
            ) from error
        with atomic_write(self.plan_file) as file:
            file.write(dump_json(plan.as_dict(), indent=True) + b"\n")

    def tidy(self, plan: Plan) -> None:
        """Remove what killed workers left half written, and their claims of runs that finished."""
        # Not in the folder itself, which may be the user's own; there every write sweeps after its own name.
        sweep(self.runs)
        claimed = set(self.claims.names())
        for run in plan.runs:
            # A live one that took the same name in between is no loss: what it claims is finished.
            if run.name in claimed and all(self.finished(plan, each) for each, first in plan.claims.items() if first == run):
                self.claims.tidy(run.name)

    def finished(self, plan: Plan, run: Run) -> Mapping[str, Any] | None:
        """The record of a run that finished; None where there is none, it is damaged, or of another plan."""
        return self._record(plan, run, ".json")

    def failed(self, plan: Plan, run: Run) -> Mapping[str, Any] | None:
        """The record of a run that failed; None where there is none."""
        return self._record(plan, run, ".failed.json")

    def record(self, plan: Plan, run: Run, told: Mapping[str, Any], *, failed: bool = False) -> None:
        """Write down what came of a run, for good. Its claim must be held.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        whole = {
            "schema_version": SCHEMA_VERSION,
            "configuration": plan.hash,
            "ids": plan.by_name[run.subset]["ids"],
            "subset": run.subset,
            "seed": run.seed,
            **told,
        }
        with atomic_write(self.file(run, ".failed.json" if failed else ".json")) as file:
            file.write(dump_json({**whole, "digest": fingerprint(whole)}, indent=True) + b"\n")
        if not failed:
            self.file(run, ".failed.json").unlink(missing_ok=True)

    def set_aside(self, run: Run) -> Path | None:
        """Move a record that cannot be used out of the way; where it went. Its claim must be held."""
        path = self.file(run)
        if not path.exists():
            return None
        target = path.with_name(path.name + DAMAGED)
        os.replace(path, target)
        return target

    def survey(self, plan: Plan) -> Survey:
        """How far the study is now."""
        finished = {run: record for run in plan.runs if (record := self.finished(plan, run)) is not None}
        failed = {run: record for run in plan.runs if run not in finished and (record := self.failed(plan, run)) is not None}
        alive: dict[Run, Run] = {}
        claimed = set(self.claims.names())
        for run in plan.runs:
            name = plan.claims[run].name
            if run not in finished and name in claimed and self.claims.busy(name):
                alive.setdefault(plan.claims[run], run)
        return Survey(finished, failed, tuple(alive.values()), len(plan.runs))

    def busy(self, plan: Plan, run: Run) -> bool:
        """Whether a worker that lives has claimed the run."""
        return self.claims.busy(plan.claims[run].name)

    @contextmanager
    def claimed(self, plan: Plan, run: Run) -> Iterator[bool]:
        """Whether the run is this worker's alone until the block ends; it is not while another one lives that claimed it."""
        with self.claims.held(plan.claims[run].name) as mine:
            yield mine

    def _record(self, plan: Plan, run: Run, ending: str) -> Mapping[str, Any] | None:
        try:
            whole = orjson.loads(self.file(run, ending).read_bytes())
        except (FileNotFoundError, orjson.JSONDecodeError):
            return None
        if not isinstance(whole, dict) or whole.pop("digest", None) != fingerprint(whole):
            return None
        agrees = whole.get("configuration") == plan.hash and whole.get("ids") == plan.by_name[run.subset]["ids"]
        return whole if agrees and (whole.get("subset"), whole.get("seed")) == (run.subset, run.seed) else None


def listed(names: Sequence[str], most: int = 5) -> str:
    """Names for a message: the first ones, and how many more."""
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


__all__ = ["Plan", "Run", "StudyFolder", "Survey", "listed"]
