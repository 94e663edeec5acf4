"""What every arm's models answer, kept once, and what judges and reward models make of it: the second half of a verification."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np

from instructsel.adapters.alpaca_eval import write_outputs
from instructsel.adapters.generate import Generator, Outputs, digest_of, distinct
from instructsel.adapters.judge import Judgments
from instructsel.artifact import fingerprint
from instructsel.errors import ObservationsError, StudyError, UsageError
from instructsel.protocols import Checkpoint, Grades
from instructsel.verification.arms import RunFolder, sealed, slug, unsealed
from instructsel.verification.verify import Run

ANSWERS: Final = "answers"
"""The grader that is none: it has the models answer."""
FOLDER: Final = "outputs"
JUDGED: Final = "judged_outputs"


@dataclass(frozen=True, eq=False)
class Answers:
    """A grader that has a checkpoint answer, and says no more of an answer than how many characters it has.

    The answers stand in the record, so that a judge may be asked later, and a second one after it, without another answer being
    written. More or fewer characters are no better: no verdict is to rest on these grades.
    """

    instructions: tuple[str, ...] = field(repr=False)
    """Each once."""
    generator: Generator = field(default_factory=Generator)
    name: str = field(default=ANSWERS, kw_only=True)
    """What the grades are called."""

    def __post_init__(self) -> None:
        if not self.instructions:
            raise UsageError(f"{self.name} has no instruction.", fix="Give a set with at least one.")
        distinct(self.instructions, self.name)

    @cached_property
    def items(self) -> tuple[str, ...]:
        """Digests of the instructions, in order."""
        return tuple(map(digest_of, self.instructions))

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Instructions and generator; no path."""
        return {"kind": ANSWERS, "items": fingerprint(list(self.items)), "n": len(self.items), "generator": self.generator.fingerprint}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """What the checkpoint answers.

        Raises:
            MissingExtra, ModelUnavailable, ModelRefused, UntrustedModel: see `Generator.outputs`.
        """
        made = self.generator.outputs(checkpoint, self.instructions)
        return Grades(
            self.name,
            self.items,
            np.array([0.0 if text is None else float(len(text)) for text in made.texts]),
            np.ones(len(made)),
            made.reasons if any(made.reasons) else (),
            unit="characters",
            higher_is_better=True,
            truncated=int(made.record.get("cut", 0)),
            record={"texts": list(made.texts), "generated": dict(made.record)},
        )

    def of(self, run: Run) -> Outputs:
        """The answers of a run that this grader graded.

        Raises:
            StudyError: the run has none, or those to other instructions.
        """
        grades = run.grades
        texts = grades.record.get("texts")
        if grades.items != self.items or not isinstance(texts, list) or len(texts) != len(self.items):
            raise StudyError(f"{run.name} has no answers to these instructions.", fix="Have its model answer them.")
        return Outputs(run.name, self.instructions, tuple(texts), grades.reasons, record=grades.record.get("generated") or {})


class OutputGrader(Protocol):
    """Whatever gives outputs a value: JudgedOutputs, RewardGrader."""

    @property
    def name(self) -> str:
        """What the grades are called."""
        ...

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        """What a grade depends on besides the outputs; no path."""
        ...

    def graded(self, outputs: Outputs) -> Grades:
        """The grades of outputs."""
        ...


def in_turn(outputs: Sequence[Outputs], *, name: str) -> Outputs:
    """The outputs of several models as those of one reference: each instruction is answered by one of them, by its digest.

    A single model of the random arm may happen to be a good or a bad one; taken in turn, all of them stand for the arm. A model
    that is compared with the reference meets itself in its share of the instructions, which are ties.

    Args:
        outputs: to the same instructions.
        name: of the reference.

    Raises:
        UsageError: no outputs.
        StudyError: models that answered different instructions.
    """
    if not outputs:
        raise UsageError("A reference needs at least one model's outputs.")
    asked = outputs[0].instructions
    if any(each.instructions != asked for each in outputs):
        raise StudyError("The models of the reference answered different instructions.", fix="Have all of them answer the same.")
    chosen = [int(digest_of(instruction)[:15], 16) % len(outputs) for instruction in asked]
    return Outputs(
        name,
        asked,
        tuple(outputs[which].texts[place] for place, which in enumerate(chosen)),
        tuple(outputs[which].reasons[place] for place, which in enumerate(chosen)),
        record={"models": [each.generator for each in outputs]},
    )


def judged(
    runs: Iterable[Run],
    answers: Answers,
    grader: OutputGrader,
    *,
    folder: str | Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Run]:
    """The answers of runs as a judge or reward model grades them; what stands in the folder is not graded again.

    Args:
        runs: of a verification; those graded by `answers` are judged.
        answers: that had the models answer.
        grader: JudgedOutputs or RewardGrader.
        folder: of the verification.
        progress: told how many runs are judged, and of how many.

    Raises:
        StudyError: a run that answered other instructions.
        What the judge raises: it refuses to judge, or cannot be reached.
    """
    place = RunFolder.of(folder)
    given = [run for run in runs if run.grades.grader == answers.name]
    made: list[Run] = []
    for number, run in enumerate(given, start=1):
        outputs = answers.of(run)
        named = slug(run.arm, run.draw, run.seed)
        key = fingerprint(
            {"outputs": outputs.digest, "cut": outputs.record.get("cut"), "grader": dict(grader.fingerprint), "name": grader.name}
        )
        kept = place.read(named, key)
        if kept is None:
            begun = time.monotonic()
            grades = grader.graded(outputs)
            about = {"arm": run.arm, "draw": run.draw, "seed": run.seed, "outputs": outputs.digest}
            kept = sealed(key, about, grades, {"grading_seconds": time.monotonic() - begun})
            place.write(named, kept)
        made.append(Run(run.arm, run.draw, run.seed, unsealed(grader.name, kept)))
        if progress is not None:
            progress(number, len(given))
    return made


def grades_of(judgments: Judgments, *, name: str = JUDGED) -> Grades:
    """Judgments that are there already as grades: the preference less 1.

    Raises:
        ObservationsError: no judgment, or an instruction twice.
    """
    rows = judgments.rows
    items = [digest_of(row.instruction) for row in rows]
    if not rows or len(set(items)) < len(items):
        raise ObservationsError("The annotations have no row, or an instruction twice.", fix="Give one row an instruction.")
    reasons = tuple(row.reason for row in rows)
    return Grades(
        name,
        tuple(items),
        np.array([0.0 if row.preference is None else row.preference - 1.0 for row in rows]),
        np.ones(len(rows)),
        reasons if any(reasons) else (),
        unit="preference",
        higher_is_better=True,
        record={
            "judge": dict(judgments.judge),
            "nulls": judgments.nulls,
            "flags": judgments.flags,
            "lengths": dict(judgments.record.get("lengths") or {}),
        },
    )


def write_answers(runs: Iterable[Run], answers: Answers, folder: str | Path) -> list[Path]:
    """Every run's answers as AlpacaEval's model outputs, a file a run under `outputs`.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    place = Path(folder) / FOLDER
    place.mkdir(parents=True, exist_ok=True)
    written = []
    for run in runs:
        if run.grades.grader == answers.name:
            path = place / f"{slug(run.arm, run.draw, run.seed)}.json"
            write_outputs(path, answers.of(run))
            written.append(path)
    return written


__all__ = ["ANSWERS", "Answers", "OutputGrader", "grades_of", "in_turn", "judged", "write_answers"]
