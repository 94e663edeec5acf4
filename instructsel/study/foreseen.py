"""Which subsets of a plan could not be trained on: known from the tokens of the pool's rows, before anything is trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.protocols import Trainer
    from instructsel.study.design import Subset

NAMED = 3
"""Subsets that a message names."""


@dataclass(frozen=True)
class Refusal:
    """A subset that the trainer would refuse."""

    subset: str
    rows: int
    skipped: int
    """Rows without a loss token."""


@dataclass(frozen=True)
class Foreseen:
    """What the trainer could make of the pool, and of each subset."""

    audit: Any
    """Of the pool, with its `lines()` for people."""
    limit: float
    """Share of a subset's rows that may have no loss token."""
    refused: tuple[Refusal, ...] = ()
    """In the order of the plan."""

    @classmethod
    def of(cls, trainer: Trainer, pool: Pool) -> Foreseen | None:
        """What the trainer says of the pool; None where it does not say beforehand."""
        audit = getattr(trainer, "audit", None)
        if audit is None:
            return None
        check = getattr(trainer, "check", None)
        if check is not None:
            check()
        return cls(audit(pool), getattr(trainer, "max_skipped_fraction", 1.0))

    def subsets(self, subsets: Sequence[Subset], pool: Pool) -> tuple[Refusal, ...]:
        """Those subsets whose fine-tune would be refused; what a row's tokens are does not depend on the other rows."""
        skipped = frozenset(getattr(self.audit, "skipped_rows", ()))
        if not skipped:
            return ()
        refused = []
        for subset in subsets:
            count = len(skipped.intersection(subset.positions(pool).tolist()))
            # The model before any training has no rows.
            if len(subset) and self.audit.too_many(count, len(subset), self.limit):
                refused.append(Refusal(subset.name, len(subset), count))
        return tuple(refused)

    def warnings(self, n_subsets: int) -> list[str]:
        """What would be refused, and what to do, as one sentence or none."""
        if not self.refused:
            return []
        names = [f"{one.subset} ({one.skipped:,} of {counted(one.rows, 'row')})" for one in self.refused[:NAMED]]
        more = f" and {len(self.refused) - NAMED:,} more" if len(self.refused) > NAMED else ""
        # Rounded up to a hundredth, so that the fraction named is enough; no fraction is where no row is left.
        shares = [one.skipped / one.rows for one in self.refused if one.skipped < one.rows]
        allow = f", or allow more with --max-skipped-fraction {math.ceil(100 * max(shares)) / 100:g}" if shares else ""
        return [
            f"{len(self.refused):,} of {counted(n_subsets, 'subset')} would be refused, since more than {100 * self.limit:.3g} % of their rows have no loss "
            f"token: {', '.join(names)}{more}. Their runs would fail; drop these rows from the pool{allow}."
        ]


__all__ = ["Foreseen", "Refusal"]
