"""Shingles of the examples: which of them a new row nearly repeats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from instructsel.gates.baseline.base import Built, Order, Part, Request
from instructsel.gates.duplicates.saved import SavedShingles
from instructsel.gates.duplicates.texts import compared_texts
from instructsel.neighbors.shingles import Shingles

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool


class SavedTexts(Part):
    """Hashes of five consecutive words each, with an index of the smallest of each example."""

    name: ClassVar[str] = "shingles"
    title: ClassVar[str] = "hashes of five words each, for near-duplicates"

    def build(self, pool: Pool, request: Request) -> Built:
        """`sizes` (n,), `members`, `keys` and `rows`: see `SavedShingles`."""
        has_words = np.zeros(len(pool), dtype=bool)

        def texts() -> Iterator[str]:
            for number, text in enumerate(compared_texts(pool.examples())):
                has_words[number] = bool(text)
                yield text

        return Built(SavedShingles.of(Shingles.of(texts(), total=len(pool)), has_words).arrays)

    def merged(self, first: Built, second: Built, order: Order) -> Built:
        """The shingles of both."""
        saved = SavedShingles.stored(first.arrays), SavedShingles.stored(second.arrays)
        return Built(SavedShingles.merged(saved[0], saved[1], order.index, order.places).arrays)


__all__ = ["SavedTexts"]
