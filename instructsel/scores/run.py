"""Score a pool: every indicator over every example, each model loaded once."""

from __future__ import annotations

import itertools
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.cache import Cache
from instructsel.errors import ModelUnavailable, ScoresError, TooManyNulls, UsageError
from instructsel.indicators import _registry as registry
from instructsel.indicators._base import Batch, Indicator, ModelIndicator, Progress, Scored, null_on_empty
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.models import runner
from instructsel.models.load import MINILM
from instructsel.pool.pool import Pool
from instructsel.scores.asking import ask, embed
from instructsel.scores.table import ScoreTable

WINDOW: Final = 8192
"""Examples held in memory at a time. Values do not depend on it: batches inside have fixed shapes."""

FAILURES: Final = ("not_finite", "out_of_memory")
"""Reasons that say something of the model or the machine, not of the example."""

Watch = Callable[[str], Progress]
"""Given a symbol, the progress to tell."""


def _unwatched(symbol: str) -> Progress:
    return lambda done, total: None


def windows(pool: Pool, size: int = WINDOW) -> Iterator[Batch]:
    """The pool's examples, `size` at a time, in order."""
    examples = pool.examples()
    while window := tuple(itertools.islice(examples, size)):
        yield Batch(window)


class _Column:
    """An indicator's values and reasons as they come: eight bytes and one for each example."""

    def __init__(self, size: int) -> None:
        self.values = np.zeros(size, dtype=np.float64)
        self.codes = np.zeros(size, dtype=np.uint8)
        self.known: dict[str | None, int] = {None: 0}
        self.done = 0
        self.truncated = 0
        self.seconds = 0.0
        self.report = runner.NOTHING

    def extend(self, scored: Scored) -> None:
        """The next examples."""
        here = slice(self.done, self.done + len(scored.values))
        self.values[here] = [0.0 if value is None else value for value in scored.values]
        self.codes[here] = [self.known.setdefault(reason, len(self.known)) for reason in scored.reasons]
        self.done = here.stop
        self.truncated += scored.truncated

    def counts(self) -> dict[str, int]:
        """Examples by reason."""
        found = np.bincount(self.codes[: self.done], minlength=len(self.known))
        return {reason: int(found[code]) for reason, code in sorted(self.known.items(), key=lambda item: str(item[0])) if reason}

    def reasons(self) -> list[str | None]:
        """Of every example."""
        names = list(self.known)
        return [names[code] for code in self.codes.tolist()]


def score(
    pool: Pool,
    indicators: Sequence[str | Indicator],
    *,
    cache: Cache | None = None,
    unavailable: str = "raise",
    watch: Watch = _unwatched,
    seconds: dict[str, float] | None = None,
    reports: dict[str, runner.RunReport] | None = None,
    max_failed_fraction: float = 0.05,
) -> ScoreTable:
    """Score every example of a pool.

    Model answers go to the cache as they come, so that a run that was stopped goes on where it was: run it again.

    Args:
        pool: the examples.
        indicators: symbols (`len`, `knn_6`) or indicators with parameters of their own.
        cache: where answers and embeddings are kept between runs; None keeps nothing.
        unavailable: "raise" where a model cannot be had, or "null": the column is null with reason model_unavailable.
        watch: told of progress.
        seconds: filled with the seconds each indicator took; indicators that share a model share its time equally.
        reports: filled with what the batches of each indicator that asks a model held.
        max_failed_fraction: share of the examples at which a model may fail (not_finite, out_of_memory) before all is given up.

    Returns:
        id and one column an indicator, in the order of ids.

    Raises:
        ModelUnavailable: a model cannot be had and `unavailable` is "raise".
        UsageError: no indicator, or one named twice.
        TooManyNulls: a model failed too often. What was answered stays in the cache.

    >>> table = score(pool, ["len", "mtld", "knn_6"])  # doctest: +SKIP
    """
    chosen = [registry.make(each) if isinstance(each, str) else each for each in indicators]
    symbols = [indicator.symbol for indicator in chosen]
    if not chosen or len(set(symbols)) != len(symbols):
        raise UsageError(
            "Every indicator is named once, and at least one." if chosen else "No indicator is named.",
            fix="For example: --indicators len,mtld,knn_6",
        )
    columns = {symbol: _Column(len(pool)) for symbol in symbols}
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
    work = _Work(pool, columns, watch, cache, max_failed_fraction)
    work.rows([indicator for indicator in usable if indicator.scope == "row"])
    work.whole([indicator for indicator in usable if indicator.scope == "pool"])
    for symbol, column in columns.items():
        described[symbol] |= {"truncated": column.truncated, "nulls": column.counts()}
        if column.report.reduced:
            described[symbol]["smaller_batches"] = column.report.reduced
        if seconds is not None:
            seconds[symbol] = column.seconds
        if reports is not None and column.report.rows:
            reports[symbol] = column.report
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
    return ScoreTable.from_columns(pool.ids, {symbol: (column.values, column.reasons()) for symbol, column in columns.items()}, manifest)


