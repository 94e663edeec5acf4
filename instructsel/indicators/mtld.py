"""MTLD: how long a text keeps up its lexical diversity."""

from __future__ import annotations

import re
import string
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.indicators.base import Batch, Indicator, Progress, Scored, null_on_empty
from instructsel.pool.writing_systems import unsegmented_share

DIGITS: Final = re.compile("[0-9]+")
PUNCTUATION: Final = str.maketrans({**dict.fromkeys("-–—", None), **dict.fromkeys(set(string.punctuation) - {"-"}, " ")})
UNSEGMENTED_LIMIT: Final = 0.3
"""From this share of letters of scripts without spaces on, words cannot be told apart."""


def words(text: str) -> list[str]:
    """The words MTLD counts: lower case, digits gone, hyphens and dashes gone, other ASCII punctuation a space."""
    return DIGITS.sub("", text.lower()).translate(PUNCTUATION).split()


def mtld(tokens: Sequence[str], *, threshold: float = 0.72) -> float:
    """The mean number of tokens in a row that keep the type–token ratio above the threshold, forward and backward.

    A factor closes when the ratio is ≤ threshold; what is left over counts in part; no factor at all counts as one.

    Args:
        tokens: at least one.
        threshold: type–token ratio at which a factor closes, in (0, 1).

    Raises:
        ValueError: there are no tokens.

    Source: McCarthy & Jarvis 2010, doi:10.3758/BRM.42.2.381; the variant of LexicalRichness, which the paper's code uses.

    >>> mtld("the the the the the".split())
    2.5
    """
    if not tokens:
        raise ValueError("MTLD needs at least one word.")
    return (_one_way(tokens, len(tokens), threshold) + _one_way(reversed(tokens), len(tokens), threshold)) / 2


def _one_way(tokens: Iterable[str], total: int, threshold: float) -> float:
    factors = 0.0
    seen: set[str] = set()
    types = count = 0
    for token in tokens:
        count += 1
        if token not in seen:
            # A new word raises the ratio: it closes no factor.
            seen.add(token)
            types += 1
        elif types / count <= threshold:
            factors += 1
            seen.clear()
            types = count = 0
    if count:
        factors += (1 - types / count) / (1 - threshold)
    return total / (factors or 1.0)


@dataclass(frozen=True)
class Mtld(Indicator):
    """MTLD of the last answer. Null: no_words, and unsegmented_script where words are written without spaces.

    Below about 50 words the value is unstable. Assumed, because the paper does not say: the text (the response) and the
    threshold (0.72, the library's default).

    Source: Cao et al. 2023, arXiv:2307.06290v1, Table 1; McCarthy & Jarvis 2010.
    """

    threshold: float = 0.72
    """The type–token ratio at which a factor closes."""

    symbol_pattern: ClassVar[str] = "mtld"
    of_conversation: ClassVar[bool] = True
    version: ClassVar[int] = 1
    unit: ClassVar[str] = "words"
    direction: ClassVar[str] = "lower is better, univariately; not in Eq. 4"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, MTLD; McCarthy & Jarvis 2010"

    @property
    def symbol(self) -> str:
        """mtld."""
        return "mtld"

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Walk each response forward and backward."""
        values: list[float | None] = []
        reasons: list[str | None] = []
        for empty, response in zip(null_on_empty(batch), batch.responses, strict=True):
            tokens = [] if empty else words(response)
            unsegmented = bool(tokens) and unsegmented_share(response) >= UNSEGMENTED_LIMIT
            reason = empty or ("no_words" if not tokens else "unsegmented_script" if unsegmented else None)
            reasons.append(reason)
            values.append(None if reason else mtld(tokens, threshold=self.threshold))
        return Scored(values, reasons)
