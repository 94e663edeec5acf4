"""Coh: whether the response follows from what was said before."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from instructsel.indicators import _unieval
from instructsel.indicators.base import Batch, ModelIndicator, null_on_empty
from instructsel.models.answers import Question
from instructsel.models.yes_no import YesNoModel


@dataclass(frozen=True)
class Coherence(ModelIndicator):
    """UniEval's p(Yes) / (p(Yes) + p(No)) to "Is this a coherent response given the dialogue history?", in [0, 1].

    The history is everything before the last answer, turns joined by line breaks, two at the end; which text the paper takes is
    not said. It comes last in the input, so that of more than 1,024 tokens its end is cut: counted as truncated. Null: too_long
    where nothing of it would be seen, empty_response, empty_instruction, unsupported_language (more than 30 % unknown tokens),
    not_finite, out_of_memory.

    Source: Cao et al. 2023, arXiv:2307.06290, Coh; Zhong et al. 2022, arXiv:2210.07197.
    """

    model: str = _unieval.MODEL
    """UniEval's evaluator for dialogue, or a model trained like it: a local folder or a hub id."""
    revision: str | None = None
    """The hub revision."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX; never fp16."""
    device: str = "auto"
    """cpu, cuda, or auto."""
    probe: bool = True
    """Whether the model must find speech more natural than gibberish first; without it, the score table says so."""

    symbol_pattern: ClassVar[str] = "coh"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "probability"
    direction: ClassVar[str] = "higher is better, univariately in v1 and in the rule of v2"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290, Coh; Zhong et al. 2022, arXiv:2210.07197"

    @property
    def symbol(self) -> str:
        """coh."""
        return "coh"

    def loaded(self) -> YesNoModel:
        """The evaluator."""
        return _unieval.loaded(self.model, self.revision, self.precision, self.device, self.probe)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """Whether this is a coherent response, given everything said before it."""
        rows = zip(null_on_empty(batch), batch.instructions, batch.responses, strict=True)
        return [
            reason or "empty_instruction"
            if reason or not instruction.strip()
            else ((_unieval.COHERENCE, response, _unieval.history(instruction)),)
            for reason, instruction, response in rows
        ]

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """How many examples had a history that was cut."""
        lines = super().warnings(symbol, nulls, entry)
        if entry.get("truncated"):
            lines.append(
                f"{symbol} did not see the whole history of {entry['truncated']:,} examples: what is beyond 1,024 tokens is cut, and the history comes last."
            )
        return lines
