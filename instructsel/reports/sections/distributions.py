"""Section: the distribution of each indicator, in the pool and in the selection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from instructsel.reports.inputs import ReportInputs
from instructsel.reports.measures import Binned, average_of, binned, edges_of, median_of, place, together
from instructsel.reports.parts import Chart, Column, Part, Section, Table
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import CHARTS, contribution_columns, kept_mask, unit_of, values_and_mask
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.selection import CONTRIBUTION
from instructsel.stats.correlation import Floats, Mask, mean_of

NEEDS: Final = "scores"
BINS: Final = "Bins lie between the 0.5 % and the 99.5 % quantile of the pool; the shares outside are in the table."
QUANTILE: Final = " The quantile of a median is its place among the pool's values: 50 % is no shift."
COLUMNS: Final = (
    Column("indicator", "indicator"),
    Column("unit", "unit"),
    Column("n", "values", "count"),
    Column("mean_pool", "mean, pool", "number"),
    Column("mean_selected", "mean, selected", "number"),
    Column("mean_random", "mean, random", "number"),
    Column("median_pool", "median, pool", "number"),
    Column("median_selected", "median, selected", "number"),
    Column("median_random", "median, random", "number"),
    Column("quantile_selected", "quantile of the selected median", "share"),
    Column("quantile_random", "quantile of the random median", "share"),
    Column("outside_pool", "outside the bins, pool", "share"),
    Column("outside_selected", "outside the bins, selected", "share"),
)


def build(page: Page) -> Section | None:
    """Pool, selection and random subsets on common bins."""
    inputs = page.inputs
    columns = list(indicator_values(inputs))
    if not columns:
        return None
    is_kept = None if inputs.selection is None else kept_mask(inputs.selection)
    subsets = [kept_mask(baseline) for baseline in inputs.baselines if baseline.baseline == RANDOM]
    sentences = []
    if inputs.selection is not None and not subsets:
        sentences.append("No random baseline was given: the selection is compared with the pool alone.")
    if subsets:
        sentences.append(f"Random: {len(subsets)} subset{'s' * (len(subsets) != 1)} under the same budget and removals.")
    sentences.append(BINS + QUANTILE * (is_kept is not None))
    rows: list[tuple[Any, ...]] = []
    charts: list[Part] = []
    for symbol, unit, values, valid in columns:
        pool = values[valid]
        if not len(pool):
            rows.append((symbol, unit, 0, *[None] * 10))
            continue
        selected = None if is_kept is None else values[valid & is_kept]
        drawn = [drawn for subset in subsets if len(drawn := values[valid & subset])]
        row, kinds, edges = _compared(pool, selected, drawn)
        rows.append((symbol, unit, *row))
        if len(charts) < CHARTS:
            data = {
                "x_label": f"{symbol} ({unit})" if unit else symbol,
                "edges": edges.tolist(),
                "kinds": [
                    {"name": name, "n": kind.n, "below": kind.below, "above": kind.above, "counts": kind.counts.tolist()}
                    for name, kind in kinds
                ],
            }
            charts.append(Chart(f"distribution-{len(charts) + 1}", "histogram", symbol, data))
    if len(columns) > CHARTS:
        sentences.append(f"Charts are of the first {CHARTS} of {len(columns)} columns.")
    known = [("pool", True), ("selected", is_kept is not None), ("random", bool(subsets))]
    absent = tuple(f"_{name}" for name, is_there in known if not is_there)
    places = [place for place, column in enumerate(COLUMNS) if not column.key.endswith(absent)]
    caption = "Indicators in the pool" + ", in the selection, and in random subsets" * bool(subsets)
    if is_kept is not None and not subsets:
        caption += " and in the selection"
    columns_shown = tuple(COLUMNS[place] for place in places)
    table = Table("distributions", caption, columns_shown, tuple(tuple(row[place] for place in places) for row in rows))
    shown = ["pool", *["selected"] * (inputs.selection is not None), *["random"] * bool(subsets)]
    return Section("distributions", f"Indicators: {', '.join(shown)}", tuple(sentences), (*charts, table))


def _compared(pool: Floats, selected: Floats | None, drawn: Sequence[Floats]) -> tuple[tuple[Any, ...], list[tuple[str, Binned]], Floats]:
    """A row of the table after name and unit, the distributions by name, and the edges of their bins."""
    edges = edges_of(pool)
    binned_pool = binned(pool, edges)
    kinds = [("pool", binned_pool)]
    inside = binned(selected, edges) if selected is not None and len(selected) else None
    if inside is not None:
        kinds.append(("selected", inside))
    if drawn:
        name = f"random ({len(drawn)})" if len(drawn) > 1 else "random"
        kinds.append((name, together([binned(values, edges) for values in drawn])))
    medians = [median_of(values) for values in drawn]
    median = None if selected is None else median_of(selected)
    row = (
        len(pool),
        mean_of(pool),
        None if selected is None else mean_of(selected),
        average_of([mean_of(values) for values in drawn]),
        median_of(pool),
        median,
        average_of(medians),
        place(pool, median),
        average_of([place(pool, value) for value in medians]),
        (binned_pool.below + binned_pool.above) / binned_pool.n,
        None if inside is None else (inside.below + inside.above) / inside.n,
    )
    return row, kinds, edges


def indicator_values(inputs: ReportInputs) -> Iterator[tuple[str, str, Floats, Mask]]:
    """Name, unit, values and where there is one: the rule's score, then the indicators; a column at a time."""
    if inputs.selection is not None:
        yield ("score", "", *values_and_mask(inputs.selection.frame["score"]))
    if inputs.table is not None:
        described = inputs.table.manifest.get("indicators") or {}
        for symbol in inputs.table.symbols:
            yield (symbol, unit_of(described, symbol), *inputs.table.values(symbol))
    elif inputs.selection is not None:
        for name in contribution_columns(inputs.selection):
            yield (f"{name.removesuffix(CONTRIBUTION)} × weight", "", *values_and_mask(inputs.selection.frame[name]))


__all__ = ["NEEDS", "build", "indicator_values"]
