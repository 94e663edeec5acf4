"""Which of many texts may hold what a check looks for, told for all at once: the others cost no pattern of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.texts import answers, passages

if TYPE_CHECKING:
    import polars

    from instructsel.gates.change import Change

FEW: Final = 4096
"""Texts of which none is searched: loading what searches them takes longer than the checks."""

Mask = NDArray[np.bool_]


class Sieve:
    """Texts, in the form in which all of them are searched together. Texts beyond ASCII, and few texts, are not searched: they may hold anything."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._masks: dict[object, Mask] = {}
        self.beyond: Mask = np.ones(len(texts), dtype=bool)
        self._series: polars.Series | None = None
        if len(texts) < FEW:
            return
        import polars

        self.beyond = ~np.fromiter(map(str.isascii, texts), dtype=bool, count=len(texts))
        searched = [text if text.isascii() else "" for text in texts] if self.beyond.any() else texts
        self._series = polars.Series(searched, dtype=polars.String)

    def holding(self, words: Iterable[str], *, first: int | None = None, last: int | None = None, any_case: bool = False) -> Mask:
        """(n,), which texts hold one of some words, or are beyond ASCII.

        Args:
            words: those beyond ASCII are in no text that is not.
            first: characters of each text that are looked at; all by default.
            last: characters at its end that are looked at; all by default.
            any_case: whether capitals are small letters.
        """
        listed = tuple(sorted({word for word in words if word.isascii()}))

        def mask(series: polars.Series) -> Mask:
            texts = series if first is None else series.str.head(first)
            texts = texts if last is None else texts.str.tail(last)
            return texts.str.contains_any(list(listed), ascii_case_insensitive=any_case).to_numpy()

        return self._known((listed, first, last, any_case), mask)

    def matching(self, pattern: str) -> Mask:
        """(n,), which texts have a match of a pattern, or are beyond ASCII.

        Args:
            pattern: in the syntax that Python's `re` and Rust's regex have in common, without look-around; classes of ASCII characters.
        """
        return self._known(pattern, lambda series: series.str.contains(pattern).to_numpy())

    def _known(self, key: object, make: Callable[[polars.Series], Mask]) -> Mask:
        if self._series is None:
            return self.beyond
        if key not in self._masks:
            self._masks[key] = make(self._series) | self.beyond
        return self._masks[key]


def sieve_of_passages(change: Change) -> Sieve:
    """Of every text of a change, in the order of `passages`."""
    return change.shared("sieve of passages", lambda: Sieve([passage.text for passage in passages(change)]))


def sieve_of_answers(change: Change) -> Sieve:
    """Of the answers of a change, in the order of `answers`."""
    return change.shared("sieve of answers", lambda: Sieve([answer.text for answer in answers(change)]))


__all__ = ["Mask", "Sieve", "sieve_of_answers", "sieve_of_passages"]
