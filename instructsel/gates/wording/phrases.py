"""Phrases that are looked for in many texts: each with the words without which it cannot be there, so that most texts cost no pattern."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

Held = frozenset[str] | None
"""Words that a text holds, capitals counted as small letters; None where they are not known."""
APOSTROPHES: Final = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u00b4": "'", "\u00a0": " ", "\u201c": '"', "\u201d": '"'}
)
WINDOW: Final = 160
"""Characters before and after a word in which its phrase is looked for."""
MOST: Final = 40
"""Places of a word in a text that are looked at."""


def folded(text: str) -> str:
    """A text in small letters with plain apostrophes, as many characters as before.

    >>> folded("I\\u2019M")
    "i'm"
    """
    low = text.lower()
    if len(low) != len(text):
        # One capital of Turkish becomes two characters; places must stay what they are.
        low = "".join(sign.lower() if len(sign.lower()) == 1 else sign for sign in text)
    return low if low.isascii() else low.translate(APOSTROPHES)


@dataclass(frozen=True)
class Phrase:
    """A phrase in small letters."""

    words: tuple[str, ...]
    """One of them stands in every text that has the phrase."""
    pattern: str
    """What matches it; of bounded length."""

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The pattern, compiled once."""
        return re.compile(self.pattern)


@dataclass(frozen=True)
class Phrases:
    """Several phrases."""

    phrases: tuple[Phrase, ...]

    @classmethod
    def of(cls, *entries: tuple[str, str] | tuple[Sequence[str], str]) -> Phrases:
        """From words with their patterns; words are a text with | between them."""
        return cls(
            tuple(Phrase(tuple(words.split("|")) if isinstance(words, str) else tuple(words), pattern) for words, pattern in entries)
        )

    @cached_property
    def _by_word(self) -> tuple[tuple[str, Phrase], ...]:
        # A pattern is compiled where its word stands somewhere: that takes longer than looking for all words in a hundred texts.
        return tuple((word, phrase) for phrase in self.phrases for word in phrase.words)

    @cached_property
    def _by_ascii_word(self) -> tuple[tuple[str, Phrase], ...]:
        return tuple((word, phrase) for word, phrase in self._by_word if word.isascii())

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words, one of which stands in every text that has one of the phrases."""
        return tuple(dict.fromkeys(word for phrase in self.phrases for word in phrase.words))

    @cached_property
    def _of_word(self) -> dict[str, tuple[tuple[str, Phrase], ...]]:
        entries: dict[str, tuple[tuple[str, Phrase], ...]] = {}
        for word, phrase in self._by_word:
            entries[word] = (*entries.get(word, ()), (word, phrase))
        return entries

    def places(self, low: str, held: Held = None) -> list[tuple[int, int]]:
        """Where phrases stand in a folded text, in order: up to MOST places of each word.

        Args:
            low: the text.
            held: words of phrases that stand in it, these and others, where they are known; in none of the others is it looked for then.
        """
        if held is not None:
            words: Iterable[tuple[str, Phrase]] = (entry for word in held for entry in self._of_word.get(word, ()))
        else:
            words = self._by_ascii_word if low.isascii() else self._by_word
        return sorted({place for word, phrase in words if word in low for place in _places(word, phrase.compiled, low)})

    def first(self, low: str) -> tuple[int, int] | None:
        """The earliest place of any."""
        return next(iter(self.places(low)), None)


def _places(word: str, pattern: re.Pattern[str], low: str) -> Iterator[tuple[int, int]]:
    start = low.find(word)
    for _ in range(MOST):
        if start < 0:
            return
        # The window keeps a long text from being looked through by a pattern; what stands before it counts for word boundaries.
        for match in pattern.finditer(low, max(0, start - WINDOW), min(len(low), start + WINDOW)):
            if match.start() <= start < match.end():
                yield match.span()
                break
        start = low.find(word, start + len(word))


__all__ = ["Held", "Phrase", "Phrases", "folded"]
