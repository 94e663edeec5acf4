"""The table of grades: arm, replicate, seed, grader, item, value."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import fingerprint
from instructsel.errors import StudyError, UsageError
from instructsel.grading.judge import name_of
from instructsel.grading.results_grades import AGGREGATED
from instructsel.protocols import Grades
from instructsel.stats.clusters import linearised
from instructsel.stats.loss_units import BITS_PER_BYTE, NATS_PER_TOKEN, LossTotals
from instructsel.stats.variance import ArmValues
from instructsel.structured import Refusal
from instructsel.text import excerpt
from instructsel.verification.verdict import Scale

if TYPE_CHECKING:
    import polars as pl

SHORT: Final = 40
"""Characters of a setting that a message shows."""
DIGITS: Final = 12
"""Of a digest that a message shows."""

NAMED: Final = 3
"""Runs or items a message names before it counts the rest."""


EXPLAINING: Final = ("limit", "seed")
"""What of a record explains other items or prompts; by itself it changes no number."""


Label = tuple[str, int, int]


SCHEMA: Final = {
    "arm": "String",
    "replicate": "Int64",
    "seed": "Int64",
    "grader": "String",
    "item": "String",
    "value": "Float64",
    "weight": "Float64",
    "reason": "String",
    "cluster": "String",
    "source": "String",
    "nats": "Float64",
    "tokens": "Float64",
    "bytes": "Float64",
}
"""Column → its polars type."""
RATIOS: Final = {"nats_per_token": NATS_PER_TOKEN, "bits_per_byte": BITS_PER_BYTE}
"""Key of a run's mean → the unit of its ratio of totals."""
TOTALS: Final = ("nats", "tokens", "bytes")
"""Columns of a loss: what its values are made of; null for other grades."""


@dataclass(frozen=True, eq=False)
class Run:
    """One trained model's grades by one grader."""

    arm: str
    """The selection or baseline it was trained on."""
    replicate: int
    """Which subset of the arm: a selection has one, random selection several."""
    seed: int
    """Of the training."""
    grades: Grades
    """Item by item."""
    seconds: float = 0.0
    """What a judge or reward model took, where one graded the run's responses."""

    @property
    def name(self) -> str:
        """As messages name it."""
        return _named((self.arm, self.replicate, self.seed))


