"""IFD: how much less surprising the response is once the instruction is known."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from instructsel.errors import UsageError
from instructsel.indicators import _likelihood
from instructsel.indicators.base import Batch, ModelIndicator
from instructsel.models.answers import Question
from instructsel.models.likelihood import LikelihoodModel


@dataclass(frozen=True)
class InstructionFollowingDifficulty(ModelIndicator):
    """Perplexity of the last answer after its instruction, divided by its perplexity alone.

    Below 1 the instruction helps; above 1 it does not, and the papers leave such rows out (`select` does not do so by
    itself). Both perplexities speak of the same tokens. Strongly confounded with length: short answers score low. Null: those
    of `ppl_cond`.

    Source: Li et al. 2024, Superfiltering, arXiv:2402.00530, where IFD is a ratio of perplexities. `of="loss"` is the ratio of
    mean losses of Li et al. 2023, Cherry, arXiv:2308.12032.
    """

    model: str = "openai-community/gpt2"
    """A causal language model: a local folder, a hub id, or embedded. Superfiltering's is GPT-2; Cherry's is the model to be trained."""
    revision: str | None = None
    """The hub revision."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    probe: bool = True
    """Whether text must be likelier than gibberish first; without it, the score table says so."""
    of: str = "perplexity"
    """perplexity or loss: what is divided."""

    embedded_model: ClassVar[bool] = True
    symbol_pattern: ClassVar[str] = "ifd"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "ratio"
    direction: ClassVar[str] = "higher is better up to 1, by its papers"
    source: ClassVar[str] = "Li et al. 2024, arXiv:2402.00530; Li et al. 2023, arXiv:2308.12032"

    def __post_init__(self) -> None:
        if self.of not in ("perplexity", "loss"):
            raise UsageError.named(self.of, ["perplexity", "loss"], noun="kind of IFD")

    @property
    def symbol(self) -> str:
        """ifd."""
        return "ifd"

    def loaded(self) -> LikelihoodModel:
        """The language model."""
        return _likelihood.loaded(self.model, self.revision, self.precision, self.device, self.probe)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """The responses after their instructions, and alone."""
        rows = zip(_likelihood.reasons(batch, instruction=True), batch.instructions, batch.responses, strict=True)
        return [reason or (_likelihood.after(instruction, response), _likelihood.alone(response)) for reason, instruction, response in rows]

    def finish(self, answers: Sequence[float]) -> float:
        """The ratio of two mean losses, as the papers define it."""
        after_instruction, alone = answers
        if self.of == "loss":
            return after_instruction / alone if alone > 0 else math.inf
        return math.exp(after_instruction - alone) if after_instruction - alone < 700 else math.inf
