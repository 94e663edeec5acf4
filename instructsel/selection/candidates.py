"""The candidates of a selection: the pool's rows that may be ranked, and why the others may not."""

from __future__ import annotations

import itertools
import math
import re
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from instructsel.artifact import SCHEMA_VERSION
from instructsel.errors import IndexTooSmall, NothingToDo, ScoresError, TooManyBadRows, TooManyNulls, UsageError
from instructsel.indicators.base import NOT_SHOWN
from instructsel.neighbors.duplicates import Shingles, near_duplicates
from instructsel.pool.example import Example
from instructsel.pool.pool import Pool
from instructsel.rules.collinearity import collinearity
from instructsel.rules.linear import Floats, LinearRule, Mask, Mismatch, Prediction
from instructsel.scores.neighborhood import Neighborhood
from instructsel.scores.table import ScoreTable
from instructsel.selection.budget import Budget, Tokens, as_budget, cap_of, check_quotas
from instructsel.selection.floors import Floor, below
from instructsel.selection.selection import CONTRIBUTION, KIND, Selection
from instructsel.selection.tokens import chat_tokens
from instructsel.tables import release

Positions = NDArray[np.int64]


NEIGHBOR: Final = re.compile(r"knn_(\d+)")


EXACT: Final = "exact_duplicate"


NEAR: Final = "near_duplicate"


QUOTA: Final = "quota"


OVER: Final = "over_budget"


NOT_REACHED: Final = "not_reached"


COUNTED: Final = 1024
"""Examples whose tokens are counted at a time."""


OVER_THE_POOL: Final = "mean of the per-row values over the pool"


INSIDE: Final = "with knn_i recomputed inside the subset"


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
    """What the values are."""
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


