"""Len_in: the length of the instruction, in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from instructsel.indicators._tokenizer import counted_reasons, counts, described, unsupported
from instructsel.indicators.base import Batch, Indicator, Progress, Scored
from instructsel.indicators.response_length import LLAMA
from instructsel.text import is_blank


@dataclass(frozen=True)
class InstructionLength(Indicator):
    """Tokens of everything before the last answer, an input or context included, no special tokens. Null: empty_instruction,
    unsupported_language (more than 30 % unknown tokens).

    Source: Cao et al. 2023, arXiv:2307.06290v2, where length is split into input and output.
    """

    model: str = "embedded"
    """The tokenizer: embedded (MiniLM's), a local folder, or a hub id."""
    revision: str | None = None
    """The hub revision."""

    symbol_pattern: ClassVar[str] = "len_in"
    of_conversation: ClassVar[bool] = True
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "tokens"
    direction: ClassVar[str] = "not in either published rule"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v2, input length"

    @property
    def symbol(self) -> str:
        """len_in."""
        return "len_in"

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Count the tokens."""
        empty = ["empty_instruction" if is_blank(text) else None for text in batch.instructions]
        reasons = unsupported(empty, batch.instructions, self.model, self.revision)
        numbers = counts(self.model, self.revision).count(batch.instructions)
        return Scored([None if reason else float(number) for number, reason in zip(numbers, reasons, strict=True)], reasons)

    def made_with(self) -> dict[str, Any]:
        """The tokenizer, by name and digest."""
        return {"model": None, "tokenizer": described(self.model, self.revision)}

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """How many instructions are in scripts that the tokenizer does not know."""
        name = (entry.get("tokenizer") or {}).get("name")
        return [*super().warnings(symbol, nulls, entry), *counted_reasons(nulls, symbol, name, LLAMA)]