@dataclass(frozen=True, eq=False)
class _Table:
    """One grader's values as an array."""

    labels: tuple[Label, ...]
    items: tuple[str, ...]
    values: NDArray[np.float64]  # (runs, items), NaN where there is none
    weights: NDArray[np.float64]  # (runs, items)
    clusters: tuple[str | None, ...]  # (items,), None where it has no name
    totals: tuple[LossTotals | None, ...] = ()  # by run

    @classmethod
    def of(cls, frame: pl.DataFrame) -> Self:
        """Of a frame sorted by run and item in which all runs have the same items."""
        frame = with_labels(frame)
        labels = tuple(frame.select("arm", "replicate", "seed").unique(maintain_order=True).rows())
        shape = (len(labels), len(frame) // len(labels))
        return cls(
            labels,
            tuple(frame["item"].head(shape[1]).to_list()),
            frame["value"].fill_null(math.nan).to_numpy().reshape(shape),
            frame["weight"].to_numpy().reshape(shape),
            tuple(frame["cluster"].head(shape[1]).to_list()),
            tuple(_totals(frame[start : start + shape[1]]) for start in range(0, len(frame), shape[1])),
        )

    def rows(self, arm: str) -> NDArray[np.bool_]:
        """(runs,), which are of an arm."""
        return np.array([name == arm for name, _, _ in self.labels], dtype=bool)

    def complete(self, arm: str) -> NDArray[np.bool_]:
        """(items,), which have a value in all runs of an arm."""
        return np.array(np.isfinite(self.values[self.rows(arm)]).all(axis=0), dtype=bool)

    def values_of(self, arm: str, items: NDArray[np.bool_], weighted: bool) -> ArmValues:
        """An arm's values on these items."""
        rows = self.rows(arm)
        replicates = tuple(replicate for name, replicate, _ in self.labels if name == arm)
        values = self.values[rows][:, items]
        weights = self.shared_weights(items) if weighted and items.any() else None
        if weights is not None:
            values = linearised(values, weights)
        return ArmValues(arm, replicates, values, clusters=self.codes(items), weights=weights)

    def codes(self, items: NDArray[np.bool_]) -> NDArray[np.int64] | None:
        """(items kept,), the number of each item's cluster, from 0; None where every one stands alone."""
        # An item without a name is a cluster of its own.
        names = [
            item if cluster is None else f"cluster {cluster}"
            for item, cluster, used in zip(self.items, self.clusters, items.tolist(), strict=True)
            if used
        ]
        numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
        return np.array([numbers[name] for name in names], dtype=np.int64) if len(numbers) < len(names) else None

    def shared_weights(self, items: NDArray[np.bool_]) -> NDArray[np.float64]:
        """(items kept,), their weights, mean 1."""
        weights = self.weights[:, items]
        if (weights != weights[0]).any():
            raise UsageError("The weights of items differ from run to run.", fix="Compare without weights.")
        if not (weights[0] >= 0).all() or not weights[0].sum() > 0:
            raise UsageError("The weights of items are not all at least 0, or all 0.", fix="Compare without weights.")
        shared: NDArray[np.float64] = weights[0] / weights[0].mean()
        return shared

    def missing(self) -> dict[str, int]:
        """Arm → items without a value, over its runs."""
        absent = (~np.isfinite(self.values)).sum(axis=1).tolist()
        by_arm: Counter[str] = Counter()
        for (arm, _, _), count in zip(self.labels, absent, strict=True):
            by_arm[arm] += count
        return dict(sorted(by_arm.items()))

    def means(self) -> list[dict[str, Any]]:
        """Of each run, over the items it has a value for."""
        means = []
        for (arm, replicate, seed), values, totals in zip(self.labels, self.values, self.totals, strict=True):
            finite = np.isfinite(values)
            valid = values[finite].tolist()
            means.append(
                {
                    "arm": arm,
                    "replicate": replicate,
                    "seed": seed,
                    "items": len(valid),
                    "mean": math.fsum(valid) / len(valid) if valid else None,
                    # Of all items together: sum over sum.
                    **({} if totals is None else {name: totals.ratio(unit, finite) for name, unit in RATIOS.items()}),
                }
            )
        return means


def _totals(frame: pl.DataFrame) -> LossTotals | None:
    """The totals of one run; None where its grades have none."""
    columns = [frame[name] for name in TOTALS]
    return None if any(column.null_count() for column in columns) else LossTotals(*(column.to_numpy() for column in columns))


def _named(label: Label) -> str:
    return f"{label[0]} (replicate {label[1]}, seed {label[2]})"


def _scale(grader: str, runs: Collection[Run], *, unit_note: str = "", allow_unlike: bool = False) -> Scale:
    scales = {(run.grades.unit, run.grades.higher_is_better) for run in runs}
    if len(scales) > 1:
        named = ", ".join(f"{unit or 'no unit'} ({'higher' if higher else 'lower'} is better)" for unit, higher in sorted(scales))
        raise StudyError(f"{grader} has values of several kinds: {named}.", fix="Grade all models in the same way.")
    judges = _distinct(runs, "judge")
    if len(judges) > 1:
        named = ", ".join(f"{excerpt(name_of(judge), SHORT)} of {run.name}" for run, judge in judges[:NAMED])
        raise StudyError(
            f"{grader} has the judgments of {len(judges)} judges: {named}{', …' if len(judges) > NAMED else ''}.",
            fix="Have one judge judge all models: judges differ.",
        )
    unit, higher = scales.pop()
    unlike = _unlike(grader, runs, allow_unlike)
    aggregated = {bool(run.grades.record.get(AGGREGATED)) for run in runs}
    if len(aggregated) > 1:
        raise StudyError(f"{grader} has values of whole runs and of items.", fix="Give all values of a task in one way.")
    truncated = sum(run.grades.truncated for run in runs)
    return Scale(unit, higher, truncated, _settings(grader, runs), unlike, unit_note, aggregated=aggregated.pop())


def _settings(grader: str, runs: Collection[Run]) -> Mapping[str, Any] | None:
    """How all models were graded, where it was written down.

    Raises:
        StudyError: not all of them in the same way: values of two tasks, shots or references are no comparison of models.
    """
    known = _distinct(runs, "settings")
    for first, run, differing in _contradictions(known):
        # Why other items were graded, or other prompts made, before the digest that shows it.
        records = first.grades.record, run.grades.record
        differing = [
            f"{key} {_short(records[0].get(key))} and {_short(records[1].get(key))}"
            for key in EXPLAINING
            if all(key in record for record in records) and records[0][key] != records[1][key]
        ] + differing
        raise StudyError(
            f"{grader} graded {first.name} and {run.name} in different ways: {'; '.join(differing[:NAMED])}"
            + (f"; and {len(differing) - NAMED} more." if len(differing) > NAMED else "."),
            fix="Grade all models in the same way.",
        )
    # The one that says the most: that of an earlier release says less.
    return max((settings for _, settings in known), key=lambda settings: len(str(settings)), default=None)


def _unlike(grader: str, runs: Collection[Run], allowed: bool) -> tuple[str, ...]:
    """In which of batch size, number format, device, backend and release runs differ, in words.

    Raises:
        StudyError: they differ, and that is not allowed.
    """
    contradictions = list(_contradictions(_distinct(runs, "computed_with")))
    if contradictions and not allowed:
        first, run, differing = contradictions[0]
        raise StudyError(
            f"{grader} was computed in different ways for {first.name} and {run.name}: {'; '.join(differing)}.",
            fix="Grade all models in the same way, or say that it may differ with --allow-unlike (allow_unlike in a plan).",
        )
    return tuple(dict.fromkeys(difference for _, _, differing in contradictions for difference in differing))


def _distinct(runs: Collection[Run], key: str) -> list[tuple[Run, Mapping[str, Any]]]:
    """What the records of runs say under a key, each content once, with the first run of it."""
    known: dict[str, tuple[Run, Mapping[str, Any]]] = {}
    for run in runs:
        stated = run.grades.record.get(key)
        if stated:
            known.setdefault(fingerprint(stated), (run, stated))
    return list(known.values())


def _contradictions(known: Sequence[tuple[Run, Mapping[str, Any]]]) -> Iterator[tuple[Run, Run, list[str]]]:
    """Pairs of runs whose records contradict each other, and where."""
    for (first, stated), (second, other) in itertools.combinations(known, 2):
        if differing := list(_differing(stated, other)):
            yield first, second, differing


def _differing(one: Any, other: Any, path: tuple[str, ...] = ()) -> Iterator[str]:
    """Where two settings differ, in words. Where a record may say less than another, what it does not say is no difference."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        may_lack = (not path and {"tasks", "batch_size"} & one.keys() & other.keys()) or (len(path) == 2 and path[0] == "tasks")
        for key in [*one, *(key for key in other if key not in one)]:
            if not may_lack or (key in one and key in other):
                yield from _differing(one.get(key), other.get(key), (*path, str(key)))
    elif one != other and path[-1] in ("hash", "digest") and len(path) > 1:
        what = f"the documents, prompts or targets of {path[-2]}" if path[-1] == "hash" else f"the texts of the {path[-2]}"
        yield f"{what}, by their digests {str(one)[:DIGITS]} and {str(other)[:DIGITS]}"
    elif one != other:
        yield f"{' '.join(path)} {_short(one)} and {_short(other)}"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= SHORT else text[: SHORT - 1] + "…"


def _items(grader: str, runs: Mapping[Label, Run]) -> tuple[str, ...]:
    """The items of a grader, sorted, if all runs were graded on the same ones."""
    sets = {label: frozenset(run.grades.items) for label, run in runs.items()}
    # The items most runs have; where as many have others, those of the run that comes first by name.
    counts = Counter(sets.values())
    usual = sets[max(sorted(sets), key=lambda label: counts[sets[label]])]
    other = [label for label in sorted(sets) if sets[label] != usual]
    if other:
        named = ", ".join(_named(label) for label in other[:NAMED]) + (f" and {len(other) - NAMED} more" if len(other) > NAMED else "")
        differing = sorted(sets[other[0]] ^ usual)
        raise StudyError(
            f"{grader} graded {named} on other items than the rest: {', '.join(differing[:NAMED])}"
            + (f" and {len(differing) - NAMED} more." if len(differing) > NAMED else "."),
            fix="Grade all models on the same items; an item without a value has a reason.",
        )
    if not usual:
        raise StudyError(f"{grader} graded no item.", fix="Give it items.")
    return tuple(sorted(usual))


def _frame(
    runs: Mapping[Label, Run], items: tuple[str, ...], clusters: Sequence[str | None], sources: Sequence[str | None]
) -> pl.DataFrame:
    """The rows of a grader's runs, by label and then in the order of `items`, which is that of `clusters` and `sources`."""
    import polars as pl

    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA}
    for label in sorted(runs):
        grades = runs[label].grades
        order = sorted(range(len(grades.items)), key=lambda place: grades.items[place])
        reasons = [grades.reasons[place] for place in order] if grades.reasons else [None] * len(order)
        n = len(items)
        for name, value in zip(("arm", "replicate", "seed", "grader"), (*label, grades.grader), strict=True):
            columns[name] += [value] * n
        columns["item"] += items
        columns["value"] += [
            None if reason is not None else value for value, reason in zip(grades.values[order].tolist(), reasons, strict=True)
        ]
        columns["weight"] += grades.weights[order].tolist()
        columns["reason"] += reasons
        columns["cluster"] += clusters
        columns["source"] += sources
        for name in TOTALS:
            columns[name] += [None] * n if grades.totals is None else getattr(grades.totals, name)[order].tolist()
    return pl.DataFrame(columns, schema={name: getattr(pl, kind) for name, kind in SCHEMA.items()})


