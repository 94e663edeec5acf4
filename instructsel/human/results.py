"""People's judgments as grades: what `verify` reads of them.

A value is how often an arm's response was preferred on an item, in [0, 1], over the annotators of the item, each of whom saw the two
responses in an order of their own: 1 preferred by all, 0 the other by all, 0.5 ties, or as many on one side as on the other.

Of two arms, both have a value on each item, which add up to 1. Of more, there is a grader for each arm that was compared with all others, or
for every arm where none was: on its items that arm has 0.5, as a response compared with itself. A model that is called as `verify` calls
the runs of an arm, such as "selection (replicate 0, seed 1)", is that run.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.errors import ObservationsError
from instructsel.grading.clusters import clusters_of
from instructsel.grading.outputs import digest_of, unique_words
from instructsel.grading.results_grades import NO_ROW, ArmResults, Label
from instructsel.human.files import is_judgments, read_judgments
from instructsel.human.record import Record, latest
from instructsel.protocols import Grades

PEOPLE: Final = "people"
"""What the grades are called, alone or before the arm that was compared with."""
UNIT: Final = "preference"
RUN: Final = re.compile(r"(?P<arm>.+) \(replicate (?P<replicate>[0-9]{1,9}), seed (?P<seed>[0-9]{1,9})\)")
LONGEST_ITEM: Final = 200
BOTH_SAID: Final = "annotators_disagree"
AGAINST: Final = "against"
"""In the record of a grade: the arm that people compared with; None where two arms were compared."""

Run = tuple[str, Label]
"""Arm, and replicate with seed."""


@dataclass(frozen=True)
class _Side:
    """One judgment from the side of one of its two runs."""

    run: Run
    other: Run
    score: float
    on_left: bool
    length: int
    other_length: int
    unique: int
    """Different words of the response."""
    other_unique: int
    evaluator: str
    instance: str
    prompt: str


def run_of(model: str) -> Run:
    """The arm and run that a model's name says; a name that says none is an arm of one run.

    >>> run_of("selection (replicate 1, seed 2)"), run_of("tulu-65b")
    (('selection', (1, 2)), ('tulu-65b', (0, 0)))
    """
    match = RUN.fullmatch(model)
    return (model, (0, 0)) if match is None else (match["arm"], (int(match["replicate"]), int(match["seed"])))


def arms_in(path: str | Path) -> tuple[str, ...]:
    """The arms in a file of judgments, by name.

    Raises:
        ObservationsError: it cannot be read.
    """
    return tuple(sorted({run_of(model)[0] for record in _records(str(path)) for model in record.pair}))


def grades_of_people(chosen: Mapping[str, Sequence[tuple[str, str]]]) -> dict[str, ArmResults]:
    """The grades of arms that people judged.

    Args:
        chosen: arm → files of judgments, each with the name that the arm has there.

    Raises:
        ObservationsError: a file that cannot be read, or without the arm or a judgment.
    """
    files = list(dict.fromkeys(path for named in chosen.values() for path, _ in named))
    sides = list(_sides(record for path in files for record in _records(path)))
    for named in chosen.values():
        for path, name in named:
            if name not in arms_in(path):
                raise ObservationsError(f"{path} has no arm {name}; there are {', '.join(arms_in(path)[:8])}.", fix="Name one of these.")
    inside = {name: arm for arm, named in chosen.items() for _, name in named}
    sides = [side for side in sides if side.run[0] in inside and side.other[0] in inside and side.run[0] != side.other[0]]
    if not sides:
        raise ObservationsError(f"{', '.join(files)}: no two of the arms were judged against each other.", fix="Name arms that were.")
    by_run: dict[Run, list[Grades]] = {}
    for task, reference, part in _tasks(sides):
        for run, grades in _graded(task, reference, part, inside):
            by_run.setdefault(run, []).append(grades)
    return {inside[name]: _arranged({label: grades for (arm, label), grades in by_run.items() if arm == name}) for name in inside}


@lru_cache(maxsize=4)
def _read_once(path: str, size: int, changed: int) -> tuple[Record, ...]:
    return tuple(read_judgments(path))


def _records(path: str) -> tuple[Record, ...]:
    try:
        status = Path(path).stat()
    except (OSError, ValueError):
        # Refused as every file that is not there.
        return tuple(read_judgments(path))
    return _read_once(path, status.st_size, status.st_mtime_ns)


def _sides(records: Iterable[Record]) -> Iterator[_Side]:
    """Both sides of each judgment that counts."""
    for record in latest(records)[0]:
        if record.preference is None:
            continue
        models, texts = (record.model_a, record.model_b), (record.completion_a, record.completion_b)
        for place in (0, 1):
            yield _Side(
                run_of(models[place]),
                run_of(models[1 - place]),
                record.score_of(models[place]) or 0.0,
                place == 0,
                len(texts[place]),
                len(texts[1 - place]),
                unique_words(texts[place]),
                unique_words(texts[1 - place]),
                record.evaluator,
                record.instance_id if len(record.instance_id) <= LONGEST_ITEM else digest_of(record.instance_id),
                record.prompt or record.instance_id,
            )


def _tasks(sides: Sequence[_Side]) -> Iterator[tuple[str, str | None, list[_Side]]]:
    """Name, the arm that others are compared with, and judgments of each grader; of two arms none is the reference."""
    arms = sorted({side.run[0] for side in sides})
    if len(arms) == 2:
        yield PEOPLE, None, list(sides)
        return
    met = {arm: {side.other[0] for side in sides if side.run[0] == arm} for arm in arms}
    common = [arm for arm in arms if len(met[arm]) == len(arms) - 1]
    # Where all were compared with all, each is a reference; where one was with all others, it alone.
    for reference in common or arms:
        yield f"{PEOPLE} against {reference}", reference, [side for side in sides if reference in (side.run[0], side.other[0])]


def _graded(task: str, reference: str | None, sides: Sequence[_Side], inside: Mapping[str, str]) -> Iterator[tuple[Run, Grades]]:
    """The grades of each run by one grader, on the items that any run has."""
    prompts = {side.instance: side.prompt for side in sides}
    items = tuple(sorted(prompts))
    clusters = clusters_of(prompts[item] for item in items)
    judge = {"kind": PEOPLE, "name": PEOPLE, "annotators": len({side.evaluator for side in sides})}
    settings = {"judge": judge, "reference": {"generator": reference or "each other"}}
    by_run: dict[Run, dict[str, list[_Side]]] = {}
    for side in sides:
        by_run.setdefault(side.run, {}).setdefault(side.instance, []).append(side)
    for run, by_item in sorted(by_run.items()):
        itself = run[0] == reference
        judgments = [by_item.get(item, []) for item in items]
        values = [0.5 if itself else sum(side.score for side in of_item) / len(of_item) if of_item else 0.0 for of_item in judgments]
        reasons = tuple(None if of_item else NO_ROW for of_item in judgments)
        flags = Counter(BOTH_SAID for of_item in judgments if len({side.score for side in of_item}) > 1)
        record: dict[str, Any] = {
            "judge": judge,
            "settings": settings,
            "judged": {
                "judgments": sum(map(len, judgments)),
                "on_left": sum(side.on_left for of_item in judgments for side in of_item),
                "in_both_orders": sum(len({side.on_left for side in of_item}) == 2 for of_item in judgments),
            },
            "flags": {} if itself else dict(flags),
            # How annotators split, item by item, and what a judge calls the item: for how far graders agree.
            "votes": []
            if itself
            else [[sum(side.score == score for side in of_item) for score in (1.0, 0.5, 0.0)] for of_item in judgments],
            AGAINST: None if reference is None else inside[reference],
            "instructions": [digest_of(prompts[item]) for item in items],
            "lengths": {
                "output": [of_item[0].length if of_item else None for of_item in judgments],
                "reference": [(of_item[0].length if itself else of_item[0].other_length) if of_item else None for of_item in judgments],
                "unique_output": [of_item[0].unique if of_item else None for of_item in judgments],
                "unique_reference": [
                    (of_item[0].unique if itself else of_item[0].other_unique) if of_item else None for of_item in judgments
                ],
            },
        }
        grades = Grades(
            task,
            items,
            np.array(values),
            np.ones(len(items)),
            reasons if any(reasons) else (),
            unit=UNIT,
            higher_is_better=True,
            record=record,
            clusters=clusters,
        )
        yield run, grades


def _arranged(runs: Mapping[Label, Sequence[Grades]]) -> ArmResults:
    by_replicate: dict[int, list[Label]] = {}
    for label in sorted(runs):
        by_replicate.setdefault(label[0], []).append(label)
    labels = tuple(tuple(of_replicate) for of_replicate in by_replicate.values())
    return ArmResults(labels, tuple(tuple(tuple(runs[label]) for label in of_replicate) for of_replicate in labels))


__all__ = ["AGAINST", "PEOPLE", "arms_in", "grades_of_people", "is_judgments", "run_of"]
