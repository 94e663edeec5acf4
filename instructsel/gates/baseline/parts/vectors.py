"""Embeddings of the examples, where an encoder is named."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.gates.baseline.base import Built, Order, Part, Request

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

SAME: Final = ("name", "digest", "max_length", "pooling")
"""What two encoders must have in common for their vectors to be compared; precision and device change the last digits."""
WINDOW: Final = 4_096
"""Texts that are held at a time."""


class Vectors(Part):
    """A unit vector of each example; 0 where the encoder gave none."""

    name: ClassVar[str] = "vectors"
    title: ClassVar[str] = "embeddings, for embedding duplicates and drift by a classifier"

    def wanted(self, request: Request) -> bool:
        """Where an encoder is named."""
        return request.encoder is not None

    def build(self, pool: Pool, request: Request) -> Built:
        """`vectors`, float16 (n, d); the name and the fingerprint of the encoder beside it."""
        assert request.encoder is not None
        vectors, fingerprint = encoded(pool, request.encoder)
        return Built({"vectors": vectors.astype(np.float16)}, {"encoder": request.encoder, "fingerprint": fingerprint})

    def merged(self, first: Built, second: Built, order: Order) -> Built:
        """The vectors of both.

        Raises:
            UsageError: they are of different encoders.
        """
        check_encoder(first.about["fingerprint"], second.about["fingerprint"])
        return super().merged(first, second, order)

    def request_of(self, about: Mapping[str, Any], request: Request) -> Request:
        """The same encoder."""
        return replace(request, encoder=about["encoder"])


def encoded(pool: Pool, encoder: str) -> tuple[NDArray[np.float32], dict[str, Any]]:
    """The vectors of a pool, float32 (n, d), and what they were made with.

    Raises:
        MissingExtra, ModelUnavailable, ModelRefused: the encoder cannot be had.
    """
    from instructsel.neighbors.encoder import Encoder

    model = Encoder.load(encoder)
    vectors = np.zeros((len(pool), model.dimension), dtype=np.float32)
    for start in range(0, len(pool), WINDOW):
        texts = [example.text for example in pool.examples(range(start, min(start + WINDOW, len(pool))))]
        embeddings = model.encode(texts)
        has_vector = np.array([reason is None for reason in embeddings.reasons], dtype=bool) if embeddings.reasons else slice(None)
        vectors[start : start + len(texts)][has_vector] = embeddings.vectors[has_vector]
    return vectors, {key: model.fingerprint[key] for key in SAME}


def check_encoder(one: Mapping[str, Any], other: Mapping[str, Any]) -> None:
    """Refuse to compare vectors of two encoders.

    Raises:
        UsageError: they are of two.
    """
    if dict(one) != dict(other):
        raise UsageError(
            f"The baseline's vectors are of {one.get('name')} ({str(one.get('digest'))[:12]}), the new ones of {other.get('name')} ({str(other.get('digest'))[:12]}).",
            fix="Make the baseline again with this encoder: instructsel gate baseline create POOL --encoder NAME -o FILE",
        )
