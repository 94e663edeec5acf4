"""Section: length and source, which a rule may select by accident."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import polars as pl

from instructsel.reports.measures import average_of
from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table, shortened
from instructsel.reports.results import Given, finite, sources
from instructsel.reports.sections.columns import BARS, SOURCES, _column, _kept
from instructsel.reports.sections.distributions import _values
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.selection import CONTRIBUTION
from instructsel.stats.correlation import Floats, Mask, mean_of, partial, pearson, ranks, total_of


def _confounds(given: Given) -> Section | None:
    """Whether the ranking is one of length, or of sources."""
    if given.selection is None:
        return None
    selection = given.selection
    value, ranked = _column(selection.frame["score"])
    said, parts = [], []
    length = _length(given)
    if length is None:
        said.append("len was neither scored nor used by the rule, so how far the value follows length is not known.")
    else:
        parts += _length_tables(given, value, ranked, *length)
        said.append("A partial correlation is what is left between an indicator and the value where rows of equal length are compared.")
    source = sources(selection)
    if source.n_unique() > 1 or (len(source) and source[0]):
        parts += _source_tables(given, source, value, ranked)
    return Section("confounds", "Length and sources", tuple(said), tuple(parts))


def _length(given: Given) -> tuple[Floats, Mask] | None:
    if given.table is not None and "len" in given.table.symbols:
        return given.table.values("len")
    assert given.selection is not None
    weights = {term.get("indicator"): term.get("weight") for term in (given.selection.manifest.get("rule") or {}).get("terms") or []}
    if f"len{CONTRIBUTION}" in given.selection.frame.columns and finite(weights.get("len")):
        values, valid = _column(given.selection.frame[f"len{CONTRIBUTION}"])
        return values / weights["len"], valid
    return None


def _length_tables(given: Given, value: Floats, ranked: Mask, length: Floats, known: Mask) -> list[Part]:
    assert given.selection is not None
    kept, both = _kept(given.selection), ranked & known
    r = pearson(value[both], length[both])
    random = [mean_of(length[known & _kept(each)]) for each in given.baselines if each.name.startswith(RANDOM)]
    facts = [
        ("rows ranked with a length", int(both.sum())),
        ("correlation of the value with len", r),
        ("share of the value's variance that goes with len", None if r is None else r * r),
        ("rank correlation of the value with len", pearson(ranks(value[both]), ranks(length[both]))),
        ("mean len of the pool", mean_of(length[known])),
        ("mean len of the kept", mean_of(length[known & kept])),
        ("mean len of random draws", average_of(random)),
    ]
    found: list[Part] = [facts_table("length", "The value and the length of the response", facts)]
    rows = []
    for symbol, _, values, valid in _values(given):
        bare = symbol.removesuffix(" × weight")
        if bare in ("value", "len"):
            continue
        rows.append((bare, *partial(values, value, length, both & valid)))
    if rows:
        columns: tuple[Column, ...] = (
            Column("indicator", "indicator"),
            Column("n", "rows", "count"),
            Column("r", "correlation with the value", "signed"),
            Column("r_len", "correlation with len", "signed"),
            Column("partial", "with the value, given len", "signed"),
            Column("reason", "why there is none"),
        )
        found.append(Table("partial", "Correlations of the indicators", columns, tuple(rows)))
    return found


def _source_tables(given: Given, source: pl.Series, value: Floats, ranked: Mask) -> list[Part]:
    assert given.selection is not None
    kept = _kept(given.selection)
    names = source.unique().sort().to_list()
    codes = (source.rank("dense").cast(pl.Int64) - 1).to_numpy()
    size = len(names)
    pool, mine = np.bincount(codes, minlength=size), np.bincount(codes[kept], minlength=size)
    draws = [np.bincount(codes[_kept(each)], minlength=size) for each in given.baselines if each.name.startswith(RANDOM)]
    there = np.bincount(codes[ranked], minlength=size)
    totals = np.bincount(codes[ranked], weights=value[ranked], minlength=size)
    drawn = [each / max(1, int(each.sum())) for each in draws]
    random = np.mean(drawn, axis=0) if drawn else None
    rows = []
    for at in np.lexsort((np.arange(size), -pool)).tolist():
        share, own = pool[at] / max(1, len(source)), mine[at] / max(1, int(mine.sum()))
        rows.append(
            (
                names[at] or "(none)",
                int(pool[at]),
                int(mine[at]),
                float(share),
                float(own) if mine.sum() else None,
                None if random is None else float(random[at]),
                float(own / share) if share and mine.sum() else None,
                float(totals[at] / there[at]) if there[at] else None,
            )
        )

    def rest(others: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
        sums = [sum(row[at] for row in others) if all(row[at] is not None for row in others) else None for at in range(1, 6)]
        return (f"{len(others):,} other sources", *sums, sums[3] / sums[2] if sums[2] and sums[3] is not None else None, None)

    shown = shortened(rows, SOURCES, rest)
    columns: tuple[Column, ...] = (
        Column("source", "source"),
        Column("pool", "pool", "count"),
        Column("kept", "kept", "count"),
        Column("pool_share", "share of the pool", "share"),
        Column("kept_share", "share of the kept", "share"),
        Column("random_share", "share of random draws", "share"),
        Column("ratio", "kept to pool", "number"),
        Column("mean_value", "mean value", "number"),
    )
    data = {
        "kinds": ["pool", "kept"],
        "form": "share",
        "rows": [{"name": row[0], "values": [row[3], row[4]]} for row in shown[:BARS]],
    }
    total, center = float(there.sum()), mean_of(value[ranked])
    explained = None
    if center is not None and total > 2:
        spread = total_of((value[ranked] - center) ** 2)
        between = math.fsum(float(n * (s / n - center) ** 2) for n, s in zip(there, totals, strict=True) if n)
        explained = min(1.0, between / spread) if spread > 1e-24 * max(1.0, center * center) * total else None
    composition = Table("composition", "Sources", columns, shown)
    if size < 2:
        return [composition]
    facts = [("sources", size), ("share of the value's variance between sources", explained)]
    return [
        Chart("composition-chart", "bars", "Sources, shares of the pool and of the kept", data),
        composition,
        facts_table("sources", "How far the value tells sources apart", facts),
    ]
