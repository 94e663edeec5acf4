"""Texts that end inside a word: told by the words that the other texts have, and by those that English texts usually have."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final, Self

from instructsel.gates.wording.english import ENGLISH, USUAL

WORD: Final = re.compile(r"[a-z]{2,}")
LAST: Final = re.compile(r"(?<![^\s(\"'“‘/*_-])[a-z]{2,}$")
"""The small letters that a text ends with."""
WORDS: Final = re.compile(r"[A-Za-z']+")
FIGURE: Final = re.compile(r"\d[\s-]?$")
"""What stands before a unit."""
LINE: Final = 400
"""Characters at the end that are looked at."""
LEAST: Final = 6
"""Words that tell a language."""
ENGLISH_SHARE: Final = 6
"""One word in so many is of English grammar, or the text is of another language."""
SHORT: Final = 3
"""Letters of a word that is known, if it is one."""
ENDINGS: Final = frozenset(("s", "es", "ed", "d", "ing", "ly"))
"""What makes another word of a word: a text that ends with that word is whole."""
SUFFIXES: Final = frozenset(
    (
        *ENDINGS,
        *("er", "ers", "r", "al", "y", "n", "en", "ness", "ment", "ments", "ful", "able", "ion", "ions", "ity", "ive", "ist", "ists", "ic"),
        *("ism", "ial", "ian", "est"),
    )
)
"""What may make another word of one."""


@cache
def usual() -> frozenset[str]:
    """Words of small letters that stand at least 45 times in the responses of open English pools (Alpaca, Dolly, LIMA and others)."""
    listed = (Path(__file__).parent / "english_words.txt").read_text(encoding="utf-8").split()
    return ENGLISH | USUAL | frozenset(listed)


def last_part(text: str) -> str | None:
    """What an English text ends with, where that may be the part of a word; None where it is a word that texts usually have, or no word.

    >>> last_part("In this year they began with the constr"), last_part("In this year they began with the harbor of the town")
    ('constr', None)
    """
    last = text[-LINE:]
    match = LAST.search(last)
    if match is None or match[0] in usual() or FIGURE.search(last[: match.start()]):
        return None
    words = WORDS.findall(last)
    if len(words) < LEAST or sum(word.lower() in ENGLISH for word in words) * ENGLISH_SHARE < len(words):
        return None
    return match[0]


class Vocabulary:
    """The words of many texts, as far as some parts need them."""

    def __init__(self, counts: Counter[str]) -> None:
        self._counts = counts
        self._words = sorted(usual() | counts.keys())

    @classmethod
    def of(cls, texts: Iterable[str]) -> Self:
        """The words of texts, those among which a cut is told included; words that begin with no part that is asked for may be left out."""
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(WORD.findall(text.lower()))
        return cls(counts)

    def is_broken(self, part: str) -> bool:
        """Whether the `last_part` of a text is a part of a word, and neither a word nor what may be one.

        >>> Vocabulary.of(["The construction of the harbor took years."]).is_broken("constr")
        True
        """
        if self._counts[part] > 1:
            return False
        rests = self._rests(part)
        if not rests:
            return False
        may_be_one = len(part) > SHORT and (rests & ENDINGS or rests <= SUFFIXES)
        return not may_be_one

    def _rests(self, part: str) -> set[str]:
        """What follows a part in the words that begin with it."""
        rests: set[str] = set()
        for place in range(bisect_left(self._words, part), len(self._words)):
            word = self._words[place]
            if not word.startswith(part):
                break
            if word != part:
                rests.add(word[len(part) :])
        return rests


__all__ = ["Vocabulary", "last_part", "usual"]
