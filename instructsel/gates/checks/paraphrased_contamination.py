"""Rows whose question is an item of an evaluation set in other words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

import numpy as np

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, Result, RowCheck, Waived
from instructsel.gates.checks.contamination import check_some, named_sets, said_of_items
from instructsel.gates.contamination.index import is_index
from instructsel.gates.contamination.items import items_of, set_name
from instructsel.gates.vectors import encode_with, nearest
from instructsel.pool.message import Message

COSINE: Final = 0.92
"""Above what two questions about one thing have, which is mostly below 0.9."""
LEAST: Final = 20
"""Characters of a question: vectors of shorter ones are alike by their form."""


@dataclass(frozen=True)
class ParaphrasedContamination(RowCheck):
    """Questions of evaluation sets in other words, by vectors."""

    number: ClassVar[str] = "IS041"
    kind: ClassVar[str] = "paraphrased-contamination"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Yang et al. 2023, arXiv:2311.04850: paraphrases of test questions pass n-grams, and are near by their vectors"
    fix: ClassVar[str] = "Read both. Where the row asks the same, take it out."
    needs: ClassVar[tuple[str, ...]] = ("evaluation sets with their texts", "the extras knn and minilm")
    by_default: ClassVar[bool] = False

    sets: tuple[str, ...] = ()
    """Evaluation sets: files of any format, or lm-eval:TASK. Indices hold no texts."""
    encoder: str = "embedded"
    """What embeds a question: embedded (all-MiniLM-L6-v2), a folder, or a hub id."""
    threshold: float = field(default=COSINE, metadata=between(0, 1))
    """Cosine similarity from which a question is an item in other words."""

    def locked(self, change: Change) -> str | None:
        """It needs the texts of evaluation sets."""
        if not self.sets:
            return 'No evaluation set is named. In gate.toml, under [defaults]: sets = ["gsm8k_test.jsonl"]'
        indices = [name for name in named_sets(change, self.sets) if is_index(name)]
        return f"{indices[0]} is an index, which holds no texts. Name the files that it was made of." if indices else None

    def _items(self, change: Change) -> list[tuple[str, int, str]]:
        """Set, number and question of each item."""

        def read() -> list[tuple[str, int, str]]:
            return [
                (set_name(name), item.number, next(iter(item.questions), ""))
                for name in named_sets(change, self.sets)
                for item in items_of(name)
            ]

        return change.shared(f"questions of {self.sets}", read)

    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask every row; how many items nobody can look for is said."""
        result = super().result(change, severity, waived)
        items = self._items(change) if change.rows else []
        left_out = sum(len(text) < LEAST for _, _, text in items)
        return replace(result, statement=f"{result.statement}{said_of_items(left_out, len(items))}")

    def hits(self, change: Change) -> Iterator[Hit]:
        """The item that each question is nearest to."""
        items = [entry for entry in self._items(change) if len(entry[2]) >= LEAST]
        questions = [(row.position, text) for row in change.rows for text in _questions(row.example.messages) if len(text) >= LEAST]
        if not questions:
            return
        check_some(len(items), self.sets)
        encode = encode_with(self.encoder)
        (theirs, known), (ours, seen) = encode([text for _, _, text in items]), encode([text for _, text in questions])
        others, similarity = nearest(ours, theirs, but=~known)
        best: dict[int, tuple[float, int, str]] = {}
        for number in np.flatnonzero(seen & (similarity >= self.threshold)).tolist():
            position, text = questions[number]
            best[position] = max(best.get(position, (0.0, 0, "")), (float(similarity[number]), int(others[number]), text))
        for position, (value, other, text) in sorted(best.items()):
            name, item, _ = items[other]
            yield Hit(
                position,
                f"The row asks item {item:,} of the evaluation set {name} in other words (cosine {value:.2f}).",
                value,
                evidence=text,
                key=name,
            )


def _questions(messages: Sequence[Message]) -> list[str]:
    """The turns of the user."""
    return [turn.text for turn in messages if turn.role == "user"]