@dataclass(frozen=True, eq=False)
class Setting:
    """Everything about a selection but the ranking: baselines differ from it in nothing else."""

    pool: Pool
    table: ScoreTable
    rule: LinearRule
    budget: Budget
    near_duplicate_threshold: float | None
    keep_exact_duplicates: bool
    quotas: Mapping[str, int | float]
    floors: Mapping[str, dict[str, Any]]
    """Symbol → what was asked, the value below which rows are left out, and how many lie there."""
    clip: bool
    max_null_fraction: float
    neighbors: Neighbors | None
    token_counter: TokenCounter | None
    mismatches: tuple[Mismatch, ...]
    rows: Positions
    """Positions in the table of the pool's rows, in the pool's order."""
    eligible: Positions
    """Positions in the pool of the rows that can be ranked, ascending."""
    dropped: dict[int, tuple[str, str | None]]
    """Position in the pool → (reason, id it repeats), for the rows that cannot."""
    columns: dict[str, tuple[Floats, Mask]]
    """The rule's indicators over the eligible rows, knn_i among these rows."""
    recomputed: tuple[str, ...]
    """The knn_i that were computed anew."""
    prediction: Prediction
    """The rule over the eligible rows."""

    @cached_property
    def shingles(self) -> Shingles:
        """Of every text of the pool; computed once for all rankings."""
        return Shingles.of(example.text for example in self.pool.examples())

    @cached_property
    def ids(self) -> list[str]:
        """Of the pool, in its order."""
        return self.pool.ids

    @cached_property
    def sources(self) -> list[str]:
        """Of the pool, in its order."""
        return self.pool.sources

    def column(self, symbol: str) -> tuple[Floats, Mask]:
        """An indicator over the eligible rows; the rule's own as the rule saw them."""
        if symbol in self.columns:
            return self.columns[symbol]
        values, valid = self.table.values(symbol)
        rows = self.rows[self.eligible]
        return values[rows], valid[rows]

    def order(self, ranking: Ranking) -> NDArray[np.int64]:
        """The eligible rows (as numbers among these), best first, those the ranking cannot rank left out."""
        order = np.argsort(ranking.values, kind="stable")
        if ranking.unscored:
            order = order[~np.isin(order, list(ranking.unscored))]
        return order.astype(np.int64)

    def repeats(self, order: NDArray[np.int64]) -> NDArray[np.int64]:
        """For each row of an order −1, or the position in the pool of the better-ranked row it nearly repeats."""
        if self.near_duplicate_threshold is None:
            return np.full(len(order), -1, dtype=np.int64)
        return near_duplicates(self.shingles, self.eligible[order], self.near_duplicate_threshold)

    def limit(self) -> int:
        """The budget in its unit."""
        return self.budget.n if isinstance(self.budget, Tokens) else self.budget.rows(len(self.pool))

    def ranked(self, ranking: Ranking) -> Selection:
        """The selection that a ranking gives under this setting."""
        n = len(self.pool)
        reasons: list[str | None] = [None] * n
        duplicate_of: list[str | None] = [None] * n
        for position, (reason, repeated) in self.dropped.items():
            reasons[position], duplicate_of[position] = reason, repeated
        for row, reason in ranking.unscored.items():
            reasons[int(self.eligible[row])] = reason
        order = self.order(ranking)
        positions = self.eligible[order]
        repeats = self.repeats(order)
        for row in np.flatnonzero(repeats >= 0).tolist():
            reasons[positions[row]], duplicate_of[positions[row]] = NEAR, self.ids[repeats[row]]
        fresh = positions[repeats < 0].tolist()
        kept, used, refused, reached = self._fill(fresh)
        for position, reason in refused.items():
            reasons[position] = reason
        for position in itertools.islice(fresh, reached, None):
            reasons[position] = NOT_REACHED
        del fresh
        is_kept = np.zeros(n, dtype=bool)
        is_kept[kept] = True
        frame = self._frame(ranking, positions, is_kept, reasons, duplicate_of)
        summary = self._summary(ranking, frame, np.array(sorted(kept), dtype=np.int64), used, OVER in refused.values())
        return Selection(ranking.name, frame, summary, self._manifest(ranking, summary), self)

    def _fill(self, fresh: list[int]) -> tuple[list[int], int, dict[int, str], int]:
        """Fill the budget in rank order: kept positions, what they use of it, why others were left, and how many were looked at."""
        limit = self.limit()
        caps = {source: cap_of(quota, limit) for source, quota in self.quotas.items()}
        spent: Counter[str] = Counter()
        kept: list[int] = []
        used = 0
        refused: dict[int, str] = {}
        costs = self._costs(fresh)
        for reached, position in enumerate(fresh):
            if used >= limit:
                return kept, used, refused, reached
            source = self.sources[position]
            cost = next(costs)
            if source in caps and spent[source] + cost > caps[source]:
                refused[position] = QUOTA
            elif used + cost > limit:
                refused[position] = OVER
            else:
                kept.append(position)
                used += cost
                spent[source] += cost
        return kept, used, refused, len(fresh)

    def _costs(self, positions: list[int]) -> Any:
        """What each row takes of the budget: 1, or its tokens, counted a batch at a time and only as far as needed."""
        if not isinstance(self.budget, Tokens):
            yield from (1 for _ in positions)
            return
        assert self.token_counter is not None
        for begin in range(0, len(positions), COUNTED):
            batch = positions[begin : begin + COUNTED]
            counts = self.token_counter(list(self.pool.examples(batch)))
            if len(counts) != len(batch):
                raise UsageError(f"The token counter gave {len(counts)} counts for {len(batch)} examples.")
            yield from (int(count) for count in counts)

    def _frame(
        self, ranking: Ranking, positions: Positions, kept: Mask, reasons: list[str | None], duplicate_of: list[str | None]
    ) -> pl.DataFrame:
        n = len(self.pool)
        rank = np.zeros(n, dtype=np.int64)
        rank[positions] = np.arange(1, len(positions) + 1)
        present = pl.Series("present", rank > 0)

        def column(name: str, values: Any) -> pl.Series:
            whole = np.zeros(n, dtype=np.asarray(values).dtype)
            whole[self.eligible] = values
            return pl.DataFrame({name: whole, "present": present}).select(pl.when("present").then(name).alias(name)).to_series()

        ranks = pl.DataFrame({"rank": rank, "present": present}).select(pl.when("present").then("rank").alias("rank")).to_series()
        return pl.DataFrame(
            [
                pl.Series("id", self.ids, dtype=pl.String),
                pl.Series("source", self.sources, dtype=pl.String),
                ranks,
                column("value", ranking.values),
                *(column(symbol + CONTRIBUTION, values) for symbol, values in ranking.contributions.items()),
                pl.Series("kept", kept),
                pl.Series("reason", reasons, dtype=pl.String),
                pl.Series("duplicate_of", duplicate_of, dtype=pl.String),
            ]
        )

    def _summary(self, ranking: Ranking, frame: pl.DataFrame, kept: Positions, used: int, did_not_fit: bool) -> dict[str, Any]:
        read, n_kept = frame.height, len(kept)
        dropped = Counter(reason for reason in frame["reason"].to_list() if reason is not None)
        if read != n_kept + dropped.total():
            raise AssertionError(f"{read} rows read, but {n_kept} kept + {dropped.total()} dropped.")
        inside = np.searchsorted(self.eligible, kept)
        value, value_inside, knn = self._inside(kept, inside)
        pool_sources = Counter(self.sources)
        kept_sources = Counter(self.sources[position] for position in kept.tolist())
        short = 0 if did_not_fit else self.limit() - used
        means = {symbol: {"ranked": _mean(values), "kept": _mean(values[inside])} for symbol, (values, _) in self.columns.items()}
        return {
            "name": ranking.name,
            "read": read,
            "kept": n_kept,
            "dropped": dict(sorted(dropped.items())),
            "ranked": read - len(self.dropped) - len(ranking.unscored),
            "budget": self.budget.as_dict(),
            "used": used,
            "shortfall": short,
            "unused_tokens": self.limit() - used if isinstance(self.budget, Tokens) else None,
            "variance_shares": self.rule.variance_shares(self.prediction),
            "variance_shares_kept": self.rule.variance_shares(self.prediction, inside),
            "means": means,
            "collinearity": collinearity({symbol: values for symbol, (values, _) in self.columns.items()}),
            "extrapolation": self._extrapolation(inside),
            "inside": knn,
            "rule_value": {OVER_THE_POOL: value, INSIDE: value_inside},
            "composition": {source: {"pool": pool_sources[source], "kept": kept_sources[source]} for source in sorted(pool_sources)},
            "mismatches": [mismatch.as_dict() for mismatch in self.mismatches],
            "recomputed": list(self.recomputed),
            "floors": dict(self.floors),
            **ranking.details,
        }

    def _extrapolation(self, inside: NDArray[np.int64]) -> dict[str, dict[str, Any]]:
        """How many rows lie outside the range of means a rule was fitted on; nothing for a rule that was not fitted here."""
        found: dict[str, dict[str, Any]] = {}
        for symbol, (least, greatest) in self.rule.fitted_ranges.items():
            values, valid = self.columns[symbol]
            outside = ((values < least) | (values > greatest)) & valid
            mean = _mean(values[inside])
            found[symbol] = {
                "fitted": [least, greatest],
                "ranked": int(outside.sum()) / max(1, int(valid.sum())),
                "kept": float(outside[inside].mean()) if len(inside) else None,
                "mean_of_kept_is_outside": None if mean is None else not least <= mean <= greatest,
            }
        return found

    def _inside(self, kept: Positions, inside: NDArray[np.int64]) -> tuple[float | None, float | None, dict[str, dict[str, Any]]]:
        """The rule's mean value over the kept rows, the same with knn_i inside them, and these knn_i."""
        value = _mean(self.prediction.values[inside])
        columns: dict[str, tuple[Floats, Mask]] = {
            symbol: (values[inside], valid[inside]) for symbol, (values, valid) in self.columns.items()
        }
        found: dict[str, dict[str, Any]] = {}
        for symbol in self.columns:
            match = NEIGHBOR.fullmatch(symbol)
            if match is None:
                continue
            i = int(match[1])
            if self.neighbors is None:
                found[symbol] = {"mean": None, "reason": "no neighbor search was given"}
            elif len(kept) < i + 1:
                found[symbol] = {"mean": None, "reason": f"needs at least {i + 1} examples"}
            else:
                distances = _distances(self.neighbors, kept, i, symbol)
                found[symbol] = {"mean": _mean(distances), "reason": None}
                columns[symbol] = (distances, np.ones(len(kept), dtype=bool))
        if not len(kept) or any(entry["reason"] for entry in found.values()):
            return value, None, found
        return value, _mean(self.rule.combine(columns, bounds=self.prediction.bounds).values), found

    def _manifest(self, ranking: Ranking, summary: dict[str, Any]) -> dict[str, Any]:
        return {
            "kind": KIND,
            "schema_version": SCHEMA_VERSION,
            "instructsel": release(),
            "name": ranking.name,
            "value": ranking.target,
            "rule": self.rule.as_dict(),
            "form": self.rule.called(self.mismatches),
            "pool": {"fingerprint": self.pool.fingerprint, "examples": len(self.pool)},
            "indicators": {
                symbol: entry
                for symbol, entry in (self.table.manifest.get("indicators") or {}).items()
                if symbol in (self.rule.indicators if ranking.indicators is None else ranking.indicators)
            },
            "settings": {
                "budget": self.budget.as_dict(),
                "near_duplicate_threshold": self.near_duplicate_threshold,
                "keep_exact_duplicates": self.keep_exact_duplicates,
                "quotas": dict(sorted(self.quotas.items())),
                "floors": {symbol: told["asked"] for symbol, told in sorted(self.floors.items())},
                "clip": {symbol: list(limits) for symbol, limits in self.prediction.bounds.items()} if self.clip else None,
                "max_null_fraction": self.max_null_fraction,
            },
            "summary": summary,
        }


