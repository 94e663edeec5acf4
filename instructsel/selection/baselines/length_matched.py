"""`length-matched`: random rows whose responses are as long as those of the selection."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.rules.linear import Floats, Mask
from instructsel.selection.baselines.base import Baseline, Context
from instructsel.selection.baselines.random_subset import random_numbers
from instructsel.selection.budget import Tokens
from instructsel.selection.candidates import Candidates, Ranking, ScoredCandidates

BINS: Final = 10


class LengthMatched(Baseline):
    """Random rows with the selection's distribution of response length first, the other rows after them.

    As many rows per bin as the selection has there, in random order and without near-duplicates; where a bin has too few,
    the nearest bin that has more fills in, and the summary says how many. Bins are the deciles of the selection's `len`,
    and one below and one above them.
    """

    name: ClassVar[str] = "length-matched"
    title: ClassVar[str] = "random rows with the selection's response lengths first"
    unit: ClassVar[str] = "a random number in [0, 1), plus 1 outside the matched rows"
    needs_selection: ClassVar[bool] = True
    seeded: ClassVar[bool] = True
    needs: ClassVar[tuple[str, ...]] = ("len",)

    def ranking(self, candidates: ScoredCandidates, context: Context) -> Ranking:
        """Random numbers, and 1 more for rows that no bin wanted."""
        if "len" not in candidates.table.symbols:
            raise UsageError(
                "The baseline length-matched needs len, which the table does not have.",
                fix="Score again with: instructsel score POOL --indicators len,…",
            )
        assert context.selection is not None
        name, seed = self.named(context.seed), context.seed
        lengths, scored = candidates.column("len")
        unscored = candidates.unscored(self.needs)
        values = random_numbers(candidates.ids.at(candidates.eligible), seed)
        order = Ranking(name, "", values, unscored=unscored).order()
        selected = np.isin(candidates.eligible, candidates.pool.positions(context.selection.kept_ids)) & scored
        if not selected.any():
            return Ranking(name, "a random number", values, unscored=unscored, details={"seed": seed}, indicators=("len",))
        deciles, bins, wanted = _bins(lengths, selected)
        distinct = order[candidates.near_duplicate_of(order) < 0]
        pick = _Pick(candidates, [distinct[bins[distinct] == number].tolist() for number in range(len(wanted))])
        available = [len(rows) for rows in pick.available]
        from_nearest = pick.all(wanted.tolist())
        first = np.zeros(len(values), dtype=bool)
        first[pick.rows] = True
        matching = {
            "deciles": deciles.tolist(),
            "wanted": wanted.tolist(),
            "available": available,
            "filled_from_nearest_bin": from_nearest,
            "not_filled": int(wanted.sum()) - len(pick.rows),
        }
        # The picked rows keep their random order among themselves, and so do the others behind them.
        return Ranking(
            name,
            "a random number, plus 1 where the row is not in the length-matched subset",
            np.where(first, values, values + 1.0),
            unscored=unscored,
            details={"seed": seed, "length_matching": matching},
            indicators=("len",),
        )


def _bins(lengths: Floats, selected: Mask) -> tuple[Floats, NDArray[np.int64], NDArray[np.int64]]:
    """The deciles of the kept lengths, the bin of every row, and how many rows each bin wants."""
    # Where many lengths are equal some deciles are, too: those bins are one.
    deciles = np.unique(np.quantile(lengths[selected], np.arange(1, BINS) / BINS))
    bins = np.searchsorted(deciles, lengths, side="right") + 1
    # Shorter or longer than anything selected: bins of their own, of which nothing is wanted.
    count = len(deciles) + 3
    bins[lengths < lengths[selected].min()] = 0
    bins[lengths > lengths[selected].max()] = count - 1
    return deciles, bins, np.bincount(bins[selected], minlength=count)


@dataclass(eq=False)
class _Pick:
    """Rows picked bin by bin; caps of sources are kept where the budget is in examples."""

    candidates: Candidates
    available: list[list[int]]
    """Rows of each bin that were not looked at yet, in random order."""
    rows: list[int] = field(default_factory=list)
    """The rows picked so far."""
    caps: dict[str, int] = field(default_factory=dict)
    spent: Counter[str] = field(default_factory=Counter)

    def __post_init__(self) -> None:
        if not isinstance(self.candidates.budget, Tokens):
            limit = self.candidates.limit
            quotas: dict[str, Any] = dict(self.candidates.settings.limits)
            self.caps = {source: cap for source, quota in quotas.items() if (cap := quota.cap(limit)) is not None}

    def all(self, wanted: list[int]) -> int:
        """From each bin as many rows as wanted, then from the nearest bins what is missing; how many came from these."""
        missing = [self.take(number, amount) for number, amount in enumerate(wanted)]
        from_its_bin = len(self.rows)
        for number, amount in enumerate(missing):
            for other in sorted(range(len(wanted)), key=lambda candidate: (abs(candidate - number), candidate)):
                if not amount:
                    break
                amount = self.take(other, amount)
        return len(self.rows) - from_its_bin

    def take(self, number: int, amount: int) -> int:
        """Pick up to `amount` rows of a bin; how many are still missing."""
        rows, self.available[number] = self.available[number], []
        for index, row in enumerate(rows):
            if not amount:
                self.available[number] = rows[index:]
                break
            source = self.candidates.sources[int(self.candidates.eligible[row])]
            if source in self.caps and self.spent[source] >= self.caps[source]:
                continue
            self.spent[source] += 1
            self.rows.append(row)
            amount -= 1
        return amount


__all__ = ["LengthMatched"]
