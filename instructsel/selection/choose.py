"""Select: rank the candidates of a pool by a rule, drop near-duplicates, fill a budget."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, Final, Unpack

import numpy as np
import polars as pl
from numpy.typing import NDArray

from instructsel.cache import Cache
from instructsel.columns import Coded, Columns, Names, Numbers, References, Scattered
from instructsel.errors import EnvironmentFault, NothingToDo, UnknownRule, UsageError
from instructsel.pool.ids import MISSING
from instructsel.pool.pool import Pool, check_pool
from instructsel.rules.by_indicator import DESCENDING
from instructsel.rules.catalog import SUFFIX, load, names
from instructsel.rules.linear import LinearRule
from instructsel.scores.neighborhood import Neighborhood
from instructsel.scores.table import ScoreTable
from instructsel.selection.budget import Budget, Tokens
from instructsel.selection.candidates import Candidates, Neighbors, Positions, Ranking, ScoredCandidates, TokenCounter, prepare
from instructsel.selection.compared import record
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.selection.settings import Changes, SelectionSettings
from instructsel.selection.similarity import TOO_SIMILAR, SimilarityFilter, TextVectors
from instructsel.selection.summary import manifest, summarize, takes_everything
from instructsel.selection.way import ABSENT, Way
from instructsel.text import counted

NEAR: Final = "near_duplicate"
QUOTA: Final = "quota"
OVER: Final = "over_budget"
BELOW_BUDGET: Final = "below_budget"
COUNTED: Final = 1024
"""Examples whose tokens are counted at a time."""
OUTCOMES: Final = (None, NEAR, QUOTA, OVER, TOO_SIMILAR, BELOW_BUDGET)
"""What becomes of a ranked row: kept, or why not."""
KEPT: Final = 0

Outcomes = NDArray[np.uint8]


def select(
    pool: Pool,
    table: ScoreTable,
    rule: LinearRule | Way | str,
    *,
    budget: Budget | int | float | None = None,
    settings: SelectionSettings | None = None,
    neighbors: Neighbors | None = None,
    token_counter: TokenCounter | None = None,
    **changes: Unpack[Changes],
) -> Selection:
    """The best part of a pool by a rule, within a budget.

    Unscored rows, exact duplicates and rows below a minimum are dropped; knn_i is computed anew over the rows that remain; they are
    ranked by (score, id), lower first; near-duplicates of a better-ranked row, rows over their source's quota and rows beyond the
    budget are dropped. Nothing depends on the order of files or rows.

    Args:
        pool: the examples.
        table: their scores.
        rule: predicts the score; a LinearRule (`load_rule`, `by`), a preset's name, or a rule file. Or a Way to select.
        budget: Count, Fraction or Tokens; a whole number means examples, a float a fraction.
        settings: everything else, with a budget that `budget` replaces.
        neighbors: distances of some rows among themselves, needed where the rule has a knn_i and rows are dropped; by default
            a Neighborhood, which takes the embeddings from the cache that `score` filled.
        token_counter: counts for a budget of Tokens; the named tokenizer with its chat template by default.
        changes: fields of SelectionSettings by name: near_duplicate_threshold, near_duplicates_of, quotas, minima, clip, …

    Raises:
        UsageError: the table is of another pool, a column or a neighbor search is missing, or a setting cannot be.
        UnknownRule: no preset of that name.
        ModelMismatch: the scores are from models the rule does not assume.
        ModelUnavailable: an indicator of the rule could not be scored at all for want of its model.
        TooManyBadRows: more rows than `max_bad_fraction` were quarantined when the pool was read.
        TooManyNulls: more rows than `max_null_fraction` lack a value.
        IndexTooSmall: fewer rows remain than a knn_i needs.
        NothingToDo: no row remains to be ranked, or none fits the budget and the quotas.

    Warns:
        UserWarning: the budget takes every row that may be kept.
    """
    check_pool(pool, "select")
    if not isinstance(table, ScoreTable):
        raise UsageError(
            f"select takes a ScoreTable, not {type(table).__name__}.",
            fix='For example: select(pool, score(pool, "len"), "longest", budget=100)',
        )
    if settings is None and budget is None:
        raise UsageError("A selection needs a budget.", fix="For example: select(pool, table, rule, budget=2000)")
    if settings is None:
        assert budget is not None
        settings = SelectionSettings(budget, **changes)
    else:
        settings = replace(settings, **changes, **({} if budget is None else {"budget": budget}))
    ranker = ranker_of(rule) if isinstance(rule, str) else rule
    if not isinstance(ranker, LinearRule | Way):
        raise UsageError(f"{type(rule).__name__} is not a rule.", fix="Give a LinearRule, or a preset's name: 'longest'.")
    if neighbors is None and Neighborhood.possible(table):
        neighbors = Neighborhood(pool, table, cache=_default_cache())
    vectors = TextVectors(_default_cache()) if settings.max_similarity is not None or isinstance(ranker, Way) else None
    candidates = prepare(pool, table, ranker, settings, neighbors=neighbors, vectors=vectors, token_counter=token_counter)
    selection = best(candidates)
    everything = takes_everything(selection)
    if everything is not None:
        warnings.warn(everything[0].upper() + everything[1:], UserWarning, stacklevel=2)
    return selection


def ranker_of(name: str) -> LinearRule | Way:
    """What a preset's name, a rule file or the name of a way says to rank by; a preset goes before a way of the same name.

    Raises:
        UnknownRule: none of them.
    """
    from instructsel.selection.baselines import registry

    if name in names() or name.endswith(SUFFIX) or name.startswith(DESCENDING):
        return load(name)
    if name in registry.names() or name in ABSENT:
        return Way(name)
    raise UnknownRule.named(name, {*names(), *registry.names()}, noun="rule or way")


def best(candidates: ScoredCandidates) -> Selection:
    """The selection that the candidates' own rule or way gives.

    Raises:
        NothingToDo: no row fits the budget and the quotas.
        UsageError: the way lacks its target set or its model.
    """
    ranker, prediction = candidates.ranker, candidates.prediction
    if isinstance(ranker, Way):
        selection = ranked(candidates, ranker.ranking(candidates))
    else:
        assert prediction is not None
        selection = ranked(candidates, Ranking(ranker.name, ranker.target, prediction.values, prediction.contributions))
    if not len(selection):
        raise _nothing_kept(candidates, selection)
    return selection


def _nothing_kept(candidates: Candidates, selection: Selection) -> NothingToDo:
    """The error for a ranking of no row, or a budget and quotas that no row fits."""
    if not selection.summary["ranked"]:
        counts = ", ".join(f"{reason} {count:,}" for reason, count in selection.summary["dropped"].items())
        return NothingToDo(f"No row is selected: {selection.name} ranks none of the rows ({counts}).", fix="Rank by something else.")
    unit = "token" if isinstance(candidates.budget, Tokens) else "example"
    limit = candidates.limit
    empty = [
        f"{source}={100 * quota.most:g}% of {counted(limit, unit)} is {quota.most * limit:.3g}, rounded down to 0"
        for source, quota in candidates.settings.limits.items()
        if isinstance(quota.most, float) and not quota.cap(limit)
    ]
    if empty:
        return NothingToDo(f"No row is selected: the quota {'; the quota '.join(empty)}.", fix="Raise the budget or the quota.")
    return NothingToDo(f"No row is selected: none fits the budget of {candidates.budget}.", fix="Raise the budget.")


def _default_cache() -> Cache | None:
    """The user's cache, or none where it cannot be used."""
    try:
        return Cache.open()
    except EnvironmentFault:
        return None


