"""The candidates of a selection: the pool's rows that may be ranked, and why the others may not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from typing import Any, Final, Protocol, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from instructsel import magnitude
from instructsel.columns import Coded
from instructsel.errors import IndexTooSmall, NothingToDo, ScoresError, TooManyBadRows, TooManyNulls, UnknownIndicator, UsageError
from instructsel.indicators import registry
from instructsel.indicators.base import NOT_SHOWN
from instructsel.magnitude import LARGEST
from instructsel.models.load import no_downloads
from instructsel.neighbors.duplicates import near_duplicates, smallest
from instructsel.neighbors.encoder import Embeddings
from instructsel.pool.example import Example
from instructsel.pool.ids import Ids
from instructsel.pool.pool import Pool
from instructsel.pool.spec import of_an_earlier_id_rule
from instructsel.pool.tokens import ChatTokens
from instructsel.rules.linear import OVERFLOW, Floats, LinearRule, Mask, Mismatch, Prediction
from instructsel.scores.missing import is_computed, score_command
from instructsel.scores.neighborhood import Watch, unwatched
from instructsel.scores.table import ScoreTable
from instructsel.selection.budget import Budget, Count, Tokens, check_quotas
from instructsel.selection.compared import Compared
from instructsel.selection.minima import Minimum, below
from instructsel.selection.settings import SelectionSettings
from instructsel.selection.similarity import TextVectors
from instructsel.selection.tokens import chat_tokens
from instructsel.selection.way import Way
from instructsel.text import counted

Positions = NDArray[np.integer[Any]]
"""Places of rows in a pool or among its eligible rows, of four bytes each where there are fewer than 2³¹."""
"""Of examples in a pool, or of rows among the eligible ones; (n,)."""
Dropped = dict[int, tuple[str, str | None]]
"""Position in the pool → (reason, id of the example it repeats)."""

NEIGHBOR: Final = re.compile(r"knn_(\d+)")
EXACT: Final = "exact_duplicate"


class Vectors(Protocol):
    """Vectors of texts, for what compares rows with each other."""

    @property
    def fingerprint(self) -> dict[str, Any]:
        """What a vector depends on besides the text."""
        ...

    def encode(self, texts: Sequence[str]) -> Embeddings:
        """The unit vectors of texts."""
        ...


class Neighbors(Protocol):
    """Distances of some of the pool's examples among themselves."""

    def __call__(self, positions: Positions, i: int) -> NDArray[np.floating[Any]]:
        """For each position, the distance to its i-th nearest other one among the positions."""
        ...


TokenCounter = Callable[[Sequence[Example]], Sequence[int]]
"""Tokens of each example, prompt and response together."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """An order of the eligible rows."""

    name: str
    """What the selection will be called."""
    target: str
    """What the scores are."""
    values: Floats
    """One per eligible row, lower is better; ties go by the pool's order."""
    contributions: Mapping[str, Floats] = field(default_factory=dict)
    """What each term added, one per eligible row."""
    unscored: Mapping[int, str] = field(default_factory=dict)
    """Eligible rows that this ranking cannot rank, with the reason."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """What else the manifest should say, e.g. the seed."""
    indicators: tuple[str, ...] | None = None
    """What it ranks by, where that is not what the selection's rule does."""
    baseline: str | None = None
    """Name of the baseline whose ranking it is; None of a rule's."""

    def order(self) -> Positions:
        """The eligible rows (as numbers among these), best first, those it cannot rank left out."""
        order = np.argsort(self.values, kind="stable")
        if self.unscored:
            order = order[~np.isin(order, list(self.unscored))]
        return order.astype(smallest(len(self.values)))


