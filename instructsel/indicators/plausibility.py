"""Plausibility: whether a response looks like a whole answer to its prompt, by a small model that ships with the package."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

from instructsel.indicators.base import Batch, ModelIndicator, null_on_empty
from instructsel.models.answers import Question
from instructsel.models.plausibility import PROMPT_TRUNCATED, PlausibilityModel
from instructsel.text import counted


@cache
def _model(precision: str) -> PlausibilityModel:
    return PlausibilityModel.load(precision=precision)


@dataclass(frozen=True)
class Plausibility(ModelIndicator):
    """The logit of a small model that was trained to tell good answers from spoilt ones: mismatched, broken off, repeating
    themselves, shuffled, gibberish, in another language, refusing. Low values deserve a look; it is no reward model, and high
    values say nothing of quality: what it was shown to detect and what not stands in docs/why/embedded_reward.md.

    The embedded MiniLM reads all turns before the last answer and that answer together, at most 192 word pieces; the middle of
    a longer answer is left out, and counted as truncated. It knows English. Null: prompt_truncated (the prompt does not fit
    beside the answer, of which a long one leaves it 64 word pieces), empty_response, not_finite, unsupported_language (a
    prompt not written in Latin letters, or more than 30 % unknown tokens).

    Source: this project's own; benchmarks/models/embedded_reward.
    """

    precision: str = "auto"
    """fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX."""

    symbol_pattern: ClassVar[str] = "plausibility"
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "logit"
    direction: ClassVar[str] = "low values are suspicious; of no paper"
    source: ClassVar[str] = "this project's own, benchmarks/models/embedded_reward"

    @property
    def symbol(self) -> str:
        """plausibility."""
        return "plausibility"

    def loaded(self) -> PlausibilityModel:
        """The model that ships."""
        return _model(self.precision)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """The conversation up to the last answer, as role, text, role, text, …"""
        questions: list[tuple[Question, ...] | str] = []
        for reason, example in zip(null_on_empty(batch), batch.examples, strict=True):
            turns = example.messages[: example.last_answer + 1]
            questions.append(reason or (tuple(part for turn in turns for part in (turn.role, example.text_of(turn))),))
        return questions

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """How many prompts did not fit."""
        lines = super().warnings(symbol, nulls, entry)
        if nulls.get(PROMPT_TRUNCATED):
            lines.append(
                f"{symbol} is null ({PROMPT_TRUNCATED}) for {counted(nulls[PROMPT_TRUNCATED], 'example')}: its model could not see their whole prompt. A minimum under it keeps them."
            )
        return lines
