"""Items that are drawn in clusters: what they say of a mean, and how well.

A mean over items that share a prompt varies with the prompts that were drawn, so the sampling unit is the cluster. The mean over items
Σ W_g m_g / W, with W_g the items (or weight) of cluster g and m_g its mean, is linearised: with u_g = W_g (m_g − mean), its variance is
estimated by Σ u_g² / W², which is too small where clusters are few or unequal. The factor that makes it unbiased and Satterthwaite's degrees of
freedom follow from a working model, m_g with variance τ² + σ² / n_g, whose τ² and σ² are estimated. Equal clusters give G / (G − 1)
and G − 1, exactly, whatever the model.

Source: Bell & McCaffrey 2002, "Bias reduction in standard errors for linear regression with multi-stage samples"; Imbens & Kolesár 2016,
doi:10.1162/REST_a_00552, for degrees of freedom under a random-effects model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Sampling:
    """The units in which items were drawn, and what their number and unequal shares make of an estimated variance."""

    units: int
    """Clusters, or items where each stands alone."""
    df: float
    """Degrees of freedom of a variance over the units: units − 1 where all count alike, fewer where a few count most."""
    factor: float = 1.0
    """By which the sample variance (ddof 1) over units is multiplied: 1 where all count alike."""


def sampling(residuals: Floats, clusters: Codes | None, weights: Floats | None) -> Sampling:
    """The sampling units of items, from what is left of each item's value beyond the mean.

    Args:
        residuals: (items,), weight × (value − weighted mean); of the difference between two arms.
        clusters: (items,), the cluster of each, numbered from 0; None where each stands alone.
        weights: (items,), above 0 on average; None where all count alike.
    """
    n = len(residuals)
    if n < 2 or clusters is None:
        return Sampling(n, float(max(n - 1, 0)))
    shares = np.ones(n) if weights is None else weights
    of_cluster, of_items = np.bincount(clusters, weights=shares), np.bincount(clusters, weights=shares * shares)
    units = len(of_cluster)
    if units < 2:
        return Sampling(units, 0.0)
    between, within = _variances(residuals, clusters, shares) if units < n else (1.0, 0.0)
    return _unequal(of_cluster / of_cluster.sum(), between * of_cluster**2 + within * of_items)


def collapsed(values: Floats, clusters: Codes | None) -> Floats:
    """(runs, units), values whose plain mean over units is that over items, and whose variance over units, / units, is the variance of it.

    Args:
        values: (runs, items).
        clusters: (items,), numbered from 0; None where each item stands alone.
    """
    if clusters is None or not values.shape[1]:
        return values
    units, n = int(clusters.max()) + 1, values.shape[1]
    means = values.mean(axis=1, keepdims=True)
    sums = np.stack([np.bincount(clusters, weights=row, minlength=units) for row in values - means])
    table: Floats = means + sums * (units / n)
    return table


def linearised(values: Floats, weights: Floats) -> Floats:
    """(runs, items) whose plain mean is the weighted mean and whose variance over items is that of the weighted mean, times n.

    Args:
        values: (runs, items).
        weights: (items,), mean 1.
    """
    means = (values * weights).mean(axis=1, keepdims=True)
    result: Floats = means + weights * (values - means)
    return result


def _variances(residuals: Floats, codes: Codes, shares: Floats) -> tuple[float, float]:
    """Of items between clusters and within them, by the analysis of variance; between is never below 0."""
    counted = shares > 0
    values, codes = residuals[counted] / shares[counted], codes[counted]
    sizes = np.bincount(codes)
    sums = np.bincount(codes, weights=values)
    used = sizes > 0
    n, units = len(values), int(used.sum())
    if units < 2 or units == n:
        return 1.0, 0.0
    means = np.divide(sums, sizes, out=np.zeros_like(sums), where=used)
    inside = float(((values - means[codes]) ** 2).sum()) / (n - units)
    over = float((sizes * (means - values.mean()) ** 2).sum()) / (units - 1)
    usual_size = (n - float((sizes.astype(np.float64) ** 2).sum()) / n) / (units - 1)
    between = max((over - inside) / usual_size, 0.0)
    return (between, inside) if between + inside > 0 else (1.0, 0.0)


def _unequal(shares: Floats, variances: Floats) -> Sampling:
    """Of units with these shares of the whole, whose sums vary so.

    The residuals u = (I − p 1ᵀ) t of the sums t have the covariance C = diag(s) − p sᵀ − s pᵀ + S p pᵀ, with s the variances and S their
    sum. Σ u² has the mean tr C and the variance 2 tr C², of normal sums.
    """
    units = len(shares)
    total = float(variances.sum())
    if not total > 0:
        return Sampling(units, float(units - 1))
    squared, crossed = float((shares**2).sum()), float((shares * variances).sum())
    mean = total - 2 * crossed + total * squared
    inner = float((variances**2).sum())
    diagonal = -2 * float((variances**2 * shares).sum()) + total * float((variances * shares**2).sum())
    outer = 2 * (crossed**2 + squared * inner) - 4 * total * crossed * squared + (total * squared) ** 2
    spread = inner + 2 * diagonal + outer
    if not mean > 0 or not spread > 0:
        return Sampling(units, 0.0)
    # The sample variance over units divides by G − 1, and the variance of the mean again by G; the sums stand over W² instead.
    return Sampling(units, min(mean**2 / spread, float(units - 1)), total / mean * (units - 1) / units)


def effective(sampling: Sampling) -> int:
    """How many units of equal share would have as many degrees of freedom."""
    return math.floor(sampling.df + 1.5)


__all__ = ["Sampling", "collapsed", "effective", "linearised", "sampling"]
