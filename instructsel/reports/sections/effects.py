"""Section: what each source adds to each outcome, as a heat map and a table with every interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from instructsel.reports.inputs import finite
from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table
from instructsel.reports.sections import Page

NEEDS: Final = "an effect matrix"
UNCERTAIN: Final = ("uncertain", "unknown")
DIGITS: Final = 2
"""Figures of an interval's half width that are written."""


def build(page: Page) -> Section | None:
    """Sources against outcomes: every effect with its interval, and whether one source is best everywhere."""
    if not page.inputs.effects:
        return None
    sentences: list[str] = []
    parts: list[Part] = []
    for number, matrix in enumerate(page.inputs.effects, start=1):
        sentences += [str(matrix["verdict"]), meaning(matrix), multiplicity(matrix), *(str(note) for note in matrix.get("notes") or [])]
        parts += [
            Chart(f"effects-{number}-map", "heat_map", title(matrix), chart_data(matrix)),
            _cells(matrix, number),
            _outcomes(matrix, number),
            _facts(matrix, number),
        ]
    return Section("effects", "What each source adds", tuple(dict.fromkeys(sentences)), tuple(parts))


def title(matrix: Mapping[str, Any]) -> str:
    """What the matrix shows."""
    if matrix["against"] == "untouched":
        return "What training on each source changes"
    return "What each source contributes to the whole" if matrix["design"] == "leave-one" else "What each source adds"


def meaning(matrix: Mapping[str, Any]) -> str:
    """What an effect is, in a sentence."""
    settings = matrix.get("settings") or {}
    rows, added = settings.get("rows"), settings.get("add_rows")
    equal = ", all arms of equal rows" if settings.get("equal_rows") else ""
    if matrix["against"] == "whole":
        return f"An effect is the outcome of all sources ({rows:,} rows) less that of all but one{equal}; below 0 a loss is better with the source."
    if matrix["against"] == "untouched":
        instead = (
            f"{added:,} of the base's {rows:,} rows are the source's"
            if equal
            else f"the base of {rows:,} rows with {added:,} rows of the source"
        )
        return f"An effect is the outcome of {'the base where ' if equal else ''}{instead}, less that of the model before any training; below 0 a loss is better after it."
    base = f"the base's {rows:,} rows" if matrix["against"] == "base" else f"the base with {added:,} more rows of its own"
    return f"An effect is the outcome of the base with {added:,} rows of the source less that of {base}{equal}; below 0 a loss is better with it."


def multiplicity(matrix: Mapping[str, Any]) -> str:
    """How many comparisons there are, and what was done about it."""
    level = f"{matrix['confidence']:.0%}"
    over = "new items and new runs" if matrix["generalize_to"] == "both" else "new runs on these items"
    return (
        f"Intervals are {level} each, for {over}; of {matrix['comparisons']} cells some would leave out 0 by chance, and those that survive "
        "Holm's correction over all cells are framed."
    )


def chart_data(matrix: Mapping[str, Any]) -> dict[str, Any]:
    """What the heat map is drawn from, as plain data."""
    outcomes = {outcome["name"]: outcome for outcome in matrix["outcomes"]}
    rows = list(dict.fromkeys(cell["source"] for cell in matrix["cells"]))
    best = matrix.get("times_best") or {}
    of_unit: dict[str, list[float]] = {}
    for cell in matrix["cells"]:
        if (estimate := finite(cell["estimate"])) is not None:
            of_unit.setdefault(outcomes[cell["outcome"]]["unit"], []).append(abs(estimate))
    ends = {unit: max(sizes) or 1.0 for unit, sizes in of_unit.items()}
    cells = []
    for cell in matrix["cells"]:
        outcome = outcomes[cell["outcome"]]
        estimate, low, high = (finite(cell[key]) for key in ("estimate", "low", "high"))
        sign = 1.0 if outcome["higher_is_better"] else -1.0
        half = None if low is None or high is None else (high - low) / 2
        places = decimals(matrix, cell["outcome"])
        cells.append(
            {
                "row": cell["source"],
                "column": cell["outcome"],
                # By the square root: one large effect is not to hide all others.
                "share": 0.0 if estimate is None else math.copysign(math.sqrt(abs(estimate) / ends[outcome["unit"]]), sign * estimate),
                "figure": "" if estimate is None else f"{estimate:+.{places}f}",
                "interval": "no interval" if half is None else f"± {half:.{places}f}",
                "is_uncertain": cell["standing"] in UNCERTAIN,
                "is_framed": bool(cell["survives"]),
                "tooltip": _tooltip(cell, outcome),
            }
        )
    scale = "; ".join(f"{end:.3g} {unit}" for unit, end in ends.items()) + ", by the square root"
    of_all = len(outcomes)
    marks = {source: f"best on {count} of {of_all}" for source, count in best.items()}
    legend = {"scale": scale, "framed": "told from 0, all cells counted", "rows": "sources", "columns": "outcomes"}
    return {"rows": rows, "columns": list(outcomes), "cells": cells, "legend": legend, "marks": marks}


