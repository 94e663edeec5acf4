"""Train, grade, record: the loop over runs that every experiment shares."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instructsel.artifact import fingerprint
from instructsel.experiments.arms import Arm, rows_digest
from instructsel.experiments.store import RunFolder, sealed, slug
from instructsel.protocols import Grader, Trainer

if TYPE_CHECKING:
    pass


@dataclass(frozen=True)
class _Work:
    """One model to be graded."""

    arm: Arm
    draw: int
    seed: int

    @property
    def name(self) -> str:
        return self.called(self.arm.name, self.draw, self.seed)

    @staticmethod
    def called(arm: str, draw: int, seed: int) -> str:
        """As messages name it."""
        return f"{arm} draw {draw} seed {seed}"

    @property
    def slug(self) -> str:
        """A file's name for it."""
        return slug(self.arm.name, self.draw, self.seed)

    @property
    def trained_on(self) -> str:
        """A digest of the rows, or of the weights."""
        if self.arm.pools:
            return rows_digest(self.arm.pools[self.draw].ids)
        return self.arm.models[self.draw][self.seed].digest


def _works(arm: Arm, seeds: Sequence[int]) -> Iterator[_Work]:
    for draw in range(len(arm.pools)):
        yield from (_Work(arm, draw, seed) for seed in seeds)
    for draw, models in enumerate(arm.models):
        yield from (_Work(arm, draw, seed) for seed in range(len(models)))


def _key(work: _Work, trainer: Trainer | None, grader: Grader) -> str:
    """What a grade depends on."""
    made_by = None if trainer is None or not work.arm.pools else dict(trainer.fingerprint)
    return fingerprint(
        {"rows": work.trained_on, "trainer": made_by, "seed": work.seed, "grader": dict(grader.fingerprint), "name": grader.name}
    )


def _graded(
    work: _Work, trainer: Trainer | None, graders: Sequence[Grader], place: RunFolder, *, keep_checkpoints: bool
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Train once, grade by each, write each down before the next."""
    begun = time.monotonic()
    if work.arm.checkpoints or trainer is None:
        checkpoint, training = work.arm.models[work.draw][work.seed], 0.0
    else:
        checkpoint = trainer.train(work.arm.pools[work.draw], seed=work.seed)
        training = time.monotonic() - begun
    for grader in graders:
        begun = time.monotonic()
        grades = grader.grade(checkpoint)
        told = {"training_seconds": training, "grading_seconds": time.monotonic() - begun}
        trained = {key: checkpoint.record.get(key) for key in ("steps", "tokens_seen", "tokens_trained", "rows_seen", "audit")}
        about = {"arm": work.arm.name, "draw": work.draw, "seed": work.seed, "weights": checkpoint.digest, "training": trained}
        record = sealed(_key(work, trainer, grader), about, grades, told)
        place.write(work.slug, record)
        yield grader.name, record
    if work.arm.pools and not keep_checkpoints:
        checkpoint.discard()
