"""Select: rank the candidates of a pool by a rule, drop near-duplicates, fill a budget."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Unpack

import numpy as np
import polars as pl

from instructsel.cache import Cache
from instructsel.errors import EnvironmentFault, NothingToDo, UsageError
from instructsel.pool.pool import Pool, check_pool
from instructsel.rules.catalog import load, names
from instructsel.rules.linear import LinearRule, Mask
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

    return Way(name) if name not in names() and (name in registry.names() or name in ABSENT) else load(name)


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
        raise _nothing_kept(candidates)
    return selection


def _nothing_kept(candidates: Candidates) -> NothingToDo:
    """The error for a budget and quotas that no row fits."""
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


@dataclass(frozen=True)
class Filled:
    """What a ranking puts into a budget."""

    chosen: tuple[int, ...]
    """Positions in the pool, best first."""
    used: int
    """Of the budget, in its unit."""
    reasons: dict[int, str]
    """Position → why a ranked row was not kept: near_duplicate, too_similar, quota, over_budget, below_budget."""
    near_duplicate_of: dict[int, int]
    """Position of a near-duplicate, or of a row that is too similar → position of the better-ranked row, or of the kept one."""
    positions: Positions
    """All ranked rows as positions in the pool, best first."""
    similarity: dict[str, Any] | None = None
    """What DEITA's filter compared, where it was asked for."""
    near_duplicates: dict[str, Any] | None = None
    """What near-duplicates were told by and how many there are, where they are dropped."""

    @property
    def details(self) -> dict[str, Any]:
        """What a summary says of the comparisons."""
        records = {"near_duplicates": self.near_duplicates, "similarity": self.similarity}
        return {name: entry for name, entry in records.items() if entry is not None}

    @property
    def did_not_fit(self) -> bool:
        """Whether rows were left out because they were larger than what was left of the budget."""
        return OVER in self.reasons.values()


def fill(candidates: Candidates, order: Positions) -> Filled:
    """Fill the budget in rank order: near-duplicates are dropped, minimum quotas come first, caps of sources are kept.

    Args:
        candidates: the rows, the budget and the quotas.
        order: numbers among the eligible rows, best first.
    """
    positions = candidates.eligible[order]
    repeats = candidates.near_duplicate_of(order)
    repeated = {int(positions[row]): int(repeats[row]) for row in np.flatnonzero(repeats >= 0)}
    distinct = positions[repeats < 0].tolist()
    similarity = SimilarityFilter.of(candidates)
    chosen, used, reasons = fill_distinct(candidates, distinct, similarity)
    reasons = {**dict.fromkeys(repeated, NEAR), **reasons}
    compared = None if candidates.settings.near_duplicate_threshold is None else record(candidates.compared, repeated)
    if similarity is None:
        return Filled(tuple(chosen), used, reasons, repeated, positions, near_duplicates=compared)
    similar = {position: other for position, other in similarity.nearest_of.items() if reasons.get(position) == TOO_SIMILAR}
    return Filled(tuple(chosen), used, reasons, {**repeated, **similar}, positions, similarity.as_dict(), compared)


def fill_distinct(
    candidates: Candidates, distinct: Sequence[int], similarity: SimilarityFilter | None = None
) -> tuple[list[int], int, dict[int, str]]:
    """Fill the budget with rows of which none repeats another.

    Args:
        candidates: the budget and the quotas.
        distinct: positions in the pool, best first.
        similarity: nothing kept yet; by default what the candidates' settings ask for.

    Returns:
        Kept positions, best first; what they use of the budget; and why each of the others was not kept.
    """
    limit, sources = candidates.limit, candidates.sources
    caps = {source: cap for source, quota in candidates.settings.limits.items() if (cap := quota.cap(limit)) is not None}
    spent: Counter[str] = Counter()
    similarity = similarity or SimilarityFilter.of(candidates)
    guaranteed = _guaranteed(candidates, distinct, spent, similarity)
    used = spent.total()
    chosen: list[int] = []
    reasons: dict[int, str] = {}
    costs = _costs(candidates, distinct)
    for number, position in enumerate(distinct):
        if used >= limit:
            remaining = [other for other in distinct[number:] if other in guaranteed] if guaranteed else []
            chosen += remaining
            reasons.update(dict.fromkeys((other for other in distinct[number:] if other not in guaranteed), BELOW_BUDGET))
            break
        cost = next(costs)
        source = sources[position]
        if position in guaranteed:
            chosen.append(position)
        elif source in caps and spent[source] + cost > caps[source]:
            reasons[position] = QUOTA
        elif used + cost > limit:
            reasons[position] = OVER
        elif similarity is not None and not similarity.admits(distinct, number):
            reasons[position] = TOO_SIMILAR
        else:
            if similarity is not None:
                similarity.keep(position)
            chosen.append(position)
            used += cost
            spent[source] += cost
    return chosen, used, reasons


