"""What models answer, kept once, so that judges and reward models can grade it as often as one likes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from instructsel.artifact import fingerprint
from instructsel.errors import ObservationsError, StudyError, UsageError
from instructsel.grading.generation import Generator, Instructed, Outputs, digest_of
from instructsel.grading.judge import Judgments
from instructsel.protocols import Checkpoint, Grades

RESPONSES: Final = "answers"
"""The grader that is none: it has the models answer."""
JUDGED: Final = "judged_outputs"


@dataclass(frozen=True, eq=False)
class Responses(Instructed):
    """A grader that has a checkpoint answer, and says no more of an answer than how many characters it has.

    The answers stand in the record, so that a judge may be asked later, and a second one after it, without another answer being
    written. More or fewer characters are no better: no verdict is to rest on these grades.
    """

    generator: Generator = field(default_factory=Generator)
    name: str = field(default=RESPONSES, kw_only=True)
    """What the grades are called."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """Instructions and generator; no path."""
        return {"kind": RESPONSES, "items": fingerprint(list(self.items)), "n": len(self.items), "generator": self.generator.fingerprint}

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

    def of(self, grades: Grades, name: str) -> Outputs:
        """The answers in grades of this grader.

        Args:
            grades: as `grade` made them, or as they were kept.
            name: of the model.

        Raises:
            StudyError: there are none, or those to other instructions.
        """
        texts = grades.record.get("texts")
        if grades.items != self.items or not isinstance(texts, list) or len(texts) != len(self.items):
            raise StudyError(f"{name} has no answers to these instructions.", fix="Have its model answer them.")
        return Outputs(name, self.instructions, tuple(texts), grades.reasons, record=grades.record.get("generated") or {})


def rotating_reference(outputs: Sequence[Outputs], *, name: str) -> Outputs:
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


def grades_of(judgments: Judgments, *, name: str = JUDGED, official: Mapping[str, float] | None = None) -> Grades:
    """Judgments that are there already as grades: the preference less 1.

    Args:
        judgments: of one model.
        name: of the grades.
        official: AlpacaEval's own length-controlled win rate, where it is known.

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
            "settings": {"judge": dict(judgments.judge), "reference": dict(judgments.record.get("reference") or {})},
            "nulls": judgments.nulls,
            "flags": judgments.flags,
            "lengths": dict(judgments.record.get("lengths") or {}),
            "of_alpaca_eval": bool(judgments.record.get("official")),
            "official": None if official is None else dict(official),
        },
    )


__all__ = ["RESPONSES", "Responses", "grades_of", "rotating_reference"]