def prepare(
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
) -> Setting:
    """The eligible rows of a pool and the rule's values over them: `select` up to the ranking.

    Takes and raises what `select` does.
    """
    chosen = as_budget(budget)
    for name, limit in (("max_null_fraction", max_null_fraction), ("max_bad_fraction", max_bad_fraction)):
        if not 0 <= limit <= 1:
            raise UsageError(f"{name} is {limit}; it is a share from 0 to 1.")
    rows = _fit(pool, table)
    if neighbors is None and Neighborhood.possible(table):
        neighbors = Neighborhood(pool, table)
    check_quotas(quotas or {}, set(pool.sources))
    rule.check_columns(table)
    _check_floors(table, floors or {})
    mismatches = tuple(rule.check_models(table, allow_mismatch=allow_mismatch))
    if isinstance(chosen, Tokens) and token_counter is None:
        token_counter = chat_tokens(chosen.tokenizer).count
    _check_bad_rows(pool, max_bad_fraction)
    _check_nulls(table, dict.fromkeys(rule.indicators, rule.name), max_null_fraction)
    # Rows that an indicator could not be shown pass its minimum.
    _check_nulls(table, dict.fromkeys(set(floors or {}) - set(rule.indicators), "a floor"), max_null_fraction, ignored=NOT_SHOWN)
    dropped = _unscored(table, rule.indicators, rows)
    if not keep_exact_duplicates:
        dropped |= _exact_duplicates(pool, dropped)
    low, told = below(table, rows, floors or {})
    dropped = {**low, **dropped}
    is_eligible = np.ones(len(pool), dtype=bool)
    is_eligible[list(dropped)] = False
    eligible = np.flatnonzero(is_eligible)
    if not len(eligible):
        counts = ", ".join(f"{reason}: {count}" for reason, count in Counter(reason for reason, _ in dropped.values()).most_common())
        raise NothingToDo(f"No row of the pool is left to rank ({counts or 'it is empty'}).")
    columns: dict[str, tuple[Floats, Mask]] = {}
    for symbol in rule.indicators:
        values, valid = table.values(symbol)
        columns[symbol] = (values[rows[eligible]], valid[rows[eligible]])
    recomputed = _recompute(columns, eligible, len(pool), neighbors)
    return Setting(
        pool=pool,
        table=table,
        rule=rule,
        budget=chosen,
        near_duplicate_threshold=near_duplicate_threshold,
        keep_exact_duplicates=keep_exact_duplicates,
        quotas=dict(quotas or {}),
        floors=told,
        clip=clip,
        max_null_fraction=max_null_fraction,
        neighbors=neighbors,
        token_counter=token_counter,
        mismatches=mismatches,
        rows=rows,
        eligible=eligible,
        dropped=dropped,
        columns=columns,
        recomputed=recomputed,
        prediction=rule.combine(columns, clip=clip),
    )