@dataclass(frozen=True, eq=False)
class Filled:
    """What a ranking puts into a budget."""

    positions: Positions
    """All ranked rows as positions in the pool, best first."""
    outcomes: Outcomes
    """(k,), the place in OUTCOMES of what became of each."""
    better: Positions
    """(k,), for a near-duplicate the position of the better-ranked row, for one that is too similar that of the kept one; -1 for the others."""
    used: int
    """Of the budget, in its unit."""
    similarity: dict[str, Any] | None = None
    """What DEITA's filter compared, where it was asked for."""
    near_duplicates: dict[str, Any] | None = None
    """What near-duplicates were told by and how many there are, where they are dropped."""

    @property
    def chosen(self) -> Positions:
        """Positions in the pool of what is kept, best first."""
        chosen: Positions = self.positions[self.outcomes == KEPT]
        return chosen

    @property
    def details(self) -> dict[str, Any]:
        """What a summary says of the comparisons."""
        records = {"near_duplicates": self.near_duplicates, "similarity": self.similarity}
        return {name: entry for name, entry in records.items() if entry is not None}

    @property
    def did_not_fit(self) -> bool:
        """Whether rows were left out because they were larger than what was left of the budget."""
        return bool((self.outcomes == OUTCOMES.index(OVER)).any())


