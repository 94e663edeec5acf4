"""Rows whose words nearly repeat those of another row."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import ClassVar, Final

from instructsel.experiments.limits import between
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.duplicates.pairs import LOWEST, THRESHOLD, differing_of, near_pairs
from instructsel.gates.duplicates.prompts import Asked
from instructsel.gates.duplicates.repeats import Repeats, asked_of, distinct, hits_of, place_in_pool, shingles_of
from instructsel.gates.duplicates.saved import SavedShingles

EDIT: Final = 20
"""Shingles in which two texts differ where two of their words do."""
ALIKE: Final = 0.5
"""Share of the content words of two responses."""


@dataclass(frozen=True)
class NearDuplicate(Repeats):
    """Nearly the same words as another row."""

    number: ClassVar[str] = "IS031"
    kind: ClassVar[str] = "near-duplicate"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "Broder 1997: exact Jaccard similarity of shingles of five words, of candidates that MinHash finds"
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


def is_copy(similarity: float, size: int, other: int, likeness: float) -> bool:
    """Whether two rows of similar words are copies: they differ in a word or two, or their responses are alike.

    Rows with another question and another response have a long passage in common, and are no copies.
    """
    return likeness >= ALIKE or differing_of(similarity, size, other) <= EDIT
