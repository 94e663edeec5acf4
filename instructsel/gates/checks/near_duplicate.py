"""Rows whose words nearly repeat those of another row."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.contamination.words import words_of
from instructsel.gates.duplicates.conflicts import SamePromptRows, same_prompts
from instructsel.gates.duplicates.pairs import LOWEST, THRESHOLD, differing_of, near_pairs, without
from instructsel.gates.duplicates.prompts import Asked, OwnAsked
from instructsel.gates.duplicates.repeats import Repeats, asked_of, distinct, hits_of, place_in_pool, shingles_of
from instructsel.gates.duplicates.responses import contradiction
from instructsel.gates.duplicates.saved import SavedShingles

EDIT: Final = 20
"""Shingles in which two texts differ where two of their words do."""
ALIKE: Final = 0.5
"""Share of the content words of two responses."""
SAID_AGAIN: Final = 0.8
"""The same of two responses to one prompt that say one thing."""
LEAST_WORDS: Final = 12
"""Words of such a response: of fewer, one makes another answer."""
MOST_WORDS: Final = 120
"""Of more, two words that differ leave enough runs of five, and one vocabulary makes many texts."""
MOST: Final = 64
"""Responses to a prompt, and prompts of a response, that one is compared with."""
LEAST_RESPONSE: Final = 16
LEAST_ASKED: Final = 4
FRAME: Final = 6
"""Characters of a response and words of a prompt that are those of another row, and words around such a prompt."""


@dataclass(frozen=True)
class NearDuplicate(Repeats):
    """Nearly the same words as another row.

    Of rows with one prompt also the responses, and of rows with one response also prompts of which one holds the other: a word or two that differ in
    a short row leave few runs of five words.
    """

    number: ClassVar[str] = "IS031"
    kind: ClassVar[str] = "near-duplicate"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = (
        "Broder 1997: exact Jaccard similarity of shingles of five words, of candidates that MinHash finds; "
        "of rows with one prompt that of the responses' content words, instructsel's own rule"
    )
    fix: ClassVar[str] = "Keep one of the two: instructsel dedup FILE -o CLEAN.jsonl --pairs PAIRS.parquet"
    parts: ClassVar[tuple[str, ...]] = ("shingles", "prompts")

    threshold: float = field(default=THRESHOLD, metadata=between(LOWEST, 1))
    """Jaccard similarity from which two rows are near-duplicates: of the runs of five words of prompt and response, in normal form."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows that nearly repeat one of the baseline, then those that nearly repeat one of the change that repeats none."""
        shingles, rows = shingles_of(change, self.threshold, in_pool=self.in_pool(change))
        candidates = distinct(change)[rows]
        responses = asked_of(change)
        if self.in_pool(change):
            assert change.baseline is not None
            saved = SavedShingles.stored(change.baseline.part("shingles").arrays)
            pool = Asked.stored(change.baseline.part("prompts").arrays)

            def copies_row(number: int, row: int, value: float) -> bool:
                return is_copy(value, len(shingles.row(number)), int(saved.sizes[row]), responses.likeness(int(rows[number]), pool, row))

            nearest, similarity = saved.nearest(shingles, candidates, self.threshold, but=change.gone, accepts=copies_row)
            for number in (nearest >= 0).nonzero()[0].tolist():
                candidates[number] = False
                place, value = place_in_pool(change, int(nearest[number])), float(similarity[number])
                yield Hit(int(rows[number]), f"The row nearly repeats {place} of the baseline (Jaccard {value:.2f}).", value, related=place)

        def copies_other(number: int, other: int, value: float) -> bool:
            likeness = responses.likeness(int(rows[number]), responses, int(rows[other]))
            return is_copy(value, len(shingles.row(number)), len(shingles.row(other)), likeness)

        near = near_pairs(shingles, candidates, self.threshold, accepts=copies_other)
        pairs = [replace(pair, removed=int(rows[pair.removed]), kept=int(rows[pair.kept])) for pair in near]
        yield from hits_of(change, pairs, "The row nearly repeats {other} (Jaccard {similarity}).")
        candidates = without(candidates, near)
        left = distinct(change).copy()
        left[rows] = candidates
        said_again = list(self._said_again(change, left, {pair.kept for pair in pairs}))
        yield from said_again
        left[[hit.position for hit in said_again if hit.position is not None]] = False
        yield from _asked_again(change, left)

    def _said_again(self, change: Change, left: NDArray[np.bool_], repeated: Set[int]) -> Iterator[Hit]:
        """Rows whose response nearly repeats that of another row with the same prompt.

        Args:
            change: the rows.
            left: (n,), those that repeat no other one.
            repeated: those that another one repeats, so that they stay.
        """
        least = max(SAID_AGAIN, self.threshold)
        for prompt in same_prompts(change, in_pool=self.in_pool(change)):
            kept = [position for position in prompt.rows if position in repeated]
            for position in prompt.rows:
                if position in repeated or not left[position] or not LEAST_WORDS <= prompt.own.answer(position).n_words <= MOST_WORDS:
                    continue
                for others, where in ((prompt.pool_rows, prompt.pool), (kept, prompt.own)):
                    again = next(
                        (hit for other in others[:MOST] if where and (hit := _again(change, prompt, position, where, other, least))), None
                    )
                    if again is not None:
                        yield again
                        break
                else:
                    kept.append(position)


