"""What arms differ by that were run side by side in replicates: estimates with intervals, all paired within a replicate.

In a replicate every arm shares rows, training seed and evaluation items with the arm it is held against, so that the difference is taken
replicate by replicate and item by item. Its mean over replicates varies with the runs, and, where it is to hold for new items, with the items.

How much differences vary from replicate to replicate is known badly from three of them. Where several arms are compared, all of them say
something of it: each arm's own variance is moved towards their mean, the less the more they differ from arm to arm beyond chance (Smyth
2004). All differences share the baseline's runs, so that five arms in three replicates give 5 degrees of freedom, not 10, in place of 2. The mean of the paired
variances is right whatever the baseline's own variance is, which the residual of arm + replicate is not.

Source: Smyth 2004, doi:10.2202/1544-6115.1027, for the moderated variance, its degrees of freedom and the moment estimator of them;
`stats.critical` for a variance that is a sum of parts.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from instructsel.extras import require
from instructsel.stats.clusters import Codes, Floats
from instructsel.stats.power import Spread
from instructsel.stats.variance import BOTH, NO_VARIANCE, REPLICATES, RUNS, ArmValues, Estimand, Side, Squares, paired_sampling

NEEDED_BY: Final = "intervals of effects"
ENOUGH: Final = 3
"""Arms whose variances can be told to differ beyond chance."""
SHARED: Final = 0.25
"""The correlation of two paired variances with one baseline, of runs that all vary alike: that of the differences is a half."""
MOST_DF: Final = 1e6
"""Prior degrees of freedom beyond which variances are alike."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """What one grader gave, arm by arm and replicate by replicate, on the same items."""

    runs: Mapping[str, Mapping[int, Floats]]
    """Arm → replicate → (items,), finite; linearised where items have weights."""
    clusters: Codes | None = None
    """(items,), the cluster of each item; None where each stands alone."""
    weights: Floats | None = None
    """(items,), mean 1, by which the values were linearised."""

    @property
    def n_items(self) -> int:
        """How many."""
        return next((len(values) for arm in self.runs.values() for values in arm.values()), 0)

    def differences(self, plus: str, minus: str) -> tuple[tuple[int, ...], Floats]:
        """The replicates that both arms have, and (replicates, items) of one less the other."""
        first, second = self.runs.get(plus, {}), self.runs.get(minus, {})
        common = tuple(sorted(first.keys() & second.keys()))
        rows = [first[replicate] - second[replicate] for replicate in common]
        return common, np.stack(rows) if rows else np.empty((0, self.n_items))


@dataclass(frozen=True)
class Prior:
    """What all arms say of how much a paired difference varies from replicate to replicate."""

    variance: float
    """Of a difference between two arms in one replicate."""
    df: float
    """Degrees of freedom that the variances were estimated with, together."""
    weight: float
    """Degrees of freedom that it counts beside an arm's own variance; infinite where the arms' variances are alike."""

    def moderated(self, own: float, df: int) -> tuple[float, float]:
        """A difference's own variance moved towards this one, and its degrees of freedom."""
        # It is an estimate itself: it counts no more than the degrees of freedom that it was estimated with.
        weight = min(self.weight, self.df)
        return (weight * self.variance + df * own) / (weight + df), min(weight + df, max(self.df, df))


@dataclass(frozen=True)
class Contrast:
    """One arm less another."""

    estimate: float
    """NaN where no replicate has both."""
    replicates: tuple[int, ...]
    """Those that have both."""
    spread: Spread | None = None
    """Where its variance comes from; None where there is a reason."""
    reason: str | None = None
    """Why it has no interval, or None."""

    def interval(self, confidence: float) -> tuple[float, float] | None:
        """Its two-sided interval; None where there is a reason."""
        if self.spread is None:
            return None
        half = self.spread.critical(confidence) * math.sqrt(self.spread.variance)
        return self.estimate - half, self.estimate + half

    @property
    def p(self) -> float | None:
        """Two-sided, of a difference as large where there is none."""
        return None if self.spread is None else self.spread.p_value(self.estimate)


