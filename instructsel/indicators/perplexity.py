"""PPL: how surprising the response is to a language model."""

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
class Perplexity(ModelIndicator):
    """exp of the mean negative log-likelihood of the last answer's tokens, the answer alone after the start token.

    The instruction takes no part; `ppl_cond` is the perplexity given it. Longer than the model's context (or 4,096 tokens),
    the answer loses its end and is counted as truncated. Null: empty_response, no_tokens, unsupported_language (more than 30 %
    unknown tokens), not_finite, out_of_memory.

    Source: Cao et al. 2023, arXiv:2307.06290v1, PPL. Assumed, because the paper does not say: no conditioning, the base model
    (LLaMA-7B), no windows for long texts.
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
    symbol_pattern: ClassVar[str] = "ppl"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "perplexity"
    direction: ClassVar[str] = "lower is better, univariately; not in Eq. 4"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, PPL"

    @property
    def symbol(self) -> str:
        """ppl."""
        return "ppl"

    def loaded(self) -> LikelihoodModel:
        """The language model."""
        return _likelihood.loaded(self.model, self.revision, self.precision, self.device, self.probe)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """The responses alone."""
        reasons = _likelihood.reasons(batch, instruction=False)
        return [reason or (_likelihood.alone(response),) for reason, response in zip(reasons, batch.responses, strict=True)]

    def finish(self, answers: Sequence[float]) -> float:
        """Nats per token → perplexity."""
        return math.exp(answers[0]) if answers[0] < 700 else math.inf
