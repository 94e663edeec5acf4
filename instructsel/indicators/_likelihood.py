"""What perplexity, conditional perplexity and instruction-following difficulty share: a language model and its questions."""

from __future__ import annotations

from functools import cache
from typing import Final

from instructsel.indicators.base import Batch, null_on_empty
from instructsel.models.answers import Question
from instructsel.models.likelihood import LikelihoodModel
from instructsel.text import is_blank

BETWEEN: Final = "\n"
"""What stands between instruction and response; Superfiltering's template."""


@cache
def loaded(model: str, revision: str | None, precision: str, device: str, probe: bool) -> LikelihoodModel:
    """The model, once for all indicators that name it."""
    return LikelihoodModel.load(model, revision=revision, precision=precision, device=device, probe=probe)


def alone(response: str) -> Question:
    """The response without its instruction."""
    return (None, response)


def after(instruction: str, response: str) -> Question:
    """The response after its instruction."""
    return (instruction + BETWEEN, response)


def reasons(batch: Batch, *, instruction: bool) -> list[str | None]:
    """`empty_response` or `only_reasoning`, and `empty_instruction` where one is needed."""
    return [
        reason or ("empty_instruction" if instruction and is_blank(prompt) else None)
        for prompt, reason in zip(batch.instructions, null_on_empty(batch), strict=True)
    ]
