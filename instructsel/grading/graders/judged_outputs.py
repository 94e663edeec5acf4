"""A judge as a grader: how often it prefers a checkpoint's response to the reference's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from instructsel.errors import ObservationsError
from instructsel.grading.clusters import clusters_of
from instructsel.grading.graders.base import ResponseGrader
from instructsel.grading.judge.compare import compare
from instructsel.grading.judge.judgments import CIRCULAR, Judge, Judgments
from instructsel.grading.outputs import Outputs, digest_of, unique_words
from instructsel.protocols import Grades

KIND = "judged_outputs"
UNIT = "preference"


@dataclass(frozen=True, eq=False)
class JudgedOutputs(ResponseGrader):
    """A grader: how often a judge prefers a checkpoint's response to the reference's, instruction by instruction.

    A value is the preference less 1, in [0, 1]: 1 the checkpoint's response, 0 the reference's, 0.5 a tie. The record counts
    cut responses, missing values, disagreements and suspicious responses, and has the lengths of both responses in characters and in
    unique words, item by item, for length control. A judge whose weights also ranked the arm is a leakage, and the record says so.
    """

    kind: ClassVar[str] = KIND
    unit: ClassVar[str] = UNIT

    reference: Outputs = field(repr=False)
    """The reference's outputs; for a selection, those of the random arm."""
    judge: Judge
    """PairwiseJudge, AlpacaEval, or another."""
    ranked_with: frozenset[str] = field(default=frozenset(), kw_only=True)
    """Digests of the models that ranked the arms."""

    def settings(self) -> dict[str, Any]:
        """Reference and judge."""
        return {"reference": self.reference.digest, "judge": dict(self.judge.fingerprint)}

    def graded(self, outputs: Outputs) -> Grades:
        """What the judge prefers, for outputs that exist already.

        Raises:
            What the judge raises.
        """
        judgments = compare(self.judge, outputs, self.reference, instructions=self.instructions)
        return self.grades(
            outputs,
            values_of(judgments),
            [row.reason for row in judgments.rows],
            record={
                "judge": dict(judgments.judge),
                "settings": {
                    "judge": dict(judgments.judge),
                    "reference": {"generator": self.reference.generator, "digest": self.reference.digest},
                },
                "models": sorted(self.judge.digests),
                "judged": dict(judgments.record),
                "generated": dict(outputs.record),
                "nulls": judgments.nulls,
                "flags": judgments.flags,
                "lengths": {
                    f"{prefix}{side}": self._counts(responses, count)
                    for side, responses in (("output", outputs), ("reference", self.reference))
                    for prefix, count in (("", len), ("unique_", unique_words))
                },
                CIRCULAR: bool(self.judge.digests & self.ranked_with),
            },
        )

    def _counts(self, outputs: Outputs, count: Callable[[str], int]) -> list[int | None]:
        texts = [outputs.of(instruction)[0] for instruction in self.instructions]
        return [None if text is None else count(text) for text in texts]


def values_of(judgments: Judgments) -> list[float]:
    """The preference less 1 for each instruction, 0 where there is none."""
    return [0.0 if row.preference is None else row.preference - 1.0 for row in judgments.rows]


def grades_of(judgments: Judgments, *, name: str = KIND, official: Mapping[str, float] | None = None) -> Grades:
    """Existing judgments as grades: the preference less 1.

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
        np.array(values_of(judgments)),
        np.ones(len(rows)),
        reasons if any(reasons) else (),
        unit=UNIT,
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
        clusters=clusters_of(row.instruction for row in rows),
    )


__all__ = ["JudgedOutputs", "grades_of", "values_of"]