@dataclass(frozen=True, eq=False)
class _Work:
    """Scoring, window by window and model by model."""

    pool: Pool
    columns: dict[str, _Column]
    watch: Watch
    cache: Cache | None
    max_failed_fraction: float

    def rows(self, indicators: Sequence[Indicator]) -> None:
        """Indicators that look at an example alone."""
        if not indicators:
            return
        plain = [indicator for indicator in indicators if not isinstance(indicator, ModelIndicator)]
        groups: dict[int, list[ModelIndicator]] = {}
        for indicator in indicators:
            if isinstance(indicator, ModelIndicator):
                # Loaders hand out one object for one model, so that nat, coh and und share it.
                groups.setdefault(id(indicator.loaded()), []).append(indicator)
        for window in windows(self.pool):
            for indicator in plain:
                self._plain(indicator, window)
            for group in groups.values():
                self._group(group, window)
            for indicator in indicators:
                self._within_budget(indicator)

    def _plain(self, indicator: Indicator, window: Batch) -> None:
        column, start = self.columns[indicator.symbol], time.perf_counter()
        scored = indicator.score(window, progress=self._telling([indicator], len(window)))
        column.extend(_checked(indicator, scored, len(window)))
        column.seconds += time.perf_counter() - start
        self.watch(indicator.symbol)(column.done, len(self.pool))

    def _group(self, group: Sequence[ModelIndicator], window: Batch) -> None:
        """What several indicators ask of one model is asked once."""
        start = time.perf_counter()
        asked = [indicator.questions(window) for indicator in group]
        every = list(dict.fromkeys(question for rows in asked for row in rows if not isinstance(row, str) for question in row))
        model = group[0].loaded()
        answers = ask(model, type(model).__name__, every, self.cache, progress=self._telling(group, len(window)))
        share = (time.perf_counter() - start) / len(group)
        for indicator, rows in zip(group, asked, strict=True):
            column = self.columns[indicator.symbol]
            column.extend(_checked(indicator, indicator.finished(rows, every, answers), len(window)))
            column.seconds += share
            column.report += answers.report
            self.watch(indicator.symbol)(column.done, len(self.pool))

    def whole(self, indicators: Sequence[Indicator]) -> None:
        """Indicators that look at the whole pool."""
        for indicator in indicators:
            start = time.perf_counter()
            column = self.columns[indicator.symbol]
            if isinstance(indicator, NeighborDistance):
                space = Space.of(self.pool, indicator, cache=self.cache, progress=self.watch(indicator.symbol))
                column.extend(indicator.finish(space.reasons, space.vectors, space.truncated))
                column.report = space.report
            else:
                every = Batch(tuple(self.pool.examples()))
                column.extend(_checked(indicator, indicator.score(every, progress=self.watch(indicator.symbol)), len(every)))
            column.seconds += time.perf_counter() - start
            self._within_budget(indicator)

    def _telling(self, indicators: Sequence[Indicator], size: int) -> Progress:
        """Progress of a window as progress of the pool."""
        before = self.columns[indicators[0].symbol].done

        def tell(done: int, total: int) -> None:
            for indicator in indicators:
                self.watch(indicator.symbol)(before + size * done // max(1, total), len(self.pool))

        return tell

    def _within_budget(self, indicator: Indicator) -> None:
        counts = self.columns[indicator.symbol].counts()
        failed = {reason: count for reason, count in counts.items() if reason in FAILURES and count}
        if sum(failed.values()) > self.max_failed_fraction * len(self.pool):
            named = ", ".join(f"{reason} {count:,}" for reason, count in failed.items())
            raise TooManyNulls(
                f"{indicator.symbol}: its model failed at {sum(failed.values()):,} of {len(self.pool):,} examples ({named}), more than {self.max_failed_fraction:.0%}.",
                fix="Use another model or --precision fp32, or raise --max-failed-fraction. What was scored is in the cache.",
            )


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
            found = embed(encoder, list(numbers), cache, progress=tell)
            rows = [numbers[text] for text in window.texts]
            vectors[before : before + len(window)] = found.vectors[rows]
            truncated += int(found.truncated[rows].sum())
            reasons.extend(empty or found.reasons[row] for empty, row in zip(null_on_empty(window), rows, strict=True))
            report += found.report
        return cls(vectors, reasons, truncated, indicator, report)

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
