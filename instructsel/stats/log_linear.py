"""The log-linear law of mixtures: ln L is linear in the shares of the sources, L_o(p) = exp(Σ_s β_os p_s) for every outcome o.

Shares add up to 1, so that there is no constant: β_os is ln L of a model trained on source s alone, as the law has it. Fitted by least
squares; several runs of one composition are averaged first. The mean loss over outcomes is convex in the shares, its smallest value under linear
limits is one point, and scipy finds it.

Source: log-linear regression of Olmix, arXiv:2602.12237; the exponential law of Ye et al., arXiv:2403.16952, without its constant.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import StudyError, UsageError
from instructsel.extras import require

Floats = NDArray[np.float64]
NEEDED_BY: Final = "shares fitted to studies"
EDGE: Final = 1e-9
"""A share that is rounding."""
SLACK: Final = 1e-7
"""Of a limit, that is rounding: whole rows are held to it exactly."""


@dataclass(frozen=True, eq=False)
class Limits:
    """Linear limits of shares: matrix · shares ≤ bounds, beside shares ≥ 0 that add up to 1."""

    matrix: Floats
    """(limits, sources)."""
    bounds: Floats
    """(limits,)."""

    def hold(self, shares: Floats) -> bool:
        """Whether they do, but for rounding."""
        return bool((self.matrix @ shares <= self.bounds + SLACK).all())


@dataclass(frozen=True)
class Predicted:
    """A loss that the law predicts, with the interval of a new run."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, eq=False)
class LogLinear:
    """A law fitted to compositions and the losses of models trained on them."""

    shares: Floats
    """(compositions, sources), each row adding up to 1; more compositions than sources."""
    log_losses: Floats
    """(compositions, outcomes), the mean over the runs of a composition."""
    explained: NDArray[np.bool_]
    """(outcomes,), which the law explains; the others are taken for the same whatever the shares are."""

    @cached_property
    def weights(self) -> Floats:
        """β, (sources, outcomes)."""
        weights = np.linalg.lstsq(self.shares, self.log_losses, rcond=None)[0]
        return np.asarray(np.where(self.explained, weights, self.log_losses.mean(axis=0)), dtype=np.float64)

    @property
    def df(self) -> int:
        """Degrees of freedom of the residuals."""
        return int(self.shares.shape[0] - self.shares.shape[1])

    @cached_property
    def covariance(self) -> Floats:
        """(outcomes, outcomes), of the residuals of one composition."""
        residuals = self.log_losses - self.shares @ self.weights
        return np.asarray(residuals.T @ residuals / self.df, dtype=np.float64)

    @cached_property
    def _inverse(self) -> Floats:
        return np.asarray(np.linalg.inv(self.shares.T @ self.shares), dtype=np.float64)

    def leverage(self, shares: Floats) -> float:
        """How far a composition lies from those of the fit: above the largest of theirs the law is extended beyond them."""
        return float(shares @ self._inverse @ shares)

    @property
    def largest_leverage(self) -> float:
        """Of the compositions of the fit."""
        return max(self.leverage(row) for row in self.shares)

    def losses(self, shares: Floats) -> Floats:
        """(outcomes,), as the law predicts them."""
        result: Floats = np.exp(shares @ self.weights)
        return result

    def objective(self, shares: Floats) -> float:
        """The mean of the losses over outcomes."""
        return float(self.losses(shares).mean())

    def gradient(self, shares: Floats) -> Floats:
        """(sources,), of the objective."""
        result: Floats = self.weights @ self.losses(shares) / len(self.losses(shares))
        return result

    def predicted(self, shares: Floats, confidence: float) -> Predicted:
        """The mean loss of a new run on these shares, with its interval: of the fit, and of a run beside it.

        Raises:
            MissingExtra: scipy is not installed.
        """
        value, part = self.objective(shares), self.losses(shares) / self.log_losses.shape[1]
        variance = float(part @ self.covariance @ part) * (1.0 + self.leverage(shares))
        half = self._quantile(confidence) * math.sqrt(variance)
        return Predicted(value, value - half, value + half)

    def gain(self, shares: Floats, other: Floats, confidence: float) -> Predicted:
        """The mean loss on some shares less that on others, with the interval of what the law says of it."""
        first, second = self.losses(shares) / self.log_losses.shape[1], self.losses(other) / self.log_losses.shape[1]
        # (sources, outcomes): what the difference changes by with each weight; constants of outcomes without a law are no weights.
        slope = (np.outer(shares, first) - np.outer(other, second)) * self.explained
        variance = float(np.einsum("so,st,tp,op->", slope, self._inverse, slope, self.covariance))
        half = self._quantile(confidence) * math.sqrt(max(variance, 0.0))
        value = self.objective(shares) - self.objective(other)
        return Predicted(value, value - half, value + half)

    def optimum(self, limits: Limits, start: Floats) -> Floats:
        """The shares with the smallest mean loss within the limits.

        Args:
            limits: beside shares at least 0 that add up to 1.
            start: shares within them.

        Raises:
            MissingExtra: scipy is not installed.
            StudyError: the search does not end.
        """
        optimize = require("scipy.optimize", needed_by=NEEDED_BY)
        constraints: list[dict[str, Any]] = [{"type": "eq", "fun": lambda shares: shares.sum() - 1.0, "jac": np.ones_like}]
        if len(limits.bounds):
            constraints.append(
                {"type": "ineq", "fun": lambda shares: limits.bounds - limits.matrix @ shares, "jac": lambda _: -limits.matrix}
            )
        # The scale of differences, not of losses: else the search ends where they are small.
        spread = float(np.ptp(np.exp(self.shares @ self.weights).mean(axis=1))) or 1.0
        found = optimize.minimize(
            lambda shares: self.objective(shares) / spread,
            start,
            jac=lambda shares: self.gradient(shares) / spread,
            bounds=[(0.0, 1.0)] * len(start),
            constraints=constraints,
            method="SLSQP",
            options={"maxiter": 500, "ftol": 1e-12},
        )
        shares = np.clip(found.x, 0.0, None)
        shares = shares / shares.sum()
        # The best corner of the limits is the optimum itself where one outcome counts.
        corner = self._corner(limits, shares)
        candidates = [point for point in (shares, corner, start) if point is not None and limits.hold(point)]
        if not candidates:
            raise StudyError(f"The search for shares ended without any: {found.message}.", fix="Allow more repeats, or ask for fewer rows.")
        result: Floats = min(candidates, key=self.objective)
        settled: Floats = np.where(result < EDGE, 0.0, result)
        return np.asarray(settled / settled.sum(), dtype=np.float64)

    def _corner(self, limits: Limits, shares: Floats) -> Floats | None:
        """The best point along the gradient at some shares: exact for one outcome, whose law is a line in ln L."""
        optimize = require("scipy.optimize", needed_by=NEEDED_BY)
        found = optimize.linprog(
            self.gradient(shares),
            A_ub=limits.matrix if len(limits.bounds) else None,
            b_ub=limits.bounds if len(limits.bounds) else None,
            A_eq=np.ones((1, len(shares))),
            b_eq=[1.0],
            bounds=(0.0, 1.0),
        )
        return np.clip(found.x, 0.0, None) if found.status == 0 else None

    def optimism(self, limits: Limits, start: Floats, *, draws: int, seed: int = 0) -> float:
        """By how much the predicted loss of fitted shares is too low, since the same fit chose them: the mean over draws of data from the law."""
        generator = np.random.default_rng(seed)
        outcomes = self.log_losses.shape[1]
        # A covariance of few compositions may be singular.
        values, vectors = np.linalg.eigh(self.covariance)
        root = vectors * np.sqrt(np.clip(values, 0.0, None))
        fitted = self.shares @ self.weights
        differences = []
        for _ in range(draws):
            drawn = LogLinear(self.shares, fitted + generator.standard_normal((len(fitted), outcomes)) @ root.T, self.explained)
            shares = drawn.optimum(limits, start)
            differences.append(self.objective(shares) - drawn.objective(shares))
        return float(np.mean(differences))

    def _quantile(self, confidence: float) -> float:
        special = require("scipy.special", needed_by=NEEDED_BY)
        return float(special.stdtrit(self.df, 0.5 + confidence / 2.0))


