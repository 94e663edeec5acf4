"""Loops of a text: the same line, words or sign again and again. One pass over the text, whatever stands in it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GRAM: Final = 4
"""Words by which a repetition is seen."""
SIGNS: Final = 8
"""The same for signs, in a text without spaces."""
LONG_WORD: Final = 18
"""Characters of a word on average beyond which a text has no spaces between its words."""
RUN: Final = re.compile(r"([^\s\d=\-_*#.~+/\\|<>:┄─━═█░▒▓▀▄■□·•…'\"`^])\1{23,}")
"""The same sign; signs of rules, bars and tables are not among them."""
SHOUT: Final = re.compile(r"([!?！？¡¿。]{2}|[!?！？¡¿。]{4})\1{11,}")
"""Signs that end sentences, again and again in one order."""
RULE: Final = re.compile(r"([=\-_*#.~+/\\|<>:─━═·•…'\"`^\d])\1{149,}")
"""A rule that is longer than any line."""
EIGHTH: Final = re.compile(r"(.)\1\1", re.DOTALL)
"""Of every eighth sign of a text: a run of 24 signs has three of them, one after the other."""
LONGEST: Final = 48
"""Characters of a word from which it is a text without spaces, which may hold a loop of its own."""
MOST: Final = 400_000
"""Units of a text that are looked at."""
LEAST_LINE: Final = 12
"""Characters of a line that counts."""
MARKUP: Final = "<|{}()[];/\\"
"""How lines of tables and code begin: twice as many are no loop yet."""
MANY: Final = 60
"""Repetitions of what has no letters that are a loop."""
FEWER: Final = 30
"""Those of three figures and more, one after the other."""
NUMBERED: Final = re.compile(r"^\W{0,6}\d{1,4}[.):]?\s+")


@dataclass(frozen=True, slots=True)
class Loop:
    """A repetition."""

    what: str
    """A sign, a line, or some words."""
    times: int
    """How often it stands there, one after the other."""
    start: int
    end: int
    """Characters of the text where the first of them stands, roughly."""
    share: float
    """How much of the text it takes, in [0, 1]."""


def loop_of(text: str, words: Sequence[str] | None = None, *, min_times: int = 4, min_words: int = 20) -> Loop | None:
    """The repetition that a text is stuck in; None where there is none.

    Args:
        text: of any length.
        words: those of its casefolded form, where they are there already.
        min_times: how often words have to stand there in a row.
        min_words: how many words the repetitions after the first take together, at least.
    """
    match = (RUN.search(text) or RULE.search(text) or SHOUT.search(text)) if EIGHTH.search(text[::8]) else None
    if match is not None:
        return Loop(
            "a sign" if match.re is not SHOUT else "signs",
            match.end() - match.start(),
            match.start(),
            min(match.end(), match.start() + 40),
            (match.end() - match.start()) / len(text),
        )
    words = text.casefold().split() if words is None else words
    loop = _lines(text, min_times) or _words(text, words, min_times, min_words)
    if loop is None and not text.isascii() and len(longest := max(words, key=len, default="")) >= LONGEST and not longest.isascii():
        # Between words with spaces stands a text without.
        return _words(longest, [longest], min_times, min_words)
    return loop


def _lines(text: str, min_times: int) -> Loop | None:
    """A line again and again, with at most blank lines between; numbers at its beginning may count up."""
    if text.count("\n") < min_times:
        return None
    before, times, start, position = "", 0, 0, 0
    best: tuple[int, int, int] | None = None
    for line in text.split("\n"):
        content = NUMBERED.sub("", line).strip().casefold()
        if content:
            if content == before and len(content) >= LEAST_LINE and sum(map(str.isalnum, content)) >= LEAST_LINE // 2:
                times += 1
            else:
                before, times, start = content, 1, position
            if times > (min_times if content[0] not in MARKUP else 2 * min_times) and (best is None or times > best[0]):
                best = times, start, start + len(line)
        position += len(line) + 1
    if best is None:
        return None
    times, start, end = best
    return Loop("a line", times, start, end, min(1.0, times * (end - start) / len(text)))


def _words(text: str, words: Sequence[str], min_times: int, min_words: int) -> Loop | None:
    """Words, or signs of a text without spaces, that come again at the same distance."""
    gram = GRAM
    if not words:
        return None
    if sum(map(len, words)) > LONG_WORD * len(words):
        words, gram = [sign for sign in text if not sign.isspace()], SIGNS
    words = words[:MOST]
    if len(words) < min_words + gram:
        return None
    # A group that comes again begins with a word that does.
    if len(words) - len(set(words)) < min_words - gram:
        return None
    grams = list(zip(*(words[start:] for start in range(gram)), strict=False))
    if len(grams) - len(set(grams)) < min_words - gram:
        # No words come again often enough.
        return None
    last: dict[tuple[str, ...], int] = {}
    distance = length = 0
    best = (0, 0, 0)
    for place, words_here in enumerate(grams):
        previous = last.get(words_here)
        last[words_here] = place
        if previous is None:
            distance = length = 0
            continue
        if place - previous == distance:
            length += 1
        else:
            distance, length = place - previous, 1
        if length > best[0] and length >= max(min_words - gram, (min_times - 1) * distance - gram) and distance:
            best = length, distance, place
    length, distance, place = best
    if not length:
        return None
    times = (length + gram - 1) // distance + 1
    if times < min_times or (len(set(words[place - length + 1 - distance : place + gram])) < 2 and distance > 1):
        return None
    shown = words[place - distance + 1 : place + 1]
    sample = (" " if gram == GRAM else "").join(shown)[:80]
    letters = sum(map(str.isalpha, sample))
    if (letters < 2 and times < (MANY if distance < 3 else FEWER)) or (gram == SIGNS and (not letters or times < min_times + 2)):
        return None
    start = max(0, text.casefold().find(sample[:40]))
    return Loop(
        "some words" if gram == GRAM else "some signs",
        times,
        start,
        start + len(sample),
        min(1.0, (length + gram - 1 + distance) / len(words)),
    )


def repeated_share(words: Sequence[str], gram: int = 10, *, above: float = 0.0) -> float:
    """The share of groups of words that stand in a text before, in [0, 1]; 0 for a text of few words, and where it is not above `above`.

    Args:
        words: of the casefolded text.
        gram: words of a group.
        above: what is looked for; where the share is not, the rest need not be computed.
    """
    if len(words) < 2 * gram:
        return 0.0
    distinct = set(words)
    if not all(map(str.isalpha, distinct)):
        empty = {word for word in distinct if not (word[0].isalpha() or any(map(str.isalpha, word)))}
        if empty:
            words = [word for word in words if word not in empty]
            distinct -= empty
    n = len(words) - gram + 1
    # A group that comes again begins with a word that does.
    if len(words) < 2 * gram or len(words) - len(distinct) <= above * n:
        return 0.0
    return 1 - len(set(zip(*(words[start:] for start in range(gram)), strict=False))) / n


__all__ = ["Loop", "loop_of", "repeated_share"]