def _fit(pool: Pool, table: ScoreTable) -> Positions:
    """Where each of the pool's rows stands in the table."""
    again = "Score the pool again, or name the pool the table was made from with --pool."
    scored = (table.manifest.get("pool") or {}).get("fingerprint")
    if scored is not None and not pool.has_fingerprint(scored):
        raise UsageError("The scores are of another pool, or the pool has changed since it was scored.", fix=again)
    # Both are in the order of their ids, so that the same ids stand in the same rows.
    if len(table) == len(pool) and (table.frame["id"] == pl.Series("id", pool.ids, dtype=pl.String)).all():
        return np.arange(len(pool), dtype=np.int64)
    missing = len(set(pool.ids) - set(table.ids))
    what = (
        f"{missing} of the pool's {len(pool)} rows have no scores" if missing else f"the table has {len(table)} rows, the pool {len(pool)}"
    )
    raise UsageError(f"The scores do not fit the pool: {what}.", fix=again)


def _check_bad_rows(pool: Pool, limit: float) -> None:
    report = pool.report
    if report.bad_fraction > limit:
        counts = ", ".join(f"{reason}: {n}" for reason, n in report.quarantined.items())
        raise TooManyBadRows(
            f"{report.n_quarantined} of the {report.read} rows read were quarantined ({counts}), more than {limit:g} of them.",
            fix="Repair these rows, or raise --max-bad-fraction.",
            report=report,
        )


