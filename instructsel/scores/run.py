"""Score a pool: every indicator over every example, each model loaded once."""

from __future__ import annotations

import hashlib
import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.cache import Cache
from instructsel.errors import ModelUnavailable, ScoresError, UsageError
from instructsel.indicators import _registry as registry
from instructsel.indicators._base import Batch, Indicator, Progress, Scored, null_on_empty
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.models.load import MINILM
from instructsel.pool.pool import Pool
from instructsel.scores.table import ScoreTable

WINDOW: Final = 8192
"""Examples held in memory at a time. Values do not depend on it: batches inside have fixed shapes."""

Watch = Callable[[str], Progress]
"""Given a symbol, the progress to tell."""


def _unwatched(symbol: str) -> Progress:
    return lambda done, total: None


def windows(pool: Pool, size: int = WINDOW) -> Iterator[Batch]:
    """The pool's examples, `size` at a time, in order."""
    examples = pool.examples()
    while window := tuple(itertools.islice(examples, size)):
        yield Batch(window)


@dataclass
class _Column:
    values: list[float | None] = field(default_factory=list)
    reasons: list[str | None] = field(default_factory=list)
    truncated: int = 0
    seconds: float = 0.0

    def extend(self, scored: Scored) -> None:
        self.values.extend(scored.values)
        self.reasons.extend(scored.reasons)
        self.truncated += scored.truncated


def score(
    pool: Pool,
    indicators: Sequence[str | Indicator],
    *,
    cache: Cache | None = None,
    unavailable: str = "raise",
    watch: Watch = _unwatched,
    seconds: dict[str, float] | None = None,
) -> ScoreTable:
    """Score every example of a pool.

    Args:
        pool: the examples.
        indicators: symbols (`len`, `knn_6`) or indicators with parameters of their own.
        cache: where embeddings are kept between runs; None keeps nothing.
        unavailable: "raise" where a model cannot be had, or "null": the column is null with reason model_unavailable.
        watch: told of progress.
        seconds: filled with the seconds each indicator took.

    Returns:
        id and one column an indicator, in the order of ids.

    Raises:
        ModelUnavailable: a model cannot be had and `unavailable` is "raise".
        UsageError: no indicator, or one named twice.

    >>> table = score(pool, ["len", "mtld", "knn_6"])  # doctest: +SKIP
    """
    chosen = [registry.make(each) if isinstance(each, str) else each for each in indicators]
    symbols = [indicator.symbol for indicator in chosen]
    if not chosen or len(set(symbols)) != len(symbols):
        raise UsageError(
            "Every indicator is named once, and at least one." if chosen else "No indicator is named.",
            fix="For example: --indicators len,mtld,knn_6",
        )
    columns = {symbol: _Column() for symbol in symbols}
    described: dict[str, dict[str, Any]] = {}
    usable: list[Indicator] = []
    for indicator in chosen:
        try:
            described[indicator.symbol] = indicator.fingerprint()
            usable.append(indicator)
        except ModelUnavailable:
            if unavailable != "null":
                raise
            columns[indicator.symbol].extend(Scored.unavailable(len(pool), "model_unavailable"))
            described[indicator.symbol] = {
                "name": type(indicator).__module__.rpartition(".")[2],
                "version": indicator.version,
                "unit": indicator.unit,
                "model": None,
            }
    _score_rows(pool, [indicator for indicator in usable if indicator.scope == "row"], columns, watch)
    _score_pool(pool, [indicator for indicator in usable if indicator.scope == "pool"], columns, watch, cache)
    for symbol, column in columns.items():
        described[symbol] |= {
            "truncated": column.truncated,
            "nulls": dict(sorted(Counter(reason for reason in column.reasons if reason).items())),
        }
        if seconds is not None:
            seconds[symbol] = column.seconds
    manifest = {
        "kind": "scores",
        "instructsel": version("instructsel"),
        "pool": {
            "fingerprint": pool.fingerprint,
            "examples": len(pool),
            "account": pool.account.counts(),
            "sources": dict(sorted(Counter(pool.sources).items())),
        },
        "indicators": described,
    }
    return ScoreTable.from_columns(pool.ids, {symbol: (column.values, column.reasons) for symbol, column in columns.items()}, manifest)


def _score_rows(pool: Pool, indicators: Sequence[Indicator], columns: dict[str, _Column], watch: Watch) -> None:
    if not indicators:
        return
    for window in windows(pool):
        for indicator in indicators:
            column = columns[indicator.symbol]
            start, before, tell = time.perf_counter(), len(column.values), watch(indicator.symbol)
            scored = indicator.score(window, progress=lambda done, total, tell=tell, before=before: tell(before + done, len(pool)))  # type: ignore[misc]
            column.extend(_checked(indicator, scored, len(window)))
            column.seconds += time.perf_counter() - start
            tell(len(column.values), len(pool))