def with_labels(frame: pl.DataFrame) -> pl.DataFrame:
    """A table of the last release, which had neither clusters, sources nor totals, with these columns, all null."""
    import polars as pl

    added = ("cluster", "source", *TOTALS)
    absent = [pl.lit(None, getattr(pl, SCHEMA[name])).alias(name) for name in added if name not in frame.columns]
    return frame.with_columns(absent) if absent else frame


def checked_grades(frame: pl.DataFrame, graders: Collection[str], where: object, refusal: Refusal) -> pl.DataFrame:
    """The table of grades that was read, if it has a row for every run and item of each grader, in order.

    Args:
        frame: with today's columns.
        graders: that the manifest names.
        where: it was read, for the message.
        refusal: how it is refused.

    Raises:
        InstructselError: of the refusal's class.
    """
    import polars as pl

    from instructsel.tables import Column, checked_columns

    nullable = ("value", "reason", "cluster", "source", *TOTALS)
    kinds: dict[str, Any] = {"String": "text", "Int64": "whole", "Float64": "number"}
    frame = checked_columns(frame, {name: Column(kinds[kind], name in nullable) for name, kind in SCHEMA.items()}, where, refusal)
    if any((frame[name] < 0).any() for name in TOTALS):
        raise refusal.of(where, f"its columns {', '.join(TOTALS)} should hold numbers from 0")
    named = set(frame["grader"].unique().to_list())
    if named != set(graders) or not named:
        raise refusal.of(where, f"it holds grades of {excerpt(', '.join(sorted(named)) or 'no grader')}, and its manifest names others")
    for grader in named:
        rows = frame.filter(pl.col("grader") == grader)
        labels = rows.select("arm", "replicate", "seed").rows()
        runs = list(dict.fromkeys(labels))
        items = rows["item"].head(len(rows) // len(runs)).to_list()
        in_order = labels == [run for run in runs for _ in items] and rows["item"].to_list() == items * len(runs)
        if not in_order or len(set(items)) != len(items):
            raise refusal.of(where, f"{excerpt(grader)} should have one row for every run and item, in their order")
    return frame


def shared_labels(grader: str, runs: Mapping[Label, Run], kind: str, items: tuple[str, ...]) -> list[str | None]:
    """The cluster or source of each item, in the order of `items`, if all runs that name one name the same.

    Args:
        grader: whose runs these are.
        runs: by label.
        kind: `clusters` or `sources`.
        items: all of the grader, sorted.

    Raises:
        StudyError: an item is in one cluster in this run and in another in that one.
    """
    first: Label | None = None
    shared: dict[str, str] = {}
    for label in sorted(runs):
        grades = runs[label].grades
        # Runs recorded by an earlier release name none: clusters are of the items, so those of the other runs hold for them.
        label_of = dict(zip(grades.items, getattr(grades, kind), strict=False))
        if not label_of:
            continue
        if first is None:
            first, shared = label, label_of
        elif label_of != shared:
            item = next(item for item in items if label_of[item] != shared[item])
            raise StudyError(
                f"{grader} has other {kind} for {_named(label)} than for {_named(first)}: {item} is in {label_of[item]} and in {shared[item]}.",
                fix="Grade all models on the same items in the same way.",
            )
    return [shared.get(item) for item in items]
