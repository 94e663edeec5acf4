"""Contamination: evaluation examples that stand in a pool."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any, Final

import numpy as np

from instructsel.artifact import file_digest
from instructsel.errors import StudyError
from instructsel.pool.pool import Pool

NAMED: Final = 3
"""Places a message names."""


def check_graders(pool: Pool, *graders: Any) -> list[str]:
    """`check_evaluation` for every grader that has its evaluation set as `pool`, as `HeldOutLoss` has; others do not show their rows.

    Returns:
        A warning for each set of which instructions are in the pool, with the grader's name where there are several.

    Raises:
        StudyError: an evaluation set is in the pool.
    """
    warnings = []
    for grader in graders:
        evaluation = getattr(grader, "pool", None)
        warning = check_evaluation(pool, evaluation) if isinstance(evaluation, Pool) else None
        if warning is not None:
            warnings.append(f"{grader.name}: {warning}" if len(graders) > 1 else warning)
    return warnings


def check_evaluation(pool: Pool, evaluation: Pool, *, where: str = "the pool") -> str | None:
    """Refuse an evaluation set that is in the pool, before anything is trained on its answers.

    Args:
        pool: the rows to train on.
        evaluation: the rows to evaluate on.
        where: what messages call the rows to train on.

    Returns:
        A warning where instructions are in both (lower-cased, with punctuation and white space taken as one), else None.

    Raises:
        StudyError: a file of both has the same bytes, or an evaluation example's conversation is in the pool.
    """
    # Parts of one file may hold out its rows from each other: then rows decide.
    parts = pool.spec.part or evaluation.spec.part
    names = {digest: name for file in pool.files if (digest := _digest(name := file.source.name)) is not None}
    for file in () if parts else evaluation.files:
        digest = _digest(file.source.name)
        if digest in names:
            raise StudyError(
                f"The evaluation set {file.source.name} has the bytes of {names[digest]}, which is in {where}.",
                fix="Evaluate on examples that are not trained on.",
            )
    inside = {bytes(row) for row in np.ascontiguousarray(pool.digests)}
    same = [position for position, row in enumerate(np.ascontiguousarray(evaluation.digests)) if bytes(row) in inside]
    if same:
        places = [evaluation.locate(position) for position in same[:NAMED]]
        named = ", ".join(f"{name} line {lines[0]}" for name, lines in places)
        raise StudyError(
            f"{len(same):,} of {len(evaluation):,} evaluation examples are in {where}, so that they would be trained on: {named}"
            f"{', …' if len(same) > NAMED else ''}.",
            fix=f"Drop them from {where} or from the evaluation set.",
        )
    instructions = Counter(normalized for example in evaluation.examples() if (normalized := _normalized(example.instruction)))
    shared = {normalized for example in pool.examples() if (normalized := _normalized(example.instruction)) in instructions}
    if not shared:
        return None
    count = sum(instructions[normalized] for normalized in shared)
    return f"{count:,} of {len(evaluation):,} evaluation instructions are in {where} too, with other responses."


def _normalized(text: str) -> str:
    return re.sub(r"[\W_]+", " ", text.lower()).strip()


def _digest(name: str) -> str | None:
    """SHA-256 of a local file; None for what is none, such as standard input."""
    try:
        return file_digest(name) if Path(name).is_file() else None
    except OSError:
        return None
