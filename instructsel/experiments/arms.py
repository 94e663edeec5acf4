"""The arms of an experiment: rows to train on, finished models, or finished results."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from instructsel.errors import UsageError
from instructsel.pool.spec import rows_digest
from instructsel.protocols import Checkpoint, Grades

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


@dataclass(frozen=True, eq=False)
class Arm:
    """What is compared: subsets to train on, models that are trained already, or finished grades."""

    name: str
    """As verdicts call it."""
    pools: tuple[Pool, ...] = ()
    """Rows to train on, a replicate each: one for a selection, several for random selection."""
    checkpoints: tuple[Checkpoint | tuple[Checkpoint, ...], ...] = ()
    """Models instead: one a replicate, or the seeds of a replicate together."""
    results: tuple[tuple[tuple[Grades, ...], ...], ...] = field(default=(), repr=False)
    """Grades of models that are gone, or by graders elsewhere, such as people: replicate by replicate, seed by seed, grader by grader. Beside
    rows or models they are further grades of the same runs."""
    result_labels: tuple[tuple[tuple[int, int], ...], ...] = field(default=(), repr=False)
    """Replicate and seed of each of `results` as messages number them; empty where they are counted from 0."""
    fixed: bool = False
    """Whether it is one model as it is, such as the base: no training of it could have come out otherwise."""
    selection_seconds: float | None = None
    """Seconds that choosing the rows took, scoring included; None where it is not known."""
    ranked_with: frozenset[str] = frozenset()
    """Digests of the models that ranked the rows, as far as it is known."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("An arm needs a name.")
        if (self.pools and self.checkpoints) or not (self.pools or self.checkpoints or self.results):
            raise UsageError(
                f"The arm {self.name} needs rows to train on, or models, or finished results; rows and models exclude each other.",
                fix="Give rows, or models, or results alone.",
            )
        if self.result_labels and [len(labels) for labels in self.result_labels] != [len(seeds) for seeds in self.results]:
            raise UsageError(f"The arm {self.name} has other labels than results.")
        if self.fixed and (self.pools or [len(seeds) for seeds in self.models or self.results] != [1]):
            raise UsageError(f"The arm {self.name} is not one model as it is.", fix="Only a single model can be fixed.")

    @property
    def models(self) -> tuple[tuple[Checkpoint, ...], ...]:
        """Its checkpoints, replicate by replicate, seed by seed."""
        return tuple(seeds if isinstance(seeds, tuple) else (seeds,) for seeds in self.checkpoints)

    @property
    def labels(self) -> tuple[tuple[tuple[int, int], ...], ...]:
        """Replicate and seed of each of its results."""
        return self.result_labels or tuple(
            tuple((replicate, seed) for seed in range(len(seeds))) for replicate, seeds in enumerate(self.results)
        )

    @property
    def replicates(self) -> int:
        """How many subsets it has, whatever was made of them."""
        return len(self.pools or self.checkpoints or self.results)


@dataclass(frozen=True)
class Failure:
    """A run without a result."""

    run: str
    """Arm, replicate and seed."""
    reason: str
    """diverged, training, invalid_value, or no_grades."""
    message: str


__all__ = ["Arm", "Failure", "rows_digest"]
