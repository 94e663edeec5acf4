"""What a plan needs that the engine does not have: a trainer, the graders of other projects, and readers of their results.

The engine imports no adapter. `instructsel.adapters.experiment` has the toolkit of TRL, lm-evaluation-harness and AlpacaEval; who
trains or grades otherwise passes one of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from instructsel.experiments.plan import GradingSettings, TrainingSettings
from instructsel.grading.outputs import Outputs
from instructsel.protocols import Grader, Grades, Trainer
from instructsel.rendering import TEMPLATE_DATE


@dataclass(frozen=True)
class Runtime:
    """Where models run, and how long their rows may be."""

    device: str
    """cpu, cuda or auto."""
    precision: str
    """fp32, bf16 or auto."""
    max_length: int | None
    """Tokens of a row."""
    template_date: str = TEMPLATE_DATE
    """What chat templates that write the date are told that today is."""


class Toolkit(Protocol):
    """Makes trainers and graders of settings."""

    def recipe(self, training: TrainingSettings) -> Any:
        """The recipe of all arms: `max_length`, one of `epochs`, `steps`, `tokens`, and `as_dict()`.

        Raises:
            UsageError: a preset or a setting that there is not.
        """
        ...

    def trainer(self, training: TrainingSettings, recipe: Any, folder: Path, progress: Callable[[int, int, float], None] | None) -> Trainer:
        """A trainer by that recipe.

        Args:
            training: base, precision, device.
            recipe: as `recipe` gave it.
            folder: under which checkpoints are made.
            progress: called with steps done, steps in all, and the last loss.
        """
        ...

    def tasks(self, grading: GradingSettings, runtime: Runtime, samples: Path) -> list[Grader]:
        """A grader for each task and metric; data that cannot be had shows here, before anything is trained.

        Args:
            grading: which tasks, and how.
            runtime: where models run.
            samples: folder of what every model said to every item.
        """
        ...

    def annotator(self, grading: GradingSettings, folder: Path) -> Any:
        """The judge that `grading.annotator` names, with its replies in a folder."""
        ...

    def results(self, path: str, grading: GradingSettings) -> tuple[Grades, ...]:
        """The grades in finished results.

        Raises:
            UsageError: no results there.
            ObservationsError, ScoresError: results that cannot be read.
        """
        ...

    def incomplete(self, arms: Mapping[str, Sequence[Grades]]) -> list[str]:
        """What is to be said of finished results that are not of a whole benchmark, in sentences."""
        ...

    def check(self, grading: GradingSettings) -> None:
        """Refuse files of graders that are not there.

        Raises:
            UsageError: a file is missing.
        """
        ...

    def write_outputs(self, path: Path, outputs: Outputs) -> None:
        """Write a model's responses in the form that others read."""
        ...

    def judged(self, grades: Sequence[Grades], outputs: Sequence[Outputs], grader: Any, grading: GradingSettings) -> list[Grades]:
        """Judged grades, with a benchmark's own statistic of them in their records where there is one.

        Args:
            grades: of a judge, a model each.
            outputs: the responses that were judged, in the same order.
            grader: whose grades they are.
            grading: where the benchmark's files are.
        """
        ...


__all__ = ["Runtime", "Toolkit"]