def prior(blocks: Blocks, baseline: str) -> Prior | None:
    """What the arms together say of the variance of a difference; None where no arm has two replicates.

    Raises:
        MissingExtra: scipy is not installed.
    """
    own: list[tuple[float, int]] = []
    for arm in blocks.runs:
        common, differences = blocks.differences(arm, baseline)
        if arm != baseline and len(common) > 1:
            own.append((float(differences.mean(axis=1).var(ddof=1)), len(common) - 1))
    total = sum(df for _, df in own)
    if not total:
        return None
    variance = sum(value * df for value, df in own) / total
    return Prior(variance, total / (1.0 + SHARED * (len(own) - 1)), _weight(own))


def contrast(blocks: Blocks, plus: str, minus: str, known: Prior | None, *, generalize_to: Estimand = BOTH) -> Contrast:
    """One arm less another, over the replicates that have both.

    Args:
        blocks: the values.
        plus: an arm.
        minus: another.
        known: of all arms; None takes the two arms' own variance alone.
        generalize_to: `both` (new items and new runs) or `runs` (new runs on these items).

    Raises:
        MissingExtra: scipy is not installed.
    """
    replicates, differences = blocks.differences(plus, minus)
    if not replicates or not differences.shape[1]:
        what = "item" if replicates else "replicate"
        return Contrast(math.nan, replicates, reason=f"No {what} has a value in both arms.")
    estimate = float(differences.mean())
    result = Contrast(estimate, replicates)
    if len(replicates) == 1:
        return replace(result, reason="There is one replicate: how much runs vary is unknown, and no interval can be given.")
    arm = ArmValues(plus, replicates, differences, clusters=blocks.clusters, weights=blocks.weights)
    nothing = ArmValues(minus, (0,), np.zeros((1, differences.shape[1])), fixed=True, clusters=blocks.clusters, weights=blocks.weights)
    if generalize_to != RUNS and arm.n_units < 2:
        generalize_to = RUNS
    drawn = paired_sampling(arm, nothing)
    squares = Squares.of(arm, factor=drawn.factor)
    own = float(differences.mean(axis=1).var(ddof=1))
    variance, df = (own, float(len(replicates) - 1)) if known is None else known.moderated(own, len(replicates) - 1)
    side = Side(plus, REPLICATES, len(replicates), variance, squares.residual, max(int(df), 1), (REPLICATES, plus))
    units = arm.units_by_replicate.mean(axis=0)
    items = float(units.var(ddof=1)) * drawn.factor if arm.n_units > 1 else 0.0
    equal = drawn.df == arm.n_units - 1
    spread = Spread(arm.n_units, items, (side,), generalize_to, items_df=None if equal else drawn.df)
    # A variance that is rounding of the values themselves, of this or of another arm, is none.
    largest = max(float(np.abs(blocks.runs[name][replicate]).max()) for name in (plus, minus) for replicate in replicates)
    if math.sqrt(spread.variance) <= NO_VARIANCE * max(largest, NO_VARIANCE):
        return replace(
            result, reason="The difference is the same in every replicate and item; there is nothing to estimate a variance from."
        )
    return replace(result, spread=spread)


def _weight(variances: list[tuple[float, int]]) -> float:
    """The degrees of freedom that what variances have in common counts beside each of them: infinite where they differ by chance alone."""
    known = [(variance, df) for variance, df in variances if variance > 0]
    if len(known) < ENOUGH:
        return math.inf
    special = require("scipy.special", needed_by=NEEDED_BY)
    optimize = require("scipy.optimize", needed_by=NEEDED_BY)
    halves = np.array([df / 2.0 for _, df in known])
    logarithms = np.log([variance for variance, _ in known]) - special.digamma(halves) + np.log(halves)
    beyond = float(logarithms.var(ddof=1) - special.polygamma(1, halves).mean())
    if beyond <= float(special.polygamma(1, MOST_DF / 2.0)):
        return math.inf
    low, high = 1e-3, MOST_DF
    return float(optimize.brentq(lambda df: float(special.polygamma(1, df / 2.0)) - beyond, low, high)) if beyond < 1e5 else low


__all__ = ["Blocks", "Contrast", "Prior", "contrast", "prior"]
