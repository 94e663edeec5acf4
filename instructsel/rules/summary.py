"""What a fit says of itself: kept with the rule, so that its numbers are never read without their doubts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final, Self

from instructsel.errors import UsageError
from instructsel.rules import _keys as keys

INTERCEPT: Final = "intercept"
"""The name of the constant among the estimates."""


@dataclass(frozen=True)
class Estimate:
    """A weight and how well it is known."""

    indicator: str
    """The indicator's symbol, or "intercept"."""
    weight: float
    """What one unit of the indicator adds to ln L."""
    se: float
    """Its standard error."""
    t: float | None
    """weight / se; None where the fit is exact."""
    p: float | None
    """Two-sided p-value of t."""
    low: float
    """Lower end of the 95 % interval, from Student's t."""
    high: float
    """Upper end."""
    bootstrap_low: float | None = None
    """2.5 % of the bootstrap weights; None without a bootstrap."""
    bootstrap_high: float | None = None
    """97.5 % of them."""
    vif: float | None = None
    """Variance inflation factor among the indicators of the fit; None for the intercept."""
    least: float | None = None
    """The smallest value of the indicator in the fit; None for the intercept."""
    greatest: float | None = None
    """The largest."""


@dataclass(frozen=True)
class Candidate:
    """An indicator a stepwise method could choose."""

    indicator: str
    """Its symbol."""
    chosen: bool
    """Whether it is in the fit."""
    frequency: float | None
    """Share of the bootstrap draws in which the whole procedure chooses it; None without a bootstrap."""
    vif: float
    """Variance inflation factor among all candidates."""


@dataclass(frozen=True)
class Sign:
    """The sign of a weight beside that of a published rule."""

    indicator: str
    """The indicator's symbol."""
    rule: str
    """The published rule's name."""
    published: float
    """The weight there. Its size compares only where the models are the same."""
    agrees: bool
    """Whether the signs are the same."""
    certain: bool
    """Whether the 95 % interval of the fitted weight lies on one side of 0."""


@dataclass(frozen=True)
class FitWarning:
    """Something a reader of the fit must know."""

    code: str
    """A name to look for, e.g. high_vif."""
    text: str
    """One sentence."""


@dataclass(frozen=True)
class FitSummary:
    """A least-squares fit of ln L on indicator means: estimates, how well they predict, and what to doubt."""

    method: str
    """fixed, backward or best-subset."""
    target: str
    """The column fitted, a natural logarithm."""
    n: int
    """Observations: fine-tuned sets, or seeds of sets."""
    subsets: int | None
    """Different subsets among them; None where the observations do not say."""
    covariance: str
    """"ordinary", or "clustered by subset": what the standard errors rest on."""
    df: int
    """Degrees of freedom of the t values."""
    estimates: tuple[Estimate, ...]
    """The intercept first, then the indicators in the rule's order."""
    r2: float
    """Share of the variance explained."""
    adjusted_r2: float
    """The same, paid for each indicator."""
    residual_sd: float
    """Residual standard deviation, in units of ln L: about the relative error of L."""
    loo_r2: float | None
    """1 − Σ(error of the row left out)² / Σ(y − mean)². Below 0: worse than the mean."""
    loo_reason: str | None
    """Why it is None."""
    loso_r2: float | None
    """The same, leaving out all rows in which one source is the largest."""
    loso_reason: str | None
    """Why it is None."""
    subset_r2: float | None
    """The same, leaving out all seeds of a subset; None where no subset repeats."""
    procedure_r2: float | None
    """The same as loo_r2 (by subset where they repeat) with the choice of indicators repeated each time."""
    procedure_reason: str | None
    """Why it is None."""
    condition_number: float
    """Of the standardised indicators: largest over smallest singular value."""
    draws: int
    """Bootstrap draws; 0 for none."""
    failed: int
    """Draws without an answer: their rows do not determine the weights."""
    seed: int
    """Of the bootstrap."""
    candidates: tuple[Candidate, ...] = ()
    """Indicators the method chose from; none for fixed."""
    signs: tuple[Sign, ...] = ()
    """Beside the published rules'."""
    warnings: tuple[FitWarning, ...] = ()
    """What to doubt."""
    observations: str = ""
    """Digest of the rows fitted."""
    release: str = ""
    """Version of instructsel."""
    indicators: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, hash=False)
    """Symbol → fingerprint of what was scored, where the observations' manifest has it."""

    @property
    def terms(self) -> tuple[Estimate, ...]:
        """The estimates without the intercept."""
        return self.estimates[1:]

    @property
    def intercept(self) -> Estimate:
        """The constant."""
        return self.estimates[0]

    def as_dict(self) -> dict[str, Any]:
        """Plain data; `from_dict` reads it."""
        data: dict[str, Any] = {}
        for one in fields(self):
            value = getattr(self, one.name)
            if one.name in PARTS:
                value = [{inner.name: getattr(part, inner.name) for inner in fields(part)} for part in value]
            data[one.name] = value
        del data["indicators"]
        return data | ({"indicators": dict(self.indicators)} if self.indicators else {})

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "the fit") -> Self:
        """A summary of plain data, every key checked.

        Raises:
            UsageError: a key is unknown, missing or of another type; it is named.
        """
        parts: dict[str, Any] = {name: _parts(kind, data, name, where) for name, kind in PARTS.items()}
        others = {key: checked for key, checked in data.items() if key not in PARTS and key != "indicators"}
        checked = _checked(cls, others, where, apart={*PARTS, "indicators"})
        estimates = parts["estimates"]
        if not estimates or estimates[0].indicator != INTERCEPT:
            raise UsageError(f"{where}: the first of the estimates is the intercept's.")
        return cls(**checked, **parts, indicators=keys.value(data, "indicators", dict, where, {}))


PARTS: Final[Mapping[str, type]] = {"estimates": Estimate, "candidates": Candidate, "signs": Sign, "warnings": FitWarning}


def _parts(kind: type, data: Mapping[str, Any], name: str, where: str) -> tuple[Any, ...]:
    entries = keys.value(data, name, list, where, [])
    parts = []
    for number, entry in enumerate(entries, start=1):
        place = f"{where}, {name} {number}"
        if not isinstance(entry, dict):
            raise UsageError(f"{place} is {type(entry).__name__}, not a table.")
        parts.append(kind(**_checked(kind, entry, place)))
    return tuple(parts)


def _checked(kind: Any, data: Mapping[str, Any], where: str, apart: set[str] | frozenset[str] = frozenset()) -> dict[str, Any]:
    """The fields of a dataclass from plain data, by their annotations."""
    known = {one.name: str(one.type) for one in fields(kind) if one.name not in apart}
    keys.no_others(data, set(known), where)
    values: dict[str, Any] = {}
    for name, annotation in known.items():
        if annotation.endswith("| None") and data.get(name) is None:
            values[name] = None
        elif annotation.startswith("float"):
            values[name] = keys.number(data, name, where)
        else:
            values[name] = keys.value(data, name, TYPES[annotation.partition(" ")[0]], where)
    return values


TYPES: Final[Mapping[str, type]] = {"str": str, "int": int, "bool": bool}