def _check_floors(table: ScoreTable, floors: Mapping[str, Floor]) -> None:
    for symbol in floors:
        if symbol not in table.symbols:
            raise UsageError(
                f"The floor asks for {symbol}, which the score table does not have (it has {', '.join(table.symbols)}).",
                fix=f"Score the pool with it: instructsel score POOL --indicators {','.join([*table.symbols, symbol])}",
            )


def _check_nulls(table: ScoreTable, users: Mapping[str, str], limit: float, *, ignored: Collection[str] = ()) -> None:
    def share(symbol: str) -> float:
        nulls = sum(count for reason, count in table.null_counts(symbol).items() if reason not in ignored)
        return nulls / len(table) if len(table) else 0.0

    over = [symbol for symbol in users if share(symbol) > limit]
    if over:
        told = "; ".join(
            f"{symbol} {sum(counts.values())} of {len(table)} ({', '.join(f'{reason}: {n}' for reason, n in counts.items())})"
            for symbol in over
            for counts in [table.null_counts(symbol)]
        )
        raise TooManyNulls(
            f"More than {limit:g} of the rows have no value in an indicator that {users[over[0]]} uses: {told}.",
            fix="Repair or drop these rows, choose a rule that does without, or raise --max-null-fraction.",
        )


def _unscored(table: ScoreTable, symbols: Iterable[str], rows: Positions) -> dict[int, tuple[str, str | None]]:
    dropped: dict[int, tuple[str, str | None]] = {}
    for symbol in symbols:
        _, valid = table.values(symbol)
        missing = np.flatnonzero(~valid[rows])
        if len(missing):
            reasons = table.reasons(symbol)
            for position in missing.tolist():
                dropped.setdefault(position, (f"unscored:{symbol}:{reasons[int(rows[position])]}", None))
    return dropped


def _exact_duplicates(pool: Pool, dropped: Mapping[int, Any]) -> dict[int, tuple[str, str | None]]:
    """Rows whose digest an earlier occurrence among the others has."""
    found: dict[int, tuple[str, str | None]] = {}
    # Equal digests stand side by side: a pool is in the order of its ids.
    same = (pool.digests[1:] == pool.digests[:-1]).all(axis=1)
    firsts = np.flatnonzero(same & ~np.concatenate([np.zeros(1, bool), same[:-1]])) if len(same) else np.zeros(0, np.int64)
    for first in firsts.tolist():
        end = first + 1
        while end < len(pool) and same[end - 1]:
            end += 1
        # By occurrence: as text .10 stands before .2.
        left = sorted((int(pool.occurrences[position]), position) for position in range(first, end) if position not in dropped)
        found.update({position: (EXACT, pool.ids[left[0][1]]) for _, position in left[1:]})
    return found


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
        columns[symbol] = (_distances(neighbors, eligible, i, symbol), np.ones(len(eligible), dtype=bool))
        changed.append(symbol)
    return tuple(changed)


def _distances(neighbors: Neighbors, positions: Positions, i: int, symbol: str) -> Floats:
    found = np.asarray(neighbors(positions, i), dtype=np.float64)
    if found.shape != positions.shape or not np.isfinite(found).all():
        raise ScoresError(
            f"As {symbol} the neighbor search gave {found.size} distances for {len(positions)} examples, "
            f"{int((~np.isfinite(found)).sum())} of them not finite."
        )
    return found


def _mean(values: Floats) -> float | None:
    """Exactly rounded, so that it does not depend on the order of the rows."""
    return math.fsum(values.tolist()) / len(values) if len(values) else None
