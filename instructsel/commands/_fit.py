"""instructsel rules fit: a rule of one's own from fine-tuned sets."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import typer

from instructsel.artifact import atomic_write, check_outputs
from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.errors import EnvironmentFault, InstructselError, UsageError
from instructsel.experiments.limits import LARGEST_SEED, MOST_DRAWS
from instructsel.reports.charts import STEPS, Curve, Series, scatter
from instructsel.rules import catalog
from instructsel.rules.fit import Fitted, equation, fit, unit
from instructsel.rules.linear import LinearRule
from instructsel.rules.observations import Observations
from instructsel.rules.summary import FitSummary
from instructsel.rules.univariate import ALL, Correlation, Points, points, univariate
from instructsel.text import aligned, counted

EXAMPLES: Final = """Examples:
  instructsel rules fit examples/study.csv --method backward -o /tmp/my.toml
  instructsel rules fit examples/study.csv --indicators len,rew,knn_6 --charts /tmp/charts
"""

FIT: Final = "What is fitted"
UNNAMED: Final = "fitted"
"""The name of a rule that goes into no file."""
DESIGNS: Final = {"mixture": "mixtures", "bin": "bins"}


@reported
def command(
    study: Annotated[Path, typer.Argument(metavar="STUDY", help="A table of observations: .parquet, .csv or .jsonl.")],
    output: Annotated[
        Path | None,
        typer.Option("-o", "--output", help="The rule file (.toml) to write; - writes it to stdout.", rich_help_panel=options.OUTPUT),
    ] = None,
    name: Annotated[str | None, typer.Option(help="The rule's name; by default that of its file.", rich_help_panel=options.OUTPUT)] = None,
    charts: Annotated[
        Path | None, typer.Option(help="Folder for one chart (SVG) for each indicator.", rich_help_panel=options.OUTPUT)
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that is not a rule file.", rich_help_panel=options.OUTPUT)
    ] = False,
    method: Annotated[
        str, typer.Option(help="fixed takes all indicators; backward or best-subset choose among them.", rich_help_panel=FIT)
    ] = "fixed",
    indicators: Annotated[
        str | None,
        typer.Option(
            help="Columns to fit, comma-separated; by default those that hold indicators.",
            rich_help_panel=FIT,
        ),
    ] = None,
    target: Annotated[
        str, typer.Option(help="The natural logarithm fitted: a column, or log_ and a column of losses.", rich_help_panel=FIT)
    ] = "log_loss",
    design: Annotated[
        str | None, typer.Option(help="Fit only the rows whose column design says this, e.g. mixture.", rich_help_panel=FIT)
    ] = None,
    cluster: Annotated[
        str,
        typer.Option(
            help="Standard errors by subset: auto where a subset has several rows, subset always, none never.",
            rich_help_panel=options.STATISTICS,
        ),
    ] = "auto",
    bootstrap: Annotated[
        int,
        typer.Option(min=0, max=MOST_DRAWS, help="Bootstrap resamples for the intervals; 0 for none.", rich_help_panel=options.STATISTICS),
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="Seed of the bootstrap.", rich_help_panel=options.STATISTICS)] = 0,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Fit a rule to fine-tuned sets: least squares of ln L on their indicator means, with intervals and warnings."""
    streamed = str(output) == "-"
    if streamed and json:
        raise UsageError("-o - writes the rule to stdout; --json does too.", fix="Name a file with -o.")
    if output is not None and not streamed and output.suffix != ".toml":
        raise UsageError(f"{output} does not end in .toml.", fix="Give the rule file this ending.")
    if output is not None and not streamed:
        _check_output(output, study, force=force)
    observations = Observations.read(study)
    wanted = None if indicators is None else [part.strip() for part in indicators.split(",") if part.strip()]
    fitted = fit(
        observations,
        method=method,
        indicators=wanted,
        target=target,
        design=design,
        cluster=cluster,
        bootstrap=bootstrap,
        seed=seed,
    )
    rule = fitted.rule(name or (output.stem if output is not None and not streamed else UNNAMED))
    alone = univariate(observations, indicators=fitted.candidates, target=target, bootstrap=bootstrap, seed=seed)
    drawn = _write_charts(charts, observations, fitted, alone) if charts else []
    if output is not None and not streamed:
        rule.write(output)
    if streamed:
        sys.stdout.write(rule.to_toml())
    elif json:
        record = {"rule": rule.as_dict(), "univariate": [part.as_dict() for part in alone], "charts": [str(path) for path in drawn]}
        write_json(record)
    if not json:
        printed = [*lines(fitted.summary, rule.name), "", *_alone(alone)]
        for line in printed:
            if streamed:
                say(line, quiet=quiet)
            else:
                display(line)
    for caution in fitted.summary.warnings:
        say(f"warning: {caution.text}", quiet=quiet)
    for path in drawn:
        say(f"wrote {path}", quiet=quiet)
    if output is not None and not streamed:
        say(f"wrote {output}; rank with it: instructsel select --rule {output} --n N", quiet=quiet)


