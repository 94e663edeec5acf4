"""Section: a study's observations, the loss against each indicator, and the fit to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np

from instructsel.errors import InstructselError
from instructsel.reports.inputs import finite
from instructsel.reports.parts import Chart, Column, Form, Part, Section, Table, facts_table
from instructsel.reports.sections import Page
from instructsel.reports.sections.limits import ARMS, CHARTS, POINTS, REASONS, ROWS, WORDS
from instructsel.rules.observations import SHARE, Observations
from instructsel.rules.univariate import points, univariate
from instructsel.study.study import COLUMNS, OUTCOME, Study
from instructsel.text import counted

NEEDS: Final = "a study"
FORMS: Final[Mapping[str, Form]] = {
    "subset": "text",
    "design": "text",
    "seed": "any",
    "rows": "count",
    "loss": "number",
    "log_loss": "number",
    "n_items": "count",
    "tokens_trained": "count",
}
"""Columns of a study that are no indicator."""
ESTIMATES: Final = (
    Column("indicator", "indicator"),
    Column("weight", "weight", "signed"),
    Column("se", "SE", "number"),
    Column("low", "95 % interval from", "signed"),
    Column("high", "to", "signed"),
    Column("p", "p", "p"),
    Column("vif", "VIF", "number"),
    Column("least", "fitted from", "number"),
    Column("greatest", "to", "number"),
)


def fit_tables(fit: Any, name: str) -> list[Part]:
    """A fit's estimates and how well it predicts."""
    if not isinstance(fit, dict):
        return []
    keys = [column.key for column in ESTIMATES[1:]]
    rows = [(row.get("indicator"), *(finite(row.get(key)) for key in keys)) for row in fit.get("estimates") or []]

    def either(key: str, reason: str) -> Any:
        return fit.get(key) if fit.get(key) is not None else fit.get(reason)

    facts = [
        ("method", fit.get("method")),
        ("target", fit.get("target")),
        ("observations", fit.get("n")),
        ("different subsets", fit.get("subsets")),
        ("standard errors", fit.get("covariance")),
        ("R²", fit.get("r2")),
        ("adjusted R²", fit.get("adjusted_r2")),
        ("residual standard deviation", fit.get("residual_sd")),
        ("R² on the row left out", either("loo_r2", "loo_reason")),
        ("R² on the subset left out", fit.get("subset_r2")),
        ("R² on the source left out", either("loso_r2", "loso_reason")),
        ("R² with the choice of indicators repeated", either("procedure_r2", "procedure_reason")),
        ("condition number", fit.get("condition_number")),
        ("bootstrap resamples", fit.get("draws")),
        ("digest of the observations", fit.get("observations")),
    ]
    return [
        Table(name, "The fit: what one unit of an indicator adds to ln L", ESTIMATES, tuple(rows)),
        facts_table(f"{name}-quality", "How well it predicts", [(key, value) for key, value in facts if value not in (None, "")]),
    ]


def build(page: Page) -> Section | None:
    """Fine-tuned sets, what they score on average, and the loss they came out with."""
    if not page.inputs.studies:
        return None
    sentences: list[str] = []
    parts: list[Part] = []
    for number, study in enumerate(page.inputs.studies, start=1):
        if isinstance(study, Study):
            parts += _runs(study, number)
            if not study.complete:
                sentences.append(f"The study is not complete: {len(study.frame):,} of {counted(study.planned, 'run')} have finished.")
            if not has_indicators(study):
                parts.append(_compositions(study, number))
                continue
        try:
            observations = study.observations if isinstance(study, Study) else study
            symbols = observations.indicators()
        except InstructselError as error:
            sentences.append(f"No observations: {error.message}")
            continue
        parts.append(_observations(observations, symbols, number))
        try:
            parts += _correlations(observations, symbols, number)
        except InstructselError as error:
            sentences.append(f"No correlations: {error.message}")
        try:
            fitted = fitted_rule(observations).summary.as_dict()
            parts += fit_tables(fitted, f"study-{number}-fit")
            sentences.append("The fit takes every indicator; instructsel rules fit chooses among them.")
            sentences += [str(warning.get("text", "")) for warning in fitted.get("warnings") or []]
        except InstructselError as error:
            sentences.append(f"No fit: {error.message}")
    return Section("study", "Study: fine-tuned sets and their loss", tuple(sentences), tuple(parts))


def has_indicators(study: Study) -> bool:
    """Whether a study has scores that a rule can be fitted to; else its subsets differ in the shares of sources alone."""
    if study.manifest.get("indicators") or not len(study.frame):
        return True
    try:
        return bool(study.observations.indicators())
    except InstructselError:
        return False


def fitted_rule(observations: Observations) -> Any:
    """A rule of all indicators, fitted to observations.

    Raises:
        ObservationsError: they do not determine it.
    """
    from instructsel.rules.fit import fit

    return fit(observations, bootstrap=0)


