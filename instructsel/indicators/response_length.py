"""Len: the length of the response, in tokens."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from instructsel.indicators._tokenizer import described, tokenizer
from instructsel.indicators.base import Batch, Indicator, Progress, Scored, null_on_empty
from instructsel.models.load import MINILM
from instructsel.pool.tokens import count_tokens


@dataclass(frozen=True)
class ResponseLength(Indicator):
    """Tokens of the last answer, no special tokens. Earlier turns do not count. Null: empty_response.

    Assumed, because the paper does not say: the tokenizer. Re-implementations use LLaMA's; here it is a parameter, and
    recorded.

    Source: Cao et al. 2023, arXiv:2307.06290v1, Table 1.
    """

    model: str = "embedded"
    """The tokenizer: embedded (MiniLM's), a local folder, or a hub id."""
    revision: str | None = None
    """The hub revision."""

    symbol_pattern: ClassVar[str] = "len"
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "tokens"
    direction: ClassVar[str] = "shorter is better in Eq. 4, by very little"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, Len"

    @property
    def symbol(self) -> str:
        """len."""
        return "len"

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Count the tokens."""
        reasons = null_on_empty(batch)
        counts = count_tokens(tokenizer(self.model, self.revision), batch.responses)
        return Scored([None if reason else float(count) for count, reason in zip(counts, reasons, strict=True)], reasons)

    def made_with(self) -> dict[str, Any]:
        """The tokenizer, by name and digest."""
        return {"model": None, "tokenizer": described(self.model, self.revision)}

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """Whose tokens were counted, where they are not those the published rules assume."""
        lines = super().warnings(symbol, nulls, entry)
        if (entry.get("tokenizer") or {}).get("name") == MINILM:
            lines.append(
                f"{symbol} counts tokens of the embedded MiniLM tokenizer; eq4 assumes LLaMA's: --model {symbol}=hf-internal-testing/llama-tokenizer"
            )
        return lines
