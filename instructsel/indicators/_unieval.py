"""What naturalness, coherence and understandability share: the evaluator and its exact questions.

Source: Zhong et al. 2022, UniEval, arXiv:2210.07197; the strings are those of its released evaluator for dialogue.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from instructsel.indicators.base import Batch, null_on_empty
from instructsel.models.answers import Question
from instructsel.models.yes_no import YesNoModel

MODEL: Final = "MingZhong/unieval-dialog"
NATURALNESS: Final = "question: Is this a natural response in the dialogue? </s> response: "
UNDERSTANDABILITY: Final = "question: Is this an understandable response in the dialogue? </s> response: "
COHERENCE: Final = "question: Is this a coherent response given the dialogue history? </s> response: "


@cache
def loaded(model: str, revision: str | None, precision: str, device: str, probe: bool) -> YesNoModel:
    """The evaluator, once for all indicators that name it."""
    return YesNoModel.load(model, revision=revision, precision=precision, device=device, probe=NATURALNESS if probe else "")


def about_the_response(question: str, batch: Batch) -> list[tuple[Question, ...] | str]:
    """A question that sees the response alone."""
    return [reason or ((question, response, None),) for reason, response in zip(null_on_empty(batch), batch.responses, strict=True)]


def history(instruction: str) -> str:
    """Turns separated by line breaks, two at the end, as the evaluator was trained."""
    return f"{instruction}\n\n"