def fill(candidates: Candidates, order: Positions) -> Filled:
    """Fill the budget in rank order: near-duplicates are dropped, minimum quotas come first, caps of sources are kept.

    Args:
        candidates: the rows, the budget and the quotas.
        order: numbers among the eligible rows, best first.
    """
    positions = candidates.eligible[order]
    better = candidates.near_duplicate_of(order)
    repeats = better >= 0
    compared = None
    if candidates.settings.near_duplicate_threshold is not None:
        compared = record(candidates.compared, positions[repeats], better[repeats])
    similarity = SimilarityFilter.of(candidates)
    outcomes = np.full(len(positions), OUTCOMES.index(NEAR), dtype=np.uint8)
    outcomes[~repeats], used = fill_distinct(candidates, positions[~repeats], similarity)
    if similarity is None:
        return Filled(positions, outcomes, better, used, near_duplicates=compared)
    for row in np.flatnonzero(outcomes == OUTCOMES.index(TOO_SIMILAR)).tolist():
        better[row] = similarity.nearest_of[int(positions[row])]
    return Filled(positions, outcomes, better, used, similarity.as_dict(), compared)


def fill_distinct(candidates: Candidates, distinct: Positions, similarity: SimilarityFilter | None = None) -> tuple[Outcomes, int]:
    """Fill the budget with rows of which none repeats another.

    Args:
        candidates: the budget and the quotas.
        distinct: positions in the pool, best first.
        similarity: nothing kept yet; by default what the candidates' settings ask for.

    Returns:
        The place in OUTCOMES of what became of each; and what those that are kept use of the budget.
    """
    limit, sources = candidates.limit, candidates.sources
    caps = {source: cap for source, quota in candidates.settings.limits.items() if (cap := quota.cap(limit)) is not None}
    spent: Counter[str] = Counter()
    similarity = similarity or SimilarityFilter.of(candidates)
    guaranteed = _guaranteed(candidates, distinct, spent, similarity)
    used = spent.total()
    outcomes = np.full(len(distinct), OUTCOMES.index(BELOW_BUDGET), dtype=np.uint8)
    outcomes[np.isin(distinct, list(guaranteed))] = KEPT
    costs = _costs(candidates, distinct)
    for number, position in enumerate(_each(distinct)):
        if used >= limit:
            break
        cost = next(costs)
        source = sources[position]
        if position in guaranteed:
            continue
        if source in caps and spent[source] + cost > caps[source]:
            outcomes[number] = OUTCOMES.index(QUOTA)
        elif used + cost > limit:
            outcomes[number] = OUTCOMES.index(OVER)
        elif similarity is not None and not similarity.admits(distinct, number):
            outcomes[number] = OUTCOMES.index(TOO_SIMILAR)
        else:
            if similarity is not None:
                similarity.keep(position)
            outcomes[number] = KEPT
            used += cost
            spent[source] += cost
    return outcomes, used


def _each(positions: Positions) -> Iterator[int]:
    """One after the other, without a list of all."""
    for begin in range(0, len(positions), COUNTED):
        yield from positions[begin : begin + COUNTED].tolist()


