"""Contamination: what models are graded on and trained on, checked before anything is trained."""

from __future__ import annotations

from typing import Any

from instructsel.pool.evaluation_texts import Render
from instructsel.pool.example import Example
from instructsel.pool.overlap import EvaluationIndex, Overlap
from instructsel.pool.pool import Pool
from instructsel.pool.task_overlap import documents_of, task_overlaps


def render_of(trainer: Any) -> Render | None:
    """What the base of a trainer sees of an example, where the trainer has a `chat_template`; it is loaded for the first example."""
    if not hasattr(type(trainer), "chat_template"):
        return None

    def text(example: Example) -> str | None:
        seen: str | None = trainer.chat_template.text(example)
        return seen

    return text


def check_graders(pool: Pool, *graders: Any, render: Render | None = None, allow: bool = False) -> list[str]:
    """Compare what graders grade on with the rows to train on: their `pool`, as `HeldOutLoss` has, or their `documents`, as tasks have.

    Others do not show it.

    Args:
        pool: the rows to train on.
        graders: of the checkpoints.
        render: what the model sees of an example.
        allow: whether conversations may be in both.

    Returns:
        A warning for each set and level, with the grader's name where there are several.

    Raises:
        StudyError: conversations of an evaluation set are in the pool, and that is not allowed.
    """
    overlaps: list[tuple[str, Overlap]] = []
    for grader in graders:
        evaluation = getattr(grader, "pool", None)
        if isinstance(evaluation, Pool):
            overlaps.append((grader.name, EvaluationIndex.of(evaluation).overlap([pool], where="the pool", render=render)))
    overlaps += [(overlap.evaluation, overlap) for overlap in task_overlaps(documents_of(graders), {"the pool": [pool]}, render=render)]
    warnings: list[str] = []
    for name, overlap in overlaps:
        if not allow:
            overlap.check()
        warnings += [f"{name}: {sentence}" if len(graders) > 1 else sentence for sentence in overlap.sentences()]
    return warnings


def check_evaluation(pool: Pool, evaluation: Pool, *, where: str = "the pool", render: Render | None = None) -> list[str]:
    """Refuse an evaluation set that is in the pool, before anything is trained on its answers.

    Args:
        pool: the rows to train on.
        evaluation: the rows to evaluate on.
        where: what messages call the rows to train on.
        render: what the model sees of an example.

    Returns:
        Warnings: instructions that are in both with other responses, and responses that stand in rows of the pool.

    Raises:
        StudyError: a conversation of the evaluation set is in the pool, as a whole or within a longer one, as rendered or in normal form.
    """
    overlap = EvaluationIndex.of(evaluation).overlap([pool], where=where, render=render)
    overlap.check()
    return overlap.sentences()


__all__ = ["check_evaluation", "check_graders", "render_of"]
