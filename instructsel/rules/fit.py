"""Fit a rule: least squares of ln L on the indicator means of fine-tuned sets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import release
from instructsel.errors import Negative, ObservationsError, UsageError
from instructsel.extras import require
from instructsel.indicators import registry as registry
from instructsel.rules import catalog
from instructsel.rules._resampled import SIGNIFICANT, Weightings
from instructsel.rules.linear import Accepted, LinearRule, Term
from instructsel.rules.observations import Observations
from instructsel.rules.summary import INTERCEPT, Candidate, Estimate, FitSummary, FitWarning, Sign
from instructsel.text import counted

Floats = NDArray[np.float64]

METHODS: Final = ("fixed", "backward", "best-subset")
CLUSTERS: Final = ("auto", "subset", "none")
PUBLISHED: Final = ("eq4", "instructmining-v2")
"""The rules whose signs are compared."""

MOST: Final = 12
"""best-subset looks at every subset of at most so many indicators."""
INFLATED: Final = 10.0
"""From this variance inflation factor on, weights cannot be told apart."""
PER_INDICATOR: Final = 10
"""Observations each indicator should have."""
FEW_SUBSETS: Final = 30
"""With fewer clusters, clustered standard errors come out too small."""
FEWEST_DRAWS: Final = 100
FAILED: Final = 0.1
"""From this share of failed draws on there are no bootstrap intervals."""
CONSTANT: Final = 1e-12
"""Relative to the largest value: what varies less does not vary."""
NEARLY_CONSTANT: Final = 1e-3
"""Relative to the mean: what varies less is warned of."""
SAME: Final = 0.9
"""An indicator that has one value in this share of the rows is warned of."""
DEPENDENT: Final = 1e-5
"""Singular values of the standardised indicators below this share of the largest: one is a sum of others."""
LEVERAGE: Final = 1e-9
"""A row that leaves less of itself than this determines a weight alone."""

NOTE: Final = "Fitted on means over fine-tuned sets, which vary little; single rows range much wider."


@dataclass(frozen=True, eq=False)
class Fitted:
    """A fit: what it found, and the observations it found it in."""

    summary: FitSummary
    """Estimates, how well they predict, what to doubt."""
    observations: Observations = field(repr=False)
    """The rows fitted."""
    candidates: tuple[str, ...] = ()
    """The indicators the method was given."""

    @property
    def indicators(self) -> tuple[str, ...]:
        """The symbols in the fit."""
        return tuple(term.indicator for term in self.summary.terms)

    def rule(self, name: str, *, title: str = "", note: str = NOTE) -> LinearRule:
        """The rule with these weights. It accepts scores of the models its indicators were fitted with, where those are known.

        Raises:
            UsageError: a published rule has the name.
        """
        if name in catalog.names():
            raise UsageError(f"{name} is the name of a published rule.", fix="Give the fitted one another name.")
        summary = self.summary
        sets = counted(summary.n, "observation") + (
            f" of {counted(summary.subsets or 0, 'subset')}" if summary.subsets not in (None, summary.n) else ""
        )
        return LinearRule(
            name=name,
            terms=tuple(_term(estimate, summary.indicators.get(estimate.indicator)) for estimate in summary.terms),
            intercept=summary.intercept.weight,
            title=title or f"{name}, fitted on {sets}",
            citation=f"Fitted on {sets} with instructsel rules fit, method {summary.method}.",
            equation=equation(summary),
            target=f"{summary.target} (natural logarithm)",
            note=note,
            fit=summary,
        )


def equation(summary: FitSummary) -> str:
    """The fit as a formula, weights to four digits."""
    terms = "".join(f" {'−' if term.weight < 0 else '+'} {abs(term.weight):.4g}·{term.indicator}" for term in summary.terms)
    return f"{summary.target} ~ {summary.intercept.weight:.4g}{terms}"


def fit(
    observations: Any,
    *,
    method: str = "fixed",
    indicators: Sequence[str] | None = None,
    target: str = "log_loss",
    design: str | None = None,
    cluster: str = "auto",
    bootstrap: int = 1000,
    seed: int = 0,
) -> Fitted:
    """Ordinary least squares of ln L on indicator means, by statsmodels.

    Args:
        observations: Observations, a frame, or a mapping of columns; a row a fine-tuned set.
        method: fixed takes all indicators. backward drops the one of the largest p until all are at most 0.05, of equal ones the
            last by name. best-subset takes, of all subsets in which every p is at most 0.05, the one of the highest adjusted R².
        indicators: the columns to fit; by default those that hold indicators.
        target: the column of the natural logarithm, or log_ and the name of a column of losses.
        design: fit only the rows whose column `design` says this.
        cluster: auto gives standard errors clustered by subset where a subset has several rows; subset always does; none never.
        bootstrap: draws of rows (of subsets where clustered) for the percentile intervals; 0 for none. The intervals keep the
            indicators chosen; for backward and best-subset the whole procedure is repeated as well, to count its choices.
        seed: of the bootstrap.

    Raises:
        UsageError: a column, method or setting that cannot be; more than 12 indicators for best-subset.
        ObservationsError: losses that are no positive numbers, constant or dependent indicators, too few rows.
        Negative: a stepwise method leaves no indicator.
        MissingExtra: statsmodels is not installed.

    >>> columns = {"loss": [1.0, 0.9, 0.8, 0.75, 0.7], "rew": [0.0, 0.7, 1.5, 1.9, 2.4]}
    >>> fit(columns, bootstrap=0).summary.terms[0].weight < 0
    True
    """
    table = _rows(Observations.of(observations), design)
    _check_settings(method, cluster, bootstrap)
    y = table.logarithm(target)
    names = _names(table, indicators, target)
    x = np.column_stack([table.numbers(name) for name in names])
    subsets = table.labels("subset")
    codes, clustered = _clusters(subsets, len(y), cluster)
    units = int(codes.max()) + 1
    _check_design(table, names, x, y, units if clustered else len(y), clustered=clustered)
    if method == "best-subset" and len(names) > MOST:
        raise UsageError(
            f"best-subset looks at every subset of at most {MOST} indicators; {len(names)} are given.",
            fix="Name fewer with --indicators, or use --method backward.",
        )
    frame = _Frame(names, x, y, codes if clustered else None)
    chosen = _choose(frame, method)
    rng = np.random.default_rng(seed)
    draws = rng.multinomial(units, np.full(units, 1 / units), size=bootstrap).astype(np.float64) if bootstrap else np.zeros((0, units))
    low, high, failed = _percentiles(frame, chosen, draws)
    chosen_names = [names[position] for position in np.flatnonzero(chosen)]
    estimates = _estimates(frame, chosen, low, high)
    fitted = _Regression(x[:, chosen], y)
    frequency, unanswered = _frequencies(frame, method, draws)
    sources = table.sources()
    loo, loo_reason = fitted.left_out_one_by_one(table)
    loso, loso_reason = fitted.left_out_by(sources, "the observations have neither a column source nor share_ columns")
    by_subset = fitted.left_out_by(subsets, "")[0] if clustered else None
    vifs = inflation(x)
    repeats = None if subsets is None else len(set(subsets))
    adjusted = 1 - (fitted.left / (len(y) - len(chosen_names) - 1)) / (fitted.whole / (len(y) - 1))
    fingerprints = table.fingerprints(chosen_names)
    procedure, procedure_reason = _procedure_r2(frame, method, units)
    candidates = () if method == "fixed" else tuple(map(Candidate, names, chosen.tolist(), frequency, vifs.tolist()))
    return Fitted(
        FitSummary(
            method=method,
            target=target,
            n=len(y),
            subsets=repeats,
            covariance="clustered by subset" if clustered else "ordinary",
            df=(units if clustered else len(y) - len(chosen_names)) - 1,
            estimates=estimates,
            r2=1 - fitted.left / fitted.whole,
            adjusted_r2=adjusted,
            residual_sd=math.sqrt(fitted.left / (len(y) - len(chosen_names) - 1)),
            loo_r2=loo,
            loo_reason=loo_reason,
            loso_r2=loso,
            loso_reason=loso_reason,
            subset_r2=by_subset,
            procedure_r2=procedure,
            procedure_reason=procedure_reason,
            condition_number=float(np.linalg.cond(_standardised(x[:, chosen]))),
            draws=bootstrap,
            failed=failed,
            seed=seed,
            candidates=candidates,
            signs=_signs(estimates[1:]),
            warnings=(
                *_about_rows(len(y), units, repeats, len(names), clustered=clustered),
                *_about_indicators(names, x, estimates[1:], vifs),
                *_about_method(method, len(names), bootstrap, failed, unanswered),
                *_about_skill(loo, loso, procedure),
                *_about_models(chosen_names, fingerprints),
            ),
            observations=table.digest([target, target.removeprefix("log_"), *names, "subset", "source", *table.shares()]),
            release=release(),
            indicators=fingerprints,
        ),
        table,
        names,
    )


def inflation(values: Floats) -> Floats:
    """Variance inflation factors of the columns (n, k): 1 / (1 − R²) of each on the others."""
    standard = _standardised(values)
    _, upper = np.linalg.qr(standard)
    inverse = np.linalg.inv(upper)
    return np.asarray((inverse**2).sum(axis=1) * (standard**2).sum(axis=0), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class _Frame:
    names: tuple[str, ...]
    x: Floats
    y: Floats
    codes: NDArray[np.int64] | None
    """The cluster of each row; None for ordinary standard errors."""

    def weighted(self, weights: Floats) -> Weightings:
        return Weightings.of(self.x, self.y, weights, codes=self.codes)

    @property
    def units(self) -> int:
        return len(self.y) if self.codes is None else int(self.codes.max()) + 1


class _Regression:
    """Leaving rows out of a least-squares fit, without fitting again."""

    def __init__(self, x: Floats, y: Floats) -> None:
        self.design = np.column_stack([np.ones(len(y)), _standardised(x)])
        self.y = y
        self.basis, _ = np.linalg.qr(self.design)
        self.errors = y - self.basis @ (self.basis.T @ y)
        self.left = float(self.errors @ self.errors)
        self.whole = float(((y - y.mean()) ** 2).sum())

    def left_out_one_by_one(self, table: Observations) -> tuple[float | None, str | None]:
        independence = 1 - (self.basis**2).sum(axis=1)
        alone = np.flatnonzero(independence < LEVERAGE)
        if len(alone):
            return None, f"without {table.rows(alone)} the others do not determine the weights"
        return 1 - float(((self.errors / independence) ** 2).sum()) / self.whole, None

    def left_out_by(self, labels: Sequence[str] | None, absent: str) -> tuple[float | None, str | None]:
        if labels is None:
            return None, absent
        if len(set(labels)) < 2:
            return None, f"all rows are of {labels[0]}"
        total = 0.0
        for label in sorted(set(labels)):
            inside = np.array([name == label for name in labels])
            singular = np.linalg.svd(self.basis[~inside], compute_uv=False)
            if len(singular) < self.basis.shape[1] or singular[-1] ** 2 < LEVERAGE:
                return None, f"without {label} the other rows do not determine the weights"
            # The errors of rows left out together: (I − H)⁻¹ e over their block of the hat matrix.
            block = self.basis[inside]
            errors = np.linalg.solve(np.eye(len(block)) - block @ block.T, self.errors[inside])
            total += float(errors @ errors)
        return 1 - total / self.whole, None


def _rows(table: Observations, design: str | None) -> Observations:
    if design is None:
        return table
    kinds = table.labels("design")
    if kinds is None:
        raise UsageError("The observations have no column design.", fix="Leave --design out.")
    if design not in kinds:
        raise UsageError.named(design, set(kinds), noun="design among the observations")
    return table.where(np.array([kind == design for kind in kinds]))


def _check_settings(method: str, cluster: str, bootstrap: int) -> None:
    if method not in METHODS:
        raise UsageError.named(method, METHODS, noun="method")
    if cluster not in CLUSTERS:
        raise UsageError.named(cluster, CLUSTERS, noun="clustering")
    if bootstrap != 0 and bootstrap < FEWEST_DRAWS:
        raise UsageError(f"{bootstrap} draws give no 95 % interval.", fix=f"Take at least {FEWEST_DRAWS}, or 0 for no bootstrap.")


def _names(table: Observations, indicators: Sequence[str] | None, target: str) -> tuple[str, ...]:
    names = tuple(indicators) if indicators is not None else table.indicators()
    if not names:
        raise UsageError("No indicators are given.", fix="Name columns of the observations with --indicators.")
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{name} is named twice among the indicators.")
        if name in (target, target.removeprefix("log_"), INTERCEPT):
            raise UsageError(f"{name} cannot be an indicator of itself." if name != INTERCEPT else "The intercept is always fitted.")
        if name not in table.names:
            raise UsageError.named(name, table.names, noun="column of the observations")
    return names


def _clusters(subsets: tuple[str, ...] | None, n: int, cluster: str) -> tuple[NDArray[np.int64], bool]:
    """The cluster of each row, and whether standard errors are clustered."""
    if cluster == "subset" and subsets is None:
        raise UsageError("The observations have no column subset to cluster by.", fix="Add one, or leave --cluster out.")
    repeated = subsets is not None and len(set(subsets)) < n
    if subsets is None or cluster == "none" or (cluster == "auto" and not repeated):
        return np.arange(n), False
    numbers = {label: number for number, label in enumerate(dict.fromkeys(subsets))}
    return np.array([numbers[label] for label in subsets]), True


def _check_design(table: Observations, names: tuple[str, ...], x: Floats, y: Floats, units: int, *, clustered: bool) -> None:
    if units < len(names) + 2:
        what = f"different subsets in {counted(len(y), 'observation')}" if clustered else "observations"
        raise ObservationsError(
            f"{counted(len(names), 'indicator')} {'needs' if len(names) == 1 else 'need'} at least {len(names) + 2} {what}; there are {units}.",
            fix="Fit fewer indicators, or fine-tune more sets. Seeds of one set do not count." if clustered else "Fit fewer indicators.",
        )
    for name, values in [*zip(names, x.T, strict=True), ("the loss", y)]:
        if np.ptp(values) <= CONSTANT * np.abs(values).max():
            raise ObservationsError(
                f"{name} is the same in all {len(y)} observations ({values[0]:g}), so nothing can be fitted to it.",
                fix="Leave it out." if name in names else "Look at how the loss was measured.",
            )
    _, sizes, directions = np.linalg.svd(_standardised(x), full_matrices=False)
    if sizes[-1] < DEPENDENT * sizes[0]:
        involved = [name for name, share in zip(names, np.abs(directions[-1]), strict=True) if share > 1e-3]
        raise ObservationsError(
            f"The indicators depend on each other: {', '.join(involved)} have a weighted sum that is constant, "
            f"so their weights cannot be told (rank {int((sizes >= DEPENDENT * sizes[0]).sum())} of {len(names)}).",
            fix=f"Leave one of them out, e.g. {involved[-1]}.",
        )


def _choose(frame: _Frame, method: str) -> NDArray[np.bool_]:
    if method == "fixed":
        return np.ones(len(frame.names), bool)
    unweighted = frame.weighted(np.ones((1, frame.units)))
    chosen = _procedure(unweighted, method, frame.names)[0][0]
    if not chosen.any():
        tried = f"in none of the {2 ** len(frame.names) - 1} subsets" if method == "best-subset" else "backward elimination ends with none:"
        detail = "are all indicators" if method == "best-subset" else "no indicator is"
        raise Negative(
            f"Of {', '.join(frame.names)}, {tried} {detail} significant (p ≤ {SIGNIFICANT:g}); a rule of a constant ranks nothing.",
            fix="Fine-tune more sets, or look at all indicators with --method fixed.",
        )
    return np.asarray(chosen, dtype=np.bool_)


def _procedure(weighted: Weightings, method: str, names: Sequence[str]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    return weighted.backward(names) if method == "backward" else weighted.best_subset(names)


def _percentiles(frame: _Frame, chosen: NDArray[np.bool_], draws: Floats) -> tuple[Floats | None, Floats | None, int]:
    """Percentile intervals of the constant and the weights, and how many draws gave none."""
    if not len(draws):
        return None, None, 0
    reduced = _Frame(frame.names, frame.x[:, chosen], frame.y, frame.codes).weighted(draws)
    weights = reduced.weights(np.ones((len(draws), int(chosen.sum())), bool))
    weights = weights[np.isfinite(weights).all(axis=1)]
    failed = len(draws) - len(weights)
    if failed > FAILED * len(draws):
        return None, None, failed
    low, high = np.percentile(weights, [2.5, 97.5], axis=0)
    return low, high, failed


def _frequencies(frame: _Frame, method: str, draws: Floats) -> tuple[list[float | None], int]:
    """How often the whole procedure chooses each indicator, and how many draws are left out because they do not determine the weights."""
    if method == "fixed" or not len(draws):
        return [None] * len(frame.names), 0
    chosen, answered = _procedure(frame.weighted(draws), method, frame.names)
    shares: list[float | None] = [None] * len(frame.names)
    if answered.any():
        shares = chosen[answered].mean(axis=0).tolist()
    return shares, int((~answered).sum())


def _procedure_r2(frame: _Frame, method: str, units: int) -> tuple[float | None, str | None]:
    """1 − Σ(error)² / Σ(y − mean)² where each row, or subset, is left out of the choice as well."""
    if method == "fixed":
        return None, "nothing was chosen"
    weighted = frame.weighted(1 - np.eye(units))
    chosen, answered = _procedure(weighted, method, frame.names)
    weights = weighted.weights(chosen)
    if not answered.all() or not np.isfinite(weights).all():
        return None, "with a row left out, the others do not determine the weights or leave no error"
    by_row = weights if frame.codes is None else weights[frame.codes]
    errors = frame.y - by_row[:, 0] - (by_row[:, 1:] * frame.x).sum(axis=1)
    return 1 - float(errors @ errors) / float(((frame.y - frame.y.mean()) ** 2).sum()), None


def _estimates(frame: _Frame, chosen: NDArray[np.bool_], low: Floats | None, high: Floats | None) -> tuple[Estimate, ...]:
    least_squares = require("statsmodels.regression.linear_model", needed_by="fit").OLS
    x = frame.x[:, chosen]
    settings = {} if frame.codes is None else {"cov_type": "cluster", "cov_kwds": {"groups": frame.codes}, "use_t": True}
    # A pseudo-inverse drops columns that are tiny beside the others. Powers of two scale without a rounding error.
    scale = np.concatenate([[1.0], 2.0 ** np.round(np.log2(np.abs(x).max(axis=0)))])
    # An exact fit has standard errors of 0; its t is said to be None.
    with np.errstate(divide="ignore", invalid="ignore"):
        fitted = least_squares(frame.y, np.column_stack([np.ones(len(x)), x]) / scale).fit(**settings)
        ends = fitted.conf_int() / scale[:, None]
        numbers = zip(fitted.params / scale, fitted.bse / scale, fitted.tvalues, fitted.pvalues, ends, strict=True)
    names = [INTERCEPT, *(name for name, taken in zip(frame.names, chosen, strict=True) if taken)]
    vifs = [None, *inflation(x).tolist()]
    return tuple(
        Estimate(
            indicator=names[position],
            weight=float(weight),
            se=float(se),
            t=_finite(t),
            p=_finite(p),
            low=float(interval[0]),
            high=float(interval[1]),
            bootstrap_low=None if low is None else float(low[position]),
            bootstrap_high=None if high is None else float(high[position]),
            vif=vifs[position],
            least=None if position == 0 else float(x[:, position - 1].min()),
            greatest=None if position == 0 else float(x[:, position - 1].max()),
        )
        for position, (weight, se, t, p, interval) in enumerate(numbers)
    )


def _signs(terms: Sequence[Estimate]) -> tuple[Sign, ...]:
    signs = []
    for name in PUBLISHED:
        published = _published(name)
        signs += [
            Sign(term.indicator, name, published[term.indicator], term.weight * published[term.indicator] > 0, term.low * term.high > 0)
            for term in terms
            if term.indicator in published
        ]
    return tuple(signs)


@cache
def _published(name: str) -> dict[str, float]:
    return {term.indicator: term.weight for term in catalog.load(name).terms}


def _about_rows(n: int, units: int, repeats: int | None, predictors: int, *, clustered: bool) -> list[FitWarning]:
    warnings = []
    if repeats is not None and repeats < n:
        how = "standard errors and the bootstrap go by subset" if clustered else "yet standard errors take every row for independent"
        warnings.append(FitWarning("repeated_subsets", f"{n} observations are of {repeats} subsets with several seeds each; {how}."))
    if clustered and units < FEW_SUBSETS:
        warnings.append(
            FitWarning("few_subsets", f"Clustered standard errors of {units} subsets (fewer than {FEW_SUBSETS}) tend to be too small.")
        )
    independent = min(n, repeats or n)
    if independent < PER_INDICATOR * predictors:
        warnings.append(
            FitWarning(
                "few_observations",
                f"{independent} {'subsets' if independent < n else 'observations'} are fewer than {PER_INDICATOR} for each of "
                f"{predictors} indicators.",
            )
        )
    return warnings


def _about_indicators(names: Sequence[str], x: Floats, terms: Sequence[Estimate], vifs: Floats) -> list[FitWarning]:
    warnings = [
        FitWarning(
            "high_vif", f"The other indicators explain {term.indicator} (variance inflation {term.vif:,.1f}): weights cannot be told apart."
        )
        for term in terms
        if term.vif is not None and term.vif > INFLATED
    ]
    inflated = {term.indicator for term in terms if term.vif is not None and term.vif > INFLATED}
    for name, factor in zip(names, vifs.tolist(), strict=True):
        if factor > INFLATED and name not in inflated:
            warnings.append(
                FitWarning(
                    "high_vif_candidate",
                    f"Among the candidates the others explain {name} (variance inflation {factor:,.1f}): which of them is chosen is near chance.",
                )
            )
    for name, values in zip(names, x.T, strict=True):
        _, counts = np.unique(values, return_counts=True)
        spread = float(values.std()) / max(abs(float(values.mean())), 1e-300)
        if counts.max() >= SAME * len(values):
            warnings.append(FitWarning("near_constant", f"{name} has one value in {counts.max()} of {len(values)} observations."))
        elif spread < NEARLY_CONSTANT:
            warnings.append(FitWarning("near_constant", f"{name} varies by {spread:.2g} of its mean only."))
    return warnings


def _about_method(method: str, candidates: int, bootstrap: int, failed: int, unanswered: int) -> list[FitWarning]:
    warnings = []
    if method != "fixed":
        warnings.append(
            FitWarning(
                "stepwise_optimistic",
                f"Chosen among {candidates} indicators by p-values of the same observations: p-values, intervals and R² are optimistic.",
            )
        )
    if failed:
        consequence = "there are no bootstrap intervals" if failed > FAILED * bootstrap else "they are left out of the intervals"
        warnings.append(
            FitWarning("failed_draws", f"In {failed} of {bootstrap} bootstrap draws the rows do not determine the weights; {consequence}.")
        )
    if unanswered:
        warnings.append(
            FitWarning(
                "failed_choices",
                f"In {unanswered} of {bootstrap} bootstrap draws the choice cannot be made, as the rows do not determine the weights; "
                "how often an indicator is chosen is a share of the others.",
            )
        )
    return warnings


def _about_skill(loo: float | None, loso: float | None, procedure: float | None) -> list[FitWarning]:
    warnings = []
    for value, what in ((loo, "observations left out"), (procedure, "observations left out of the choice too"), (loso, "sources left out")):
        if value is not None and value <= 0:
            warnings.append(FitWarning("no_skill", f"On {what} the fit predicts no better than the mean (R² {value:.2f})."))
            break
    return warnings


def _about_models(chosen_names: Sequence[str], fingerprints: dict[str, dict[str, Any]]) -> list[FitWarning]:
    unknown = [name for name in chosen_names if name not in fingerprints]
    if not unknown:
        return []
    return [
        FitWarning(
            "models_unknown", f"The observations do not say what {', '.join(unknown)} were scored with: the rule takes scores of any model."
        )
    ]


def _term(estimate: Estimate, fingerprint: Any) -> Term:
    used = (fingerprint.get("model") or fingerprint.get("tokenizer")) if fingerprint else None
    accepts = (Accepted(str(used["name"]), used.get("digest")),) if isinstance(used, dict) and used.get("name") else ()
    return Term(indicator=estimate.indicator, weight=estimate.weight, unit=unit(estimate.indicator, fingerprint), accepts=accepts)


def unit(symbol: str, fingerprint: Any = None) -> str:
    """The unit of an indicator: what its fingerprint says, or its class; empty where neither is known."""
    if fingerprint and fingerprint.get("unit"):
        return str(fingerprint["unit"])
    try:
        return registry.make(symbol).unit
    except UsageError:
        return ""


def _standardised(values: Floats) -> Floats:
    centred = values - values.mean(axis=0)
    return np.asarray(centred / centred.std(axis=0), dtype=np.float64)


def _finite(number: Any) -> float | None:
    return float(number) if math.isfinite(number) else None


__all__ = ["CLUSTERS", "METHODS", "Fitted", "equation", "fit", "inflation", "unit"]
