"""Section: a search for the number of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.reports.inputs import finite
from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table
from instructsel.reports.sections import Page
from instructsel.reports.sections.limits import POINTS

NEEDS: Final = "a size search"


def build(page: Page) -> Section | None:
    """How many rows to keep, by fine-tunes on several sizes."""
    if not page.inputs.sizes:
        return None
    sentences: list[str] = []
    parts: list[Part] = []
    for number, curve in enumerate(page.inputs.sizes, start=1):
        parts += [_chart(curve, number), _table(curve, number), _facts(curve, number)]
        sentences += [str(curve.get("verdict", "")), *(str(warning) for warning in curve.get("warnings", curve.get("cautions")) or [])]
        sentences.append(f"Do not report the lowest {curve.get('search')}: it is biased downward.")
    return Section("size", "How many rows", tuple(sentences), tuple(parts))


def _unit(curve: Mapping[str, Any]) -> str:
    return f", {curve['unit']}" if curve.get("unit") else ""


def _table(curve: Mapping[str, Any], number: int) -> Table:
    unit, alike = _unit(curve), curve.get("near") or ()
    rows = []
    for point in curve["sizes"]:
        size = point["size"]
        mark = "lowest" if size == curve.get("chosen") else "not distinguishable" if size in alike else ""
        losses = (finite(part.get(key)) for part in (point["search"], point["report"]) for key in ("mean", "low", "high"))
        rows.append((size, point["rows"], *losses, mark))
    columns: tuple[Column, ...] = (
        Column("size", "size", "count"),
        Column("rows", "rows", "count"),
        Column("search", f"{curve.get('search')}{unit}", "number"),
        Column("search_low", "95 % interval from", "number"),
        Column("search_high", "to", "number"),
        Column("report", f"{curve.get('report')}{unit}", "number"),
        Column("report_low", "95 % interval from", "number"),
        Column("report_high", "to", "number"),
        Column("mark", ""),
    )
    return Table(f"size-{number}", "Sizes, mean over seeds", columns, tuple(rows))


def _chart(curve: Mapping[str, Any], number: int) -> Chart:
    tunes, sizes = curve["fine_tunes"][:POINTS], curve["sizes"]
    known = all(point["search"].get("low") is not None for point in sizes)
    points = {
        "name": "",
        "x": [tune["size"] for tune in tunes],
        "y": [tune["search_loss"] for tune in tunes],
        "labels": [f"{tune['size']:,} rows, seed {tune['seed']}" for tune in tunes],
    }
    mean = {
        "name": "mean, 95 % interval",
        "x": [point["size"] for point in sizes],
        **{key: [point["search"][part] for point in sizes] for key, part in (("y", "mean"), ("low", "low"), ("high", "high"))},
    }
    data = {
        "x_label": "rows",
        "y_label": f"{curve.get('search')}{_unit(curve)}",
        "kinds": [points],
        "curve": mean if known and len(sizes) > 1 else None,
    }
    return Chart(f"size-{number}-chart", "scatter", f"{curve.get('search')} by size of the selection", data)


def _facts(curve: Mapping[str, Any], number: int) -> Table:
    facts: list[tuple[str, Any]] = [
        # A folder of finished fine-tunes may hold those of several searches.
        *([("how sizes were chosen", curve["method"])] if curve.get("method") else []),
        ("seeds", len(curve.get("seeds") or [])),
        ("noise of one fine-tune", finite(curve.get("noise"))),
        ("differences up to this are noise", finite(curve.get("margin"))),
        ("size to take", curve.get("smallest_near")),
    ]
    return facts_table(f"size-{number}-facts", "What can be distinguished", facts)


__all__ = ["NEEDS", "build"]
