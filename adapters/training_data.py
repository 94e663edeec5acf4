"""What a fine-tune would train on, counted before its first step: tokens, truncation, and rows that teach nothing."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any, Final

from instructsel.errors import TrainingError
from instructsel.grading.chat import Encoded
from instructsel.text import counted

MAX_NAMED: Final = 3
"""Skipped rows a message names."""
MAX_SKIPPED_FRACTION: Final = 0.05
"""Share of skipped rows above which nothing is trained."""
FIXES: Final = {
    "no_loss_token": "raise max_length, for their prompts alone fill it",
    "no_response": "drop the rows, for their responses are empty",
    "no_prompt": "drop the rows, for they have no prompt",
    "template_refused": "use a model whose chat template takes their roles",
    "not_a_prefix": "use a model whose chat template does not rewrite earlier turns",
    "too_many_turns": "split these conversations, or set --loss completion",
    "calls_not_rendered": "use a model whose chat template writes calls of tools",
}
WORDS: Final = {
    "no_loss_token": "the prompt alone fills the length",
    "no_response": "the response is empty",
    "no_prompt": "the response is the first turn",
    "template_refused": "the chat template refuses the roles",
    "not_a_prefix": "the chat template rewrites earlier turns",
    "too_many_turns": "the conversation has too many turns to find each response in",
    "calls_not_rendered": "the chat template leaves out the calls of the response",
}
"""Reasons in words."""
LAST_ALONE: Final = "set --loss completion, which trains on the last response alone, for the chat template rewrites earlier turns"
"""The fix of not_a_prefix where every response is trained on: what stands before the last one is then of no matter."""
FULL_CONTEXT: Final = "shorten the rows or take a base with a longer context, for their prompts alone fill it"
"""The fix of no_loss_token where no greater max_length would help."""


@dataclass(frozen=True)
class TrainingData:
    """Rows and tokens of a fine-tune's data."""

    rows: int
    """Rows of the pool."""
    trained_rows: int
    """Rows with at least one loss token."""
    skipped: dict[str, int]
    """Rows without a loss token, by reason."""
    named: tuple[str, ...]
    """The first of them, as file:line (reason)."""
    tokens: int
    """Tokens of the trained rows, prompts included, after truncation."""
    loss_tokens: int
    """Tokens the loss is computed on, in one epoch."""
    truncated: int
    """Trained rows whose end was cut off."""
    control: int
    """Rows whose text spells out a special token of the tokenizer; they are trained on its letters."""
    longest: int
    """Tokens of the longest trained row."""
    max_length: int | None = None
    """Tokens at which rows were cut; None where they were not."""
    context: int | None = None
    """Tokens that the base's context holds; None where its files do not say."""
    loss: str = "completion"
    """Where the loss falls."""
    skipped_rows: tuple[int, ...] = field(default=(), repr=False)
    """Positions of the skipped rows in the pool, ascending; no part of the plain data."""
    left_out: dict[str, int] = field(default_factory=dict)
    """What trained rows have and the chat template leaves out, tools and reasoning: in how many."""

    @classmethod
    def of(
        cls,
        encoded: Iterable[Encoded],
        name_of: Callable[[int], str],
        *,
        order: Callable[[int], Any] = int,
        max_length: int | None = None,
        context: int | None = None,
        loss: str = "completion",
    ) -> tuple[TrainingData, list[Encoded]]:
        """The audit of rows, and those of them that can be trained on, in order.

        Args:
            encoded: the rows.
            name_of: what a message calls the row at a position, e.g. its file and line.
            order: what sorts positions as the rows stand in their files; the first skipped ones are named.
            max_length: tokens at which they were cut.
            context: tokens that the base's context holds.
            loss: where the loss falls.
        """
        trained: list[Encoded] = []
        skipped: Counter[str] = Counter()
        left_out: Counter[str] = Counter()
        reasons: dict[int, str] = {}
        rows = control = 0
        for row in encoded:
            rows += 1
            control += row.control
            if row.reason is None:
                trained.append(row)
                left_out.update(row.left_out)
                continue
            skipped[row.reason] += 1
            reasons[rows - 1] = row.reason
        return cls(
            rows=rows,
            trained_rows=len(trained),
            skipped=dict(sorted(skipped.items())),
            named=tuple(f"{name_of(position)} ({reasons[position]})" for position in nsmallest(MAX_NAMED, reasons, key=order)),
            tokens=sum(len(row.ids) for row in trained),
            # The first token of a row is never predicted.
            loss_tokens=sum(sum(row.loss_mask[1:]) for row in trained),
            truncated=sum(row.truncated for row in trained),
            control=control,
            longest=max((len(row.ids) for row in trained), default=0),
            max_length=max_length,
            context=context,
            loss=loss,
            skipped_rows=tuple(reasons),
            left_out=dict(sorted(left_out.items())),
        ), trained

    @staticmethod
    def too_many(count: int, rows: int, limit: float) -> bool:
        """Whether so many skipped ones among rows are more than a share of them, or all."""
        return count == rows or count > limit * rows

    def check(self, limit: float = MAX_SKIPPED_FRACTION) -> None:
        """Refuse data too much of which teaches nothing.

        Raises:
            TrainingError: more than `limit` of the rows are skipped, or no row is left.
        """
        count = sum(self.skipped.values())
        if not self.too_many(count, self.rows, limit):
            return
        if not self.rows:
            raise TrainingError("There are no rows to train on.", fix="Name a pool with at least one row.")
        # Rounded up to a hundredth, so that the fraction named is enough.
        enough = math.ceil(100 * count / self.rows) / 100
        fixes_by_reason = dict(FIXES)
        if self.max_length is not None and self.max_length == self.context:
            fixes_by_reason["no_loss_token"] = FULL_CONTEXT
        if self.loss == "assistant":
            fixes_by_reason["not_a_prefix"] = LAST_ALONE
        fixes = [fixes_by_reason[reason] for reason in self.skipped if reason in fixes_by_reason]
        if self.trained_rows:
            fixes.append(f"set --max-skipped-fraction {enough:g}")
        raise TrainingError(
            f"{count:,} of {counted(self.rows, 'row')} {'has' if count == 1 else 'have'} no loss token ({self._reasons()}; first: {self._named()}).",
            fix=_sentence("; or ".join(fixes)),
        )

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain data."""
        names = [name for name in self.__dataclass_fields__ if name != "skipped_rows"]
        return {name: list(value) if isinstance(value := getattr(self, name), tuple) else value for name in names}

    def lines(self) -> list[str]:
        """For people."""
        lines = [
            f"{self.trained_rows:,} of {counted(self.rows, 'row')} are trained on: {counted(self.tokens, 'token')}, {self.loss_tokens:,} of them loss tokens "
            f"({self.loss_tokens / max(1, self.tokens):.0%}); longest row {self.longest:,}",
            f"truncated: {counted(self.truncated, 'row')} ({self.truncated / max(1, self.trained_rows):.1%})",
        ]
        if self.skipped:
            lines.append(f"skipped: {self._reasons()}; first: {self._named()}")
        for kind, count in self.left_out.items():
            lines.append(f"{counted(count, 'row')} {'has' if count == 1 else 'have'} {kind} that the chat template leaves out")
        if self.control:
            spell = "spells" if self.control == 1 else "spell"
            lines.append(f"{counted(self.control, 'row')} {spell} out a special token of the tokenizer; it is read as its letters")
        return lines

    def _reasons(self) -> str:
        return "; ".join(f"{count:,} {reason}{f', {WORDS[reason]}' if reason in WORDS else ''}" for reason, count in self.skipped.items())

    def _named(self) -> str:
        """The first skipped rows, with their reasons where there are several."""
        return ", ".join(self.named if len(self.skipped) > 1 else [name.partition(" (")[0] for name in self.named])


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."


__all__ = ["MAX_SKIPPED_FRACTION", "TrainingData"]
