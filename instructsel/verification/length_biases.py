"""Whether a judge goes by length: over arms, its win rates beside the length of responses; pair by pair, beside judges that only count words."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Final

import numpy as np

from instructsel.grading.results_grades import AGGREGATED
from instructsel.stats.agreement import bounded_mean
from instructsel.stats.correlation import LengthBias, length_bias
from instructsel.stats.variance import CONFIDENCE
from instructsel.verification.grades_table import Run
from instructsel.verification.win_rates import PREFERENCE

ARMS: Final = "arms"
MODELS: Final = "models"
FEWEST_ARMS: Final = 3
"""With fewer arms the points are models."""
SEVERAL: Final = "models of one arm are alike: there is no interval over models"
DUMMIES: Final[Mapping[str, str]] = {"longest": "", "most unique words": "unique_"}
"""A judge that only counts → the prefix of its counts in `lengths` of a record."""
UNIQUE: Final = "most unique words"
LONGEST: Final = "longest"


def length_biases(runs: Iterable[Run], *, confidence: float = CONFIDENCE) -> dict[str, dict[str, Any]]:
    """Judge → how closely its preferences follow the length of responses, as plain data.

    Over arms, one point each (models, where there are fewer than three arms): win rate and mean length correlate at `r`; `unique` is the same
    for the mean number of unique words. Pair by pair, `dummies` are judges that declare the longer response, or the one with more unique
    words, the winner: how often the judge agrees with them where both decide, and the win rates that they would give.

    Source: Wang et al. 2023, arXiv:2306.04751, appendix H.
    """
    by_judge: dict[str, list[Run]] = {}
    for run in runs:
        if run.grades.unit == PREFERENCE and run.grades.valid.any() and not run.grades.record.get(AGGREGATED) and any(_counts(run, "")):
            by_judge.setdefault(run.grades.grader, []).append(run)
    return {judge: _biases(of_judge, confidence) for judge, of_judge in sorted(by_judge.items())}


def _biases(runs: Sequence[Run], confidence: float) -> dict[str, Any]:
    by_arm: dict[str, list[Run]] = {}
    for run in runs:
        by_arm.setdefault(run.arm, []).append(run)
    over_arms = len(by_arm) >= FEWEST_ARMS
    groups = list(by_arm.values()) if over_arms else [[run] for run in runs]
    points = [
        {
            "arm": group[0].arm,
            "win_rate": statistics.fmean(100.0 * float(run.grades.values[run.grades.valid].mean()) for run in group),
            "length": _mean(group, ""),
            UNIQUE: _mean(group, "unique_"),
        }
        for group in groups
    ]
    alike = not over_arms and len(groups) > len(by_arm)
    bias = _over(points, "length", confidence, alike=alike)
    return {
        **bias.as_dict(),
        "of": ARMS if over_arms else MODELS,
        "unique": asdict(_over(points, UNIQUE, confidence, alike=alike)),
        "dummies": {name: _dummy(by_arm, prefix, confidence) for name, prefix in DUMMIES.items()},
        "points": points,
    }


def _over(points: Sequence[Mapping[str, Any]], key: str, confidence: float, *, alike: bool) -> LengthBias:
    known = [point for point in points if point[key]]
    bias = length_bias([point[key] for point in known], [point["win_rate"] for point in known], confidence=confidence)
    if not alike or bias.r is None:
        return bias
    return LengthBias(bias.r, None, None, bias.r_log, bias.rank, bias.n, bias.confidence, SEVERAL)


def _counts(run: Run, prefix: str, side: str = "output") -> list[int | None]:
    """What a record has of each response: characters, or with the prefix unique words."""
    counts: list[int | None] = (run.grades.record.get("lengths") or {}).get(f"{prefix}{side}") or []
    return counts if len(counts) == len(run.grades.items) else [None] * len(run.grades.items)


def _mean(runs: Sequence[Run], prefix: str) -> float | None:
    """The mean over runs of the mean over responses; None where it is 0 or not known."""
    means = [statistics.fmean(known) for run in runs if (known := [count for count in _counts(run, prefix) if count is not None])]
    return statistics.fmean(means) or None if means else None


def _dummy(by_arm: Mapping[str, Sequence[Run]], prefix: str, confidence: float) -> dict[str, Any]:
    """A judge that only counts: how often the judge agrees with it, and its win rates by arm."""
    agreed: dict[str, list[float]] = {}
    rates: dict[str, float] = {}
    for arm, runs in by_arm.items():
        won: list[float] = []
        for run in runs:
            counts = zip(_counts(run, prefix), _counts(run, prefix, "reference"), strict=True)
            graded = zip(run.grades.items, run.grades.values.tolist(), run.grades.valid.tolist(), strict=True)
            for (item, value, valid), (mine, theirs) in zip(graded, counts, strict=True):
                if mine is None or theirs is None:
                    continue
                won.append(0.5 + (mine > theirs) / 2 - (mine < theirs) / 2)
                if valid and value != 0.5 and mine != theirs:
                    agreed.setdefault(item, []).append(float((value > 0.5) == (mine > theirs)))
        if won:
            rates[arm] = 100.0 * math.fsum(won) / len(won)
    # Several arms were judged on one item: it counts once.
    shares = np.array([math.fsum(values) / len(values) for _, values in sorted(agreed.items())])
    return {"agrees": asdict(bounded_mean(shares, confidence=confidence)), "win_rates": rates}


__all__ = ["DUMMIES", "length_biases"]
