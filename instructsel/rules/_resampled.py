"""Least squares of one design under many weightings of its rows, all at once.

A bootstrap draw is a weighting (how often each row was drawn), so is leaving rows out, and so is the table itself (1 each).
Everything comes from the sums of products by sweeping, one indicator at a time. Columns are standardised first: normal equations
square the condition number.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.extras import require

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

SIGNIFICANT: Final = 0.05
"""Stepwise methods keep an indicator up to this p."""
DETERMINED: Final = 1e-11
"""Where less of an indicator's variance than this is its own, the rows do not determine its weight."""


@dataclass(frozen=True, eq=False)
class Weightings:
    """b weightings of one design of n rows and k indicators. Sums of products stand over (1, indicators, target)."""

    start: Floats
    """(b, k + 2, k + 2): sums of products, the constant swept."""
    counts: Floats
    """(b,): rows, counted as often as they weigh."""
    means: Floats
    """(k + 1,): of the indicators and the target, taken off."""
    spreads: Floats
    """(k + 1,): standard deviations they were divided by."""
    products: Floats | None = None
    """(g, k + 1, k + 2): sums of products by cluster; None for ordinary standard errors."""
    clusters: Floats | None = None
    """(b, g): how often each cluster was drawn."""

    @classmethod
    def of(cls, values: Floats, target: Floats, weights: Floats, *, codes: NDArray[np.int64] | None = None) -> Self:
        """The weightings of a design.

        Args:
            values: indicators (n, k), none constant.
            target: (n,), not constant.
            weights: (b, n); or (b, g) where there are clusters.
            codes: the cluster of each row, 0 to g − 1, for clustered standard errors.
        """
        both = np.column_stack([values, target])
        means, spreads = both.mean(axis=0), both.std(axis=0)
        standard = np.column_stack([np.ones(len(both)), (both - means) / spreads])
        squares = standard[:, :, None] * standard[:, None, :]
        by_row = weights if codes is None else weights[:, codes]
        size = standard.shape[1]
        moments = (by_row @ squares.reshape(len(both), -1)).reshape(-1, size, size)
        products = None
        if codes is not None:
            products = np.zeros((weights.shape[1], size, size))
            np.add.at(products, codes, squares)
            products = products[:, :-1]
        start = _swept(moments, 0, np.ones(len(weights), dtype=bool))
        return cls(start, by_row.sum(axis=1), means, spreads, products, None if codes is None else weights)

    def __len__(self) -> int:
        return len(self.start)

    @property
    def k(self) -> int:
        """Indicators."""
        return int(self.start.shape[1]) - 2

    def part(self, rows: Any) -> Self:
        """Some of the weightings."""
        clusters = None if self.clusters is None else self.clusters[rows]
        return type(self)(self.start[rows], self.counts[rows], self.means, self.spreads, self.products, clusters)

    def sweep(self, state: Floats, indicator: int) -> Floats:
        """The state with one more indicator in the fit; NaN where the rows do not determine its weight."""
        column = indicator + 1
        diagonal = self.start[:, column, column]
        fine = (diagonal > DETERMINED * self.counts) & (state[:, column, column] > DETERMINED * diagonal)
        return _swept(state, column, fine)

    def swept(self, indicators: Sequence[int]) -> Floats:
        """The state with these indicators in the fit."""
        state = self.start
        for indicator in indicators:
            state = self.sweep(state, indicator)
        return state

    def adjusted_r2(self, state: Floats, size: int) -> Floats:
        """(b,): of the fit with `size` indicators."""
        residual, total = np.maximum(state[:, -1, -1], 0.0), self.start[:, -1, -1]
        with np.errstate(divide="ignore", invalid="ignore"):
            return 1 - (residual / (self.counts - size - 1)) / (total / (self.counts - 1))

    def t_values(self, state: Floats, indicators: Sequence[int]) -> Floats:
        """(b, s): of the indicators in the fit, in the order given; NaN where the rows do not determine the weights or leave no error."""
        columns = [0, *(indicator + 1 for indicator in indicators)]
        inverse, weights = state[:, columns][:, :, columns], state[:, columns, -1]
        spare = np.where(self.counts > len(columns), self.counts - len(columns), np.nan)
        with np.errstate(divide="ignore", invalid="ignore"):
            if self.products is None or self.clusters is None:
                squared = np.diagonal(inverse, axis1=1, axis2=2) * (np.maximum(state[:, -1, -1], 0.0) / spare)[:, None]
            else:
                # The scores of each cluster: its products with the target less those with what is fitted, summed.
                scores = self.products[None, :, columns, -1] - np.einsum("gij,bj->bgi", self.products[:, columns][:, :, columns], weights)
                drawn = self.clusters.sum(axis=1)
                factor = drawn / (drawn - 1) * (self.counts - 1) / spare
                squared = np.einsum("bgi,bg->bi", (scores @ inverse) ** 2, self.clusters) * factor[:, None]
            t: Floats = (weights / np.sqrt(squared))[:, 1:]
        return t

    def critical(self, size: int) -> Floats:
        """(b,): the |t| from which on p ≤ 0.05 with `size` indicators in the fit."""
        degrees = self.counts - size - 1 if self.clusters is None else self.clusters.sum(axis=1) - 1
        student = require("scipy.special", needed_by="fit").stdtrit
        quantiles: Floats = student(np.where(degrees > 0, degrees, np.nan), 1 - SIGNIFICANT / 2)
        return quantiles

    def backward(self, names: Sequence[str]) -> tuple[Mask, Mask]:
        """Start from all indicators, drop the one of the largest p until all are significant; of equal ones the last by name.

        Returns:
            chosen (b, k); answered (b,), where the rows determine the weights.
        """
        # argmin takes the first of equal ones.
        order = sorted(range(self.k), key=lambda indicator: names[indicator], reverse=True)
        active, answered, going = np.ones((len(self), self.k), bool), np.ones(len(self), bool), np.ones(len(self), bool)
        while going.any():
            for pattern, members in _patterns(active, np.flatnonzero(going)):
                left = [indicator for indicator in order if pattern[indicator]]
                if not left:
                    going[members] = False
                    continue
                part = self.part(members)
                size = np.abs(part.t_values(part.swept(left), left))
                unknown = np.isnan(size).any(axis=1)
                answered[members[unknown]] = going[members[unknown]] = False
                size[unknown] = np.inf
                weakest = size.argmin(axis=1)
                done = size[np.arange(len(size)), weakest] >= part.critical(len(left))
                going[members[done]] = False
                drop = ~done & ~unknown
                active[members[drop], np.array(left)[weakest[drop]]] = False
        return active, answered

    def best_subset(self, names: Sequence[str]) -> tuple[Mask, Mask]:
        """Of all subsets in which every p ≤ 0.05 the one of the highest adjusted R²; of equal ones the first by name.

        Returns:
            chosen (b, k), nothing where no subset will do; answered (b,), all true.
        """
        order = sorted(range(self.k), key=lambda indicator: names[indicator])
        best = np.full(len(self), -np.inf)
        chosen = np.zeros((len(self), self.k), bool)
        # Depth first, so that each subset costs one sweep of the one before it.
        pending: list[tuple[Floats, tuple[int, ...], int]] = [(self.start, (), indicator) for indicator in reversed(range(self.k))]
        while pending:
            before, fitted, indicator = pending.pop()
            state, fitted = self.sweep(before, order[indicator]), (*fitted, order[indicator])
            self._consider(state, fitted, best, chosen)
            pending += [(state, fitted, following) for following in reversed(range(indicator + 1, self.k))]
        return chosen, np.ones(len(self), bool)

    def _consider(self, state: Floats, fitted: tuple[int, ...], best: Floats, chosen: Mask) -> None:
        quality = self.adjusted_r2(state, len(fitted))
        rows = np.flatnonzero(quality > best)
        if not len(rows):
            return
        part = self.part(rows)
        better = rows[(np.abs(part.t_values(state[rows], fitted)) >= part.critical(len(fitted))[:, None]).all(axis=1)]
        best[better] = quality[better]
        chosen[better] = False
        chosen[better[:, None], np.array(fitted)] = True

    def weights(self, chosen: Mask) -> Floats:
        """(b, k + 1): the constant and the weights, in the indicators' own units, 0 where not chosen; NaN where undetermined."""
        weights = np.zeros((len(self), self.k + 1))
        for pattern, members in _patterns(chosen, np.arange(len(self))):
            part, members_chosen = self.part(members), np.flatnonzero(pattern)
            state = part.swept(members_chosen.tolist())
            scaled = np.zeros((len(members), self.k))
            scaled[:, members_chosen] = state[:, members_chosen + 1, -1]
            unscaled = scaled * self.spreads[-1] / self.spreads[:-1]
            weights[members, 1:] = unscaled
            weights[members, 0] = self.means[-1] + self.spreads[-1] * state[:, 0, -1] - unscaled @ self.means[:-1]
        return weights


def _swept(state: Floats, column: int, fine: Mask) -> Floats:
    """Sweep a column of every matrix; NaN throughout where not fine."""
    pivot = np.where(fine, state[:, column, column], np.nan)
    row = state[:, column, :] / pivot[:, None]
    swept: Floats = state - state[:, :, column, None] * row[:, None, :]
    swept[:, :, column] = -state[:, :, column] / pivot[:, None]
    swept[:, column, :] = row
    swept[:, column, column] = 1 / pivot
    return swept


def _patterns(chosen: Mask, rows: NDArray[np.int64]) -> Iterator[tuple[Mask, NDArray[np.int64]]]:
    """The different rows of a mask, each with where it stands among `rows`."""
    patterns, which = np.unique(chosen[rows], axis=0, return_inverse=True)
    for number, pattern in enumerate(patterns):
        yield pattern, rows[which.reshape(-1) == number]


__all__ = ["DETERMINED", "SIGNIFICANT", "Weightings"]
