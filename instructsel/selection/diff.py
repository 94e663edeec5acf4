"""How two selections, or two rules over one table, differ."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from operator import itemgetter
from typing import Any

import numpy as np

from instructsel.errors import UsageError
from instructsel.rules.linear import Floats, LinearRule
from instructsel.scores.table import ScoreTable
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.stats.correlation import spearman


@dataclass(frozen=True)
class Moved:
    """An example that the two rankings see differently."""

    id: str
    rank_a: int
    """1 is best; 0 where A does not rank it."""
    rank_b: int
    kept_a: bool
    kept_b: bool
    term: str | None
    """The indicator whose contribution differs most in the direction of the move, in standard deviations of each ranking's
    values; None where neither ranking has terms."""
    term_shift: float | None
    """By how much: negative where this term made B like the example better than A."""


@dataclass(frozen=True)
class Difference:
    """What two selections have in common."""

    a: str
    b: str
    both: int
    only_a: int
    only_b: int
    jaccard: float | None
    """both / (both + only_a + only_b), in [0, 1]; None where neither keeps anything."""
    spearman: float | None
    """Rank correlation over the examples both rank, in [−1, 1]; None below two of them."""
    ranked: int
    """Examples that both rank."""
    moved: tuple[Moved, ...]
    """The examples whose rank differs most, the largest move first, ties by id."""
    kept_by_a: tuple[Moved, ...] = ()
    """The examples that only A keeps, its best first."""
    kept_by_b: tuple[Moved, ...] = ()
    """The examples that only B keeps, its best first."""

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return asdict(self)


def diff(a: Selection, b: Selection, *, top: int = 20) -> Difference:
    """Compare two selections of one pool.

    Args:
        a: the first.
        b: the second.
        top: how many examples to list of those that moved most, and of those that only one side keeps.

    Raises:
        UsageError: they are of different pools.
    """
    pools = [selection.manifest.get("pool", {}).get("fingerprint") for selection in (a, b)]
    if pools[0] != pools[1] or a.frame["id"].to_list() != b.frame["id"].to_list():
        raise UsageError(f"{a.name} and {b.name} are selections of different pools.", fix="Select both from the same pool.")
    return _compare(_Side.of(a), _Side.of(b), a.frame["id"].to_list(), top)


def diff_rules(table: ScoreTable, a: LinearRule, b: LinearRule, *, n: int, top: int = 20) -> Difference:
    """Compare two rules over one table: what the first n of each have in common. Nothing is deduplicated.

    Args:
        table: the scores.
        a: the first rule.
        b: the second.
        n: how many examples each would keep.
        top: how many examples to list of those that moved most, and of those that only one side keeps.

    Raises:
        UsageError: the table lacks a column, or n is below 1.
    """
    if n < 1:
        raise UsageError(f"Two rules are compared on their first n examples; n is {n}.", fix="Give --n of at least 1.")
    return _compare(_Side.predicted(table, a, n), _Side.predicted(table, b, n), table.ids, top)


@dataclass(frozen=True, eq=False)
class _Side:
    """One of the two: columns of equal length."""

    name: str
    rank: Any
    """int64, 0 where not ranked."""
    kept: Any
    standard: dict[str, Floats]
    """Contributions in standard deviations of the value, centered over the ranked rows."""

    @classmethod
    def of(cls, selection: Selection) -> _Side:
        frame = selection.frame
        rank = frame["rank"].fill_null(0).to_numpy()
        columns = {
            name.removesuffix(CONTRIBUTION): frame[name].fill_null(0.0).to_numpy() for name in frame.columns if name.endswith(CONTRIBUTION)
        }
        return cls(selection.name, rank, frame["kept"].to_numpy(), _standard(columns, frame["score"].fill_null(0.0).to_numpy(), rank > 0))

    @classmethod
    def predicted(cls, table: ScoreTable, rule: LinearRule, n: int) -> _Side:
        prediction = rule.predict(table)
        order = np.argsort(prediction.values, kind="stable")
        order = order[prediction.valid[order]]
        rank = np.zeros(len(table), dtype=np.int64)
        rank[order] = np.arange(1, len(order) + 1)
        return cls(rule.name, rank, (rank > 0) & (rank <= n), _standard(prediction.contributions, prediction.values, prediction.valid))


def _standard(contributions: dict[str, Floats], values: Floats, ranked: Any) -> dict[str, Floats]:
    spread = float(values[ranked].std()) if ranked.any() else 0.0
    if not spread:
        return {symbol: np.zeros(len(values)) for symbol in contributions}
    return {symbol: (column - column[ranked].mean()) / spread for symbol, column in contributions.items()}


def _compare(a: _Side, b: _Side, ids: list[str], top: int) -> Difference:
    both, only_a, only_b = int((a.kept & b.kept).sum()), int((a.kept & ~b.kept).sum()), int((b.kept & ~a.kept).sum())
    shared = np.flatnonzero((a.rank > 0) & (b.rank > 0))
    # Among the shared rows only: a rank counts rows that the other side may have dropped.
    ranks = [np.argsort(np.argsort(side.rank[shared])) + 1 for side in (a, b)]
    moves = np.abs(ranks[0] - ranks[1])
    symbols = tuple(dict.fromkeys((*a.standard, *b.standard)))
    nothing = np.zeros(len(ids))
    shifts = {symbol: (b.standard.get(symbol, nothing) - a.standard.get(symbol, nothing)) for symbol in symbols}
    largest = sorted(np.flatnonzero(moves > 0).tolist(), key=lambda number: (-int(moves[number]), ids[int(shared[number])]))[:top]

    def moved(row: int, direction: int) -> Moved:
        towards = {symbol: direction * float(shifts[symbol][row]) for symbol in symbols}
        term = max(towards.items(), key=itemgetter(1))[0] if towards else None
        return Moved(
            ids[row],
            int(a.rank[row]),
            int(b.rank[row]),
            bool(a.kept[row]),
            bool(b.kept[row]),
            term,
            float(shifts[term][row]) if term else None,
        )

    def kept_by(side: _Side, other: _Side, direction: int) -> tuple[Moved, ...]:
        rows = sorted(np.flatnonzero(side.kept & ~other.kept).tolist(), key=lambda row: int(side.rank[row]))[:top]
        return tuple(moved(row, direction) for row in rows)

    union = both + only_a + only_b
    return Difference(
        a.name,
        b.name,
        both,
        only_a,
        only_b,
        both / union if union else None,
        spearman(ranks[0].astype(np.float64), ranks[1].astype(np.float64)),
        len(shared),
        tuple(moved(int(shared[number]), int(np.sign(ranks[1][number] - ranks[0][number]))) for number in largest),
        # A row that only A keeps lost in B, as a row does whose rank grew.
        kept_by(a, b, 1),
        kept_by(b, a, -1),
    )


__all__ = ["Difference", "Moved", "diff", "diff_rules"]
