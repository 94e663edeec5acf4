"""DEITA's distance filter over any ranking: a row is kept if it is not too similar to a row that is kept already.

Source: Liu et al. 2024, "What Makes Good Data for Alignment?", arXiv:2312.15685, Repr Filter, with a threshold of 0.9. The paper embeds
rows by LLaMA-1-13B and ranks them by scorers of its own; here the vectors are those of knn_6 and the ranking is anyone's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.cache import Cache
from instructsel.neighbors.encoder import Embeddings, Encoder
from instructsel.scores.asking import embed
from instructsel.scores.neighborhood import Watch, unwatched

if TYPE_CHECKING:
    from instructsel.selection.candidates import Candidates

TOO_SIMILAR: Final = "too_similar"
EMBEDDED: Final = 256
"""Rows embedded at a time, as far as the budget asks for them."""
DIGITS: Final = 7
"""Similarities are rounded to this many, so that sums in another order change nothing. Vectors are of single precision."""


@dataclass(frozen=True, eq=False)
class TextVectors:
    """Vectors of texts by a sentence encoder, those of the cache included. The encoder is loaded when it is first needed."""

    cache: Cache | None = None
    """Where vectors are kept; None keeps none."""
    model: str = "embedded"
    """embedded (all-MiniLM-L6-v2), a local folder, or a hub id."""
    watch: Watch = unwatched
    """Told how many vectors are known, where they are more than the filter asks for at a time."""

    @cached_property
    def encoder(self) -> Encoder:
        """The encoder."""
        return Encoder.load(self.model)

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text."""
        return self.encoder.fingerprint

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """The vectors of texts; equal texts have one."""
        numbers = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        progress = self.watch("vectors") if len(numbers) > EMBEDDED else None
        distinct = embed(self.encoder, list(numbers), self.cache, progress=progress)
        rows = [numbers[text] for text in texts]
        return Embeddings(distinct.vectors[rows], distinct.truncated[rows], distinct.report, [distinct.reasons[row] for row in rows])


@dataclass(eq=False)
class SimilarityFilter:
    """The vectors of the rows that are kept so far, and which other rows are too similar to them."""

    candidates: Candidates
    threshold: float
    """Cosine similarity from which a row is too similar."""
    nearest_of: dict[int, int] = field(default_factory=dict)
    """Position of a row that is too similar → position of the kept row nearest to it."""
    _vectors: dict[int, NDArray[np.float64] | None] = field(default_factory=dict)
    _kept: list[int] = field(default_factory=list)
    _matrix: NDArray[np.float64] | None = None
    _truncated: int = 0

    @classmethod
    def of(cls, candidates: Candidates) -> SimilarityFilter | None:
        """The filter that a selection's settings ask for, or None."""
        threshold = candidates.settings.max_similarity
        return None if threshold is None else cls(candidates, threshold)

    def _embed(self, positions: Sequence[int]) -> None:
        """Embed those of the rows that are not embedded yet."""
        missing = [position for position in positions if position not in self._vectors]
        embeddings = self.candidates.vectors.encode([example.text for example in self.candidates.pool.examples(missing)])
        for row, position in enumerate(missing):
            absent = embeddings.reasons[row] if embeddings.reasons else None
            self._vectors[position] = None if absent else embeddings.vectors[row].astype(np.float64)
        self._truncated += int(embeddings.truncated.sum())

    def admits(self, order: NDArray[np.integer[Any]], number: int) -> bool:
        """Whether a row is not too similar to any that is kept. A row without a vector is admitted.

        Args:
            order: positions in the pool, in the order in which they are asked for.
            number: of the row in this order.
        """
        position = int(order[number])
        if position not in self._vectors:
            self._embed(order[number : number + EMBEDDED].tolist())
        vector = self._vectors[position]
        if vector is None or not self._kept:
            return True
        assert self._matrix is not None
        similarities = np.round(self._matrix[: len(self._kept)] @ vector, DIGITS)
        nearest = int(np.argmax(similarities))
        if similarities[nearest] < self.threshold:
            return True
        self.nearest_of[position] = self._kept[nearest]
        return False

    def keep(self, position: int) -> None:
        """Note that a row is kept; `admits` was asked of it before."""
        vector = self._vectors[position]
        if vector is None:
            return
        if self._matrix is None or len(self._kept) == len(self._matrix):
            larger = np.zeros((max(EMBEDDED, 2 * len(self._kept)), len(vector)), dtype=np.float64)
            if self._matrix is not None:
                larger[: len(self._kept)] = self._matrix
            self._matrix = larger
        self._matrix[len(self._kept)] = vector
        self._kept.append(position)

    def as_dict(self) -> dict[str, Any]:
        """What was compared, for the summary."""
        fingerprint: Mapping[str, Any] = self.candidates.vectors.fingerprint
        return {
            "below": self.threshold,
            "embedded": len(self._vectors),
            "without_vector": sum(vector is None for vector in self._vectors.values()),
            "truncated": self._truncated,
            "encoder": {key: value for key, value in fingerprint.items() if value is not None},
        }


__all__ = ["TOO_SIMILAR", "SimilarityFilter", "TextVectors"]
