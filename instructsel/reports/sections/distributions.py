"""Section: the distribution of each indicator, in the pool and in the selection."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from instructsel.reports.measures import average_of, binned, edges_of, median_of, place, together
from instructsel.reports.parts import Chart, Column, Part, Section, Table
from instructsel.reports.results import Given
from instructsel.reports.sections.columns import CHARTS, _column, _contributions, _kept, _unit
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.selection import CONTRIBUTION
from instructsel.stats.correlation import Floats, Mask, mean_of


def _distributions(given: Given) -> Section | None:
    """Pool, selection and random on common bins."""
    columns = list(_values(given))
    if not columns:
        return None
    random = [each for each in given.baselines if each.name.startswith(RANDOM)]
    kept = None if given.selection is None else _kept(given.selection)
    draws = [_kept(each) for each in random]
    said = []
    if given.selection is not None and not random:
        said.append("No random baseline was given, so that the selection is compared with the pool alone.")
    if random:
        said.append(f"Random: {len(random)} draw{'s' * (len(random) != 1)} under the same budget and removals.")
    said.append(
        "Bins lie between the 0.5 % and the 99.5 % quantile of the pool; the shares outside are in the table. The quantile of a median is "
        "its place among the pool's values: 50 % is no shift."
    )
    table: list[tuple[Any, ...]] = []
    charts: list[Part] = []
    for symbol, unit, values, valid in columns:
        whole = values[valid]
        if not len(whole):
            table.append((symbol, unit, 0, *[None] * 10))
            continue
        edges = edges_of(whole)
        pool = binned(whole, edges)
        mine = None if kept is None else values[valid & kept]
        drawn = [values[valid & each] for each in draws]
        drawn = [each for each in drawn if len(each)]
        kinds = [("pool", pool)]
        if mine is not None and len(mine):
            kinds.append(("selected", binned(mine, edges)))
        if drawn:
            kinds.append((f"random ({len(drawn)})" if len(drawn) > 1 else "random", together([binned(each, edges) for each in drawn])))
        means, medians = [mean_of(each) for each in drawn], [median_of(each) for each in drawn]
        median = None if mine is None else median_of(mine)
        inside = kinds[1][1] if mine is not None and len(mine) else None
        table.append(
            (
                symbol,
                unit,
                len(whole),
                mean_of(whole),
                None if mine is None else mean_of(mine),
                average_of(means),
                median_of(whole),
                median,
                average_of(medians),
                place(whole, median),
                average_of([place(whole, each) for each in medians]),
                (pool.below + pool.above) / pool.n,
                None if inside is None else (inside.below + inside.above) / inside.n,
            )
        )
        if len(charts) < CHARTS:
            data = {
                "x_label": f"{symbol} ({unit})" if unit else symbol,
                "edges": edges.tolist(),
                "kinds": [
                    {"name": name, "n": each.n, "below": each.below, "above": each.above, "counts": each.counts.tolist()}
                    for name, each in kinds
                ],
            }
            charts.append(Chart(f"distribution-{len(charts) + 1}", "histogram", symbol, data))
    if len(columns) > CHARTS:
        said.append(f"Charts are of the first {CHARTS} of {len(columns)} columns.")
    heads = (
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
    parts = (*charts, Table("distributions", "Indicators in the pool, in the selection, and in random draws", heads, tuple(table)))
    return Section("distributions", "Indicators: pool, selected, random", tuple(said), parts)


def _values(given: Given) -> Iterator[tuple[str, str, Floats, Mask]]:
    """Name, unit, values and where there is one: the rule's value, then the indicators; a column at a time."""
    if given.selection is not None:
        yield ("value", "", *_column(given.selection.frame["score"]))
    if given.table is not None:
        described = given.table.manifest.get("indicators") or {}
        for symbol in given.table.symbols:
            yield (symbol, _unit(described, symbol), *given.table.values(symbol))
    elif given.selection is not None:
        for name in _contributions(given.selection):
            yield (f"{name.removesuffix(CONTRIBUTION)} × weight", "", *_column(given.selection.frame[name]))
