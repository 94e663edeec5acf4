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
    """A draw each: one for a selection, several for random selection."""
    checkpoints: tuple[Checkpoint | tuple[Checkpoint, ...], ...] = ()
    """Models instead: one a draw, or the seeds of a draw together."""
    results: tuple[tuple[tuple[Grades, ...], ...], ...] = field(default=(), repr=False)
    """Grades instead, of models that are gone: draw by draw, seed by seed, grader by grader."""
    fixed: bool = False
    """Whether it is one model as it is, such as the base: no training of it could have come out otherwise."""
    selection_seconds: float | None = None
    """What choosing the rows took, scoring included; None where nobody knows."""
    ranked_with: frozenset[str] = frozenset()
    """Digests of the models that ranked the rows, as far as it is known."""

    def __post_init__(self) -> None:
        if not self.name:
            raise UsageError("An arm has a name.")
        if sum(map(bool, (self.pools, self.checkpoints, self.results))) != 1:
            raise UsageError(
                f"The arm {self.name} has subsets to train on, or models, or finished results, and one of these alone.",
                fix="Give one of the three.",
            )
        if self.fixed and (self.pools or [len(each) for each in self.models or self.results] != [1]):
            raise UsageError(f"The arm {self.name} is not one model as it is.", fix="Only a single model can be fixed.")

    @property
    def models(self) -> tuple[tuple[Checkpoint, ...], ...]:
        """Its checkpoints, draw by draw."""
        return tuple(each if isinstance(each, tuple) else (each,) for each in self.checkpoints)

    @property
    def draws(self) -> int:
        """Subsets, whatever was made of them."""
        return len(self.pools or self.checkpoints or self.results)


@dataclass(frozen=True)
class Failure:
    """A run that came to nothing."""

    run: str
    """Arm, draw and seed."""
    reason: str
    """diverged, training, or no_grades."""
    message: str


__all__ = ["Arm", "Failure", "rows_digest"]
