"""What a fine-tune would train on, before its first step: tokens, truncation, and rows that teach nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from instructsel.errors import TrainingError
from instructsel.grading.chat import Encoded

NAMED: Final = 3
"""Refused rows a message names."""
MAX_REFUSED: Final = 0.05
"""Share of refused rows above which nothing is trained."""


@dataclass(frozen=True)
class Audit:
    """Rows and tokens of a fine-tune's data."""

    rows: int
    """Rows given."""
    trained_rows: int
    """Rows with at least one trained token."""
    refused: dict[str, int]
    """Rows left out, by reason."""
    named: tuple[str, ...]
    """The first of them, by id."""
    tokens: int
    """Tokens of the trained rows, prompts included, after truncation."""
    trained_tokens: int
    """Tokens the loss falls on, once through."""
    truncated: int
    """Trained rows whose end was cut off."""
    control: int
    """Rows whose text spells out a control token of the tokenizer; they are trained on its letters."""
    longest: int
    """Tokens of the longest trained row."""

    @classmethod
    def of(cls, ids: Sequence[str], encoded: Iterable[Encoded]) -> tuple[Audit, list[Encoded]]:
        """The audit of rows, and those of them that can be trained on, in order."""
        kept: list[Encoded] = []
        refused: Counter[str] = Counter()
        named: list[str] = []
        rows = control = 0
        for name, each in zip(ids, encoded, strict=True):
            rows += 1
            control += each.control
            if each.reason is None:
                kept.append(each)
                continue
            refused[each.reason] += 1
            if len(named) < NAMED:
                named.append(f"{name} ({each.reason})")
        return cls(
            rows=rows,
            trained_rows=len(kept),
            refused=dict(sorted(refused.items())),
            named=tuple(named),
            tokens=sum(len(each.ids) for each in kept),
            # The first token of a row is never predicted.
            trained_tokens=sum(sum(each.trained[1:]) for each in kept),
            truncated=sum(each.truncated for each in kept),
            control=control,
            longest=max((len(each.ids) for each in kept), default=0),
        ), kept

    def check(self, limit: float = MAX_REFUSED) -> None:
        """Refuse data too much of which teaches nothing.

        Raises:
            TrainingError: more than `limit` of the rows are refused, or there is none left.
        """
        count = sum(self.refused.values())
        if not self.trained_rows or count > limit * self.rows:
            told = ", ".join(f"{reason}: {n}" for reason, n in self.refused.items()) or "there are no rows"
            raise TrainingError(
                f"{count} of {self.rows} rows have no token to train on ({told}; for example {', '.join(self.named) or 'none'}).",
                fix="Raise max_length, drop these rows, or use a model whose chat template takes their roles.",
            )

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain data."""
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in self.__dataclass_fields__}

    def lines(self) -> list[str]:
        """For people."""
        told = [
            f"{self.trained_rows:,} of {self.rows:,} rows are trained on: {self.tokens:,} tokens, the loss falls on {self.trained_tokens:,} "
            f"({self.trained_tokens / max(1, self.tokens):.0%}); longest row {self.longest:,}",
            f"truncated: {self.truncated:,} rows ({self.truncated / max(1, self.trained_rows):.1%})",
        ]
        if self.refused:
            told.append(f"refused: {', '.join(f'{n} {reason}' for reason, n in self.refused.items())}; first {', '.join(self.named)}")
        if self.control:
            told.append(f"{self.control:,} rows spell out a control token of the tokenizer; it is read as its letters")
        return told


__all__ = ["MAX_REFUSED", "Audit"]
