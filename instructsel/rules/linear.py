"""Linear rules: a constant plus weighted indicators, lower is better."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel import toml
from instructsel.artifact import atomic_write
from instructsel.errors import ModelMismatch, ModelUnavailable, UnknownExample, UsageError
from instructsel.magnitude import LARGEST, PIECE, RANGE, each, is_usable
from instructsel.rules import _keys as keys
from instructsel.rules.summary import FitSummary
from instructsel.scores.missing import score_command
from instructsel.scores.table import ScoreTable

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Columns = Mapping[str, tuple[Floats, Mask]]
"""Symbol → (values, where they are valid), as ScoreTable.values gives them."""

CLIPPED_TO: Final = (0.01, 0.99)
"""The quantiles `clip` winsorises an indicator at."""
UNAVAILABLE: Final = "model_unavailable"
OVERFLOW: Final = "overflow"
"""The reason of a row at which a term of the rule is no number to compute with."""


@dataclass(frozen=True)
class Accepted:
    """A model or a tokenizer whose scores a term can be applied to."""

    name: str
    """Hub id, or the name under which it is embedded."""
    digest: str | None = None
    """SHA-256 of the weights, where the rule insists on it."""

    def matches(self, entry: Mapping[str, Any]) -> bool:
        """Whether a fingerprint's `model` or `tokenizer` entry is this one."""
        if entry.get("name") != self.name:
            return False
        return self.digest is None or _bare(entry.get("digest")) == _bare(self.digest)

    def __str__(self) -> str:
        return self.name if self.digest is None else f"{self.name} (sha256 {_bare(self.digest)[:12]}…)"


@dataclass(frozen=True)
class Term:
    """An indicator and its weight."""

    indicator: str
    """The indicator's symbol."""
    weight: float
    """What one unit of the indicator adds to the predicted value."""
    unit: str = ""
    """The indicator's unit in this rule."""
    accepts: tuple[Accepted, ...] = ()
    """The models or tokenizers the weight was fitted with; any, where there is none."""
    assumed: bool = False
    """Whether `accepts` is an assumption because the source does not say."""
    suggested: str | None = None
    """The model to score with where `accepts` names none."""
    note: str = ""
    """What a reader should know about this term."""

    @property
    def model(self) -> str | None:
        """The model to score with for this term."""
        return self.accepts[0].name if self.accepts else self.suggested


@dataclass(frozen=True)
class Mismatch:
    """An indicator that was scored with something else than the rule assumes."""

    indicator: str
    scored_with: str | None
    """The model or tokenizer in the table's manifest; None where it does not say."""
    assumes: tuple[str, ...]
    """What the rule accepts."""

    def __str__(self) -> str:
        return f"{self.indicator} was scored with {self.scored_with or 'an unknown model'}, the rule assumes {self.assumes[0]}"

    def as_dict(self) -> dict[str, Any]:
        """The fields as plain data."""
        return {"indicator": self.indicator, "scored_with": self.scored_with, "assumes": list(self.assumes)}


@dataclass(frozen=True, eq=False)
class Prediction:
    """Predicted values, lower is better, and what each term added to them."""

    values: Floats
    """(n,), 0 where not valid."""
    valid: Mask
    """(n,), where every indicator of the rule has a value."""
    contributions: dict[str, Floats]
    """Symbol → weight × value, (n,); 0 where not valid. values = intercept + their sum, added in the rule's order."""
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    """Symbol → the values it was clipped to; empty without clipping."""
    overflows: dict[int, str] = field(default_factory=dict)
    """Row → the indicator at whose term the value is no number to compute with any more; such a row is not valid."""


@dataclass(frozen=True)
class Explanation:
    """How one example's predicted value comes about."""

    id: str
    rule: str
    target: str
    """What the value predicts."""
    intercept: float
    terms: tuple[tuple[str, float | None, float, float | None, str | None], ...]
    """(symbol, value, weight, contribution, reason) in the rule's order; value and contribution are None where there is a reason."""
    value: float | None
    """The predicted value, None where an indicator is null."""


