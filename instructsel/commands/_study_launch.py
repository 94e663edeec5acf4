"""What a study is launched with: its files, its recipe, and the trainer and the graders that are made of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from instructsel.errors import StudyError, UsageError
from instructsel.experiments.plan import TrainingSettings
from instructsel.pool import spec
from instructsel.stats.loss_units import AUTO, FLAGS
from instructsel.study.folder import CHECKPOINTS, Plan
from instructsel.study.study import MAX_NULL_FRACTION

if TYPE_CHECKING:
    from instructsel.protocols import Checkpoint, Grader, Trainer

MAX_SKIPPED_FRACTION: Final = 0.05
LAUNCH: Final = {"max_refused": "max_skipped_fraction"}
"""What launch settings of earlier releases are called now."""


@dataclass(frozen=True)
class LaunchSettings:
    """Launch settings: what trainer and grader are made of, and where the files are. What decides the result is in their fingerprints."""

    folder: Path
    """Of the study; not kept, as it may be moved."""
    pools: tuple[str, ...]
    scores: str | None
    """The score table; None for a study without indicators."""
    evaluation: str | list[str]
    """One evaluation file, or several, each an outcome."""
    base: str
    """A local folder, a hub id, or embedded."""
    revision: str | None = None
    preset: str = "paper-v1"
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of the recipe that differ from the preset."""
    precision: str = "auto"
    device: str = "auto"
    reading: Mapping[str, Any] = field(default_factory=dict)
    """How the pool is read."""
    max_null_fraction: float = MAX_NULL_FRACTION
    max_skipped_fraction: float = MAX_SKIPPED_FRACTION
    allow_contamination: bool = False
    """Whether evaluation examples may be in the pool."""
    loss_unit: str = AUTO
    """Of the loss that is measured, as the command line has it; auto is per token."""

    @property
    def evaluations(self) -> tuple[str, ...]:
        """All evaluation files."""
        return (self.evaluation,) if isinstance(self.evaluation, str) else tuple(self.evaluation)

    def as_dict(self) -> dict[str, Any]:
        """As plain data, without the folder."""
        return {key: getattr(self, key) for key in self.__dataclass_fields__ if key != "folder"}

    @property
    def training(self) -> TrainingSettings:
        """How every subset is trained on."""
        return TrainingSettings(
            self.base,
            self.revision,
            self.preset,
            self.changes,
            max_skipped_fraction=self.max_skipped_fraction,
            precision=self.precision,
            device=self.device,
        )

    @classmethod
    def of(cls, plan: Plan, folder: Path) -> LaunchSettings:
        """The launch settings in a plan.

        Raises:
            UsageError: it was not planned from the command line.
            StudyError: they are incomplete.
        """
        if plan.launch is None:
            raise UsageError(f"{folder} was planned from Python, without saying where its files are.", fix="Go on with run_study(…).")
        launch = {LAUNCH.get(key, key): value for key, value in plan.launch.items()}
        try:
            return cls(folder, **{**launch, "pools": tuple(launch["pools"])})
        except (KeyError, TypeError) as error:
            raise StudyError(f"The plan in {folder} does not say where its files are: {error}.", fix="Plan it again.") from error


def build(
    settings: LaunchSettings,
    progress: Callable[[int, int, float], None] | None = None,
    message: Callable[[str], None] | None = None,
) -> tuple[Trainer, Grader | Sequence[Grader]]:
    """The trainer and the grader of a study, or its graders, one a file and called by it.

    Args:
        settings: the launch settings.
        progress: called with steps done, steps in all and the loss of a training.
        message: called with what reading the evaluation set has to report.

    Raises:
        UsageError: a recipe that cannot be.
        PoolError: the evaluation set cannot be read.
        EnvironmentFault: an extra or a model is missing.
    """
    from instructsel.adapters.experiment import Adapters
    from instructsel.grading.graders.held_out_loss import HeldOutLoss, SharedCheckpoint

    toolkit = Adapters()
    recipe = toolkit.recipe(settings.training)
    trainer = toolkit.trainer(settings.training, recipe, settings.folder / CHECKPOINTS, progress)
    names = outcome_names(settings.evaluations)
    shared = SharedCheckpoint(len(names)) if len(names) > 1 else None
    graders = [
        HeldOutLoss(
            spec.Reading().read([file], message=message),
            name=name,
            max_length=recipe.max_length,
            device=settings.device,
            precision=settings.precision,
            unit=FLAGS[settings.loss_unit],
            template_date=recipe.template_date,
            shared=shared,
        )
        for file, name in zip(settings.evaluations, names, strict=True)
    ]
    return trainer, graders[0] if len(graders) == 1 else graders


def outcome_names(files: Sequence[str]) -> list[str]:
    """What the outcome of each evaluation file is called: the file, up to the first dot; of a single one, what it always was.

    Raises:
        UsageError: two files of one name.
    """
    from instructsel.grading.graders.held_out_loss import KIND

    if len(files) == 1:
        return [KIND]
    names = [Path(file).name.split(".")[0] for file in files]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise UsageError(f"Two evaluation files are called {twice}; outcomes are told apart by it.", fix="Name the files differently.")
    return names


def untouched_of(settings: LaunchSettings) -> Checkpoint:
    """The model that a study fine-tunes, as it is."""
    from instructsel.grading.checkpoint import checkpoint_of

    return checkpoint_of(settings.base, settings.revision)


__all__ = ["MAX_SKIPPED_FRACTION", "LaunchSettings", "build", "outcome_names", "untouched_of"]
