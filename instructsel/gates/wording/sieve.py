"""Which of many texts may hold what a check looks for, told for all at once: the others cost no pattern of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cached_property
from itertools import compress
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.wording.phrases import Held, folded
from instructsel.gates.wording.texts import answers, passages

if TYPE_CHECKING:
    import polars

    from instructsel.gates.change import Change

FEW: Final = 4096
"""Texts of which none is searched: loading what searches them takes longer than the checks."""

Mask = NDArray[np.bool_]


class Sieve:
    """Texts, in the form in which all of them are searched together. Few texts are not: they may hold anything.

    Texts beyond ASCII are searched for words in any case, as `phrases.folded` has them; of all else they may hold anything, too.
    """

    def __init__(self, texts: Sequence[str], few: int = FEW) -> None:
        self._masks: dict[object, Mask] = {}
        self.beyond: Mask = np.ones(len(texts), dtype=bool)
        self._series: polars.Series | None = None
        self._texts: Sequence[str] = texts
        if len(texts) < few:
            return
        import polars

        self.beyond = ~np.fromiter(map(str.isascii, texts), dtype=bool, count=len(texts))
        searched = [text if text.isascii() else "" for text in texts] if self.beyond.any() else texts
        self._series = polars.Series(searched, dtype=polars.String)

    def holding(self, words: Iterable[str], *, first: int | None = None, last: int | None = None, any_case: bool = False) -> Mask:
        """(n,), which texts hold one of some words, or, where capitals count, are beyond ASCII.

        Args:
            words: in small letters, where capitals are such.
            first: characters of each text that are looked at; all by default.
            last: characters at its end that are looked at; all by default.
            any_case: whether capitals are small letters.
        """
        every = tuple(sorted(set(words)))
        listed = [word for word in every if word.isascii()]

        def held(series: polars.Series, held_words: Sequence[str]) -> Mask:
            if not held_words:
                return np.zeros(len(series), dtype=bool)
            texts = series if first is None else series.str.head(first)
            texts = texts if last is None else texts.str.tail(last)
            return texts.str.contains_any(list(held_words), ascii_case_insensitive=any_case).to_numpy()

        def mask(series: polars.Series) -> Mask:
            result = held(series, listed) | self.beyond
            if any_case and self._folded is not None:
                result[self.beyond] = held(self._folded, every)
            return result

        return self._known((every, first, last, any_case), mask)

    def held(self, words: Iterable[str], which: Mask) -> list[Held]:
        """Of some texts, which of some words each holds; None of those that are not searched, and of those beyond ASCII.

        Args:
            words: in small letters.
            which: (n,), the texts.
        """
        chosen = np.flatnonzero(which)
        if self._series is None or not len(chosen):
            return [None] * len(chosen)
        listed = sorted({word for word in words if word.isascii()})
        found = self._series.gather(chosen).str.extract_many(listed, ascii_case_insensitive=True, overlapping=True).to_list()
        beyond = self.beyond[chosen].tolist()
        return [None if other else frozenset(map(str.lower, texts)) for texts, other in zip(found, beyond, strict=True)]

    @cached_property
    def _folded(self) -> polars.Series | None:
        """The texts beyond ASCII, folded; None where one of them is no text to polars."""
        import polars

        try:
            return polars.Series([folded(text) for text in compress(self._texts, self.beyond.tolist())], dtype=polars.String)
        except UnicodeEncodeError:
            return None

    def matching(self, pattern: str) -> Mask:
        """(n,), which texts have a match of a pattern, or are beyond ASCII.

        Args:
            pattern: in the syntax that Python's `re` and Rust's regex have in common, without look-around; classes of ASCII characters.
        """
        return self._known(pattern, lambda series: series.str.contains(pattern).to_numpy() | self.beyond)

    def matches(self, pattern: str) -> list[str]:
        """Every match of a pattern in the texts that are not `beyond`, where any are searched.

        Args:
            pattern: as for `matching`.
        """
        if self._series is None:
            return []
        lists = self._series.str.extract_all(pattern)
        listed: list[str] = lists.filter(lists.list.len() > 0).explode().to_list()
        return listed

    def _known(self, key: object, make: Callable[[polars.Series], Mask]) -> Mask:
        if self._series is None:
            return self.beyond
        if key not in self._masks:
            self._masks[key] = make(self._series)
        return self._masks[key]


def few_of(change: Change) -> int:
    """Texts of a change of which none is searched."""
    return 1 if change.is_part else FEW


def sieve_of_passages(change: Change) -> Sieve:
    """Of every text of a change, in the order of `passages`."""
    return change.shared("sieve of passages", lambda: Sieve([passage.text for passage in passages(change)], few_of(change)))


def sieve_of_answers(change: Change) -> Sieve:
    """Of the answers of a change, in the order of `answers`."""
    return change.shared("sieve of answers", lambda: Sieve([answer.text for answer in answers(change)], few_of(change)))


__all__ = ["Mask", "Sieve", "few_of", "sieve_of_answers", "sieve_of_passages"]
