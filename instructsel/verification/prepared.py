"""A plan whose arms and graders are loaded."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from instructsel.experiments.arms import Arm
from instructsel.experiments.plan import Experiment
from instructsel.experiments.toolkit import Runtime, Toolkit
from instructsel.pool.overlap import Overlap
from instructsel.protocols import Grader
from instructsel.verification.watch import Watch

WIN_RATE: Final = "win rate"
REWARD: Final = "reward"


@dataclass(frozen=True, eq=False)
class Prepared:
    """A plan whose arms and graders are loaded and checked, before anything is trained."""

    plan: Experiment
    toolkit: Toolkit
    folder: Path
    watch: Watch
    runtime: Runtime
    arms: tuple[Arm, ...]
    graders: tuple[Grader, ...]
    responses: Any
    """The grader that has models respond to instructions; None where there are none."""
    trainer: Any
    overlaps: tuple[Overlap, ...] = ()
    """What of each evaluation set stands in the rows of each arm."""

    @property
    def measured(self) -> list[Grader]:
        """What grades each model when it is trained."""
        return [*self.graders, *([] if self.responses is None else [self.responses])]

    @property
    def judges(self) -> list[str]:
        """What the grades of responses will be called."""
        grading = self.plan.grading
        return [*([WIN_RATE] if grading.judge or grading.annotator else []), *([REWARD] if grading.reward else [])]


__all__ = ["REWARD", "WIN_RATE", "Prepared"]
