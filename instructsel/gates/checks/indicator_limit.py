"""Limits of an indicator: its mean, a quantile, or how many rows lie below or above a value."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Final

import numpy as np

from instructsel.errors import UsageError
from instructsel.experiments.limits import between
from instructsel.gates import measures
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Limit, PoolCheck
from instructsel.gates.limits import beside, check_asked, check_enough, check_order
from instructsel.stats.summaries import STATISTICS, Summary, mean, quantile, quantile_of, share

LARGEST: Final = 1e300


@dataclass(frozen=True)
class IndicatorLimit(PoolCheck):
    """An indicator of the new rows is beyond its limits."""

    number: ClassVar[str] = "IS080"
    kind: ClassVar[str] = "indicator-limit"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own rule; intervals: Conover 1999 (quantiles), Wilson 1927 (shares)"
    fix: ClassVar[str] = "Look at the rows with the highest and the lowest values, or change the limit."
    needs: ClassVar[tuple[str, ...]] = ("an indicator and a limit; a score table for indicators of models",)
    by_default: ClassVar[bool] = False

    indicator: str = "len"
    """A symbol that a gate computes (len, len_in, mtld, tokens, turns, characters, characters_in), or a column of the score table."""
    statistic: str = "mean"
    """mean, median, pXX for a percentile (p10, p99.5), share or count of rows below or above a value."""
    below: float | None = field(default=None, metadata=between(-LARGEST, LARGEST))
    """For share and count: rows with a smaller value."""
    above: float | None = field(default=None, metadata=between(-LARGEST, LARGEST))
    """For share and count: rows with a larger value."""
    min: float | None = field(default=None, metadata=between(-LARGEST, LARGEST))
    """What the statistic has to be at least."""
    max: float | None = field(default=None, metadata=between(-LARGEST, LARGEST))
    """What it may be at most."""
    scores: str = ""
    """A score table of the new rows, for indicators of models."""
    min_n: int = field(default=1, metadata=between(1, 1 << 40))
    """Rows with a value below which nothing is said."""

    def __post_init__(self) -> None:
        check_asked(self.kind, "min, max", self.min, self.max)
        check_order(self.kind, self.min, self.max)
        if self.statistic not in STATISTICS and quantile_of(self.statistic) is None:
            raise UsageError.named(self.statistic, STATISTICS, noun="statistic")
        counts = self.statistic in ("share", "count")
        if counts != (self.below is not None or self.above is not None):
            raise UsageError(
                f"The statistic {self.statistic} {'needs' if counts else 'takes no'} below or above.",
                fix='For example: statistic = "share", below = 5, max = 0.02',
            )

    def locked(self, change: Change) -> str | None:
        """The indicator can be computed, or stands in the score table."""
        return measures.locked(change, [self.indicator], self.scores)

    def limits(self, change: Change) -> list[Limit]:
        """The statistic beside its limits.

        Raises:
            NotEnough: fewer than `min_n` rows have a value.
        """
        values = measures.numbers(change, self.indicator, self.scores)
        values = values[np.isfinite(values)]
        check_enough(len(values), self.min_n, f"have {self.indicator}")
        is_share = self.statistic == "share"
        subject = f"{self._statistic()} of {self.indicator}"
        return [beside(subject, self._summary(values), self.min, self.max, nightly=change.nightly, key=self.indicator, percent=is_share)]

    def _statistic(self) -> str:
        if self.statistic not in ("share", "count"):
            return self.statistic
        sides = [f"below {self.below:g}"] if self.below is not None else []
        sides += [f"above {self.above:g}"] if self.above is not None else []
        return f"{self.statistic} of rows with values {' or '.join(sides)}"

    def _summary(self, values: measures.Floats) -> Summary:
        if self.statistic == "mean":
            return mean(values)
        q = quantile_of(self.statistic)
        if q is not None:
            return quantile(values, q)
        outside = np.zeros(len(values), dtype=bool)
        if self.below is not None:
            outside |= values < self.below
        if self.above is not None:
            outside |= values > self.above
        count = int(outside.sum())
        return share(count, len(values)) if self.statistic == "share" else Summary(float(count), float(count), float(count))
