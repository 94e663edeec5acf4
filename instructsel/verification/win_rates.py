"""Pairwise preferences of a judge: win rate, win / tie / lose, and the win rate at equal length."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.grading.results_grades import AGGREGATED
from instructsel.kinds import LENGTH_CONTROLLED, WIN_RATE, head
from instructsel.text import counted
from instructsel.verification.grades_table import Run

Floats = NDArray[np.float64]

LOSS: Final = 1.0
TIE: Final = 1.5
WIN: Final = 2.0
OLD_TIE: Final = 0.0
"""How older annotation files say tie."""

STEPS: Final = 50
"""Newton steps before a fit is given up; ten are plenty where there is something to find."""
CONVERGED: Final = 1e-10
STEEPEST: Final = 30.0
"""A coefficient beyond this means that preferences are told apart without error, and grows for ever."""
REPEATS: Final = 1000
CELLS: Final = 1 << 21
NOT_LEADERBOARD: Final = "Fitted to these pairs alone; not the leaderboard's length-controlled win rate."


@dataclass(frozen=True)
class WinRate:
    """How a model fared against a reference, judged pair by pair."""

    n_total: int
    """Pairs with a preference."""
    n_null: int
    """Pairs without one: not counted above, and never taken for a tie."""
    wins: int
    """Preferences above 1.5."""
    ties: int
    """Preferences of exactly 1.5."""
    losses: int
    """Preferences below 1.5."""
    win_rate: float
    """100 · the mean of preference − 1; in per cent."""
    standard_error: float | None
    """100 · the standard error of that mean (n − 1); None for a single pair."""
    discrete_win_rate: float
    """100 · (wins + ties / 2) / n; in per cent."""
    score: float
    """(wins − losses) / n + 1, in [0, 2]: 1 is even. As InstructMining reports it."""
    score_standard_error: float | None
    """Of the score; None for a single pair."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**head(WIN_RATE), **asdict(self)}


@dataclass(frozen=True)
class LengthControlled:
    """The win rate had both responses been equally long."""

    win_rate: float | None
    """In per cent; None where there is a reason."""
    standard_error: float | None
    """By the delta method from the robust covariance, in points."""
    bootstrap_standard_error: float | None
    """Over pairs drawn again, in points; None where more than one in a hundred of these fits fails."""
    raw_win_rate: float
    """Without control."""
    length_coefficient: float | None
    """Change of the log-odds when the length difference rises from 0 to far above one standard deviation; above 0: longer wins."""
    n: int
    """Pairs with a preference and a length difference."""
    n_null: int
    """Pairs without."""
    extrapolated: bool
    """Whether equal length lies outside the differences there are."""
    reason: str | None = None
    """Why there is no win rate, or None."""
    note: str = NOT_LEADERBOARD
    """What has to be said beside it."""

    def as_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {**head(LENGTH_CONTROLLED), **asdict(self)}


def win_rate(preferences: Sequence[float | None]) -> WinRate:
    """The win rate of preferences in [1, 2]: 2 the model wins, 1 the reference, 1.5 (or 0, in older files) a tie, None none.

    Raises:
        UsageError: a preference that is none of these, or not one pair with a preference.

    Source: AlpacaEval's `win_rate`, `standard_error`, `discrete_win_rate`; the score is InstructMining's, arXiv:2307.06290v1.

    >>> found = win_rate([2, 2, 1.5, 1, None])
    >>> found.win_rate, found.score, (found.wins, found.ties, found.losses, found.n_null)
    (62.5, 1.25, (2, 1, 1, 1))
    """
    values = _preferences(preferences)
    known = values[~np.isnan(values)]
    n = len(known)
    if not n:
        raise UsageError("There is no preference among the pairs.", fix="Have at least one pair judged.")
    wins, losses = int((known > TIE).sum()), int((known < TIE).sum())
    ties = n - wins - losses
    return WinRate(
        n,
        len(values) - n,
        wins,
        ties,
        losses,
        100.0 * math.fsum((known - LOSS).tolist()) / n,
        None if n == 1 else 100.0 * float(known.std(ddof=1)) / math.sqrt(n),
        100.0 * (wins + ties / 2) / n,
        (wins - losses) / n + 1.0,
        None if n == 1 else float(np.sign(known - TIE).std(ddof=1)) / math.sqrt(n),
    )


def swapped(preferences: Sequence[float | None]) -> list[float | None]:
    """The same preferences with model and reference exchanged: 3 less each.

    Raises:
        UsageError: as of `win_rate`.

    >>> swapped([2, 1.25, None])
    [1.0, 1.75, None]
    """
    return [None if math.isnan(value) else LOSS + WIN - value for value in _preferences(preferences).tolist()]