def _check_output(output: Path, study: Path, *, force: bool) -> None:
    """Refuse, before any work, a rule file that cannot be written or would replace something else."""
    check_outputs([output], [study])
    if force or not output.exists() or output.stat().st_size == 0:
        return
    try:
        catalog.load(output)
    except InstructselError as error:
        raise UsageError(
            f"{output} exists and is not a rule file of instructsel.", fix="Name another file with -o, or replace it with --force."
        ) from error


def lines(summary: FitSummary, name: str) -> list[str]:
    """A fit as lines for people, without its warnings."""
    sets = counted(summary.n, "observation") + (
        f" of {counted(summary.subsets or 0, 'subset')}" if summary.subsets not in (None, summary.n) else ""
    )
    chosen = f", chosen among {', '.join(entry.indicator for entry in summary.candidates)}" if summary.candidates else ""
    frequency = {entry.indicator: entry.frequency for entry in summary.candidates}
    tests = [
        [
            entry.indicator,
            f"{entry.weight:.4g}",
            f"{entry.se:.2g}",
            _figure(entry.t, ".2f"),
            _p(entry.p),
            _interval(entry.low, entry.high),
        ]
        for entry in summary.estimates
    ]
    ranges = [
        [
            entry.indicator,
            _interval(entry.bootstrap_low, entry.bootstrap_high),
            _figure(entry.vif, ",.2f"),
            _interval(entry.least, entry.greatest),
            _figure(frequency.get(entry.indicator), ".0%"),
        ]
        for entry in summary.estimates
    ]
    printed = [
        f"{name}: {summary.method} fit of {summary.target} on {sets}{chosen}",
        equation(summary),
        "",
        *_without_empty(tests, ["", "weight", "SE", "t", "p", "95% interval"]),
        "",
        *_without_empty(ranges, ["", "bootstrap 95%", "VIF", "fitted range", "chosen in"]),
        "",
        f"standard errors {summary.covariance}, {summary.df} {'degree' if summary.df == 1 else 'degrees'} of freedom"
        + (f"; {summary.draws:,} bootstrap resamples, seed {summary.seed}" if summary.draws else "; no bootstrap"),
        f"R² {summary.r2:.3f}, adjusted {summary.adjusted_r2:.3f}, residual SD {summary.residual_sd:.4g}",
        f"cross-validated R²: leaving out one row {_or(summary.loo_r2, summary.loo_reason)}"
        + (f", one subset {summary.subset_r2:.3f}" if summary.subset_r2 is not None else "")
        + (f", one row with the choice repeated {_or(summary.procedure_r2, summary.procedure_reason)}" if summary.candidates else "")
        + f", one source {_or(summary.loso_r2, summary.loso_reason)}",
        f"condition number of the standardised indicators {summary.condition_number:.2f}",
    ]
    if summary.candidates:
        left = [
            f"{entry.indicator} ({_figure(entry.frequency, '.0%') or 'no bootstrap'})" for entry in summary.candidates if not entry.chosen
        ]
        printed.append(f"not chosen (share of resamples that choose it): {', '.join(left) or 'none'}")
    printed += [
        f"sign of {entry.indicator}: {'as in' if entry.agrees else 'opposite to'} {entry.rule} ({entry.published:+g})"
        + ("" if entry.certain else "; the interval holds 0")
        for entry in summary.signs
    ]
    return printed


