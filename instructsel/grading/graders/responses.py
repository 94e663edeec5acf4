"""What a checkpoint responds, stored once, so that judges and reward models can grade it any number of times."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from instructsel.errors import StudyError
from instructsel.grading.graders.base import ResponseGrader
from instructsel.grading.outputs import Outputs
from instructsel.protocols import Grades


@dataclass(frozen=True, eq=False)
class Responses(ResponseGrader):
    """A grader that has a checkpoint respond, and measures the length of each response in characters.

    The responses stand in the record, so that a judge can grade them later, and a second one after it, without generating
    them again. Longer is not better: no verdict should rest on these grades.
    """

    kind: ClassVar[str] = "answers"
    """Its name in results of 0.1, which are read."""
    unit: ClassVar[str] = "characters"

    def graded(self, outputs: Outputs) -> Grades:
        """The length of each response, for outputs that exist already."""
        texts, reasons = zip(*(outputs.of(instruction) for instruction in self.instructions), strict=True)
        lengths = [float(len(text or "")) for text in texts]
        return self.grades(outputs, lengths, reasons, record={"texts": list(texts), "generated": dict(outputs.record)})

    def of(self, grades: Grades, name: str) -> Outputs:
        """The responses in grades of this grader.

        Args:
            grades: as `grade` made them, or as they were stored.
            name: of the model.

        Raises:
            StudyError: the grades have no responses, or those to other instructions.
        """
        texts = grades.record.get("texts")
        if grades.items != self.items or not isinstance(texts, list) or len(texts) != len(self.items):
            raise StudyError(f"{name} has no responses to these instructions.", fix="Generate its responses to them.")
        record: dict[str, Any] = grades.record.get("generated") or {}
        return Outputs(name, self.instructions, tuple(texts), grades.reasons, record=record)


__all__ = ["Responses"]