@dataclass(frozen=True, eq=False, kw_only=True)
class Candidates:
    """The rows of a pool that may be chosen, under one budget and one set of quotas, whatever ranks them."""

    pool: Pool
    settings: SelectionSettings
    eligible: Positions
    """Positions in the pool of the rows that may be chosen, ascending."""
    dropped: Dropped
    """The rows that may not."""
    vectors: Vectors = field(default_factory=TextVectors)
    """Of the rows' texts, where rows are compared with each other."""
    token_counter: TokenCounter | None = None
    """Needed for a budget of Tokens."""
    watch: Watch = unwatched
    """Called with progress."""

    @classmethod
    def of(
        cls, pool: Pool, settings: SelectionSettings, *, token_counter: TokenCounter | None = None, watch: Watch = unwatched
    ) -> Candidates:
        """The rows of a pool without scores: all but exact duplicates, where these are not kept.

        Raises:
            UsageError: a quota of a source that the pool does not have.
            ModelUnavailable: the tokenizer of a budget of Tokens is not to be had.
        """
        check_quotas(settings.limits, pool.source_counts, _limit(settings.amount, pool))
        dropped = {} if settings.keep_exact_duplicates else _exact_duplicates(pool, {})
        counter = _counter(settings.amount, token_counter)
        return cls(
            pool=pool, settings=settings, eligible=_eligible(len(pool), dropped), dropped=dropped, token_counter=counter, watch=watch
        )

    @classmethod
    def recorded(cls, pool: Pool, settings: SelectionSettings, frame: pl.DataFrame, *, way: str | None = None) -> Candidates:
        """The eligible rows of a selection that was read from a file.

        Args:
            pool: that it was chosen from.
            settings: of the selection.
            frame: `Selection.frame`, a row per example in the pool's order.
            way: the way that ranked, where it was no rule: rows that it alone could not rank were eligible.

        Raises:
            NothingToDo: no row was eligible.
            UsageError: a quota of a source that the pool does not have, such as a pool whose files were renamed.
        """
        check_quotas(settings.limits, pool.source_counts, _limit(settings.amount, pool))
        rows = frame.select("rank", "reason", "duplicate_of").with_row_index("position").filter(pl.col("rank").is_null())
        if way is not None:
            rows = rows.filter(~pl.col("reason").str.starts_with(f"unscored:{way}:"))
        dropped: Dropped = {int(position): (str(reason), other) for position, _, reason, other in rows.iter_rows()}
        # A record may come from anybody: a tokenizer is not fetched because it says so.
        counter = _lazy_counter(settings.amount, no_downloads)
        return cls(pool=pool, settings=settings, eligible=_eligible(len(pool), dropped), dropped=dropped, token_counter=counter)

    @cached_property
    def compared(self) -> Compared:
        """What near-duplicates of the pool are told by; computed once for all rankings."""
        return Compared.of(self.pool, self.settings.near_duplicates_of, self.watch)

    @cached_property
    def ids(self) -> Ids:
        """Of the pool, in its order."""
        return self.pool.ids

    @cached_property
    def sources(self) -> Coded:
        """Of the pool, in its order."""
        return Coded(*self.pool.source_codes)

    @property
    def budget(self) -> Budget:
        """How much is kept."""
        return self.settings.amount

    @property
    def limit(self) -> int:
        """The budget in its unit."""
        return _limit(self.budget, self.pool)

    def with_budget(self, n: int) -> Self:
        """The same candidates under a budget of n examples."""
        return self._with(replace(self.settings, budget=Count(n)))

    def unfiltered(self) -> Self:
        """The same candidates without DEITA's filter, which belongs to a selection and not to what it is compared with."""
        return self._with(replace(self.settings, max_similarity=None))

    def _with(self, settings: SelectionSettings) -> Self:
        """The same candidates under settings that compare the same texts, which are not read again."""
        candidates = replace(self, settings=settings)
        if "compared" in self.__dict__:
            candidates.__dict__["compared"] = self.compared
        return candidates

    def near_duplicate_of(self, order: Positions) -> Positions:
        """For each row of an order −1, or the position in the pool of the better-ranked row it is a near-duplicate of."""
        threshold = self.settings.near_duplicate_threshold
        if threshold is None:
            return np.full(len(order), -1, dtype=smallest(len(self.pool)))
        return near_duplicates(self.compared.shingles, self.eligible[order], threshold, progress=self.watch("near-duplicates"))


@dataclass(frozen=True, eq=False, kw_only=True)
class ScoredCandidates(Candidates):
    """Candidates with a rule's scores: baselines differ from the selection in nothing but the ranking."""

    table: ScoreTable
    ranker: LinearRule | Way
    """What makes the selection."""
    minima: Mapping[str, dict[str, Any]]
    """Symbol → the minimum asked for, the value below which rows are dropped, and which rows these are."""
    neighbors: Neighbors | None
    mismatches: tuple[Mismatch, ...]
    columns: dict[str, tuple[Floats, Mask]]
    """The rule's indicators over the eligible rows, knn_i among these rows."""
    recomputed: tuple[str, ...]
    """The knn_i that were computed anew."""
    prediction: Prediction | None
    """The rule over the eligible rows; None where a way ranks."""

    @property
    def rule(self) -> LinearRule | None:
        """The rule that makes the selection; None where a way does."""
        return self.ranker if isinstance(self.ranker, LinearRule) else None

    def column(self, symbol: str) -> tuple[Floats, Mask]:
        """An indicator over the eligible rows; the rule's own as the rule saw them."""
        if symbol in self.columns:
            return self.columns[symbol]
        values, valid = self.table.values(symbol)
        return values[self.eligible], valid[self.eligible]

    def unscored(self, symbols: Sequence[str]) -> dict[int, str]:
        """Eligible rows that lack one of these indicators, with the reason."""
        missing: dict[int, str] = {}
        for symbol in symbols:
            absent = np.flatnonzero(~self.column(symbol)[1])
            if len(absent):
                reasons = self.table.reasons_at(symbol, self.eligible[absent])
                for row, reason in zip(absent.tolist(), reasons, strict=True):
                    missing.setdefault(row, f"unscored:{symbol}:{reason}")
        return missing