def _runs(study: Study, number: int) -> list[Part]:
    """How many runs there are, and which came to nothing."""
    facts = [("runs planned", study.planned), ("runs finished", len(study.frame)), ("runs failed", len(study.failed))]
    parts: list[Part] = [facts_table(f"study-{number}-facts", "The study", facts)]
    if study.failed:
        columns: tuple[Column, ...] = (Column("subset", "subset"), Column("seed", "seed", "any"), Column("reason", "reason"))
        rows = tuple((failure.subset, failure.seed, failure.reason) for failure in study.failed)
        parts.append(Table(f"study-{number}-failed", "Runs that came to nothing", columns, rows).capped(REASONS, "runs"))
    return parts


def _compositions(study: Study, number: int) -> Table:
    """The runs of a study without indicators: what each was trained on, and what it came out with."""
    names = study.frame.columns
    shares, outcomes = ([name for name in names if name.startswith(prefix)] for prefix in (SHARE, OUTCOME))
    measured = outcomes or ["loss"]
    columns = (
        *(Column(name, name, FORMS[name]) for name in ("subset", "seed", "rows")),
        *(Column(name, f"share of {name.removeprefix(SHARE)}", "share") for name in shares[:ARMS]),
        *(Column(name, name.replace("_", " ", 1), "number") for name in measured[:ARMS]),
        Column("tokens_trained", "loss tokens", "count"),
    )
    rows = tuple(study.frame.select([column.key for column in columns]).rows())
    return Table(f"study-{number}", "Runs: shares of sources, and what came of them", columns, rows).capped(ROWS, "runs")


def _observations(observations: Observations, symbols: Sequence[str], number: int) -> Table:
    there = set(observations.names)
    first = [name for name in ("subset", "design", "seed", "rows") if name in there]
    last = [name for name in ("loss", "log_loss", "n_items", "tokens_trained") if name in there]
    middle = [name for name in symbols if name not in COLUMNS][:ARMS]
    names = [*first, *middle, *last]
    columns = tuple(Column(name, name.replace("_", " ") if name in FORMS else f"mean {name}", FORMS.get(name, "number")) for name in names)
    count = min(len(observations), ROWS)
    values = [[_number(value) if name not in WORDS else value for value in observations.columns[name][:count]] for name in names]
    rows: list[tuple[Any, ...]] = [tuple(row) for row in zip(*values, strict=True)]
    part = f", the first {count:,} of {len(observations):,}" if len(observations) > count else ""
    if not first:
        columns, rows = (Column("row", "row", "any"), *columns), [(number, *row) for number, row in enumerate(rows, start=1)]
    return Table(f"study-{number}", f"Observations{part}", columns, tuple(rows))


def _number(value: Any) -> Any:
    """A cell of observations: those of a CSV are text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return int(number) if number.is_integer() and not isinstance(value, float) else number


def _correlations(observations: Observations, symbols: Sequence[str], number: int) -> list[Part]:
    """Each indicator against ln L, with its line."""
    fits = [fit for fit in univariate(observations, indicators=symbols, bootstrap=0) if fit.design == "all"]
    shown = points(observations, symbols, "log_loss")
    rows = [(fit.indicator, fit.n, fit.pearson, fit.pearson_low, fit.pearson_high, fit.spearman, fit.reason) for fit in fits]
    columns: tuple[Column, ...] = (
        Column("indicator", "indicator"),
        Column("n", "sets", "count"),
        Column("pearson", "Pearson's r with ln L", "signed"),
        Column("low", "95 % interval from", "signed"),
        Column("high", "to", "signed"),
        Column("spearman", "Spearman's", "signed"),
        Column("reason", "why there is none"),
    )
    charts: list[Part] = []
    for chart_number, fit in enumerate(fits[:CHARTS], start=1):
        x, y = shown.indicators[fit.indicator], shown.target
        curve = None
        if fit.line is not None:
            across = np.linspace(float(x.min()), float(x.max()), 25)
            line, low, high = fit.line.at(across)
            curve = {"name": "line, 95 % interval", "x": across.tolist(), "y": line.tolist(), "low": low.tolist(), "high": high.tolist()}
        kind = {"name": "", "x": x[:POINTS].tolist(), "y": y[:POINTS].tolist(), "labels": list(shown.labels[:POINTS])}
        data = {
            "x_label": f"mean {fit.indicator} of the set",
            "y_label": f"ln L (L in {observations.loss_unit})",
            "kinds": [kind],
            "curve": curve,
        }
        charts.append(Chart(f"study-{number}-chart-{chart_number}", "scatter", f"{fit.indicator} and ln L", data))
    return [*charts, Table(f"study-{number}-correlations", "Each indicator alone", columns, tuple(rows))]


__all__ = ["NEEDS", "build", "fit_tables", "fitted_rule"]
