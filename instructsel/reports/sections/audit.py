"""Section: what a trainer would train on, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from instructsel.reports.parts import Column, Part, Section, Table, facts_table
from instructsel.reports.sections import Page
from instructsel.text import counted

NEEDS: Final = "an audit"
SOURCES: Final = 40
"""Sources in a table."""
PLACES: Final = 5
"""Rows that a finding names."""


def build(page: Page) -> Section | None:
    """Findings with their first rows, causes and fixes; tokens, steps and cost; the same by source."""
    if not page.inputs.audits:
        return None
    parts: list[Part] = []
    for number, record in enumerate(page.inputs.audits, start=1):
        named = f" with {record['base']}"
        parts += [*_findings(record, number, named), facts_table(f"audit-{number}-figures", f"Figures{named}", _figures(record))]
        if len(record["totals"]["sources"]) > 1:
            parts.append(_sources(record, number, named))
    return Section("audit", "What would be trained on", (), tuple(parts))


def summary(record: Mapping[str, Any]) -> Iterator[str]:
    """An audit in sentences: how many rows are trained on, and its errors and warnings."""
    totals, findings = record["totals"], record["findings"]
    yield (
        f"{record['base']} would be trained on {totals['trained_rows']:,} of {counted(totals['rows'], 'row')}: "
        f"{totals['tokens']:,} tokens an epoch, {totals['loss_tokens']:,} of them with loss, in {counted(totals['steps'], 'step')}."
    )
    alarms = {noun: [finding for finding in findings if finding["severity"] == noun] for noun in ("error", "warning")}
    if not any(alarms.values()):
        yield "The audit found no error and no warning."
    for noun, mine in alarms.items():
        if mine:
            named = ", ".join(f"{finding['kind']} ({_count(finding)})" for finding in mine)
            yield f"{counted(len(mine), noun).capitalize()}: {named}."


def _count(finding: Mapping[str, Any]) -> str:
    return counted(finding["count"], "row") if finding["unit"] == "row" else str(finding["unit"])


def _findings(record: Mapping[str, Any], number: int, named: str) -> Sequence[Part]:
    rows = tuple(
        (
            finding["kind"],
            finding["severity"],
            _count(finding),
            finding["cause"] + (f" ({finding['detail']})" if finding.get("detail") else ""),
            finding["fix"],
            ", ".join(finding.get("rows", ())[:PLACES]),
        )
        for finding in record["findings"]
    )
    columns = (
        Column("kind", "finding"),
        Column("severity", "severity"),
        Column("count", "of"),
        Column("cause", "what it is", "prose"),
        Column("fix", "what to do", "prose"),
        Column("rows", "first rows", "code"),
    )
    return [Table(f"audit-{number}-findings", f"Findings{named}", columns, rows)] if rows else []


def _figures(record: Mapping[str, Any]) -> list[tuple[str, Any]]:
    totals, settings = record["totals"], record["settings"]
    facts: list[tuple[str, Any]] = [
        ("loss on", settings["loss"]),
        ("tokens and loss tokens of", settings["trainer"]),
        ("max_length", settings["max_length"]),
        ("packing", settings["packing"] or "none"),
        ("batch size", settings["batch_size"]),
        ("epochs", settings["epochs"]),
        ("rows", totals["rows"]),
        ("rows trained on", totals["trained_rows"]),
        ("tokens of an epoch", totals["tokens"]),
        ("loss tokens of an epoch", totals["loss_tokens"]),
        ("rows that are cut off", totals["truncated"]),
        ("tokens that are cut off", totals["cut_tokens"]),
        ("longest row, in tokens", totals["longest"]),
        ("rows or packed sequences of an epoch", totals["sequences"]),
        ("share of the packed sequences that is filled", totals["packing_efficiency"]),
        ("share of padding in what is computed", totals["padding_fraction"] if not settings["packing"] else None),
        ("steps", totals["steps"]),
        ("tokens a step", totals["tokens_per_step"]),
        ("loss tokens a step", totals["loss_tokens_per_step"]),
        ("weights of the base", totals["parameters"]),
        ("floating-point operations", totals["flops"]),
    ]
    return [(name, value) for name, value in facts if value is not None]


def _sources(record: Mapping[str, Any], number: int, named: str) -> Table:
    keys = ("rows", "trained_rows", "tokens", "loss_tokens", "truncated")
    labels = ("rows", "trained on", "tokens", "loss tokens", "cut off")
    columns = (Column("source", "source"), *(Column(key, label, "count") for key, label in zip(keys, labels, strict=True)))
    rows = tuple((source["source"], *(source[key] for key in keys)) for source in record["totals"]["sources"])
    return Table(f"audit-{number}-sources", f"Sources{named}", columns, rows).capped(SOURCES, "sources", sums=keys)


__all__ = ["NEEDS", "build", "summary"]