@dataclass(frozen=True)
class LinearRule:
    """intercept + Σ weight × indicator. Lower is better, always."""

    name: str
    """What the command line calls it."""
    terms: tuple[Term, ...]
    intercept: float = 0.0
    title: str = ""
    """What an output calls it."""
    citation: str = ""
    """Paper, version, equation."""
    equation: str = ""
    """As printed in the source."""
    target: str = ""
    """What the value predicts, e.g. "log L(M_ft, D_eval)"."""
    note: str = ""
    alternative: str | None = None
    """The preset that does without what this one may lack."""
    fit: FitSummary | None = None
    """How it was fitted; None for a rule that was published or written by hand."""

    def __post_init__(self) -> None:
        if not self.terms:
            raise UsageError(f"The rule {self.name} has no terms.", fix="Give it at least one [[terms]] with indicator and weight.")
        twice = sorted({term.indicator for term in self.terms if self.indicators.count(term.indicator) > 1})
        if twice:
            raise UsageError(f"The rule {self.name} has two terms for {twice[0]}.", fix="Add their weights.")
        numbers = {"intercept": self.intercept, **{f"weight of {term.indicator}": term.weight for term in self.terms}}
        for name, number in numbers.items():
            if not is_usable(number):
                raise UsageError(
                    f"The rule {self.name} has a {name} that is not finite or not {RANGE}.", fix="Correct the rule, or fit it again."
                )
        if self.fit is not None and (
            self.intercept != self.fit.intercept.weight
            or [(term.indicator, term.weight) for term in self.terms]
            != [(estimate.indicator, estimate.weight) for estimate in self.fit.terms]
        ):
            raise UsageError(
                f"The weights of the rule {self.name} are not those its fit speaks of.",
                fix="Take out its [fit] tables where the weights were changed by hand, or fit again.",
            )

    def __repr__(self) -> str:
        """The name and the terms.

        >>> by("-len")  # doctest: +SKIP
        LinearRule(by -len: 0 - 1 len)
        """
        terms = "".join(f" {'-' if term.weight < 0 else '+'} {abs(term.weight):g} {term.indicator}" for term in self.terms)
        return f"LinearRule({self.name}: {self.intercept:g}{terms})"

    @property
    def indicators(self) -> tuple[str, ...]:
        """The symbols of the indicators, in the order of the terms."""
        return tuple(term.indicator for term in self.terms)

    @property
    def fitted_ranges(self) -> dict[str, tuple[float, float]]:
        """Symbol → the smallest and the largest value in the fit; empty for a rule that was not fitted here."""
        terms = self.fit.terms if self.fit else ()
        return {
            estimate.indicator: (estimate.least, estimate.greatest)
            for estimate in terms
            if estimate.least is not None and estimate.greatest is not None
        }

    @property
    def lower_is_better(self) -> bool:
        """True: rules predict a loss, and the examples with the lowest values are kept."""
        return True

    def called(self, mismatches: Sequence[Mismatch] = ()) -> str:
        """What every output calls a ranking by this rule; it says so where substitute models made the scores."""
        title = self.title or self.name
        return f"{title}'s form, substitute models" if mismatches else title

    def as_dict(self) -> dict[str, Any]:
        """The rule as plain data, for a manifest; `LinearRule.from_dict` reads it."""
        terms = [
            {
                "indicator": term.indicator,
                "weight": term.weight,
                "unit": term.unit,
                "accepts": [{"name": entry.name, **({"digest": entry.digest} if entry.digest else {})} for entry in term.accepts],
                "assumed": term.assumed,
                **({"suggested": term.suggested} if term.suggested else {}),
                "note": term.note,
            }
            for term in self.terms
        ]
        texts = {key: getattr(self, key) for key in TEXTS}
        return {
            "name": self.name,
            "intercept": self.intercept,
            **texts,
            **({"alternative": self.alternative} if self.alternative else {}),
            "terms": terms,
            **({"fit": self.fit.as_dict()} if self.fit else {}),
        }

    def to_toml(self) -> str:
        """The rule as the text of a rule file; the same bytes for the same rule, read again or not."""
        return toml.dumps(self.as_dict())

    def write(self, path: str | Path) -> None:
        """Write a rule file, as `catalog.load` and `--rule` read it.

        Raises:
            UsageError: the name does not end in .toml.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        if Path(path).suffix != ".toml":
            raise UsageError(f"{path} does not end in .toml.", fix="Give the rule file this ending.")
        with atomic_write(path) as file:
            file.write(self.to_toml().encode())

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], *, where: str = "the rule") -> LinearRule:
        """A rule of plain data, every key checked.

        Args:
            data: `name`, `terms` (each `indicator` and `weight`), optionally `intercept`, `title`, `citation`, `equation`,
                `target`, `note`, `alternative`, `order`, `fit`.
            where: what the messages call it.

        Raises:
            UsageError: a key is unknown, missing or of another type; it is named.
        """
        keys.no_others(data, {"name", "terms", "intercept", "alternative", "order", "fit", *TEXTS}, where)
        fit = keys.value(data, "fit", dict, where, None)
        entries = keys.value(data, "terms", list, where)
        return cls(
            name=keys.value(data, "name", str, where),
            terms=tuple(_term(entry, f"{where}, term {number}") for number, entry in enumerate(entries, start=1)),
            intercept=keys.number(data, "intercept", where, 0.0),
            alternative=keys.value(data, "alternative", str, where, None),
            fit=FitSummary.from_dict(fit, where=f"{where}, fit") if fit is not None else None,
            **{key: keys.value(data, key, str, where, "") for key in TEXTS},
        )

    def check_columns(self, table: ScoreTable) -> None:
        """Refuse a table that cannot be ranked at all.

        Raises:
            ModelUnavailable: an indicator is null in every row because its model was not to be had.
            UsageError: the table lacks a column.
        """
        missing = [symbol for symbol in self.indicators if symbol not in table.symbols]
        if missing:
            model = self._term("rew").model if "rew" in missing else None
            reward = f" --reward {model}" if model else ""
            fetched = f"; fetch its model first with: hf download {model}" if model else ""
            other = f"; or rank without it with: --rule {self.alternative}" if self.alternative and model else ""
            raise UsageError(
                f"The rule {self.name} needs {', '.join(missing)}, which the table does not have.",
                fix=f"Score again with: {score_command(missing, table.symbols)}{reward}{fetched}{other}",
            )
        for term in self.terms:
            if len(table) and table.null_counts(term.indicator) == {UNAVAILABLE: len(table)}:
                raise ModelUnavailable(
                    f"The rule {self.name} needs {term.indicator}, and its model was not to be had when the pool was scored.",
                    fix=self._fetch(term),
                )

    def _fetch(self, term: Term) -> str:
        """How to get the scores a term lacks."""
        model = term.model or "MODEL"
        flag = f"--reward {model}" if term.indicator == "rew" else f"--model {term.indicator}={model}"
        other = f"; or rank without it with: --rule {self.alternative}" if self.alternative else ""
        return f"Score with: instructsel score POOL {flag}; fetch its model first with: hf download {model}{other}"

    def check_models(self, table: ScoreTable, *, allow_mismatch: bool = False) -> list[Mismatch]:
        """Compare what the indicators were scored with to what the rule assumes.

        Args:
            table: its manifest says what each indicator was scored with.
            allow_mismatch: return the differences instead of refusing.

        Raises:
            ModelMismatch: an indicator was scored with another model or tokenizer, or the table does not say with which.
        """
        fingerprints = table.manifest.get("indicators")
        mismatches: list[Mismatch] = []
        for term in self.terms:
            if not term.accepts:
                continue
            fingerprint = fingerprints.get(term.indicator) if isinstance(fingerprints, dict) else None
            used = (fingerprint.get("model") or fingerprint.get("tokenizer")) if isinstance(fingerprint, dict) else None
            if isinstance(used, dict) and any(entry.matches(used) for entry in term.accepts):
                continue
            mismatches.append(Mismatch(term.indicator, _named(used), tuple(str(entry) for entry in term.accepts)))
        if mismatches and not allow_mismatch:
            commands = " ".join(f"--model {mismatch.indicator}={self._term(mismatch.indicator).model}" for mismatch in mismatches)
            raise ModelMismatch(
                f"The rule {self.name} does not fit these scores: {'; '.join(map(str, mismatches))}.",
                fix=f"Score again with: instructsel score POOL {commands}; or accept it and have it said in every output: --allow-mismatch",
            )
        return mismatches

    def _term(self, symbol: str) -> Term:
        return next(term for term in self.terms if term.indicator == symbol)

    def predict(self, table: ScoreTable, *, clip: bool = False) -> Prediction:
        """The predicted value of every row of a table.

        Args:
            table: needs a column for every indicator of the rule.
            clip: winsorise each indicator at the 1st and 99th percentile of its valid rows first. Off by default: it is not
                part of a published rule.

        Raises:
            UsageError: a column is missing.
        """
        self._require(table.symbols)
        return self.combine({symbol: table.values(symbol) for symbol in self.indicators}, clip=clip)

    def combine(self, columns: Columns, *, clip: bool = False, bounds: Mapping[str, tuple[float, float]] | None = None) -> Prediction:
        """The predicted values of columns; `predict` for scores that stand in no table.

        A row's value does not depend on the other rows, but for the percentiles of `clip`.

        Args:
            columns: symbol → (values, valid), all of one length.
            clip: winsorise at the percentiles of these columns.
            bounds: clip to these values instead.
        """
        self._require(columns)
        valid = np.logical_and.reduce([columns[symbol][1] for symbol in self.indicators])
        used: dict[str, tuple[float, float]] = {}
        contributions: dict[str, Floats] = {}
        total = np.full(len(valid), float(self.intercept))
        overflows: dict[int, str] = {}
        # One term after the other, elementwise: a matrix product would change the last bits with the number of rows.
        for term in self.terms:
            values, present = columns[term.indicator]
            limits = (bounds or {}).get(term.indicator)
            if limits is None and clip and present.any():
                low, high = np.quantile(values[present], CLIPPED_TO)
                limits = (float(low), float(high))
            if limits is not None:
                used[term.indicator] = limits
                values = np.clip(values, *limits)
            with np.errstate(over="ignore", invalid="ignore"):
                contributions[term.indicator] = np.where(valid, term.weight * values, 0.0)
                total = total + contributions[term.indicator]
                # Also true of NaN. What is beyond would make sums and squares infinite.
                beyond = valid & ~((np.abs(total) <= LARGEST) & (np.abs(contributions[term.indicator]) <= LARGEST))
            for row in np.flatnonzero(beyond).tolist():
                overflows.setdefault(row, term.indicator)
        if overflows:
            valid = valid.copy()
            valid[list(overflows)] = False
            contributions = {symbol: np.where(valid, part, 0.0) for symbol, part in contributions.items()}
        return Prediction(np.where(valid, total, 0.0), valid, contributions, used, overflows)

    def _require(self, symbols: Any) -> None:
        missing = [symbol for symbol in self.indicators if symbol not in symbols]
        if missing:
            raise UsageError(
                f"The rule {self.name} needs {', '.join(missing)}, which the table does not have.",
                fix=f"Score again with: {score_command(missing, self.indicators)}",
            )

    def explain(self, table: ScoreTable, id: str, *, clip: bool = False) -> Explanation:  # noqa: A002 - the column's name
        """How the predicted value of one example comes about.

        Raises:
            UnknownExample: the id is not in the table.
            UsageError: a column is missing.
        """
        try:
            row = table.ids.index(id)
        except ValueError as error:
            raise UnknownExample(
                f"No example has the id '{id}' in this table.",
                fix="Ids are 32 hexadecimal digits; instructsel select writes them into its sidecar.",
            ) from error
        prediction = self.predict(table, clip=clip)
        terms: list[tuple[str, float | None, float, float | None, str | None]] = []
        for term in self.terms:
            values, present = table.values(term.indicator)
            if present[row]:
                value = float(values[row])
                shown = min(max(value, prediction.bounds[term.indicator][0]), prediction.bounds[term.indicator][1]) if clip else value
                overflow = prediction.overflows.get(row) == term.indicator
                part = term.weight * shown
                terms.append((term.indicator, shown, term.weight, part if is_usable(part) else None, OVERFLOW if overflow else None))
            else:
                terms.append((term.indicator, None, term.weight, None, table.reasons(term.indicator)[row]))
        return Explanation(
            id, self.name, self.target, self.intercept, tuple(terms), float(prediction.values[row]) if prediction.valid[row] else None
        )

    def variance_shares(
        self, prediction: Prediction, rows: NDArray[np.bool_] | NDArray[np.integer[Any]] | None = None
    ) -> dict[str, float | None]:
        """Each term's share of the variance of the predicted value: cov(term, value) / var(value).

        The shares add up to 1; one is negative where a term works against the others.

        Args:
            prediction: of this rule.
            rows: a mask or positions; rows without a value are left out either way.

        Returns:
            Symbol → share; None for all where fewer than two rows have a value, or all have the same.
        """
        mask = np.zeros(len(prediction.values), dtype=bool)
        mask[slice(None) if rows is None else rows] = True
        mask &= prediction.valid
        if mask.sum() < 2:
            return dict.fromkeys(self.indicators)
        parts = {symbol: _centred(contribution[mask]) for symbol, contribution in prediction.contributions.items()}
        first, *others = parts.values()
        total = first.copy() if others else first
        for part in others:
            total += part
        variance = math.fsum(_products(total, total))
        greatest, least = (extreme(prediction.values, where=mask, initial=0.0) for extreme in (np.max, np.min))
        scale = max(float(greatest), -float(least), 1e-300)
        if variance <= (1e-15 * scale) ** 2 * len(total):
            return dict.fromkeys(self.indicators)
        return {symbol: math.fsum(_products(part, total)) / variance for symbol, part in parts.items()}


def _centred(values: Floats) -> Floats:
    """Values that are nobody else's, about their mean."""
    values -= values.mean()
    return values