def length_controlled(
    preferences: Sequence[float | None], length_difference: Sequence[float | None], *, repeats: int = REPEATS, seed: int = 0
) -> LengthControlled:
    """The win rate at equal length, by a logistic regression of preference on the difference in length.

    logit P(model preferred) = a + b · tanh(difference / its sample standard deviation), the difference not centred; fitted by
    maximum quasi-likelihood, for preferences may lie between 0 and 1. The win rate is that at a difference of 0. There is
    no regularisation, no instruction difficulty, and no weight on gamed baselines: this is not the leaderboard's number.

    Args:
        preferences: as of `win_rate`.
        length_difference: the model's length less the reference's, per pair, in whatever unit; None where unknown.
        repeats: of the bootstrap; 0 for none.
        seed: of the bootstrap.

    Raises:
        UsageError: sequences of different lengths, a preference or a difference that cannot be, or no complete pair.

    Source: Dubois et al. 2024, arXiv:2404.04475, in its least form; the fit is Papke & Wooldridge's fractional logit, 1996.
    """
    values = _preferences(preferences)
    if len(values) != len(length_difference):
        raise UsageError(
            f"There are {len(values)} preferences and {len(length_difference)} length differences.", fix="Give one for each pair."
        )
    differences = np.array([math.nan if value is None else float(value) for value in length_difference], dtype=np.float64)
    if np.isinf(differences).any():
        raise UsageError("A length difference is not finite.", fix="Give None where it is unknown.")
    complete = ~np.isnan(values) & ~np.isnan(differences)
    n = int(complete.sum())
    if not n:
        raise UsageError("No pair has both a preference and a length difference.", fix="Give at least one.")
    liked, differences = values[complete] - LOSS, differences[complete]
    raw = 100.0 * math.fsum(liked.tolist()) / n
    extrapolated = not differences.min() <= 0.0 <= differences.max()

    def none(reason: str) -> LengthControlled:
        return LengthControlled(None, None, None, raw, None, n, len(values) - n, extrapolated, reason)

    if n < 3:
        return none(f"There {'is' if n == 1 else 'are'} {counted(n, 'pair')}; a fit of two coefficients needs three.")
    scale = float(differences.std(ddof=1))
    if not scale > 1e-12 * float(np.abs(differences).max()):
        return none("All length differences are equal: their effect cannot be told from the model's.")
    if len(np.unique(liked)) == 1 and liked[0] != 0.5:
        return none("Every preference is the same: no effect of length can be fitted.")
    regressor = np.tanh(differences / scale)
    coefficients = _fit(regressor, liked, np.ones((1, n)))[0]
    if not np.isfinite(coefficients).all():
        return none("Length tells wins from losses without error: the fit has no finite coefficients.")
    level, slope = (float(value) for value in coefficients)
    at_zero = _logistic(level)
    errors = [
        100.0 * at_zero * (1.0 - at_zero) * math.sqrt(_robust_variance(regressor, liked, level, slope)),
        _bootstrap_error(regressor, liked, repeats, seed) if repeats else None,
    ]
    return LengthControlled(100.0 * at_zero, errors[0], errors[1], raw, slope, n, len(values) - n, extrapolated)


def _preferences(values: Sequence[float | None]) -> Floats:
    """As float64, NaN for none."""
    known = np.array([math.nan if value is None else float(value) for value in values], dtype=np.float64)
    known[known == OLD_TIE] = TIE
    bad = np.flatnonzero(~np.isnan(known) & ~((known >= LOSS) & (known <= WIN)))
    if len(bad):
        raise UsageError(
            f"The preference of pair {bad[0] + 1} is {known[bad[0]]:g}.",
            fix="Give 1 to 2: 2 where the model wins, 1.5 a tie; None for none.",
        )
    return known


def _logistic(value: Any) -> Any:
    return 0.5 * (1.0 + np.tanh(0.5 * value))


def _fit(regressor: Floats, liked: Floats, weights: Floats) -> Floats:
    """Newton's method for intercept and slope, for many weightings at once.

    Args:
        regressor: (n,), length differences.
        liked: (n,), preferences in [0, 1].
        weights: (fits, n), what each pair counts in each fit.

    Returns:
        (fits, 2), NaN where a fit diverges or does not converge.
    """
    fits = len(weights)
    coefficients = np.zeros((fits, 2))
    going = np.ones(fits, dtype=bool)
    failed = np.zeros(fits, dtype=bool)
    for _ in range(STEPS):
        running = np.flatnonzero(going)
        if not len(running):
            break
        used = weights[running]
        expected = _logistic(coefficients[running, :1] + coefficients[running, 1:] * regressor)
        residual, information = used * (liked - expected), used * expected * (1.0 - expected)
        slope0, slope1 = residual.sum(axis=1), residual @ regressor
        a, b, c = information.sum(axis=1), information @ regressor, information @ (regressor * regressor)
        determinant = a * c - b * b
        with np.errstate(divide="ignore", invalid="ignore"):
            steps = np.stack([(c * slope0 - b * slope1) / determinant, (a * slope1 - b * slope0) / determinant], axis=1)
            # A full step from a flat place overshoots; a bounded one still converges, for the likelihood is concave.
            size = np.abs(steps).max(axis=1, keepdims=True)
            steps = np.where(size > 2.0, steps * (2.0 / np.maximum(size, 2.0)), steps)
        coefficients[running] += steps
        bad = ~np.isfinite(coefficients[running]).all(axis=1) | (np.abs(coefficients[running]).max(axis=1) > STEEPEST)
        failed[running[bad]] = True
        going[running] = ~bad & (np.abs(steps).max(axis=1) > CONVERGED)
    coefficients[failed | going] = math.nan
    return coefficients