def prepare(
    pool: Pool,
    table: ScoreTable,
    ranker: LinearRule | Way,
    settings: SelectionSettings,
    *,
    neighbors: Neighbors | None = None,
    vectors: Vectors | None = None,
    token_counter: TokenCounter | None = None,
    watch: Watch = unwatched,
) -> ScoredCandidates:
    """The eligible rows of a pool and a rule's scores over them: `select` up to the ranking.

    Raises what `select` does.
    """
    _check_fit(pool, table)
    check_quotas(settings.limits, pool.source_counts, _limit(settings.amount, pool))
    mismatches: tuple[Mismatch, ...] = ()
    symbols = ranker.indicators
    if isinstance(ranker, LinearRule):
        ranker.check_columns(table)
    else:
        ranker.check()
        for symbol in symbols:
            check_symbol(table, symbol, ranker.name)
    _check_minima(table, settings.thresholds)
    if isinstance(ranker, LinearRule):
        mismatches = tuple(ranker.check_models(table, allow_mismatch=settings.allow_mismatch))
    counter = _counter(settings.amount, token_counter)
    _check_bad_rows(pool, settings.max_bad_fraction)
    limit = settings.max_null_fraction
    _check_nulls(table, dict.fromkeys(symbols, ranker.name), limit)
    # Rows that an indicator could not be shown pass its minimum.
    others = [symbol for symbol in settings.thresholds if symbol not in symbols]
    _check_nulls(table, dict.fromkeys(others, "a minimum"), limit, ignored=NOT_SHOWN)
    dropped = _unscored(table, symbols)
    if not settings.keep_exact_duplicates:
        dropped |= _exact_duplicates(pool, dropped)
    low, record = below(table, Coded(*pool.source_codes), settings.thresholds)
    dropped = {**low, **dropped}
    eligible, columns, recomputed, prediction = _predicted(table, ranker, dropped, settings, neighbors)
    return ScoredCandidates(
        pool=pool,
        settings=settings,
        eligible=eligible,
        dropped=dropped,
        vectors=vectors or TextVectors(),
        token_counter=counter,
        watch=watch,
        table=table,
        ranker=ranker,
        minima=record,
        neighbors=neighbors,
        mismatches=mismatches,
        columns=columns,
        recomputed=recomputed,
        prediction=prediction,
    )


def _predicted(
    table: ScoreTable, ranker: LinearRule | Way, dropped: Dropped, settings: SelectionSettings, neighbors: Neighbors | None
) -> tuple[Positions, dict[str, tuple[Floats, Mask]], tuple[str, ...], Prediction | None]:
    """The eligible rows, the rule's indicators over them, those computed anew, and the rule's values.

    Rows at which the rule has no number to compute with are added to what is dropped, and the rest is ranked without them.

    Raises:
        TooManyNulls: these are more than `max_null_fraction`.
        NothingToDo: no row is left.
    """
    n, overflowing = len(table), 0
    while True:
        eligible = _eligible(n, dropped)
        columns: dict[str, tuple[Floats, Mask]] = {}
        for symbol in ranker.indicators:
            values, valid = table.values(symbol)
            columns[symbol] = (values[eligible], valid[eligible])
        recomputed = _recompute(columns, eligible, n, neighbors)
        if not isinstance(ranker, LinearRule):
            return eligible, columns, recomputed, None
        prediction = ranker.combine(columns, clip=settings.clip)
        if not prediction.overflows:
            return eligible, columns, recomputed, prediction
        dropped.update({int(eligible[row]): (f"unscored:{symbol}:{OVERFLOW}", None) for row, symbol in prediction.overflows.items()})
        overflowing += len(prediction.overflows)
        if overflowing > settings.max_null_fraction * n:
            symbols = ", ".join(dict.fromkeys(prediction.overflows.values()))
            raise TooManyNulls(
                f"The rule {ranker.name} gives {overflowing:,} of {counted(n, 'row')} a value that is not finite or beyond {LARGEST:g}, by its term {symbols}.",
                fix="Correct the weights of the rule, drop these rows, or raise --max-null-fraction.",
            )


