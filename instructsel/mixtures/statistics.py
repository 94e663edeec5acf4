"""What rows of a mixture are like: turns, lengths in tokens, truncation, and how much of them a loss falls on.

Lengths are of the texts alone: a chat template adds a few tokens to each turn. `prompt` is one turn of the user, `response` one of the
model, `total` all turns of a row. Source: open-instruct, get_statistics.py, and Wang et al. 2023, arXiv:2306.04751, Table 1.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from instructsel.pool.example import Example
from instructsel.pool.message import ANSWERS

if TYPE_CHECKING:
    from instructsel.pieces import TokenCounts

LONGER: Final = (512, 768, 1024, 1536, 2048, 4096)
"""Tokens above which rows are counted."""
BATCH: Final = 512
"""Examples whose tokens are counted at once."""


@dataclass
class Statistics:
    """Of the rows of one source, gathered row by row: 16 bytes for each."""

    max_length: int
    """Tokens beyond which a row is truncated."""
    with_tokens: bool = True
    """Whether tokens are counted."""
    rows: int = 0
    turns: int = 0
    rounds: int = 0
    loss_tokens: int = 0
    truncated: int = 0
    without_loss: int = 0
    """Rows whose first trained turn begins behind max_length, or that have none."""
    prompts: array[int] = field(default_factory=lambda: array("Q"))
    responses: array[int] = field(default_factory=lambda: array("Q"))
    totals: array[int] = field(default_factory=lambda: array("Q"))

    def add(self, example: Example, tokens: Sequence[int] | None) -> None:
        """One more row.

        Args:
            example: the row.
            tokens: of each of its turns; None where nothing counts them.
        """
        self.rows += 1
        self.turns += sum(turn.role in ("user", *ANSWERS) for turn in example.messages)
        self.rounds += sum(turn.role in ANSWERS for turn in example.messages)
        if tokens is None:
            return
        before = -1
        total = 0
        for turn, count in zip(example.messages, tokens, strict=True):
            if turn.role == "user":
                self.prompts.append(count)
            elif turn.role in ANSWERS:
                self.responses.append(count)
            if turn.is_trained and count:
                self.loss_tokens += count
                before = total if before < 0 else before
            total += count
        self.totals.append(total)
        self.truncated += total > self.max_length
        self.without_loss += before < 0 or before >= self.max_length

    def merged(self, other: Statistics) -> Statistics:
        """Of the rows of both."""
        return Statistics(
            max_length=self.max_length,
            with_tokens=self.with_tokens and other.with_tokens,
            rows=self.rows + other.rows,
            turns=self.turns + other.turns,
            rounds=self.rounds + other.rounds,
            loss_tokens=self.loss_tokens + other.loss_tokens,
            truncated=self.truncated + other.truncated,
            without_loss=self.without_loss + other.without_loss,
            prompts=self.prompts + other.prompts,
            responses=self.responses + other.responses,
            totals=self.totals + other.totals,
        )

    def as_dict(self) -> dict[str, Any]:
        """As plain data; see `shape.StatisticsShape`."""
        tokens = sum(self.totals) if self.with_tokens else None
        return {
            "rows": self.rows,
            "turns": _mean(self.turns, self.rows),
            "rounds": _mean(self.rounds, self.rows),
            "tokens": tokens,
            "loss_tokens": self.loss_tokens if self.with_tokens else None,
            "loss_share": round(self.loss_tokens / tokens, 6) if tokens else None,
            "prompt": _lengths(self.prompts),
            "response": _lengths(self.responses),
            "total": _lengths(self.totals),
            "longer_than": {str(length): sum(total > length for total in self.totals) for length in LONGER} if self.with_tokens else None,
            "truncated": self.truncated if self.with_tokens else None,
            "without_loss": self.without_loss if self.with_tokens else None,
        }


def with_tokens(examples: Iterable[Example], counter: TokenCounts | None) -> Iterator[tuple[Example, list[int] | None]]:
    """Each example with the tokens of its turns, reasoning and calls counted; None where nothing counts them."""
    if counter is None:
        yield from ((example, None) for example in examples)
        return
    batch: list[Example] = []
    for example in examples:
        batch.append(example)
        if len(batch) == BATCH:
            yield from _counted(batch, counter)
            batch = []
    yield from _counted(batch, counter)


def _counted(batch: Sequence[Example], counter: TokenCounts) -> Iterator[tuple[Example, list[int]]]:
    numbers = iter(counter.count([turn.text_with_reasoning for example in batch for turn in example.messages]))
    for example in batch:
        yield example, [next(numbers) for _ in example.messages]


def _mean(total: int, count: int) -> float:
    return round(total / count, 4) if count else 0.0


def _lengths(values: array[int]) -> dict[str, Any] | None:
    if not values:
        return None
    lengths = np.frombuffer(values, dtype=np.uint64)
    median, p90 = np.quantile(lengths, (0.5, 0.9), method="inverted_cdf").tolist()
    return {
        "mean": round(float(lengths.sum()) / len(lengths), 4),
        "median": float(median),
        "p90": float(p90),
        "largest": int(lengths.max()),
    }


__all__ = ["LONGER", "Statistics", "with_tokens"]
