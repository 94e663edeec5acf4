"""How far the distribution of some rows is from that of a pool, beside how far as many rows of the pool itself are from it.

Distances are effect sizes: they do not grow with the number of rows. What chance alone makes of them does shrink with it, so every distance
stands beside its null band: the same distance of seeded draws of as many rows from the pool.

wasserstein     mean distance that values must move, in standard deviations of the pool; for labels the share that must move
jensen-shannon  square root of the divergence to base 2, between the shares in the pool's tenths, or of labels: 0 to 1
psi             population stability index of the same shares, floored at FLOOR
ks              largest difference between the cumulative shares: 0 to 1

Sources: Vallender 1974, Theory Probab. Appl. 18, 784 (W1 of a line); Lin 1991, IEEE Trans. Inf. Theory 37, 145; Siddiqi 2006, Credit Risk Scorecards (PSI);
Smirnov 1939; Benjamini & Hochberg 1995, J. R. Stat. Soc. B 57, 289.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Counts = NDArray[np.int64]

METHODS: Final = ("wasserstein", "jensen-shannon", "psi", "ks")
TENTHS: Final = 10
FLOOR: Final = 1e-4
"""Of a share in a PSI, as usual: an empty bin is no infinite distance."""
DRAWS: Final = 200
MANY: Final = 20
"""From so many times the rows on, the pool itself is not drawn again: it adds less than 2.5 % to the width of the band."""
LEVEL: Final = 0.95


@dataclass(frozen=True)
class Drift:
    """A distance beside its null band."""

    distance: float
    band: tuple[float, float]
    """Below and above which 2.5 % of the draws of the pool are."""
    p_value: float
    """Share of the draws, this one among them, that are at least as far."""
    n: int
    n_pool: int


def drift(values: Floats, pool: Floats, method: str, *, draws: int = DRAWS, seed: int = 0) -> Drift:
    """The distance between values of some rows and of a pool.

    Args:
        values: (n,), finite.
        pool: (m,), finite.
        method: one of METHODS.
        draws: of the null band.
        seed: of the draws.

    >>> pool = np.arange(1000.0)
    >>> found = drift(pool[:200] + 100, pool, "ks")
    >>> round(found.distance, 2), found.distance > found.band[1]
    (0.7, True)
    """
    support, where = np.unique(np.concatenate([values, pool]), return_inverse=True)
    counts = np.bincount(where[: len(values)], minlength=len(support))
    counts_of_pool = np.bincount(where[len(values) :], minlength=len(support))
    if method in ("wasserstein", "ks"):
        steps = np.diff(support) / (float(np.std(pool)) or 1.0)
        weights = steps if method == "wasserstein" else None
        return _beside_null(_OnLine(weights), counts, counts_of_pool, draws, seed)
    edges = np.unique(np.quantile(pool, np.linspace(0, 1, TENTHS + 1)[1:-1]))
    # A value that a tenth of the pool has, or more, is no bin with what lies below it: where all are alike, nothing smaller would be seen.
    common = support[counts_of_pool >= len(pool) / TENTHS]
    edges = np.unique(np.concatenate([edges, np.nextafter(common[np.isin(common, edges)], -np.inf)]))
    bins = np.searchsorted(edges, support, side="left")
    return _beside_null(
        _OfShares(method), _binned(counts, bins, len(edges) + 1), _binned(counts_of_pool, bins, len(edges) + 1), draws, seed
    )


def label_drift(labels: Sequence[str], pool: Sequence[str], method: str, *, draws: int = DRAWS, seed: int = 0) -> Drift:
    """The distance between labels of some rows and of a pool: `wasserstein` is the share of rows that would need another label.

    Raises:
        ValueError: labels have no order, which `ks` needs.
    """
    if method == "ks":
        raise ValueError("labels have no order: the method ks is for numbers")
    known = {label: code for code, label in enumerate(sorted({*labels, *pool}))}
    counts, counts_of_pool = (np.bincount([known[label] for label in side], minlength=len(known)) for side in (labels, pool))
    return _beside_null(_OfShares("total-variation" if method == "wasserstein" else method), counts, counts_of_pool, draws, seed)


def _binned(counts: Counts, bins: NDArray[np.int64], n_bins: int) -> Counts:
    return np.bincount(bins, weights=counts, minlength=n_bins).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _OnLine:
    """A distance between cumulative shares: the area between them where there are weights, else the largest gap."""

    steps: Floats | None

    def __call__(self, one: Floats, other: Floats) -> float:
        gaps = np.abs(np.cumsum(one - other))
        return float(gaps[:-1] @ self.steps) if self.steps is not None else float(gaps.max(initial=0.0))


@dataclass(frozen=True)
class _OfShares:
    """A distance between shares."""

    method: str

    def __call__(self, one: Floats, other: Floats) -> float:
        if self.method == "total-variation":
            return float(np.abs(one - other).sum() / 2)
        if self.method == "psi":
            first, second = np.maximum(one, FLOOR), np.maximum(other, FLOOR)
            return float(((first - second) * np.log(first / second)).sum())
        middle = (one + other) / 2
        return float(np.sqrt(max(0.0, (_to(one, middle) + _to(other, middle)) / 2)))


def _to(shares: Floats, middle: Floats) -> float:
    """Kullback and Leibler's divergence to base 2."""
    there = shares > 0
    return float((shares[there] * np.log2(shares[there] / middle[there])).sum())


def _beside_null(distance: _OnLine | _OfShares, counts: Counts, of_pool: Counts, draws: int, seed: int) -> Drift:
    n, m = int(counts.sum()), int(of_pool.sum())
    shares_of_pool = of_pool / m
    measured = distance(counts / n, shares_of_pool)
    random = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(of_pool)), of_pool)
    null = np.empty(draws)
    for draw in range(draws):
        other = shares_of_pool if m >= MANY * n else _drawn(codes, m, len(of_pool), random)
        null[draw] = distance(_drawn(codes, n, len(of_pool), random), other)
    low, high = np.quantile(null, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    # A distance of equal shares may differ from another by rounding alone.
    p_value = (1 + int((null >= measured * (1 - 1e-12)).sum())) / (1 + draws)
    return Drift(measured, (float(low), float(high)), p_value, n, m)


def _drawn(codes: NDArray[np.int64], n: int, size: int, random: np.random.Generator) -> Floats:
    return np.bincount(codes[random.integers(0, len(codes), size=n)], minlength=size) / n


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's: a list of them under a rate has at most this rate of false ones among it, on average.

    >>> adjusted([0.01, 0.04, 0.03])
    [0.03, 0.04, 0.04]
    """
    order = sorted(range(len(p_values)), key=lambda number: p_values[number], reverse=True)
    result, least = [0.0] * len(p_values), 1.0
    for rank, number in zip(range(len(p_values), 0, -1), order, strict=True):
        least = min(least, p_values[number] * len(p_values) / rank)
        result[number] = least
    return result


__all__ = ["DRAWS", "METHODS", "Drift", "adjusted", "drift", "label_drift"]
