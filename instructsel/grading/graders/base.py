"""What graders of responses share: the instructions, the generator, and how values become grades."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import fingerprint
from instructsel.errors import UsageError
from instructsel.grading.clusters import clusters_of
from instructsel.grading.generation import Generator
from instructsel.grading.outputs import Outputs, digest_of, distinct
from instructsel.protocols import Checkpoint, Grades


@dataclass(frozen=True, eq=False)
class ResponseGrader(ABC):
    """A grader of what a checkpoint responds to a set of instructions; items are digests of the instructions, weights are 1.

    A subclass says its kind, unit and settings, and gives outputs their values:

        @dataclass(frozen=True, eq=False)
        class Shortness(ResponseGrader):
            kind = "shortness"
            unit = "1 / characters"

            def graded(self, outputs):
                texts = [outputs.of(instruction)[0] for instruction in self.instructions]
                values = [1 / (1 + len(text or "")) for text in texts]
                return self.grades(outputs, values, [None] * len(texts), record={})
    """

    kind: ClassVar[str]
    """What the fingerprint calls this grader."""
    unit: ClassVar[str]
    """Of the values."""
    higher_is_better: ClassVar[bool] = True

    instructions: tuple[str, ...] = field(repr=False)
    """Distinct texts."""
    generator: Generator = field(default_factory=Generator, kw_only=True)
    """How a checkpoint responds."""
    name: str = field(default="", kw_only=True)
    """What the grades are called; the grader's kind by default."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.kind)
        if not self.instructions:
            raise UsageError(f"{self.name} has no instruction to grade with.", fix="Give a set with at least one.")
        distinct(self.instructions, self.name)

    @cached_property
    def items(self) -> tuple[str, ...]:
        """Digests of the instructions, in order."""
        return tuple(map(digest_of, self.instructions))

    @cached_property
    def clusters(self) -> tuple[str, ...]:
        """The cluster of each item: instructions that differ in case, blanks or the form of a sign alone; empty where all differ."""
        return clusters_of(self.instructions)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What grades depend on besides the checkpoint: instructions, settings and generator; no path."""
        return {
            "kind": self.kind,
            "items": fingerprint(list(self.items)),
            "n": len(self.items),
            **self.settings(),
            "generator": self.generator.fingerprint,
        }

    def settings(self) -> Mapping[str, Any]:
        """What of the fingerprint is the subclass's."""
        return {}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        """The value of each response. The checkpoint is loaded, responds, and is freed before the responses are graded.

        Raises:
            MissingExtra, ModelUnavailable, ModelRefused, UntrustedModel: see `Generator.outputs` and the subclass.
        """
        return self.graded(self.generator.outputs(checkpoint, self.instructions))

    @abstractmethod
    def graded(self, outputs: Outputs) -> Grades:
        """The value of each response, for outputs that exist already."""

    def grades(
        self,
        outputs: Outputs,
        values: Sequence[float] | NDArray[np.float64],
        reasons: Sequence[str | None],
        *,
        record: Mapping[str, Any],
        truncated: int = 0,
    ) -> Grades:
        """Values and reasons as grades.

        Args:
            outputs: what was graded; its cut responses count as truncated.
            values: one for each instruction, 0 where there is a reason.
            reasons: why an instruction has no value, None where it has one.
            record: what the grader writes down.
            truncated: further responses of which the grading model did not see everything.
        """
        return Grades(
            self.name,
            self.items,
            np.asarray(values, dtype=np.float64),
            np.ones(len(self.items)),
            tuple(reasons) if any(reasons) else (),
            unit=self.unit,
            higher_is_better=self.higher_is_better,
            truncated=int(outputs.record.get("cut", 0)) + truncated,
            record=record,
            clusters=self.clusters,
        )


def counted(reasons: Sequence[str | None]) -> dict[str, int]:
    """Reason → how many items have no value for it."""
    return dict(sorted(Counter(reason for reason in reasons if reason is not None).items()))


__all__ = ["ResponseGrader", "counted"]
