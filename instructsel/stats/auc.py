"""The area under the ROC curve with an interval, and how well two clouds of vectors can be told apart.

Source: DeLong, DeLong & Clarke-Pearson 1988, Biometrics 44, 837, by mid-ranks as Sun & Xu 2014, IEEE Signal Process. Lett. 21, 1389.
"""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.stats.correlation import ranks

Floats = NDArray[np.float64]
FOLDS: Final = 5
SHRINKAGE: Final = 0.1
"""Of the covariance towards a multiple of the identity: vectors have about as many components as there are rows."""
MOST: Final = 5_000
"""Vectors of a side that are looked at; a seeded draw of more."""


@dataclass(frozen=True)
class Auc:
    """The chance that a vector of the first side has a higher score than one of the second; 0.5 where they cannot be told apart."""

    value: float
    low: float
    high: float
    n_first: int
    n_second: int


def auc(first: Floats, second: Floats) -> tuple[float, float]:
    """The area, and its variance.

    Args:
        first: scores of those that should be high, at least two.
        second: scores of the others, at least two.

    >>> auc(np.array([2.0, 3.0]), np.array([1.0, 2.0]))[0]
    0.875
    """
    n, m = len(first), len(second)
    both = ranks(np.concatenate([first, second]))
    above = (both[:n] - ranks(first)) / m
    below = 1 - (both[n:] - ranks(second)) / n
    return float(above.mean()), float(above.var(ddof=1) / n + below.var(ddof=1) / m)


def separability(first: NDArray[np.float32], second: NDArray[np.float32], *, seed: int = 0, confidence: float = 0.95) -> Auc:
    """How well a linear classifier tells vectors it was not fitted on apart, with an interval.

    The vectors of each side are dealt into FOLDS; the scores of a fold come from a linear discriminant of the others. The area is the mean of those of the
    folds, its variance theirs, and the interval is one of the normal distribution.

    Args:
        first: (n, d), at least 2 · FOLDS.
        second: (m, d), at least 2 · FOLDS.
        seed: of the folds, and of the draw where a side has more than MOST.
        confidence: of the interval.
    """
    random = np.random.default_rng(seed)
    sides = [side[np.sort(random.permutation(len(side))[:MOST])].astype(np.float64) for side in (first, second)]
    folds = [random.permutation(len(side)) % FOLDS for side in sides]
    areas, variances = [], []
    for fold in range(FOLDS):
        direction = _direction(*(side[of_fold != fold] for side, of_fold in zip(sides, folds, strict=True)))
        area, variance = auc(*(side[of_fold == fold] @ direction for side, of_fold in zip(sides, folds, strict=True)))
        areas.append(area)
        variances.append(variance)
    value = float(np.mean(areas))
    half = NormalDist().inv_cdf(0.5 + confidence / 2) * float(np.sqrt(np.sum(variances))) / FOLDS
    return Auc(value, max(0.0, value - half), min(1.0, value + half), len(sides[0]), len(sides[1]))


def _direction(first: Floats, second: Floats) -> Floats:
    """Fisher's discriminant, with a shrunken covariance."""
    means = first.mean(axis=0), second.mean(axis=0)
    centered = np.concatenate([first - means[0], second - means[1]])
    covariance = centered.T @ centered / len(centered)
    size = covariance.shape[0]
    covariance = (1 - SHRINKAGE) * covariance + SHRINKAGE * (np.trace(covariance) / size + 1e-12) * np.eye(size)
    direction: Floats = np.linalg.solve(covariance, means[0] - means[1])
    return direction


__all__ = ["Auc", "auc", "separability"]
