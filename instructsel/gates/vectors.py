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


__all__ = ["encode_with", "loaded"]