def _limit(budget: Budget, pool: Pool) -> int:
    return budget.n if isinstance(budget, Tokens) else budget.rows(len(pool))


def _counter(budget: Budget, counter: TokenCounter | None) -> TokenCounter | None:
    return chat_tokens(budget.tokenizer).count if isinstance(budget, Tokens) and counter is None else counter


def _lazy_counter(budget: Budget, where: Callable[[], AbstractContextManager[None]] = nullcontext) -> TokenCounter | None:
    """The counter of a budget of Tokens, whose tokenizer is loaded at the first count: under a budget of examples nothing is counted.

    Args:
        budget: that may need one.
        where: the block in which it is loaded.
    """
    if not isinstance(budget, Tokens):
        return None
    name = budget.tokenizer

    @cache
    def loaded() -> ChatTokens:
        with where():
            return chat_tokens(name)

    return lambda examples: loaded().count(examples)


def _eligible(n: int, dropped: Dropped) -> Positions:
    """The positions that were not dropped.

    Raises:
        NothingToDo: none is left.
    """
    is_eligible = np.ones(n, dtype=bool)
    is_eligible[np.fromiter(dropped, dtype=np.int64, count=len(dropped))] = False
    eligible: Positions = np.flatnonzero(is_eligible).astype(smallest(n))
    if not len(eligible):
        counts = ", ".join(f"{reason}: {count}" for reason, count in Counter(reason for reason, _ in dropped.values()).most_common())
        raise NothingToDo(f"No row of the pool is left to rank ({counts or 'it is empty'}).")
    return eligible


def _check_fit(pool: Pool, table: ScoreTable) -> None:
    """Refuse a table that has not the pool's rows. Both are in the order of their ids, so that the same ids stand in the same rows."""
    again = "Score the pool again, or name the pool the table was made from with --pool."
    scored = (table.manifest.get("pool") or {}).get("fingerprint")
    if scored is not None and not pool.has_fingerprint(scored):
        earlier = of_an_earlier_id_rule(table.manifest.get("run"))
        raise UsageError(f"The scores are of another pool, or the pool has changed since it was scored.{earlier}", fix=again)
    if len(table) == len(pool) and table.has_ids(pool.ids):
        return
    missing = len(set(pool.ids) - set(table.ids))
    what = (
        f"{missing:,} of the pool's {counted(len(pool), 'row')} {'has' if missing == 1 else 'have'} no scores"
        if missing
        else f"the table has {counted(len(table), 'row')}, the pool {len(pool)}"
    )
    raise UsageError(f"The scores do not fit the pool: {what}.", fix=again)


def _check_bad_rows(pool: Pool, limit: float) -> None:
    report = pool.report
    if report.bad_fraction > limit:
        counts = ", ".join(f"{reason}: {n}" for reason, n in report.quarantined.items())
        what = f"{report.n_quarantined:,} of {counted(report.read, 'row')} read {'was' if report.n_quarantined == 1 else 'were'} quarantined ({counts})"
        if report.passed_over:
            what += f" and {report.passed_over:,} of {report.size:,} bytes passed over in search of the next row"
        raise TooManyBadRows(
            f"{what}, more than {100 * limit:g}%.",
            fix="Repair these rows, or raise --max-bad-fraction.",
            report=report,
        )


def _check_minima(table: ScoreTable, minima: Mapping[str, Minimum]) -> None:
    for symbol in minima:
        check_symbol(table, symbol, "The minimum")


def check_symbol(table: ScoreTable, symbol: str, user: str, *, others: Sequence[str] = ()) -> None:
    """Refuse an indicator that the table does not have.

    Args:
        table: the scores.
        symbol: the indicator.
        user: what asks for it.
        others: further names that may have been meant.

    Raises:
        UnknownIndicator: there is no such indicator at all.
        UsageError: it was not scored.
    """
    if symbol in table.symbols:
        return
    # Where the symbol is misspelt, no command is suggested that would fail again.
    if not is_computed(symbol):
        error = UnknownIndicator.named(symbol, [*registry.symbols(), *table.symbols, *others], noun="indicator")
        if (error.fix or "").startswith("Known"):
            error.fix = f"The table has {', '.join(table.symbols)}. Other values are imported: {score_command([symbol])}"
        raise error
    raise UsageError(
        f"{user} asks for {symbol}, which the score table does not have (it has {', '.join(table.symbols)}).",
        fix=f"Score the pool with it: {score_command([symbol], table.symbols)}",
    )


