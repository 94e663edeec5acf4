"""Select: rank a pool by a rule, remove duplicates, fill a budget."""

from __future__ import annotations

from collections.abc import Mapping

from instructsel.pool.pool import Pool
from instructsel.rules.linear import LinearRule
from instructsel.scores.table import ScoreTable
from instructsel.selection.budget import Budget
from instructsel.selection.candidates import Neighbors, Ranking, TokenCounter, prepare
from instructsel.selection.floors import Floor
from instructsel.selection.selection import Selection


def select(
    pool: Pool,
    table: ScoreTable,
    rule: LinearRule,
    *,
    budget: Budget | int | float,
    near_duplicate_threshold: float | None = 0.8,
    keep_exact_duplicates: bool = False,
    quotas: Mapping[str, int | float] | None = None,
    floors: Mapping[str, Floor] | None = None,
    clip: bool = False,
    allow_mismatch: bool = False,
    max_null_fraction: float = 0.05,
    max_bad_fraction: float = 0.05,
    neighbors: Neighbors | None = None,
    token_counter: TokenCounter | None = None,
) -> Selection:
    """The best part of a pool by a rule, within a budget.

    Unscored rows, exact duplicates and rows below a floor are dropped; knn_i is computed anew over the rows that remain; they are ranked by
    (value, id), lower first; near-duplicates of a better-ranked row, rows over their source's quota and rows beyond the
    budget are dropped. Nothing depends on the order of files or rows.

    Args:
        pool: the examples.
        table: their scores.
        rule: predicts the value.
        budget: Count, Fraction or Tokens; a whole number means examples, a float a fraction.
        near_duplicate_threshold: Jaccard similarity over word 5-grams, in [0.6, 1]; None keeps near-duplicates.
        keep_exact_duplicates: keep examples that occur more than once.
        quotas: at most this many examples (int) or this share of the budget (float) of a source; tokens where the budget
            is in tokens.
        floors: leave out what an indicator, of the rule or not, puts below a floor; rows without a value in it too.
        clip: winsorise each indicator at its 1st and 99th percentile before the rule is applied.
        allow_mismatch: rank scores of models the rule does not assume, and say so in every output.
        max_null_fraction: share of the pool that may lack a value in an indicator of the rule.
        max_bad_fraction: share of the rows read that may have been quarantined.
        neighbors: distances of some rows among themselves, needed where the rule has a knn_i and rows are dropped; by default
            the pool is embedded again as the table says. A Neighborhood with a cache saves that.
        token_counter: counts for a budget of Tokens; the named tokenizer with its chat template by default.

    Raises:
        UsageError: the table is of another pool, a column or a neighbor search is missing, or a setting cannot be.
        ModelMismatch: the scores are from models the rule does not assume.
        ModelUnavailable: an indicator of the rule could not be scored at all for want of its model.
        TooManyBadRows: more rows than `max_bad_fraction` were quarantined when the pool was read.
        TooManyNulls: more rows than `max_null_fraction` lack a value.
        IndexTooSmall: fewer rows remain than a knn_i needs.
        NothingToDo: no row remains to be ranked.
    """
    setting = prepare(
        pool,
        table,
        rule,
        budget=budget,
        near_duplicate_threshold=near_duplicate_threshold,
        keep_exact_duplicates=keep_exact_duplicates,
        quotas=quotas,
        floors=floors,
        clip=clip,
        allow_mismatch=allow_mismatch,
        max_null_fraction=max_null_fraction,
        max_bad_fraction=max_bad_fraction,
        neighbors=neighbors,
        token_counter=token_counter,
    )
    return setting.ranked(Ranking(rule.name, rule.target, setting.prediction.values, setting.prediction.contributions))