def _guaranteed(candidates: Candidates, distinct: Positions, spent: Counter[str], similarity: SimilarityFilter | None) -> frozenset[int]:
    """The best rows of every source with a minimum quota, as many as it takes; what they use is added to `spent`."""
    limit = candidates.limit
    floors = {source: least for source, quota in candidates.settings.limits.items() if (least := quota.floor(limit))}
    if not floors:
        return frozenset()
    rows = distinct[candidates.sources.where(floors.__contains__)[distinct]]
    taken: list[int] = []
    for number, (position, cost) in enumerate(zip(_each(rows), _costs(candidates, rows), strict=False)):
        source = candidates.sources[position]
        if spent[source] < floors[source] and spent.total() + cost <= limit:
            if similarity is not None:
                if not similarity.admits(rows, number):
                    continue
                similarity.keep(position)
            spent[source] += cost
            taken.append(position)
    return frozenset(taken)


def _costs(candidates: Candidates, positions: Positions) -> Iterator[int]:
    """What each row takes of the budget: 1, or its tokens, counted a batch at a time and only as far as needed."""
    if not isinstance(candidates.budget, Tokens):
        yield from (1 for _ in positions)
        return
    assert candidates.token_counter is not None
    for begin in range(0, len(positions), COUNTED):
        batch = positions[begin : begin + COUNTED]
        counts = candidates.token_counter(list(candidates.pool.examples(batch)))
        if len(counts) != len(batch):
            raise UsageError(f"The token counter gave {len(counts)} counts for {len(batch)} examples.")
        yield from (int(count) for count in counts)


def ranked(candidates: ScoredCandidates, ranking: Ranking) -> Selection:
    """The selection that a ranking gives: every row of the pool kept, or dropped with a reason."""
    filled = fill(candidates, ranking.order())
    columns = _columns(candidates, ranking, filled)
    reasons = columns["reason"]
    assert isinstance(reasons, Coded)
    ranking = replace(ranking, details={**ranking.details, **filled.details})
    summary = summarize(candidates, ranking, reasons, filled.used, short=0 if filled.did_not_fit else candidates.limit - filled.used)
    return Selection(ranking.name, columns, summary, manifest(candidates, ranking, summary), candidates)


def _columns(candidates: ScoredCandidates, ranking: Ranking, filled: Filled) -> Columns:
    """All rows of the pool in its order."""
    pool, n, ids = candidates.pool, len(candidates.pool), candidates.ids
    words: dict[str | None, int] = {word: code for code, word in enumerate(OUTCOMES)}
    why = {position: reason for position, (reason, _) in candidates.dropped.items()}
    why |= {int(candidates.eligible[row]): reason for row, reason in ranking.unscored.items()}
    numbers = [words.setdefault(reason, len(words)) for reason in why.values()]
    codes = np.zeros(n, dtype=np.min_scalar_type(len(words)))
    codes[np.fromiter(why, dtype=np.int64, count=len(why))] = numbers
    codes[filled.positions] = filled.outcomes
    better = np.full(n, MISSING, dtype=np.int32)
    better[filled.positions] = filled.better
    repeated = {position: other for position, (_, other) in candidates.dropped.items() if other is not None}
    better[np.fromiter(repeated, dtype=np.int64, count=len(repeated))] = list(ids.positions(repeated.values()))
    rank = np.zeros(n, dtype=np.uint32)
    rank[filled.positions] = np.arange(1, len(filled.positions) + 1, dtype=np.uint32)
    unranked = rank == 0
    return Columns(
        {
            "id": Names(ids),
            "source": candidates.sources,
            "file": Coded(pool.file_of, pool.file_names),
            "line": Numbers(pool.line_of, dtype=pl.Int64),
            "rank": Numbers(rank, unranked, dtype=pl.Int64),
            "score": Scattered(ranking.values, candidates.eligible, rank),
            **{symbol + CONTRIBUTION: Scattered(values, candidates.eligible, rank) for symbol, values in ranking.contributions.items()},
            "kept": Numbers(codes == KEPT, dtype=pl.Boolean),
            "reason": Coded(codes, tuple(words)),
            "duplicate_of": References(better, ids),
        }
    )


__all__ = ["BELOW_BUDGET", "KEPT", "NEAR", "OVER", "QUOTA", "Filled", "best", "fill", "fill_distinct", "ranked", "select"]
