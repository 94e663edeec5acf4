"""Len: the length of the response, in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from instructsel.indicators._tokenizer import counted_reasons, counts, described, unsupported
from instructsel.indicators.base import Batch, Indicator, Progress, Scored, null_on_empty
from instructsel.models.load import MINILM

LLAMA: Final = "hf-internal-testing/llama-tokenizer"
"""A tokenizer of LLaMA's, which knows every script: what it has no token for are bytes."""


@dataclass(frozen=True)
class ResponseLength(Indicator):
    """Tokens of the last answer, no special tokens. Earlier turns do not count. Null: empty_response,
    unsupported_language (more than 30 % unknown tokens).

    Assumed, because the paper does not say: the tokenizer. Re-implementations use LLaMA's; here it is a parameter, and
    recorded.

    Source: Cao et al. 2023, arXiv:2307.06290v1, Table 1.
    """

    model: str = "embedded"
    """The tokenizer: embedded (MiniLM's), a local folder, or a hub id."""
    revision: str | None = None
    """The hub revision."""

    symbol_pattern: ClassVar[str] = "len"
    of_conversation: ClassVar[bool] = True
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "tokens"
    direction: ClassVar[str] = "shorter is better in Eq. 4, by very little"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, Len"

    @property
    def symbol(self) -> str:
        """len."""
        return "len"

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Count the tokens."""
        reasons = unsupported(null_on_empty(batch), batch.responses, self.model, self.revision)
        numbers = counts(self.model, self.revision).count(batch.responses)
        return Scored([None if reason else float(number) for number, reason in zip(numbers, reasons, strict=True)], reasons)

    def made_with(self) -> dict[str, Any]:
        """The tokenizer, by name and digest."""
        return {"model": None, "tokenizer": described(self.model, self.revision)}

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """Whose tokens were counted, where they are not those the published rules assume."""
        lines = super().warnings(symbol, nulls, entry)
        name = (entry.get("tokenizer") or {}).get("name")
        lines += counted_reasons(nulls, symbol, name, LLAMA)
        if name == MINILM:
            lines.append(f"{symbol} counts tokens of the embedded MiniLM tokenizer; eq4 assumes LLaMA's: --model {symbol}={LLAMA}")
        return lines