def decimals(matrix: Mapping[str, Any], outcome: str) -> int:
    """Places behind the point that show two figures of the narrowest interval of an outcome, or of the smallest effect without one."""
    cells = [cell for cell in matrix["cells"] if cell["outcome"] == outcome]
    sizes = [(high - low) / 2 for cell in cells if (low := finite(cell["low"])) is not None and (high := finite(cell["high"])) is not None]
    sizes = sizes or [abs(estimate) for cell in cells if (estimate := finite(cell["estimate"]))]
    smallest = min((size for size in sizes if size > 0), default=1.0)
    places = DIGITS - 1
    while smallest < 1 and places < 8:
        smallest *= 10
        places += 1
    return places


def _tooltip(cell: Mapping[str, Any], outcome: Mapping[str, Any]) -> str:
    if finite(cell["low"]) is None:
        return f"{cell['source']}, {outcome['name']}: {cell.get('reason') or 'no interval'}"
    p = finite(cell["p_adjusted"])
    adjusted = "" if p is None else f", p {p:.3g} with all cells counted"
    return (
        f"{cell['source']}, {outcome['name']}: {cell['estimate']:.4g} [{cell['low']:.4g}, {cell['high']:.4g}] {outcome['unit']}{adjusted}"
    )


def _cells(matrix: Mapping[str, Any], number: int) -> Table:
    rows = tuple(
        (
            cell["source"],
            cell["outcome"],
            *(finite(cell[key]) for key in ("estimate", "low", "high", "p", "p_adjusted")),
            cell["replicates"],
            cell["standing"] + (", survives" if cell["survives"] else ""),
        )
        for cell in matrix["cells"]
    )
    columns: tuple[Column, ...] = (
        Column("source", "source"),
        Column("outcome", "outcome"),
        Column("estimate", "effect", "signed"),
        Column("low", f"{matrix['confidence']:.0%} interval from", "signed"),
        Column("high", "to", "signed"),
        Column("p", "p", "p"),
        Column("p_adjusted", "p, all cells counted", "p"),
        Column("replicates", "replicates", "count"),
        Column("standing", ""),
    )
    return Table(f"effects-{number}", "Every effect", columns, rows)


def _outcomes(matrix: Mapping[str, Any], number: int) -> Table:
    is_untouched = matrix["against"] == "untouched"
    rows = tuple(
        (
            outcome["name"],
            outcome["unit"],
            outcome["n_items"],
            finite(outcome["untouched"]),
            *([] if is_untouched else [finite(outcome["baseline"])]),
            outcome["best"],
            ", ".join(outcome["may_be_best"]) or None,
        )
        for outcome in matrix["outcomes"]
    )
    columns: tuple[Column, ...] = (
        Column("outcome", "outcome"),
        Column("unit", "unit"),
        Column("items", "items", "count"),
        Column("untouched", "untouched model", "number"),
        *([] if is_untouched else [Column("baseline", f"the {matrix['against']}", "number")]),
        Column("best", "best estimate"),
        Column("may_be_best", "may be best"),
    )
    return Table(f"effects-{number}-outcomes", "Which source is best, outcome by outcome", columns, rows)


def _facts(matrix: Mapping[str, Any], number: int) -> Table:
    finished, planned = matrix["runs"]
    settings = matrix.get("settings") or {}
    facts: list[tuple[str, Any]] = [
        ("design", matrix["design"]),
        ("runs finished, of those planned", f"{finished:,} of {planned:,}"),
        ("replicates planned", matrix["replicates"]),
        ("rows of the base or the whole", settings.get("rows")),
        ("rows added", settings.get("add_rows")),
        ("sources of the base", ", ".join(settings.get("base") or []) or None),
        ("arms of equal rows", settings.get("equal_rows")),
        *((f"{source} is best on", f"{count} of {len(matrix['outcomes'])} outcomes") for source, count in matrix["times_best"].items()),
    ]
    return facts_table(f"effects-{number}-facts", "The design", [(key, value) for key, value in facts if value is not None])


__all__ = ["NEEDS", "build", "chart_data", "decimals", "meaning", "multiplicity", "title"]
