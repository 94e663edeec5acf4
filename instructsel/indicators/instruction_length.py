"""Len_in: the length of the instruction, in tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from instructsel.indicators._tokenizer import described, tokenizer
from instructsel.indicators.base import Batch, Indicator, Progress, Scored
from instructsel.pool.tokens import count_tokens


@dataclass(frozen=True)
class InstructionLength(Indicator):
    """Tokens of everything before the last answer, an input or context included, no special tokens. Null: empty_instruction.

    Source: Cao et al. 2023, arXiv:2307.06290v2, where length is split into input and output.
    """

    model: str = "embedded"
    """The tokenizer: embedded (MiniLM's), a local folder, or a hub id."""
    revision: str | None = None
    """The hub revision."""

    symbol_pattern: ClassVar[str] = "len_in"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "tokens"
    direction: ClassVar[str] = "not in either published rule"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v2, input length"

    @property
    def symbol(self) -> str:
        """len_in."""
        return "len_in"

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Count the tokens."""
        reasons = ["empty_instruction" if not text.strip() else None for text in batch.instructions]
        counts = count_tokens(tokenizer(self.model, self.revision), batch.instructions)
        return Scored([None if reason else float(count) for count, reason in zip(counts, reasons, strict=True)], reasons)

    def made_with(self) -> dict[str, Any]:
        """The tokenizer, by name and digest."""
        return {"model": None, "tokenizer": described(self.model, self.revision)}