def _without_empty(rows: Sequence[Sequence[str]], header: Sequence[str]) -> list[str]:
    """A table of figures without the columns that hold none."""
    filled = [column for column in range(len(header)) if column == 0 or any(row[column] for row in rows)]
    table = [[row[column] for column in filled] for row in rows]
    return aligned(table, header=[header[column] for column in filled], right=range(1, len(filled))) if rows else []


def doubts(rule: LinearRule) -> list[str]:
    """The fit of a rule as lines, with its warnings; nothing for a rule that was not fitted here."""
    if rule.fit is None:
        return []
    return ["", *lines(rule.fit, rule.name), *(f"warning: {caution.text}" for caution in rule.fit.warnings)]


def _alone(correlations: Sequence[Correlation]) -> list[str]:
    rows = [
        [
            entry.indicator,
            entry.design,
            f"{entry.n}",
            _figure(entry.pearson, "+.3f"),
            _interval(entry.pearson_low, entry.pearson_high, "+.2f"),
            _figure(entry.spearman, "+.3f"),
            _interval(entry.spearman_low, entry.spearman_high, "+.2f"),
            entry.reason or "",
        ]
        for entry in correlations
    ]
    header = ["alone", "design", "n", "Pearson", "95% interval", "Spearman", "95% interval", ""]
    return aligned(rows, header=header, right=range(2, 7))


def _write_charts(folder: Path, observations: Observations, fitted: Fitted, alone: Sequence[Correlation]) -> list[Path]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(
            f"Cannot make the folder {folder}: {error.strerror or error}.", fix="Choose another with --charts."
        ) from error
    target = fitted.summary.target
    shown = points(observations, fitted.candidates, target)
    label = {entry.indicator: entry for entry in alone if entry.design == ALL}
    written = []
    for symbol in fitted.candidates:
        path = folder / f"{_file_name(symbol)}.svg"
        with atomic_write(path) as file:
            file.write(_chart(symbol, shown, label[symbol], observations, target).encode())
        written.append(path)
    return written


def _chart(symbol: str, shown: Points, correlation: Correlation, observations: Observations, target: str) -> str:
    x = shown.indicators[symbol]
    known = shown.designs is not None and set(shown.designs) <= set(DESIGNS)
    kinds = [kind for kind in DESIGNS if known and kind in (shown.designs or ())] or [ALL]
    series = [
        Series(
            name=f"{DESIGNS[kind]} ({int(shown.of(kind).sum())})" if kind != ALL else "",
            x=x[shown.of(kind)],
            y=shown.target[shown.of(kind)],
            labels=[label for label, inside in zip(shown.labels, shown.of(kind), strict=True) if inside],
        )
        for kind in kinds
    ]
    curve = None
    if correlation.line is not None:
        free = float(np.ptp(x)) * 0.05
        index = np.linspace(float(x.min()) - free, float(x.max()) + free, STEPS)
        curve = Curve("line through all, 95% interval", index, *correlation.line.at(index))
    measured = unit(symbol, observations.fingerprints([symbol]).get(symbol))
    r = (
        ""
        if correlation.pearson is None
        else f", r {correlation.pearson:+.2f} {_interval(correlation.pearson_low, correlation.pearson_high, '+.2f')}"
    )
    loss = f"ln L (L in {observations.loss_unit})" if target == "log_loss" else f"{target} (natural logarithm)"
    return scatter(
        series,
        curve,
        title=f"{symbol} and ln L, {len(x)} sets{r.rstrip().replace('-', '−')}",
        x_label=f"mean {symbol} of the set" + (f" ({measured})" if measured else ""),
        y_label=loss,
    )


def _file_name(symbol: str) -> str:
    return "".join(sign if sign.isalnum() or sign in "_-" else "_" for sign in symbol) or "indicator"


def _figure(number: float | None, form: str) -> str:
    return "" if number is None else format(number, form)


def _interval(low: float | None, high: float | None, form: str = ".4g") -> str:
    return "" if low is None or high is None else f"[{low:{form}}, {high:{form}}]"


def _or(number: float | None, reason: str | None) -> str:
    return f"unknown ({reason})" if number is None else f"{number:.3f}"


def _p(p: float | None) -> str:
    return "" if p is None else "<0.0001" if p < 0.0001 else f"{p:.4f}"


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
