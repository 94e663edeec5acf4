"""Losses of responses, for ways that ask a language model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.indicators._likelihood import after, reasons
from instructsel.indicators.base import Batch
from instructsel.models.answers import Model, Question
from instructsel.selection.baselines.base import TextEncoder
from instructsel.selection.candidates import ScoredCandidates


@dataclass(frozen=True, eq=False)
class Losses:
    """A loss of every candidate's response, or the reason why there is none."""

    values: NDArray[np.float64]
    """(n,), nats per token; 0 where there is a reason."""
    reasons: list[str | None]
    truncated: int
    """Rows that the model did not see whole."""


def language_model(encoder: TextEncoder | None, name: str) -> Model:
    """The language model behind an encoder.

    Raises:
        UsageError: there is none.
    """
    model: Model | None = getattr(encoder, "language_model", None)
    if model is None:
        raise UsageError(f"{name} needs a language model.", fix="Give PooledStates of one, or name one with --target-model.")
    return model


def losses(model: Model, candidates: ScoredCandidates, before: str = "") -> Losses:
    """The mean negative log-likelihood of every candidate's response after its instruction.

    Args:
        model: asked.
        candidates: the eligible rows are asked about.
        before: a text that stands before every instruction. What the model has no room for is cut from its beginning.
    """
    batch = Batch(tuple(candidates.pool.examples(candidates.eligible.tolist())))
    absent = reasons(batch, instruction=False)
    questions: list[Question] = [
        after(before + instruction, response) for instruction, response in zip(batch.instructions, batch.responses, strict=True)
    ]
    distinct = list(dict.fromkeys(question for question, reason in zip(questions, absent, strict=True) if reason is None))
    answers = model.answer(distinct)
    number_of = {question: number for number, question in enumerate(distinct)}
    values = np.zeros(len(batch))
    truncated = 0
    for row, question in enumerate(questions):
        if absent[row] is not None:
            continue
        number = number_of[question]
        absent[row] = answers.reasons[number]
        if absent[row] is None:
            values[row] = answers.values[number]
        truncated += bool(answers.truncated[number])
    return Losses(values, absent, truncated)


def unscored(name: str, measured: Sequence[Losses]) -> dict[int, str]:
    """Rows without one of the losses, with the reason."""
    missing: dict[int, str] = {}
    for one in measured:
        for row, reason in enumerate(one.reasons):
            if reason is not None:
                missing.setdefault(row, f"unscored:{name}:{reason}")
    return missing


__all__ = ["Losses", "language_model", "losses", "unscored"]
