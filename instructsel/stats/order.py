"""The effect of the order in which two responses are shown, apart from how good they are."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from instructsel.stats.agreement import CONFIDENCE, FEW_ITEMS, Figure
from instructsel.stats.student import t_quantile

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
ONE_ORDER: Final = "every pair was shown in one order alone"
RANK: Final = 1e-9


def order_effect(scores: Floats, sides: Floats, groups: Codes, items: Codes, *, confidence: float = CONFIDENCE) -> Figure:
    """How much more often the response on the left is preferred than it would be in either order alike.

    Least squares of score − 1/2 on a constant, which is the effect, and for each pair of models its quality, with the sign of the side that
    its first model stood on: an uneven split of the orders does not pass for an effect. Errors are robust, clustered by item; Student's
    degrees of freedom are the items less the coefficients.

    Args:
        scores: (n,), 1 where the left response was preferred, 0 the right one, 0.5 a tie.
        sides: (n,), 1 where the pair's first model stood on the left, -1 where its second did.
        groups: (n,), the pair of models of each, numbered from 0.
        items: (n,), what was judged; judgments of one item are not independent.
        confidence: of the interval.

    Returns:
        The effect in [-0.5, 0.5]: 0 without one, 0.1 where the left response has 60 % of what both orders together would share evenly.
    """
    n = len(scores)
    _, codes = np.unique(items, return_inverse=True)
    n_items = int(codes.max()) + 1 if n else 0
    if n_items < 2:
        return Figure(None, None, None, n_items, FEW_ITEMS)
    design = np.zeros((n, 2 + int(groups.max())))
    design[:, 0] = 1.0
    design[np.arange(n), 1 + groups] = sides
    gram = design.T @ design
    inverse = np.linalg.pinv(gram, rcond=RANK, hermitian=True)
    # The constant is a combination of the other columns where no pair was shown in both orders.
    if abs((inverse @ gram)[0, 0] - 1.0) > 1e-6:
        return Figure(None, None, None, n_items, ONE_ORDER)
    coefficients = inverse @ (design.T @ (scores - 0.5))
    rank = int(np.linalg.matrix_rank(gram, tol=RANK * n, hermitian=True))
    residuals = (scores - 0.5) - design @ coefficients
    sums = np.zeros((n_items, design.shape[1]))
    np.add.at(sums, codes, design * residuals[:, None])
    df = n_items - rank
    value = float(coefficients[0])
    if df < 1:
        return Figure(value, None, None, n_items, FEW_ITEMS)
    variance = float((inverse @ (sums.T @ sums) @ inverse)[0, 0]) * n_items / df
    half = t_quantile(confidence, df) * variance**0.5
    return Figure(value, max(-0.5, value - half), min(0.5, value + half), n_items)


__all__ = ["order_effect"]
