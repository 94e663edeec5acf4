"""The grades in tables of results: arm by arm, run by run, task by task."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from instructsel.errors import ObservationsError
from instructsel.grading.results_table import Block, ResultsTable, TaskScale
from instructsel.protocols import Grades

AGGREGATED: Final = "aggregated"
"""Key of a record: the value is that of a whole run, so that there are no items to generalize from."""
WHOLE_RUN: Final = "all items"
"""The name of the one item of results per run."""
NO_VALUE: Final = "no_value"
"""Why an item has no value: its row has none."""
NO_ROW: Final = "no_row"
"""Why an item has no value: other runs have a row of it, and this one has none."""

Label = tuple[int, int]
"""Replicate and seed, as the table numbers them."""


@dataclass(frozen=True, eq=False)
class ArmResults:
    """The grades of an arm."""

    labels: tuple[tuple[Label, ...], ...]
    """Replicate by replicate, seed by seed: their numbers in the table."""
    grades: tuple[tuple[tuple[Grades, ...], ...], ...] = field(repr=False)
    """In the same order, a task each."""


@dataclass(frozen=True, eq=False)
class _Part:
    """The rows of one run and task, and where they stand."""

    arm: str
    label: Label
    table: ResultsTable
    block: Block


def grades_of_tables(chosen: Mapping[str, Sequence[tuple[ResultsTable, str]]]) -> dict[str, ArmResults]:
    """The grades of arms whose rows stand in tables; runs of a task are graded on the items that any of these arms has.

    Args:
        chosen: arm → tables, each with the name that the arm has there.

    Raises:
        ObservationsError: a table without the arm, a row that stands in two tables, or a task whose units, directions, clusters or
            sources differ; the rows are named.
    """
    tasks: dict[str, list[_Part]] = {}
    for arm, tables in chosen.items():
        for table, name in tables:
            if name not in table.arms:
                raise ObservationsError(f"{table.path} has no arm {name}; there are {', '.join(table.arms[:8])}.", fix="Name one of these.")
            for (of_arm, replicate, seed, task), block in table.blocks.items():
                if of_arm == name:
                    tasks.setdefault(task, []).append(_Part(arm, (replicate, seed), table, block))
    by_run: dict[str, dict[Label, list[Grades]]] = {arm: {} for arm in chosen}
    for task, parts in sorted(tasks.items()):
        for part, grades in _graded(task, parts):
            by_run[part.arm].setdefault(part.label, []).append(grades)
    return {arm: _arranged(runs) for arm, runs in by_run.items()}


def _arranged(runs: Mapping[Label, Sequence[Grades]]) -> ArmResults:
    by_replicate: dict[int, list[Label]] = {}
    for label in sorted(runs):
        by_replicate.setdefault(label[0], []).append(label)
    labels = tuple(tuple(of_replicate) for of_replicate in by_replicate.values())
    return ArmResults(labels, tuple(tuple(tuple(runs[label]) for label in of_replicate) for of_replicate in labels))


def _graded(task: str, parts: Sequence[_Part]) -> Iterator[tuple[_Part, Grades]]:
    """The grades of each run by one task."""
    merged = _merged(task, parts)
    scale = _one_scale(task, merged)
    higher = scale.higher(task)
    if not scale.per_item:
        for part in merged:
            yield part, _grades(task, (WHOLE_RUN,), {"": 0}, part.block, scale.unit, higher, record={AGGREGATED: True})
        return
    items = tuple(sorted({item for part in merged for item in part.block.items}))
    places = {item: place for place, item in enumerate(items)}
    clusters, sources = (_labels(task, merged, kind, items) for kind in ("clusters", "sources"))
    weights = {item: weight for part in merged for item, weight in zip(part.block.items, part.block.weights, strict=True)}
    for part in merged:
        grades = _grades(task, items, places, part.block, scale.unit, higher, usual=weights)
        yield part, replace(grades, clusters=clusters, sources=sources)


def _grades(
    task: str,
    items: tuple[str, ...],
    places: Mapping[str, int],
    block: Block,
    unit: str,
    higher: bool,
    *,
    usual: Mapping[str, float] | None = None,
    record: Mapping[str, bool] | None = None,
) -> Grades:
    """One run's grades by one task; an item without a row has its usual weight."""
    n = len(items)
    values, reasons = np.zeros(n), [NO_ROW] * n if len(block.items) < n else [""] * n
    weights = np.ones(n) if usual is None else np.array([usual[item] for item in items])
    for item, value, weight in zip(block.items, block.values, block.weights, strict=True):
        place = places[item]
        weights[place] = weight
        reasons[place] = NO_VALUE if value is None else ""
        values[place] = 0.0 if value is None else value
    absent = tuple(reason or None for reason in reasons)
    return Grades(task, items, values, weights, absent if any(absent) else (), unit=unit, higher_is_better=higher, record=record or {})


