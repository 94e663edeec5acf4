"""What `score` prints: the forecast of a dry run, a line an indicator, notes, and the command to run next."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from instructsel.errors import UnknownIndicator
from instructsel.indicators import registry
from instructsel.indicators.base import Indicator
from instructsel.models.runner import RunReport
from instructsel.rules import catalog
from instructsel.rules.collinearity import collinearity, warnings
from instructsel.scores.estimate import Estimate
from instructsel.scores.table import ScoreTable
from instructsel.selection.settings import MAX_BAD_FRACTION
from instructsel.text import aligned, counted


def forecast(estimates: list[Estimate], examples: int) -> list[str]:
    """What a run would take."""
    rows = []
    downloads: dict[str, list[str]] = {}
    for estimate in estimates:
        seconds = "not measured"
        if estimate.seconds is not None:
            expected, low, high = map(_span, estimate.seconds)
            seconds = f"{expected} ({low} to {high})"
        if estimate.download:
            size = "size unknown here" if estimate.download_bytes is None else f"{estimate.download_bytes / 1e9:.1f} GB"
            downloads.setdefault(f"{estimate.download} ({size})", []).append(estimate.symbol)
        rows.append(
            [
                estimate.symbol,
                f"{estimate.examples:,}",
                f"{estimate.cached:,}",
                "" if estimate.tokens is None else f"{estimate.tokens:,}",
                seconds,
                "" if estimate.memory is None else f"{estimate.memory / 1e9:.1f} GB",
                "" if estimate.padding_share is None else f"{estimate.padding_share:.0%}",
            ]
        )
    header = ["", "to score", "cached", "tokens", "time (95% interval)", "memory", "padding"]
    lines = [f"dry run over {counted(examples, 'example')}; nothing is scored", *aligned(rows, header=header, right=(1, 2, 3, 5, 6))]
    lines += [f"download: {model} for {', '.join(symbols)}" for model, symbols in downloads.items()] or ["no downloads"]
    lines += sorted({f"note: {estimate.symbol}: {estimate.note}" for estimate in estimates if estimate.note})
    measured = [estimate.seconds for estimate in estimates if estimate.seconds is not None]
    if measured:
        expected, low, high = (_span(sum(part)) for part in zip(*measured, strict=True))
        unmeasured = [estimate.symbol for estimate in estimates if estimate.seconds is None]
        without = f", without {', '.join(unmeasured)}, which {'was' if len(unmeasured) == 1 else 'were'} not measured" if unmeasured else ""
        lines.append(f"all indicators{without}: about {expected} ({low} to {high}) on this machine under its present load")
    return lines


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def summary(table: ScoreTable, seconds: dict[str, float], *, symbols: tuple[str, ...] | None = None) -> list[str]:
    """A line an indicator, of all or of these: nulls, truncated examples, quantiles, seconds; then the reasons of the nulls."""
    rows, reasons = [], []
    for symbol in symbols or table.symbols:
        values, valid = table.values(symbol)
        entry = table.manifest["indicators"][symbol]
        nulls = table.null_counts(symbol)
        if nulls:
            reasons.append(f"{symbol} is null: " + ", ".join(f"{reason} {count:,}" for reason, count in nulls.items()))
        quantiles = [f"{value:.4g}" for value in np.quantile(values[valid], [0.05, 0.5, 0.95])] if valid.any() else ["", "", ""]
        rows.append(
            [
                symbol,
                f"{int(valid.sum()):,}",
                f"{sum(nulls.values()):,}",
                f"{entry.get('truncated', 0):,}",
                *quantiles,
                f"{seconds.get(symbol, 0.0):.1f}",
            ]
        )
    heads = ["", "scored", "null", "examples truncated", "5%", "median", "95%", "seconds"]
    caption = "5%, median and 95% are quantiles over the scored examples"
    return [*aligned(rows, header=heads, right=range(1, len(heads))), caption, *reasons]


def cached(table: ScoreTable, reports: dict[str, RunReport]) -> list[str]:
    """A line where no model was asked, because all its outputs were known; what was asked stands in the manifest."""
    asking = [symbol for symbol in table.symbols if _kind(symbol).asks_model and table.null_fraction(symbol) < 1]
    return ["all model outputs were in the cache"] if asking and not any(report.batches for report in reports.values()) else []


def notices(table: ScoreTable, symbols: Sequence[str], pools: Sequence[str] = ()) -> list[str]:
    """What a reader must know of these scores.

    Args:
        table: the scores.
        symbols: the columns of this run; of columns that stood there before it was said when they were scored.
        pools: the pool files, for the commands that notes name; POOL stands for them where they are not known.
    """
    notes = []
    for symbol in symbols:
        entry = table.manifest["indicators"][symbol]
        kind = _kind(symbol)
        again = f"instructsel score {shlex.join(pools) or 'POOL'}"
        notes += [
            f"note: {line.replace('instructsel score POOL', again)}" for line in kind.warnings(symbol, table.null_counts(symbol), entry)
        ]
        if kind.nearly in table.symbols:
            columns = {name: table.values(name) for name in (kind.nearly, symbol)}
            both = columns[kind.nearly][1] & columns[symbol][1]
            notes += warnings(collinearity({name: values[both] for name, (values, _) in columns.items()}))[:1]
    if table.manifest["pool"]["account"]["quarantined"]:
        notes.append("note: some rows were quarantined; select refuses when they are more than --max-bad-fraction.")
    return notes


def _kind(symbol: str) -> type[Indicator]:
    """The class of a column's indicator; what every indicator says where a plug-in's is not installed here."""
    try:
        return registry.kind_of(symbol)
    except UnknownIndicator:
        return Indicator


def next_command(table: ScoreTable, target: Path, rule: str | None, added: Sequence[str] = ()) -> str:
    """The command that selects by these scores: by the rule they were made for, by an imported column of this run (`added`), or by the
    first rule that they suffice for."""
    scored = {symbol for symbol in table.symbols if table.null_fraction(symbol) < 1}
    usable = next((name for name in (*([rule] if rule else []), *catalog.names()) if set(catalog.load(name).indicators) <= scored), None)
    budget = min(2000, max(1, len(table) // 10))
    beginning = f"next: instructsel select {shlex.quote(str(target))}"
    report = table.manifest["pool"]["account"]
    bad, read = sum(report["quarantined"].values()), report["read"]
    if read and bad / read > MAX_BAD_FRACTION:
        return (
            f"next: repair the {bad:,} of {counted(read, 'row')} that were quarantined and score again: "
            f"select refuses more than {MAX_BAD_FRACTION:.0%}; --max-bad-fraction raises that"
        )
    imported = next((name for name in added if name in scored and (table.manifest["indicators"].get(name) or {}).get("imported")), None)
    if imported is not None and rule is None:
        key, remark = _by_imported(table, imported)
        return f"{beginning} --by {shlex.quote(key)} --n {budget}{remark}"
    if usable is not None:
        return f"{beginning} --rule {shlex.quote(usable)} --n {budget}"
    if not scored:
        return "next: instructsel rules list (the rules, and the indicators that each of them needs)"
    symbol = next(name for name in table.symbols if name in scored)
    return f"{beginning} --by {symbol} --n {budget}"


def _by_imported(table: ScoreTable, symbol: str) -> tuple[str, str]:
    """How to rank by an imported column, and a remark where nobody said which values are better."""
    direction = table.manifest["indicators"][symbol]["imported"].get("direction")
    if direction == "lower":
        return symbol, ""
    return f"-{symbol}", "" if direction else f" (the highest first; --by {symbol} is the lowest first)"
