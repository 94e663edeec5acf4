"""The embedded pool: neighbor distances over all rows or among some."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.cache import Cache
from instructsel.errors import ScoresError
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Batch, Progress
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.models import runner
from instructsel.models.load import MINILM, no_downloads
from instructsel.pool.example import Example
from instructsel.pool.pool import Pool
from instructsel.scores.asking import embed
from instructsel.scores.table import ScoreTable

CHARACTERS: Final = 32 << 20
"""Characters of these examples, about, from which on no further one is added."""
WINDOW: Final = 8192
"""Examples held in memory at a time. Values do not depend on it: batches inside have fixed shapes."""


Watch = Callable[[str], Progress]
"""Given a symbol, the progress to tell."""


def unwatched(symbol: str) -> Progress:
    """No display."""
    return lambda done, total: None


def windows(pool: Pool, size: int = WINDOW) -> Iterator[Batch]:
    """The pool's examples, `size` at a time, in order; fewer where they are long."""
    window: list[Example] = []
    characters = 0
    for example in pool.examples():
        window.append(example)
        characters += sum(len(message.content) for message in example.messages)
        if len(window) == size or characters >= CHARACTERS:
            yield Batch(tuple(window))
            window, characters = [], 0
    if window:
        yield Batch(tuple(window))


@dataclass(frozen=True, eq=False)
class Space:
    """The embeddings of a pool, and who may be a neighbor in it."""

    vectors: NDArray[np.float32]
    """(n, d), unit norm, in the order of ids."""
    reasons: list[str | None]
    """Why an example has no distance."""
    truncated: int
    indicator: NeighborDistance

    report: runner.RunReport = runner.NOTHING

    @classmethod
    def of(cls, pool: Pool, indicator: NeighborDistance, *, cache: Cache | None = None, progress: Progress | None = None) -> Space:
        """Embed a pool; what the cache has of it is taken from there, text by text."""
        encoder = indicator.encoder()
        reasons: list[str | None] = []
        vectors = np.zeros((len(pool), encoder.dimension), dtype=np.float32)
        truncated, report = 0, runner.NOTHING
        for window in windows(pool):
            before = len(reasons)

            def tell(done: int, total: int, before: int = before, size: int = len(window)) -> None:
                if progress is not None:
                    progress(before + size * done // max(1, total), len(pool))

            # Equal texts have one vector: copies are at distance 0 whatever the batch.
            numbers = {text: number for number, text in enumerate(dict.fromkeys(window.texts))}
            embeddings = embed(encoder, list(numbers), cache, progress=tell)
            rows = [numbers[text] for text in window.texts]
            vectors[before : before + len(window)] = embeddings.vectors[rows]
            truncated += int(embeddings.truncated[rows].sum())
            reasons.extend(empty or embeddings.reasons[row] for empty, row in zip(indicator.reasons(window), rows, strict=True))
            report += embeddings.report
        return cls(vectors, reasons, truncated, indicator, report)

    def among(self, positions: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Distances of these examples among themselves; all of them must have a response."""
        scored = self.indicator.finish([None] * len(positions), self.vectors[positions], 0)
        return np.array(scored.values, dtype=np.float64)


class Neighborhood:
    """Distances of some of a pool's examples among themselves, in the embeddings a score table was made with.

    Embeds the pool, or takes its embeddings from the cache, when it is first asked.
    """

    def __init__(
        self, pool: Pool, table: ScoreTable, *, model: str | None = None, cache: Cache | None = None, watch: Watch = unwatched
    ) -> None:
        """Set up a search.

        Args:
            pool: the examples.
            table: their scores.
            model: where the encoder is, if it is neither the embedded one nor under its name on the hub.
            cache: where embeddings are kept.
            watch: called with progress.
        """
        self.model = model
        self.pool = pool
        self.table = table
        self.cache = cache
        self.watch = watch
        self._spaces: dict[str, Space] = {}

    @staticmethod
    def possible(table: ScoreTable) -> bool:
        """Whether the table says what it was embedded with."""
        described = (table.manifest.get("indicators") or {}).values()
        return any(
            isinstance(entry, dict) and entry.get("name") == "neighbor_distance" and "precision" in (entry.get("model") or {})
            for entry in described
        )

    def __call__(self, positions: NDArray[np.integer[Any]], i: int) -> NDArray[np.float64]:
        """For each position the distance to its i-th nearest other one among the positions.

        Raises:
            ScoresError: the table does not say what it was embedded with, or this machine embeds differently.
            ModelUnavailable: what it was embedded with is not on this machine; a table does not have it fetched.
            IndexTooSmall: fewer than i + 1 positions.
        """
        symbol = f"knn_{i}"
        if symbol not in self._spaces:
            self._spaces[symbol] = self._space(symbol, i)
        return self._spaces[symbol].among(positions)

    def _space(self, symbol: str, i: int) -> Space:
        described = (self.table.manifest.get("indicators") or {}).get(symbol) or {}
        model = described.get("model") or {}
        if "precision" not in model:
            raise ScoresError(
                f"The score table does not say what {symbol} was embedded with, so it cannot be computed anew.", fix="Score the pool again."
            )
        computed = self.table.spaces.get(symbol)
        if isinstance(computed, Space) and len(computed.vectors) == len(self.pool) and computed.indicator.encoder().fingerprint == model:
            return computed
        # The precision that was used, not "auto": another machine would choose another one.
        where = self.model or ("embedded" if model.get("name") == MINILM else str(model.get("name")))
        indicator = NeighborDistance(i=i, model=where, precision=model["precision"], device=str(model.get("device", "auto")))
        # A table may come from anybody: nothing is fetched because it says so.
        with no_downloads():
            now = indicator.encoder().fingerprint
        if now != model:
            differing = ", ".join(sorted(key for key in {*now, *model} if now.get(key) != model.get(key)))
            raise ScoresError(f"{symbol} was embedded with another {differing} than here.", fix="Score the pool again on this machine.")
        return Space.of(self.pool, indicator, cache=self.cache, progress=self.watch(symbol))
