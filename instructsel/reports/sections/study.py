"""The sections of what was measured by training: sizes, verifications, studies, and the fits to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from instructsel.errors import InstructselError
from instructsel.reports.parts import Chart, Column, Form, Part, Section, Table, facts_table, shortened
from instructsel.reports.results import Given, finite
from instructsel.reports.sections.limits import ARMS, CHARTS, POINTS, REASONS, ROWS, WORDS
from instructsel.rules.observations import Observations
from instructsel.rules.univariate import points, univariate
from instructsel.study.study import COLUMNS, Study


def fit_tables(fit: Any, name: str) -> list[Part]:
    """A fit's estimates and how well it predicts."""
    if not isinstance(fit, dict):
        return []
    columns: tuple[Column, ...] = (
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
    keys = [column.key for column in columns[1:]]
    rows = [(each.get("indicator"), *(finite(each.get(key)) for key in keys)) for each in fit.get("estimates") or []]
    facts = [
        ("method", fit.get("method")),
        ("target", fit.get("target")),
        ("observations", fit.get("n")),
        ("different subsets", fit.get("subsets")),
        ("standard errors", fit.get("covariance")),
        ("R²", fit.get("r2")),
        ("adjusted R²", fit.get("adjusted_r2")),
        ("residual standard deviation", fit.get("residual_sd")),
        ("R² on the row left out", fit.get("loo_r2") if fit.get("loo_r2") is not None else fit.get("loo_reason")),
        ("R² on the subset left out", fit.get("subset_r2")),
        ("R² on the source left out", fit.get("loso_r2") if fit.get("loso_r2") is not None else fit.get("loso_reason")),
        (
            "R² with the choice of indicators repeated",
            fit.get("procedure_r2") if fit.get("procedure_r2") is not None else fit.get("procedure_reason"),
        ),
        ("condition number", fit.get("condition_number")),
        ("bootstrap draws", fit.get("draws")),
        ("digest of the observations", fit.get("observations")),
    ]
    return [
        Table(name, "The fit: what one unit of an indicator adds to ln L", columns, tuple(rows)),
        facts_table(f"{name}-quality", "How well it predicts", [(key, value) for key, value in facts if value not in (None, "")]),
    ]


def study_section(given: Given) -> Section | None:
    """Fine-tuned sets, what they score on average, and the loss they came out with."""
    if not given.studies:
        return None
    said: list[str] = []
    parts: list[Part] = []
    for number, study in enumerate(given.studies, start=1):
        if isinstance(study, Study):
            facts = [("runs planned", study.planned), ("runs finished", len(study.frame)), ("runs failed", len(study.failed))]
            parts.append(facts_table(f"study-{number}-facts", "The study", facts))
            if study.failed:
                columns: tuple[Column, ...] = (Column("subset", "subset"), Column("seed", "seed", "any"), Column("reason", "reason"))
                rows = [(each.subset, each.seed, each.reason) for each in study.failed]
                rest = lambda others: (f"{len(others):,} other runs", None, None)  # noqa: E731
                parts.append(Table(f"study-{number}-failed", "Runs that came to nothing", columns, shortened(rows, REASONS, rest)))
            if not study.complete:
                said.append(f"The study is not complete: {len(study.frame):,} of {study.planned:,} runs have finished.")
        try:
            observations = study.observations if isinstance(study, Study) else study
            symbols = observations.indicators()
        except InstructselError as error:
            said.append(f"No observations: {error.message}")
            continue
        parts += _observations(observations, symbols, number)
        try:
            parts += _against_loss(observations, symbols, number)
        except InstructselError as error:
            said.append(f"No correlations: {error.message}")
        try:
            fitted = _fixed(observations)
            parts += fit_tables(fitted, f"study-{number}-fit")
            said.append("The fit takes every indicator; `instructsel rules fit` chooses among them.")
            said += [str(each.get("text", "")) for each in fitted.get("warnings") or []]
        except InstructselError as error:
            said.append(f"No fit: {error.message}")
    return Section("study", "Study: fine-tuned sets and their loss", tuple(said), tuple(parts))


def _fixed(observations: Observations) -> dict[str, Any]:
    from instructsel.rules.fit import fit

    return fit(observations, bootstrap=0).summary.as_dict()


def _observations(observations: Observations, symbols: Sequence[str], number: int) -> list[Part]:
    there = set(observations.names)
    plain: dict[str, Form] = {
        "subset": "text",
        "design": "text",
        "seed": "any",
        "rows": "count",
        "loss": "number",
        "log_loss": "number",
        "n_items": "count",
        "tokens_trained": "count",
    }
    first = [name for name in ("subset", "design", "seed", "rows") if name in there]
    last = [name for name in ("loss", "log_loss", "n_items", "tokens_trained") if name in there]
    middle = [name for name in symbols if name not in COLUMNS][:ARMS]
    names = [*first, *middle, *last]
    columns = tuple(Column(name, name.replace("_", " ") if name in plain else f"mean {name}", plain.get(name, "number")) for name in names)
    count = min(len(observations), ROWS)
    values = [[_number(value) if name not in WORDS else value for value in observations.columns[name][:count]] for name in names]
    rows: list[tuple[Any, ...]] = [tuple(row) for row in zip(*values, strict=True)]
    left = f", the first {count:,} of {len(observations):,}" if len(observations) > count else ""
    if not first:
        columns, rows = (Column("row", "row", "any"), *columns), [(at, *row) for at, row in enumerate(rows, start=1)]
    return [Table(f"study-{number}", f"Observations{left}", columns, tuple(rows))]


def _number(value: Any) -> Any:
    """A cell of observations: those of a CSV are text."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return value
    return int(number) if number.is_integer() and not isinstance(value, float) else number


def _against_loss(observations: Observations, symbols: Sequence[str], number: int) -> list[Part]:
    found = [each for each in univariate(observations, indicators=symbols, bootstrap=0) if each.design == "all"]
    shown = points(observations, symbols, "log_loss")
    rows = [(each.indicator, each.n, each.pearson, each.pearson_low, each.pearson_high, each.spearman, each.reason) for each in found]
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
    for at, each in enumerate(found[:CHARTS], start=1):
        x, y = shown.indicators[each.indicator], shown.target
        curve = None
        if each.line is not None:
            across = np.linspace(float(x.min()), float(x.max()), 25)
            fitted, low, high = each.line.at(across)
            curve = {"name": "line, 95 % interval", "x": across.tolist(), "y": fitted.tolist(), "low": low.tolist(), "high": high.tolist()}
        kind = {"name": "", "x": x[:POINTS].tolist(), "y": y[:POINTS].tolist(), "labels": list(shown.labels[:POINTS])}
        data = {"x_label": f"mean {each.indicator} of the set", "y_label": "ln L", "kinds": [kind], "curve": curve}
        charts.append(Chart(f"study-{number}-chart-{at}", "scatter", f"{each.indicator} and ln L", data))
    return [*charts, Table(f"study-{number}-correlations", "Each indicator alone", columns, tuple(rows))]


__all__ = ["fit_tables", "study_section"]
