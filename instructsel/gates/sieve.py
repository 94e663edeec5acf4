"""Which of many texts may hold what a check looks for, told for all at once: the others cost no pattern of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.texts import answers, passages

if TYPE_CHECKING:
    from instructsel.gates.change import Change

Mask = NDArray[np.bool_]


class Sieve:
    """Texts, in the form in which all of them are searched together. Texts beyond ASCII are not searched: they may hold anything."""

    def __init__(self, texts: Sequence[str]) -> None:
        import polars

        self.beyond: Mask = ~np.fromiter(map(str.isascii, texts), dtype=bool, count=len(texts))
        searched = [text if text.isascii() else "" for text in texts] if self.beyond.any() else texts
        self._series = polars.Series(searched, dtype=polars.String)
        self._masks: dict[object, Mask] = {}

    def holding(self, words: Iterable[str], *, first: int | None = None, any_case: bool = False) -> Mask:
        """(n,), which texts hold one of some words, or are beyond ASCII.

        Args:
            words: those beyond ASCII are in no text that is not.
            first: characters of each text that are looked at; all by default.
            any_case: whether capitals are small letters.
        """
        listed = tuple(sorted({word for word in words if word.isascii()}))

        def mask() -> Mask:
            texts = self._series if first is None else self._series.str.head(first)
            return texts.str.contains_any(list(listed), ascii_case_insensitive=any_case).to_numpy()

        return self._known((listed, first, any_case), mask)

    def matching(self, pattern: str) -> Mask:
        """(n,), which texts have a match of a pattern, or are beyond ASCII.

        Args:
            pattern: in the syntax that Python's `re` and Rust's regex have in common, without look-around; classes of ASCII characters.
        """
        return self._known(pattern, lambda: self._series.str.contains(pattern).to_numpy())

    def _known(self, key: object, make: Callable[[], Mask]) -> Mask:
        if key not in self._masks:
            self._masks[key] = make() | self.beyond
        return self._masks[key]


def sieve_of_passages(change: Change) -> Sieve:
    """Of every text of a change, in the order of `passages`."""
    return change.shared("sieve of passages", lambda: Sieve([passage.text for passage in passages(change)]))


def sieve_of_answers(change: Change) -> Sieve:
    """Of the answers of a change, in the order of `answers`."""
    return change.shared("sieve of answers", lambda: Sieve([answer.text for answer in answers(change)]))


__all__ = ["Mask", "Sieve", "sieve_of_answers", "sieve_of_passages"]