def _asked_again(change: Change, left: NDArray[np.bool_]) -> Iterator[Hit]:
    """Rows with the response of another row of the change, and its prompt with a few words around it: of short rows these leave few runs of five.

    Args:
        change: the rows.
        left: (n,), those that repeat no other one.
    """
    rows_of: dict[str, list[int]] = {}
    for position in np.flatnonzero(left).tolist():
        response = change.rows[position].example.response
        if len(response) >= LEAST_RESPONSE:
            rows_of.setdefault(response, []).append(position)
    for positions in rows_of.values():
        kept: list[tuple[int, list[str]]] = []
        for position in positions if len(positions) > 1 else ():
            asked = words_of(change.rows[position].instruction)
            other = next((other for other, words in kept[:MOST] if _is_framed(asked, words)), None)
            if other is None:
                kept.append((position, asked))
                continue
            place = change.rows[other].place
            message = f"The row nearly repeats {place} (the same response, and its prompt with a few words around it)."
            yield Hit(position, message, 1.0, related=place, fix="Keep one of the two.")


def _is_framed(asked: list[str], other: list[str]) -> bool:
    """Whether one of two prompts stands in the other with a few words around it."""
    short, long = sorted((asked, other), key=len)
    if len(short) < LEAST_ASKED or len(long) - len(short) > FRAME:
        return False
    return any(long[start : start + len(short)] == short for start in range(len(long) - len(short) + 1))


def _again(change: Change, prompt: SamePromptRows, position: int, where: Asked | OwnAsked, other: int, least: float) -> Hit | None:
    """A hit where the response repeats that of another row with the prompt, and does not contradict it."""
    likeness = prompt.own.likeness(position, where, other)
    if likeness < least or not LEAST_WORDS <= where.answer(other).n_words <= MOST_WORDS:
        return None
    if contradiction(prompt.own.answer(position), where.answer(other), change.rows[position].instruction):
        return None
    place = change.rows[other].place if where is prompt.own else place_in_pool(change, other)
    whose = "" if where is prompt.own else " of the baseline"
    words = f"the same prompt, and {likeness:.2f} of the content words of both responses"
    return Hit(position, f"The row nearly repeats {place}{whose} ({words}).", likeness, related=place, fix="Keep one of the two.")


def is_copy(similarity: float, size: int, other: int, likeness: float) -> bool:
    """Whether two rows of similar words are copies: they differ in a word or two, or their responses are alike.

    Rows with another question and another response have a long passage in common, and are no copies.
    """
    return likeness >= ALIKE or differing_of(similarity, size, other) <= EDIT
