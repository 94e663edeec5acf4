"""Rows that hold items of evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from typing import ClassVar

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, Result, RowCheck, Waived
from instructsel.gates.contamination.index import ItemIndex
from instructsel.gates.contamination.items import LM_EVAL
from instructsel.gates.contamination.matching import DECIDING, THRESHOLD, Evidence, Rule, find_items
from instructsel.text import counted


@dataclass(frozen=True)
class Contamination(RowCheck):
    """Items of evaluation sets in the rows, by hashed n-grams."""

    number: ClassVar[str] = "IS040"
    kind: ClassVar[str] = "contamination"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "Tülu 3 (arXiv:2411.15124, 3.2) and OLMo 3: 8-grams that cover half of an item's words"
    fix: ClassVar[str] = "Take the rows out: instructsel decontaminate FILE --against SET -o CLEAN.jsonl"
    needs: ClassVar[tuple[str, ...]] = ("evaluation sets",)

    sets: tuple[str, ...] = ()
    """Evaluation sets: files of any format, lm-eval:TASK, or indices that `instructsel gate index` wrote."""
    ngram: int = field(default=8, metadata=between(8, 13))
    """Words of an n-gram: 8 or 13."""
    threshold: float = field(default=THRESHOLD, metadata=between(0, 1))
    """Share of the words of an item's question, or of a long answer, from which a row holds the item."""
    parts: tuple[str, ...] = DECIDING
    """What of an item decides: question, answer, passage, choices."""

    def __post_init__(self) -> None:
        self.rule  # noqa: B018 - refused here, not when the rows are read

    @property
    def rule(self) -> Rule:
        """When an item counts.

        Raises:
            UsageError: a setting is none.
        """
        return Rule(self.ngram, self.threshold, self.parts)

    def locked(self, change: Change) -> str | None:
        """It needs evaluation sets."""
        if self.sets:
            return None
        return 'No evaluation set is named. In gate.toml, under [defaults]: sets = ["gsm8k_test.jsonl", "lm-eval:arc_easy", "evals.index"]'

    def _index(self, change: Change) -> ItemIndex:
        return change.shared(f"items {self.sets}", lambda: ItemIndex.of(named_sets(change, self.sets)))

    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask every row; how many items nobody can look for is said."""
        result = super().result(change, severity, waived)
        if not change.rows:
            return result
        left_out, items = (sum(getattr(entry, name) for entry in self._index(change).sets) for name in ("left_out", "n_items"))
        note = f" {left_out:,} of the sets' {counted(items, 'item')} say too little to be looked for." if left_out else ""
        return replace(result, statement=result.statement + note)

    def hits(self, change: Change) -> Iterator[Hit]:
        """A hit for each row and set, with the item that is covered most."""
        if not change.rows:
            return
        evidence = find_items(self._index(change), (row.example for row in change.rows), self.rule)
        for (position, name), items in groupby(evidence, key=lambda item: (item.position, item.set)):
            listed = sorted(items, key=lambda item: (-item.coverage, -item.matched, item.item))
            yield Hit(position, _message(listed), listed[0].coverage, evidence=listed[0].excerpt, key=name)


def named_sets(change: Change, sets: Sequence[str]) -> list[str]:
    """Sets with the paths of files as the configuration means them."""
    return [name if name.startswith(LM_EVAL) else str(change.path(name)) for name in sets]


def _message(items: list[Evidence]) -> str:
    first, *others = items
    whole = first.coverage >= 1
    part = {"question": "the question", "answer": "the answer", "prompt": "the question and the choices"}.get(
        first.part, f"the {first.part}"
    )
    how = f"all {first.words:,} words" if whole else f"{first.coverage:.0%} of the words ({first.matched:,} of {first.words:,})"
    also = f" It holds {len(others):,} further items of the set." if others else ""
    return f"The row holds item {first.item:,} of the evaluation set {first.set}: {how} of {part}.{also}"


__all__ = ["Contamination"]