def _guaranteed(
    candidates: Candidates, distinct: Sequence[int], spent: Counter[str], similarity: SimilarityFilter | None
) -> frozenset[int]:
    """The best rows of every source with a minimum quota, as many as it takes; what they use is added to `spent`."""
    limit = candidates.limit
    floors = {source: least for source, quota in candidates.settings.limits.items() if (least := quota.floor(limit))}
    if not floors:
        return frozenset()
    rows = [position for position in distinct if candidates.sources[position] in floors]
    taken: list[int] = []
    for number, (position, cost) in enumerate(zip(rows, _costs(candidates, rows), strict=False)):
        source = candidates.sources[position]
        if spent[source] < floors[source] and spent.total() + cost <= limit:
            if similarity is not None:
                if not similarity.admits(rows, number):
                    continue
                similarity.keep(position)
            spent[source] += cost
            taken.append(position)
    return frozenset(taken)


def _costs(candidates: Candidates, positions: Sequence[int]) -> Iterator[int]:
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
    frame = _frame(candidates, ranking, filled)
    ranking = replace(ranking, details={**ranking.details, **filled.details})
    summary = summarize(candidates, ranking, frame, filled.used, short=0 if filled.did_not_fit else candidates.limit - filled.used)
    return Selection(ranking.name, frame, summary, manifest(candidates, ranking, summary), candidates)


def _frame(candidates: ScoredCandidates, ranking: Ranking, filled: Filled) -> pl.DataFrame:
    """All rows of the pool in its order."""
    n, ids = len(candidates.pool), candidates.ids
    reasons: list[str | None] = [None] * n
    duplicate_of: list[str | None] = [None] * n
    for position, (reason, repeated) in candidates.dropped.items():
        reasons[position], duplicate_of[position] = reason, repeated
    for row, reason in ranking.unscored.items():
        reasons[int(candidates.eligible[row])] = reason
    for position, reason in filled.reasons.items():
        reasons[position] = reason
    for position, better in filled.near_duplicate_of.items():
        duplicate_of[position] = ids[better]
    chosen = np.zeros(n, dtype=bool)
    chosen[list(filled.chosen)] = True
    present = np.zeros(n, dtype=bool)
    present[filled.positions] = True
    rank = np.arange(1, len(filled.positions) + 1, dtype=np.int64)
    return pl.DataFrame(
        [
            ids.series(),
            pl.Series("source", candidates.sources, dtype=pl.String),
            *candidates.pool.places.get_columns(),
            scatter_to_pool("rank", rank, filled.positions, present),
            scatter_to_pool("score", ranking.values, candidates.eligible, present),
            *(
                scatter_to_pool(symbol + CONTRIBUTION, values, candidates.eligible, present)
                for symbol, values in ranking.contributions.items()
            ),
            pl.Series("kept", chosen),
            pl.Series("reason", reasons, dtype=pl.String),
            pl.Series("duplicate_of", duplicate_of, dtype=pl.String),
        ]
    )


def scatter_to_pool(name: str, values: Any, positions: Positions, present: Mask) -> pl.Series:
    """A column over the pool from values over some of its rows.

    Args:
        name: of the column.
        values: (k,).
        positions: (k,), where they belong in the pool.
        present: (n,), the rows that have a value; the others are null.
    """
    column = np.zeros(len(present), dtype=np.asarray(values).dtype)
    column[positions] = values
    return pl.select(pl.when(pl.Series(present)).then(pl.Series(name, column)).alias(name)).to_series()


__all__ = ["BELOW_BUDGET", "NEAR", "OVER", "QUOTA", "Filled", "best", "fill", "fill_distinct", "ranked", "scatter_to_pool", "select"]