def left_out(shares: Floats, log_losses: Floats) -> tuple[Floats, Floats]:
    """What the law says of each composition when it is fitted without it, and the mean of the others: (compositions, outcomes) each."""
    hat = shares @ np.linalg.inv(shares.T @ shares) @ shares.T
    own = np.diag(hat)[:, None]
    residuals = log_losses - hat @ log_losses
    n = len(shares)
    return log_losses - residuals / np.maximum(1.0 - own, EDGE), (log_losses.sum(axis=0) - log_losses) / (n - 1)


def left_out_r2(truth: Floats, predicted: Floats, means: Floats) -> Floats:
    """(outcomes,), R² on the composition left out: at most 0 where the mean of the others predicts as well."""
    scatter = ((truth - means) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        result: Floats = np.where(scatter > 0, 1.0 - ((truth - predicted) ** 2).sum(axis=0) / scatter, -np.inf)
    return result


def p_values(shares: Floats, log_losses: Floats) -> Floats:
    """(outcomes,), of F tests of the shares together, against a loss that is the same whatever they are.

    Raises:
        MissingExtra: scipy is not installed.
    """
    special = require("scipy.special", needed_by=NEEDED_BY)
    n, sources = shares.shape
    weights = np.linalg.lstsq(shares, log_losses, rcond=None)[0]
    left = ((log_losses - shares @ weights) ** 2).sum(axis=0)
    total = ((log_losses - log_losses.mean(axis=0)) ** 2).sum(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        f = np.where(left > 0, (total - left) / (sources - 1) / (left / (n - sources)), np.inf)
    result: Floats = np.where(total > 0, special.fdtrc(sources - 1, n - sources, f), 1.0)
    return result


def moving_together(shares: Floats, names: Sequence[str], *, most: float) -> list[str]:
    """Sources whose shares are a fixed mixture of one another in all compositions, so that no fit tells them apart; empty where there are none."""
    _, sizes, directions = np.linalg.svd(shares, full_matrices=False)
    if len(shares) < shares.shape[1]:
        raise UsageError(f"{len(shares)} compositions do not tell {shares.shape[1]} sources apart.")
    if sizes[-1] > sizes[0] / most:
        return []
    loading = np.abs(directions[-1])
    return [name for name, size in zip(names, loading, strict=True) if size > 0.3 * loading.max()]


__all__ = ["EDGE", "Limits", "LogLinear", "Predicted", "left_out", "left_out_r2", "moving_together", "p_values"]
