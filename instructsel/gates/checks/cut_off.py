"""Responses that are cut off."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, compress
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.endings import GUESSES, MID_WORD, MUST_FOLLOW, NO_SIGN, ends_in_words, is_code, unfinished
from instructsel.gates.wording.sieve import sieve_of_passages
from instructsel.gates.wording.texts import Answer, answers, around, passages
from instructsel.gates.wording.word_cuts import Vocabulary, last_part

AT_CEILING: Final = "without a sign at the length at which many others end"
LEAST_ROWS: Final = 200
LEAST_CEILING: Final = 200
"""Responses, and characters of the longest, from which a limit of a generator is seen in their lengths."""
BUCKET: Final = 25
"""Characters of lengths that count as one."""
PILE: Final = 0.05
WALL: Final = 3
WINDOW: Final = 10
"""The share of responses at a limit, how many times as many as at one of the lengths below it, and how many of these are looked at."""
LEAST_SPACES: Final = 2
"""In the last line of a text that ends inside a word."""
LEAST_SURE: Final = 4
OPEN_SHARE: Final = 0.6
"""Cuts that can be nothing else, and the share of `max_guesses`, for single sentences without a sign to count."""
SHOWN: Final = 60
"""Characters of a response's end that are shown, beside those around them."""


@dataclass(frozen=True)
class CutOff(RowCheck):
    """Responses that end in the middle of a word, of a sentence, of a list, of code, or of a bracket.

    Titles, names, numbers, verse, tables and code that is whole end as they please; in Thai, Lao, Khmer and Burmese a sentence may end
    without a sign.
    """

    number: ClassVar[str] = "IS013"
    kind: ClassVar[str] = "cut-off"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "instructsel's own rule; responses stop there when a generator's limit of tokens is reached"
    fix: ClassVar[str] = "Generate the response again with a higher limit of tokens, finish it, or take the row out."

    min_characters: int = field(default=24, metadata=between(0, 1 << 40))
    """Shorter responses are not looked at."""
    max_guesses: float = field(default=4.0, metadata=between(0, 1 << 40))
    """Sentences that end without a sign count up to so many times the responses that end where nobody does: at a word that must go on, inside a
    bracket or code. Where they are more, they are the writers' style, and none counts."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every answer that is not finished."""
        sure: list[tuple[Answer, str]] = []
        guessed: list[tuple[Answer, str]] = []
        open_ones: list[tuple[Answer, str]] = []
        for answer, end in self._ends(change):
            if end is None:
                open_ones.append((answer, NO_SIGN))
            elif not _continues(answer.prompt, answer.text):
                (guessed if end in GUESSES else sure).append((answer, end))
        # Of cuts at any word a third ends where nobody ends. Where sentences without a sign are many more, people wrote them so, as they do
        # commas and colons.
        within = sum(end != MUST_FOLLOW for _, end in sure)
        most = self.max_guesses * within
        # Single sentences and items of lists have no sign more often than sentences behind others.
        open_ones = [(answer, end) for answer, end in open_ones if not _continues(answer.prompt, answer.text)]
        if within >= LEAST_SURE and len(guessed) + len(open_ones) <= OPEN_SHARE * most:
            guessed += open_ones
        for answer, end in sure + (guessed if len(guessed) <= most else []):
            yield answer.hit(
                f"{answer.name} is cut off: it ends {end}.",
                value=float(len(answer.text)),
                evidence=around(answer.text, max(0, len(answer.text) - SHOWN), len(answer.text)),
            )

    def _ends(self, change: Change) -> Iterator[tuple[Answer, str | None]]:
        """Every answer that is not finished, with what shows it; None for one that ends with words and without a sign."""
        ends: list[tuple[Answer, str | None, str | None]] = []
        ceiling = ceiling_of([len(answer.text) for answer in answers(change)])
        for answer in answers(change):
            text = answer.text
            if answer.message.tool_calls or len(text) < self.min_characters:
                continue
            end = unfinished(text)
            if (end is None or end in GUESSES) and len(text) > ceiling and text[-1].isalnum():
                end = AT_CEILING
            part = last_part(text) if (end is None or end in GUESSES) and _ends_in_letters(text) else None
            if end is not None or part is not None or ends_in_words(text):
                ends.append((answer, end, part))
        parts = {part for *_, part in ends if part is not None}
        words = Vocabulary.of(())
        if parts:
            # Of nearly all texts no word begins with one of them.
            sieve = sieve_of_passages(change)
            begun = sieve.matches(rf"(?i)(?:^|[^a-z])(?:{'|'.join(sorted(parts))})[a-z]*")
            words = Vocabulary.of(chain(begun, (passage.text for passage in compress(passages(change), sieve.beyond.tolist()))))
        for answer, end, part in ends:
            if part is not None and words.is_broken(part):
                yield answer, MID_WORD
            elif end is not None or part is None or ends_in_words(answer.text):
                yield answer, end


def ceiling_of(lengths: Sequence[int]) -> float:
    """Characters above which responses are as long as a generator let them be; infinite where none are.

    A limit makes a wall: at the greatest length there are many, and several times as many as at any length below it.

    >>> ceiling_of([1000] * 30 + list(range(20, 900, 3))), ceiling_of(list(range(20, 900, 3)))
    (975, inf)
    """
    top = max(lengths, default=0)
    at_top = sum(length > top - BUCKET for length in lengths)
    if len(lengths) < LEAST_ROWS or top < LEAST_CEILING or at_top < PILE * len(lengths):
        return math.inf
    below = Counter((top - length) // BUCKET for length in lengths if BUCKET <= top - length < (WINDOW + 1) * BUCKET)
    return top - BUCKET if at_top >= WALL * max(below.values(), default=0) else math.inf


def _ends_in_letters(text: str) -> bool:
    """Whether the last line is long enough for a sentence and ends with small letters, in no code."""
    return text[-1].islower() and text.rpartition("\n")[2].count(" ") >= LEAST_SPACES and not is_code(text)


def _continues(prompt: str, text: str) -> bool:
    """Whether the prompt asks for a part of a text: its answer ends where that text does."""
    tail = text[-60:]
    return len(tail) >= 20 and tail in prompt