def _robust_variance(regressor: Floats, liked: Floats, level: float, slope: float) -> float:
    """The variance of the intercept: the sandwich, which holds whatever the variance of a preference is."""
    design = np.stack([np.ones_like(regressor), regressor], axis=1)
    expected = _logistic(level + slope * regressor)
    bread = np.linalg.inv(design.T @ (design * (expected * (1.0 - expected))[:, None]))
    scores = design * (liked - expected)[:, None]
    n = len(regressor)
    return float((bread @ (scores.T @ scores) @ bread)[0, 0]) * n / (n - 2)


def _bootstrap_error(regressor: Floats, liked: Floats, repeats: int, seed: int) -> float | None:
    """The standard deviation of the win rate over pairs drawn again; None where more than one fit in a hundred fails."""
    generator = np.random.default_rng(seed)
    n = len(regressor)
    estimates = []
    step = max(1, CELLS // n)
    for start in range(0, repeats, step):
        count = min(step, repeats - start)
        rows = np.arange(count)[:, None] * n
        weights = np.bincount((generator.integers(n, size=(count, n)) + rows).ravel(), minlength=count * n).reshape(count, n)
        estimates.append(_fit(regressor, liked, weights.astype(np.float64))[:, 0])
    levels = np.concatenate(estimates)
    levels = levels[np.isfinite(levels)]
    if len(levels) < 2 or len(levels) < 0.99 * repeats:
        return None
    return 100.0 * float(_logistic(levels).std(ddof=1))


PREFERENCE: Final = "preference"
"""The unit of a judge's grades: 1 the model, 0 the reference, 0.5 a tie."""


LEAKAGE: Final = "leakage"


CIRCULAR: Final = "circular"
"""In the record of a grade: whether the grader's own model ranked the rows of the arm."""


def win_rates(runs: Iterable[Run]) -> dict[str, dict[str, Any]]:
    """Judge → arm → how often its responses were preferred to the reference's, over its runs.

    Each run has its own win rate; an arm's is their mean, its wins, ties and losses are the sums. Length control is over all pairs of
    an arm. Their standard errors take pairs as independent and know nothing of draws and seeds: the verdict's interval does.
    """
    by_judge: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        # Of a win rate per run the pairs are not known.
        if run.grades.unit == PREFERENCE and not run.grades.record.get(AGGREGATED):
            by_judge.setdefault(run.grades.grader, {}).setdefault(run.arm, []).append(run)
    return {judge: {arm: _win_rate(pairs) for arm, pairs in sorted(arms.items())} for judge, arms in sorted(by_judge.items())}


def _win_rate(runs: Sequence[Run]) -> dict[str, Any]:
    by_run = []
    preferences: list[float | None] = []
    differences: list[float | None] = []
    flags: Counter[str] = Counter()
    for run in runs:
        preferred = [
            value + 1.0 if valid else None for value, valid in zip(run.grades.values.tolist(), run.grades.valid.tolist(), strict=True)
        ]
        lengths = run.grades.record.get("lengths") or {}
        pairs = zip(lengths.get("output") or [None] * len(preferred), lengths.get("reference") or [None] * len(preferred), strict=True)
        differences += [None if a is None or b is None else float(a - b) for a, b in pairs]
        preferences += preferred
        flags.update(run.grades.record.get("flags") or {})
        if any(value is not None for value in preferred):
            by_run.append(
                {"replicate": run.replicate, "seed": run.seed, **asdict(win_rate(preferred)), "official": run.grades.record.get("official")}
            )
    if not by_run:
        return {"runs": [], "reason": "no pair has a preference"}
    overall = win_rate(preferences)
    official = [rate["official"]["win_rate"] for rate in by_run if rate["official"]]
    known = any(a is not None and b is not None for a, b in zip(preferences, differences, strict=True))
    return {
        "runs": by_run,
        "win_rate": statistics.fmean(rate["win_rate"] for rate in by_run),
        "discrete_win_rate": statistics.fmean(rate["discrete_win_rate"] for rate in by_run),
        "score": statistics.fmean(rate["score"] for rate in by_run),
        **{key: getattr(overall, key) for key in ("n_total", "n_null", "wins", "ties", "losses")},
        "length_controlled": length_controlled(preferences, differences).as_dict() if known else None,
        "official_length_controlled": statistics.fmean(official) if len(official) == len(by_run) else None,
        "flags": dict(sorted(flags.items())),
        LEAKAGE: any(run.grades.record.get(CIRCULAR) for run in runs),
    }


__all__ = ["LengthControlled", "WinRate", "length_controlled", "swapped", "win_rate"]