def _products(one: Floats, other: Floats) -> Iterator[float]:
    """Of two columns, row by row, a piece at a time."""
    for begin in range(0, len(one), PIECE):
        yield from each(one[begin : begin + PIECE] * other[begin : begin + PIECE])


TEXTS: Final = ("title", "citation", "equation", "target", "note")


def _term(entry: Any, where: str) -> Term:
    if not isinstance(entry, dict):
        raise UsageError(f"{where} is {type(entry).__name__}, not a table with indicator and weight.")
    keys.no_others(entry, {"indicator", "weight", "unit", "accepts", "assumed", "suggested", "note"}, where)
    return Term(
        indicator=keys.value(entry, "indicator", str, where),
        weight=keys.number(entry, "weight", where),
        unit=keys.value(entry, "unit", str, where, ""),
        accepts=tuple(_accepted(item, where) for item in keys.value(entry, "accepts", list, where, [])),
        assumed=keys.value(entry, "assumed", bool, where, False),
        suggested=keys.value(entry, "suggested", str, where, None),
        note=keys.value(entry, "note", str, where, ""),
    )


def _accepted(item: Any, where: str) -> Accepted:
    if isinstance(item, str):
        return Accepted(item)
    if not isinstance(item, dict):
        raise UsageError(f"{where}: 'accepts' holds {type(item).__name__}; a name or {{name, digest}} belongs there.")
    keys.no_others(item, {"name", "digest"}, f"{where}, accepts")
    return Accepted(keys.value(item, "name", str, f"{where}, accepts"), keys.value(item, "digest", str, f"{where}, accepts", None))


def _bare(digest: Any) -> str:
    return str(digest).lower().removeprefix("sha256").lstrip(":-")


def _named(used: Any) -> str | None:
    """A model as messages name it."""
    if not isinstance(used, dict) or not used.get("name"):
        return None
    digest = used.get("digest")
    return f"{used['name']} (sha256 {_bare(digest)[:12]}…)" if digest else str(used["name"])
