"""Source by source: what each arm scores in the parts of an evaluation set, and where the selection differs from its baseline."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from instructsel.stats.intervals import Interval, adjust
from instructsel.verification.grades_table import RATIOS
from instructsel.verification.verdict import BETTER, WORSE, ComparisonSettings
from instructsel.verification.verification import Verification

NO_CLAIM = "not shown"
"""The difference is not significant among so many; that there is none is not said either."""


@dataclass(frozen=True)
class Part:
    """The items of one source, by one grader."""

    grader: str
    source: str
    items: int
    means: Mapping[str, Mapping[str, float | None]]
    """Arm → `mean` over items and runs, each replicate once, and of a loss `bits_per_byte` and `nats_per_token`, sum over sum."""
    difference: Interval
    """Selection less baseline, at the confidence that holds for all parts together (Bonferroni)."""
    p_adjusted: float | None
    """Adjusted for the number of parts (Holm); None without an interval."""
    outcome: str
    """better, worse, or not shown."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        interval = self.difference
        return {
            **{name: getattr(self, name) for name in ("grader", "source", "items", "p_adjusted", "outcome")},
            "means": {arm: dict(means) for arm, means in self.means.items()},
            "estimate": interval.estimate if math.isfinite(interval.estimate) else None,
            "low": interval.low,
            "high": interval.high,
            "confidence": interval.confidence,
            "reason": interval.reason,
        }


@dataclass(frozen=True)
class SourceTable:
    """All parts of all graders whose items have sources, one family of comparisons."""

    parts: tuple[Part, ...]
    confidence: float
    """Family-wise, 1 − α, over the parts; apart from that of the verdicts."""
    comparisons: int
    """How many were adjusted for."""

    @classmethod
    def of(cls, verification: Verification, selection: str, baseline: str, settings: ComparisonSettings | None = None) -> Self:
        """The parts of a verification; none where no grader's items have sources.

        Parts that lack one of both arms are left out.

        Raises:
            MissingExtra: scipy is not installed.
        """
        settings = settings or ComparisonSettings()
        by_part = {
            names: part for names in _sources(verification) if {selection, baseline} <= set((part := _part(verification, *names)).arms)
        }
        differences = {
            (grader, source): part.difference(
                selection,
                baseline,
                grader,
                confidence=settings.confidence,
                generalize_to=settings.generalize_to,
                n_resamples=0,
                pool_seeds=settings.pool_seeds,
            )
            for (grader, source), part in by_part.items()
        }
        family = adjust(
            {part: None if interval.reason or interval.assumption else interval.p for part, interval in differences.items()},
            settings.confidence,
        )
        parts = []
        for (grader, source), part in by_part.items():
            p = family.p_values[grader, source]
            interval = part.difference(
                selection,
                baseline,
                grader,
                confidence=family.confidence,
                generalize_to=settings.generalize_to,
                n_resamples=0,
                pool_seeds=settings.pool_seeds,
            )
            higher = verification.graders[grader].higher_is_better
            shown = p is not None and p < 1 - settings.confidence
            outcome = (BETTER if (interval.estimate > 0) == higher else WORSE) if shown else NO_CLAIM
            items = part.frame["item"].n_unique()
            parts.append(Part(grader, source, items, _means(part, grader), replace(interval, notes=()), p, outcome))
        return cls(tuple(parts), settings.confidence, family.comparisons)

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {"confidence": self.confidence, "comparisons": self.comparisons, "parts": [part.as_dict() for part in self.parts]}


def arm_means(runs: Iterable[Mapping[str, Any]]) -> dict[str, dict[str, float | None]]:
    """Arm → its mean over runs, each replicate once, and of a loss the ratios of its totals.

    Args:
        runs: as `Verification.as_dict` gives the means of a grader.
    """
    by_arm: dict[str, dict[str, dict[int, list[float]]]] = {}
    for run in runs:
        of_arm = by_arm.setdefault(run["arm"], {})
        for name in ("mean", *(name for name in RATIOS if name in run)):
            by_replicate = of_arm.setdefault(name, {})
            if run[name] is not None:
                by_replicate.setdefault(run["replicate"], []).append(run[name])
    return {arm: {name: _mean(map(_mean, values.values())) for name, values in columns.items()} for arm, columns in by_arm.items()}


def _mean(values: Iterable[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return math.fsum(numbers) / len(numbers) if numbers else None


def _sources(verification: Verification) -> list[tuple[str, str]]:
    """Grader and source of each part, sorted."""
    pairs = verification.frame.select("grader", "source").drop_nulls().unique().rows()
    return sorted((str(grader), str(source)) for grader, source in pairs)


def _part(verification: Verification, grader: str, source: str) -> Verification:
    """A verification of the items of one source by one grader."""
    import polars as pl

    frame = verification.frame.filter((pl.col("grader") == grader) & (pl.col("source") == source))
    return Verification(frame, {grader: verification.graders[grader]}, verification.fixed)


def _means(part: Verification, grader: str) -> dict[str, dict[str, float | None]]:
    return arm_means(part.as_dict()["graders"][grader]["means"])


__all__ = ["NO_CLAIM", "Part", "SourceTable", "arm_means"]
