"""PPL given the instruction."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from instructsel.indicators import _likelihood
from instructsel.indicators.base import Batch, ModelIndicator
from instructsel.models.answers import Question
from instructsel.models.likelihood import LikelihoodModel


@dataclass(frozen=True)
class ConditionalPerplexity(ModelIndicator):
    """exp of the mean negative log-likelihood of the last answer's tokens after everything said before and a line break.

    No chat template: the text a base model sees is plain. Instruction and answer are tokenized apart, so that `ppl` and
    `ppl_cond` speak of the same tokens. Too long, the instruction loses its beginning and the row is counted as truncated.
    Null: those of `ppl`, empty_instruction, and too_long where nothing of the instruction would be left.

    Source: an option of this project beside Cao et al. 2023, arXiv:2307.06290v1, PPL, whose conditioning is not stated.
    """

    model: str = "huggyllama/llama-7b"
    """A causal language model: a local folder, a hub id, or embedded."""
    revision: str | None = None
    """The hub revision."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    probe: bool = True
    """Whether text must be likelier than gibberish first; without it, the score table says so."""

    embedded_model: ClassVar[bool] = True
    symbol_pattern: ClassVar[str] = "ppl_cond"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "perplexity"
    direction: ClassVar[str] = "in neither published rule"
    source: ClassVar[str] = "this project, beside Cao et al. 2023, arXiv:2307.06290v1, PPL"

    @property
    def symbol(self) -> str:
        """ppl_cond."""
        return "ppl_cond"

    def loaded(self) -> LikelihoodModel:
        """The language model."""
        return _likelihood.loaded(self.model, self.revision, self.precision, self.device, self.probe)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """The responses after their instructions."""
        rows = zip(_likelihood.reasons(batch, instruction=True), batch.instructions, batch.responses, strict=True)
        return [reason or (_likelihood.after(instruction, response),) for reason, instruction, response in rows]

    def finish(self, answers: Sequence[float]) -> float:
        """Nats per token → perplexity."""
        return math.exp(answers[0]) if answers[0] < 700 else math.inf
