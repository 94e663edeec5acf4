"""Knn_i: how far the i-th nearest other example of the pool is."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, Final, Literal

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.indicators._tokenizer import counted_reasons, unsupported_by
from instructsel.indicators.base import Batch, Indicator, Progress, Scored, null_on_empty
from instructsel.models.runner import RunReport
from instructsel.neighbors.encoder import Embeddings, Encoder
from instructsel.neighbors.index import neighbor_distances
from instructsel.pieces import TokenCounts
from instructsel.pool.tokens import token_counts, unknown_counts

MULTILINGUAL: Final = "sentence-transformers/paraphrase-multilingual-MiniLM-L12-v2"
"""An encoder that knows the scripts of more than 50 languages."""
SEARCHED: Final = 2048
"""Random vectors searched for a forecast."""


@cache
def _encoder(model: str, revision: str | None, precision: str, device: str) -> Encoder:
    return Encoder.load(model, revision=revision, precision=precision, device=device)


@cache
def _counts(model: str, revision: str | None, precision: str, device: str) -> tuple[TokenCounts, TokenCounts | None] | None:
    """What counts an encoder's tokens of a text, and the unknown ones; None where it splits texts in a way of its own."""
    tokenizer = _encoder(model, revision, precision, device).text_tokenizer
    return None if tokenizer is None else (token_counts(tokenizer), unknown_counts(tokenizer))


@dataclass(frozen=True)
class NeighborDistance(Indicator):
    """Euclidean distance to the i-th nearest other example of the batch, between unit-norm embeddings of the whole text.

    In [0, 2]; 0 where i exact duplicates stand in the pool. The text is the instruction (all earlier turns), a line
    break and the response; beyond 256 word pieces it is cut and counted as truncated. Null: empty_response, not_finite,
    out_of_memory, unsupported_language (more than 30 % of the tokens are unknown); such examples are no neighbors either. Assumed, because the paper does not say: model, metric, text and
    pool, see the reference page.

    Raises:
        IndexTooSmall: fewer than i + 1 examples have a response.

    Source: Cao et al. 2023, arXiv:2307.06290v1, KNN-i; exact instead of approximate search.
    """

    i: int = 6
    """Which neighbor."""
    model: str = "embedded"
    """The encoder: embedded (all-MiniLM-L6-v2), a local folder, or a hub id."""
    revision: str | None = None
    """The hub revision."""
    precision: str = "auto"
    """fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX."""
    device: str = "auto"
    """cpu, cuda, or auto."""

    symbol_pattern: ClassVar[str] = "knn_(?P<i>[1-9][0-9]*)"
    version: ClassVar[int] = 2
    unit: ClassVar[str] = "Euclidean distance between unit vectors"
    direction: ClassVar[str] = "farther is better in Eq. 4"
    source: ClassVar[str] = "Cao et al. 2023, arXiv:2307.06290v1, KNN-i"
    scope: ClassVar[Literal["row", "pool"]] = "pool"
    modules: ClassVar[tuple[str, ...]] = ("faiss", "torch", "transformers", "safetensors")
    asks_model: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.i < 1:
            raise UsageError(f"knn_{self.i}: neighbors count from 1.", fix="Write knn_6, for example.")

    @property
    def symbol(self) -> str:
        """knn_ and i."""
        return f"knn_{self.i}"

    def encoder(self) -> Encoder:
        """The encoder, loaded once."""
        return _encoder(self.model, self.revision, self.precision, self.device)

    def reasons(self, batch: Batch) -> list[str | None]:
        """Why examples have no distance, whatever their vectors: no response, or a script that the encoder does not know."""
        reasons = null_on_empty(batch)
        counts = _counts(self.model, self.revision, self.precision, self.device)
        return reasons if counts is None else unsupported_by(reasons, batch.texts, *counts)

    def embed(self, batch: Batch, *, progress: Progress | None = None) -> Embeddings:
        """The vectors of a batch: what several KNN-i share."""
        return self.encoder().encode(batch.texts, progress=progress)

    def finish(self, reasons: list[str | None], vectors: NDArray[np.float32], truncated: int) -> Scored:
        """Distances from vectors; an example with a reason is neither measured nor a neighbor."""
        speaking = np.array([reason is None for reason in reasons], dtype=bool)
        if not speaking.any() and "unsupported_language" in reasons:
            # A pool in a script that the encoder does not know is not too small.
            return Scored([None] * len(reasons), reasons, truncated)
        distances = iter(neighbor_distances(vectors[speaking], self.i, device=self.device).tolist())
        return Scored([None if reason else next(distances) for reason in reasons], reasons, truncated)

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Embed the batch and search it."""
        embeddings = self.embed(batch, progress=progress)
        reasons = [empty or lost for empty, lost in zip(self.reasons(batch), embeddings.reasons, strict=True)]
        return self.finish(reasons, embeddings.vectors, int(embeddings.truncated.sum()))

    def measure(self, batch: Batch) -> RunReport | None:
        """Embed the batch; the search is measured apart."""
        return self.embed(batch).report

    def search_cost(self, examples: int) -> tuple[float, int]:
        """Seconds and bytes of the search: it compares all pairs, so the time of a smaller one grows by the square."""
        dimension = self.encoder().dimension
        n_random = max(self.i + 1, min(examples, SEARCHED))
        vectors = np.random.default_rng(0).standard_normal((n_random, dimension)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        started = time.perf_counter()
        neighbor_distances(vectors, self.i, device=self.device)
        return (time.perf_counter() - started) * (examples / n_random) ** 2, examples * dimension * 8

    def made_with(self) -> dict[str, Any]:
        """The encoder, by name, digest and precision."""
        return {"model": self.encoder().fingerprint, "tokenizer": None}

    @classmethod
    def warnings(cls, symbol: str, nulls: Mapping[str, int], entry: Mapping[str, Any]) -> list[str]:
        """How many examples are in scripts that the encoder does not know."""
        name = (entry.get("model") or {}).get("name") if isinstance(entry.get("model"), Mapping) else None
        return [*super().warnings(symbol, nulls, entry), *counted_reasons(nulls, symbol, name, MULTILINGUAL)]