def _merged(task: str, parts: Sequence[_Part]) -> list[_Part]:
    """The parts, those of one run in several tables as one.

    Raises:
        ObservationsError: a row stands in two tables.
    """
    by_run: dict[tuple[str, Label], list[_Part]] = {}
    for part in parts:
        by_run.setdefault((part.arm, part.label), []).append(part)
    merged = []
    for (arm, label), of_run in by_run.items():
        places: dict[str, str] = {}
        for part in of_run if len(of_run) > 1 else ():
            for item, row in zip(part.block.items, part.block.rows, strict=True):
                where = part.table.where(row)
                if (before := places.setdefault(item, where)) != where:
                    of_item = f", item {item}" if item else ""
                    raise ObservationsError(
                        f"{where}: {arm}, replicate {label[0]}, seed {label[1]}, task {task}{of_item} stands in {before} already.",
                        fix="Keep one of the two rows.",
                    )
        first = of_run[0]
        if len(of_run) > 1:
            block = Block(*([entry for part in of_run for entry in getattr(part.block, name)] for name in Block.__dataclass_fields__))
            first = replace(first, block=block)
        merged.append(first)
    return merged


def _one_scale(task: str, parts: Sequence[_Part]) -> TaskScale:
    """What a task's values mean in all tables.

    Raises:
        ObservationsError: other things in another.
    """
    scales = [part.table.scales[task] for part in parts]
    first = scales[0]
    for scale in scales:
        if str(scale) != str(first):
            raise ObservationsError(
                f"{scale.where}: {task} has values of two kinds: {scale}; and in {first.where}: {first}.",
                fix="Call them otherwise, or give all values of a task in one way.",
            )
    return first


def _labels(task: str, parts: Sequence[_Part], kind: str, items: Sequence[str]) -> tuple[str, ...]:
    """The cluster or source of each item; empty where no row names one.

    Raises:
        ObservationsError: an item is in one in this row and in another in that one, or only some rows name one.
    """
    known: dict[str, tuple[str | None, _Part, int]] = {}
    for part in parts:
        for item, label, row in zip(part.block.items, getattr(part.block, kind), part.block.rows, strict=True):
            before, other, line = known.setdefault(item, (label, part, row))
            if before != label:
                raise ObservationsError(
                    f"{part.table.where(row)}: {task}, item {item} has the {kind[:-1]} {label or 'none'}, and {before or 'none'} in "
                    f"{other.table.where(line)}.",
                    fix=f"Give an item the same {kind[:-1]} in every run.",
                )
    labels = [known[item][0] for item in items]
    if not any(labels):
        return ()
    for item in items:
        label, part, row = known[item]
        if label is None:
            raise ObservationsError(
                f"{part.table.where(row)}: {task}, item {item} has no {kind[:-1]}, and others have one.",
                fix=f"Name the {kind[:-1]} of every item of the task, or of none.",
            )
    return tuple(str(label) for label in labels)


__all__ = ["AGGREGATED", "ArmResults", "grades_of_tables"]
