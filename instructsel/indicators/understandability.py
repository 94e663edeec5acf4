"""Und: whether the response can be understood."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from instructsel.indicators import _unieval
from instructsel.indicators.base import Batch, ModelIndicator
from instructsel.models.answers import Question
from instructsel.models.yes_no import YesNoModel


@dataclass(frozen=True)
class Understandability(ModelIndicator):
    """UniEval's p(Yes) / (p(Yes) + p(No)) to "Is this an understandable response in the dialogue?", in [0, 1]. The instruction is
    not seen.

    At most 1,024 tokens; a longer response loses its end and is counted as truncated. English: null with unsupported_language
    where more than 30 % of the tokens are unknown. Null: also empty_response, not_finite, out_of_memory. Nearly the same as
    `nat`: measure their correlation before using both.

    Source: Cao et al. 2023, arXiv:2307.06290, Und; Zhong et al. 2022, arXiv:2210.07197.
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

    symbol_pattern: ClassVar[str] = "und"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "probability"
    direction: ClassVar[str] = "higher went with higher loss in v1, and in the rule of v2"
    nearly: ClassVar[str | None] = "nat"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290, Und; Zhong et al. 2022, arXiv:2210.07197"

    @property
    def symbol(self) -> str:
        """und."""
        return "und"

    def loaded(self) -> YesNoModel:
        """The evaluator."""
        return _unieval.loaded(self.model, self.revision, self.precision, self.device, self.probe)

    def questions(self, batch: Batch) -> list[tuple[Question, ...] | str]:
        """Whether this is an understandable response; the instruction is not shown."""
        return _unieval.about_the_response(_unieval.UNDERSTANDABILITY, batch)