def _check_nulls(table: ScoreTable, users: Mapping[str, str], limit: float, *, ignored: Collection[str] = ()) -> None:
    def share(symbol: str) -> float:
        nulls = sum(count for reason, count in table.null_counts(symbol).items() if reason not in ignored)
        return nulls / len(table) if len(table) else 0.0

    over = [symbol for symbol in users if share(symbol) > limit]
    if over:
        shares = "; ".join(
            f"{symbol} {sum(counts.values())} of {len(table)} ({', '.join(f'{reason}: {n}' for reason, n in counts.items())})"
            for symbol in over
            for counts in [table.null_counts(symbol)]
        )
        raise TooManyNulls(
            f"More than {limit:g} of the rows have no value in an indicator that {users[over[0]]} uses: {shares}.",
            fix="Repair or drop these rows, do without that indicator, or raise --max-null-fraction.",
        )


def _unscored(table: ScoreTable, symbols: Iterable[str]) -> Dropped:
    dropped: Dropped = {}
    for symbol in symbols:
        _, valid = table.values(symbol)
        missing = np.flatnonzero(~valid)
        if len(missing):
            entries: dict[str | None, tuple[str, None]] = {}
            for position, reason in zip(missing.tolist(), table.reasons_at(symbol, missing), strict=True):
                # One tuple for all rows of a reason.
                dropped.setdefault(position, entries.setdefault(reason, (f"unscored:{symbol}:{reason}", None)))
    return dropped


def _exact_duplicates(pool: Pool, dropped: Mapping[int, Any]) -> Dropped:
    """Rows whose digest an earlier occurrence among the others has."""
    duplicates: Dropped = {}
    # Equal digests stand side by side: a pool is in the order of its ids.
    same = (pool.digests[1:] == pool.digests[:-1]).all(axis=1)
    firsts = np.flatnonzero(same & ~np.concatenate([np.zeros(1, bool), same[:-1]])) if len(same) else np.zeros(0, np.int64)
    for first in firsts.tolist():
        end = first + 1
        while end < len(pool) and same[end - 1]:
            end += 1
        # By occurrence: as text .10 stands before .2.
        remaining = sorted((int(pool.occurrences[position]), position) for position in range(first, end) if position not in dropped)
        duplicates.update({position: (EXACT, pool.ids[remaining[0][1]]) for _, position in remaining[1:]})
    return duplicates


def _recompute(columns: dict[str, tuple[Floats, Mask]], eligible: Positions, n: int, neighbors: Neighbors | None) -> tuple[str, ...]:
    """Put the distances among the eligible rows into the columns; the symbols that changed."""
    if len(eligible) == n:
        return ()
    changed: list[str] = []
    for symbol in columns:
        match = NEIGHBOR.fullmatch(symbol)
        if match is None:
            continue
        if neighbors is None:
            raise UsageError(
                f"{n - len(eligible)} rows were dropped, so {symbol} has to be computed anew over the {len(eligible)} others, "
                "and no neighbor search was given.",
                fix="Give select() its `neighbors`, or keep exact duplicates.",
            )
        i = int(match[1])
        if len(eligible) < i + 1:
            raise IndexTooSmall(
                f"{symbol} needs at least {i + 1} examples; {len(eligible)} remain after duplicates and unscored rows are dropped."
            )
        columns[symbol] = (checked_distances(neighbors, eligible, i, symbol), np.ones(len(eligible), dtype=bool))
        changed.append(symbol)
    return tuple(changed)


def checked_distances(neighbors: Neighbors, positions: Positions, i: int, symbol: str) -> Floats:
    """What a neighbor search gives, if it is a finite number for each position.

    Raises:
        ScoresError: it is not.
    """
    distances = np.asarray(neighbors(positions, i), dtype=np.float64)
    if distances.shape != positions.shape or not np.isfinite(distances).all():
        raise ScoresError(
            f"As {symbol} the neighbor search gave {distances.size} distances for {len(positions)} examples, "
            f"{int((~np.isfinite(distances)).sum())} of them not finite."
        )
    return distances


def mean(values: Floats) -> float | None:
    """Exactly rounded, so that it does not depend on the order of the rows; None of nothing."""
    return magnitude.mean(values) if len(values) else None


__all__ = [
    "EXACT",
    "Candidates",
    "Neighbors",
    "Positions",
    "Ranking",
    "ScoredCandidates",
    "TokenCounter",
    "Vectors",
    "check_symbol",
    "checked_distances",
    "mean",
    "prepare",
]
