"""Rows that hold items of evaluation sets."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from typing import ClassVar

from instructsel.errors import UsageError
from instructsel.experiments.limits import between
from instructsel.gates.baseline.tensor_file import digest_of
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, Result, RowCheck, Waived
from instructsel.gates.contamination.index import ENDING, ItemIndex
from instructsel.gates.contamination.items import LM_EVAL
from instructsel.gates.contamination.matching import DECIDING, THRESHOLD, Evidence, Rule, Search
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
    of_row: ClassVar[bool] = True

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
        def make() -> ItemIndex:
            return ItemIndex.of(named_sets(change, self.sets)) if change.carried is None else ItemIndex.read(self._file(change.carried))

        return change.lasting(f"items {self.sets}", make)

    def _file(self, folder: Path) -> Path:
        return folder / f"{digest_of(repr(self.sets).encode())}{ENDING}"

    def carry(self, change: Change, folder: Path) -> None:
        """The index."""
        self._index(change).write(self._file(folder))

    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask every row; how many items nobody can look for is said."""
        result = super().result(change, severity, waived)
        if not change.rows:
            return result
        left_out, items = self._counts(change)
        return replace(result, statement=f"{result.statement}{said_of_items(left_out, items)}")

    def _counts(self, change: Change) -> tuple[int, int]:
        """Items that say too little, and all items of the sets."""
        sets = self._index(change).sets
        # What an index counts has no question and no long answer; its passage or its choices may be looked for.
        left_out = sum(entry.left_out for entry in sets) if set(self.parts) <= set(DECIDING) else 0
        return left_out, sum(entry.n_items for entry in sets)

    def hits(self, change: Change) -> Iterator[Hit]:
        """A hit for each row and set, with the item that is covered most."""
        if not change.rows:
            return
        left_out, n_items = self._counts(change)
        check_some(n_items - left_out, self.sets)
        index = self._index(change)
        search = change.lasting(f"search {self.sets} {self.rule}", lambda: Search(index, self.rule))
        evidence = search.found(row.example for row in change.rows)
        for (position, name), items in groupby(evidence, key=lambda item: (item.position, item.set)):
            listed = sorted(items, key=lambda item: (-item.coverage, -item.matched, item.item))
            yield Hit(position, _message(listed), listed[0].coverage, evidence=listed[0].excerpt, key=name)


def said_of_items(left_out: int, items: int) -> str:
    """How many items of the sets nobody can look for, in a sentence; "" where that is none."""
    return f" {left_out:,} of the sets' {counted(items, 'item')} say too little to be looked for." if left_out else ""


def check_some(n_items: int, sets: Sequence[str]) -> None:
    """Refuse sets of which every row would pass.

    Raises:
        UsageError: no item of them can be looked for.
    """
    if not n_items:
        raise UsageError(f"No item of {', '.join(sets)} says enough to be looked for.", fix="Name sets whose questions are longer.")


def named_sets(change: Change, sets: Sequence[str]) -> list[str]:
    """Sets with the paths of files as the configuration means them."""
    return [name if name.startswith(LM_EVAL) else str(change.path(name)) for name in sets]


def _message(items: list[Evidence]) -> str:
    first, *others = items
    is_complete = first.coverage >= 1
    part = {"question": "the question", "answer": "the answer", "prompt": "the question and the choices"}.get(
        first.part, f"the {first.part}"
    )
    how = f"all {first.words:,} words" if is_complete else f"{first.coverage:.0%} of the words ({first.matched:,} of {first.words:,})"
    also = f" It holds {len(others):,} further items of the set." if others else ""
    return f"The row holds item {first.item:,} of the evaluation set {first.set}: {how} of {part}.{also}"


__all__ = ["Contamination", "check_some", "named_sets", "said_of_items"]
