"""Responses that are stuck in a loop."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import compress
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.loops import loop_of, repeated_share
from instructsel.gates.wording.repeating import may_loop
from instructsel.gates.wording.sieve import few_of
from instructsel.gates.wording.texts import answers, around

WANTED: Final = re.compile(
    r"\brepeat(?:ed|ing|edly|ing)?\b|\b(?:write|say|print|type|output|list|copy|paste|display)\b[^.\n]{0,80}\btimes\b|\bover and over\b",
    re.IGNORECASE,
)
"""What a prompt says that wants the same again and again."""
REFRAIN: Final = re.compile(r"\b(?:pattern|lyrics|song|chant|mantra|refrain|nursery rhyme|ascii|pyramid|triangle|chorus)\b", re.IGNORECASE)
"""What a prompt says whose answer may have the same a few times."""
ASKING: Final = 240
"""Characters at either end of a prompt, where it says what it wants."""
FEW: Final = 10
"""Times that a refrain has at most."""


@dataclass(frozen=True)
class Repetition(RowCheck):
    """Responses in which a sign, words or a line come again and again, one after the other.

    A refrain is none, nor is what the prompt wants repeated.
    """

    number: ClassVar[str] = "IS016"
    kind: ClassVar[str] = "repetition"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "Holtzman et al. 2020, arXiv:1904.09751; Rae et al. 2021, arXiv:2112.11446, table A1: repeated lines and n-grams"
    )
    fix: ClassVar[str] = "Generate the response again, or take the row out."
    of_row: ClassVar[bool] = True

    min_times: int = field(default=4, metadata=between(2, 1 << 20))
    """How often words or a line have to stand there in a row."""
    min_words: int = field(default=20, metadata=between(4, 1 << 20))
    """How many words the repetitions take together, at least."""
    max_repeated: float = field(default=0.5, metadata=between(0, 1))
    """The share of groups of ten words that may stand in the answer before."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Every answer that is stuck."""
        listed = answers(change)
        likely = may_loop(
            [answer.text for answer in listed],
            min_times=self.min_times,
            min_words=self.min_words,
            max_repeated=self.max_repeated,
            few=few_of(change),
        )
        for answer in compress(listed, likely.tolist()):
            if len(answer.text) < self.min_words:
                continue
            words = answer.text.casefold().split()
            loop = loop_of(answer.text, words, min_times=self.min_times, min_words=self.min_words)
            share = 0.0 if loop is not None else repeated_share(words, above=self.max_repeated)
            if loop is None and share <= self.max_repeated:
                continue
            asking = f"{answer.prompt[:ASKING]}\n{answer.prompt[-ASKING:]}"
            if WANTED.search(asking):
                continue
            may_repeat = REFRAIN.search(asking) is not None
            if loop is not None and not (may_repeat and loop.times <= FEW):
                message = f"{answer.name} repeats {loop.what} {loop.times:,} times in a row, {loop.share:.0%} of its text."
                yield answer.hit(message, value=float(loop.times), evidence=around(answer.text, loop.start, loop.end))
                continue
            if share > self.max_repeated and not may_repeat:
                yield answer.hit(f"{answer.name} repeats itself: {share:.0%} of its groups of ten words stand in it before.", value=share)
