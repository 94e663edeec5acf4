"""Vectors of texts by a sentence encoder, each of which is loaded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

WINDOW: Final = 4_096
"""Texts that are encoded together."""


@lru_cache(maxsize=1)
def loaded(name: str) -> Any:
    """An encoder.

    Raises:
        MissingExtra, ModelUnavailable, ModelRefused: it cannot be had.
    """
    from instructsel.neighbors.encoder import Encoder

    return Encoder.load(name)


def encode_with(name: str) -> Callable[[Sequence[str]], tuple[NDArray[np.float32], NDArray[np.bool_]]]:
    """What gives the vectors of texts: unit vectors (n, d), and which texts have one.

    Args:
        name: embedded, a folder, or a hub id.

    Raises:
        MissingExtra, ModelUnavailable, ModelRefused: the encoder cannot be had.
    """
    encoder = loaded(name)

    def encode(texts: Sequence[str]) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        vectors = np.zeros((len(texts), encoder.dimension), dtype=np.float32)
        has_vector = np.ones(len(texts), dtype=bool)
        for begin in range(0, len(texts), WINDOW):
            piece = list(texts[begin : begin + WINDOW])
            embeddings = encoder.encode(piece)
            reasons = embeddings.reasons or [None] * len(piece)
            present = np.array([reason is None for reason in reasons], dtype=bool)
            has_vector[begin : begin + len(piece)] = present
            vectors[begin : begin + len(piece)][present] = embeddings.vectors[present]
        return vectors, has_vector

    return encode


def fingerprint_of(name: str) -> dict[str, Any]:
    """What the vectors of an encoder depend on, as a baseline records it."""
    from instructsel.gates.baseline.parts.vectors import SAME

    fingerprint = loaded(name).fingerprint
    return {key: fingerprint[key] for key in SAME}


def nearest(
    vectors: NDArray[np.float32], others: NDArray[Any], *, but: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The other vector that is nearest to each, and their cosine similarity; -1 and -1 where there is none.

    Args:
        vectors: (n, d), unit norm.
        others: (m, d), unit norm or 0.
        but: (m,), those that are passed over.
    """
    best, similarity = np.full(len(vectors), -1, dtype=np.int64), np.full(len(vectors), -1.0)
    for begin in range(0, len(others), WINDOW):
        block = others[begin : begin + WINDOW].astype(np.float32)
        values = vectors @ block.T
        if but is not None:
            values[:, but[begin : begin + WINDOW]] = -1
        place = values.argmax(axis=1)
        # Sums in another order differ in their last bits.
        value = np.round(values[np.arange(len(vectors)), place].astype(np.float64), 6)
        better = value > similarity
        best[better], similarity[better] = begin + place[better], value[better]
    return best, similarity


__all__ = ["encode_with", "fingerprint_of", "loaded", "nearest"]
