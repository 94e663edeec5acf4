"""Responses that do not look like whole answers to their prompts, by the model that ships."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from instructsel.errors import EnvironmentFault, UsageError
from instructsel.experiments.limits import between
from instructsel.gates import measures
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.comparing import pool_numbers
from instructsel.gates.limits import check_enough

SYMBOL: Final = "plausibility"


@dataclass(frozen=True)
class Plausibility(RowCheck):
    """Responses that look broken off, mismatched, shuffled or refused."""

    number: ClassVar[str] = "IS083"
    kind: ClassVar[str] = "plausibility"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "this project's own model, benchmarks/models/embedded_reward; it reads English"
    fix: ClassVar[str] = "Look at the row: mend the response, or take the row out."
    needs: ClassVar[tuple[str, ...]] = ("the extras models and minilm, or a score table; a baseline with plausibility for a quantile",)
    by_default: ClassVar[bool] = False

    min: float | None = field(default=None, metadata=between(-1e6, 1e6))
    """Logit below which a row is one; 0 by default, where the model holds both for equally likely."""
    quantile: float | None = field(default=None, metadata=between(0, 1))
    """In place of min: the quantile of the pool's values below which a row is one, from a baseline with scores of plausibility."""
    scores: str = ""
    """A score table of the new rows; without one the model is asked."""

    def __post_init__(self) -> None:
        if self.min is not None and self.quantile is not None:
            raise UsageError("The check plausibility has both min and quantile.", fix="Leave one of the two out.")

    def locked(self, change: Change) -> str | None:
        """The model is here, or a table has its values; a quantile needs those of the pool."""
        if self.quantile is not None:
            reason = change.without("measures")
            if reason is not None:
                return reason
            assert change.baseline is not None
            if SYMBOL not in change.baseline.part("measures").about["columns"]:
                return (
                    "The baseline has no column plausibility. Score the pool and make it again: instructsel score POOL --indicators plausibility -o "
                    "POOL.scores.parquet; instructsel gate baseline create POOL --scores POOL.scores.parquet -o FILE"
                )
        return measures.locked(change, [SYMBOL], self.scores) if self.scores else None

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows below the minimum; rows without a value, e.g. not in English, are none."""
        values = (
            measures.numbers(change, SYMBOL, self.scores) if self.scores else change.shared("column plausibility", lambda: _asked(change))
        )
        least = self.min or 0.0
        if self.quantile is not None:
            pool = pool_numbers(change, SYMBOL)
            known = pool[np.isfinite(pool)]
            check_enough(len(known), 1, "of the pool have a plausibility")
            least = float(np.quantile(known, self.quantile))
        for position in np.flatnonzero(values < least).tolist():
            yield Hit(position, f"The plausibility of the response is {values[position]:.2f}, below {least:.2f}.", float(values[position]))


def _asked(change: Change) -> measures.Floats:
    """The values of the model that ships.

    Raises:
        EnvironmentFault: it is not installed.
    """
    from instructsel.scores.run import score

    if not len(change.pool):
        return np.zeros(0)
    try:
        table = score(change.pool, [SYMBOL])
    except EnvironmentFault as fault:
        raise EnvironmentFault(fault.message, fix=f'{fault.fix or ""} Or name scores: scores = "new.scores.parquet"'.strip()) from fault
    return measures.of_scores(table, change.pool.ids, [SYMBOL]).values[SYMBOL]