def _score_pool(pool: Pool, indicators: Sequence[Indicator], columns: dict[str, _Column], watch: Watch, cache: Cache | None) -> None:
    for indicator in indicators:
        start = time.perf_counter()
        column = columns[indicator.symbol]
        if isinstance(indicator, NeighborDistance):
            space = Space.of(pool, indicator, cache=cache, progress=watch(indicator.symbol))
            column.extend(indicator.finish(space.reasons, space.vectors, space.truncated))
        else:
            whole = Batch(tuple(pool.examples()))
            column.extend(_checked(indicator, indicator.score(whole, progress=watch(indicator.symbol)), len(whole)))
        column.seconds += time.perf_counter() - start


def _checked(indicator: Indicator, scored: Scored, size: int) -> Scored:
    if len(scored.values) != size:
        raise ScoresError(
            f"{indicator.symbol} gave {len(scored.values)} values for {size} examples.", fix="This is a fault of the indicator; report it."
        )
    return scored


@dataclass(frozen=True, eq=False)
class Space:
    """The embeddings of a pool, and who may be a neighbor in it."""

    vectors: NDArray[np.float32]
    """(n, d), unit norm, in the order of ids."""
    reasons: list[str | None]
    """Why an example has no distance."""
    truncated: int
    indicator: NeighborDistance

    @classmethod
    def of(cls, pool: Pool, indicator: NeighborDistance, *, cache: Cache | None = None, progress: Progress | None = None) -> Space:
        """Embed a pool, or take its embeddings from the cache."""
        key = {
            "texts": hashlib.blake2b(pool.digests.tobytes(), digest_size=16).hexdigest(),
            "encoder": indicator.encoder().fingerprint,
            "layout": 1,
        }
        reasons: list[str | None] = []
        kept = cache.get("embeddings", key) if cache else None
        if kept is not None and kept.shape[0] == len(pool):
            for window in windows(pool):
                reasons.extend(null_on_empty(window))
            # The last column says whether the text was cut.
            return cls(np.ascontiguousarray(kept[:, :-1]), reasons, int(kept[:, -1].sum()), indicator)
        parts: list[NDArray[np.float32]] = []
        for window in windows(pool):
            before = len(reasons)

            def tell(done: int, total: int, before: int = before) -> None:
                if progress is not None:
                    progress(before + done, len(pool))

            found = indicator.embed(window, progress=tell)
            reasons.extend(null_on_empty(window))
            parts.append(np.concatenate([found.vectors, found.truncated[:, None].astype(np.float32)], axis=1))
        whole = np.concatenate(parts)
        if cache is not None:
            cache.put("embeddings", key, whole)
        return cls(np.ascontiguousarray(whole[:, :-1]), reasons, int(whole[:, -1].sum()), indicator)

    def among(self, positions: NDArray[np.int64]) -> NDArray[np.float64]:
        """Distances of these examples among themselves; all of them must have a response."""
        scored = self.indicator.finish([None] * len(positions), self.vectors[positions], 0)
        return np.array(scored.values, dtype=np.float64)


class Neighborhood:
    """Distances of some of a pool's examples among themselves, in the embeddings a score table was made with.

    Embeds the pool, or takes its embeddings from the cache, when it is first asked.
    """

    def __init__(
        self, pool: Pool, table: ScoreTable, *, model: str | None = None, cache: Cache | None = None, watch: Watch = _unwatched
    ) -> None:
        """Set up a search.

        Args:
            pool: the examples.
            table: their scores.
            model: where the encoder is, if it is neither the embedded one nor under its name on the hub.
            cache: where embeddings are kept.
            watch: told of progress.
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

    def __call__(self, positions: NDArray[np.int64], i: int) -> NDArray[np.float64]:
        """For each position the distance to its i-th nearest other one among the positions.

        Raises:
            ScoresError: the table does not say what it was embedded with, or this machine embeds differently.
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
        # The precision that was used, not "auto": another machine would choose another one.
        where = self.model or ("embedded" if model.get("name") == MINILM else str(model.get("name")))
        indicator = NeighborDistance(i=i, model=where, precision=model["precision"], device=str(model.get("device", "auto")))
        now = indicator.encoder().fingerprint
        if now != model:
            differing = ", ".join(sorted(key for key in {*now, *model} if now.get(key) != model.get(key)))
            raise ScoresError(f"{symbol} was embedded with another {differing} than here.", fix="Score the pool again on this machine.")
        return Space.of(self.pool, indicator, cache=self.cache, progress=self.watch(symbol))
