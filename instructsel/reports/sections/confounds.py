"""Section: length and source, which a rule may select by accident."""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from instructsel.reports.inputs import ReportInputs, finite, sources
from instructsel.reports.measures import average_of
from instructsel.reports.parts import Chart, Column, Part, Section, Table, facts_table
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import BARS, SOURCES, kept_mask, values_and_mask
from instructsel.reports.sections.distributions import indicator_values
from instructsel.selection.baselines.base import RANDOM
from instructsel.selection.selection import CONTRIBUTION
from instructsel.stats.correlation import Floats, Mask, mean_of, partial, pearson, ranks, total_of

NEEDS: Final = ""
SUMMED: Final = ("pool", "kept", "pool_share", "kept_share", "random_share")


def build(page: Page) -> Section | None:
    """Whether the ranking is one of length, or of sources."""
    inputs = page.inputs
    if inputs.selection is None:
        return None
    score, ranked = values_and_mask(inputs.selection.frame["score"])
    sentences, parts = [], []
    length = response_lengths(inputs)
    if length is None:
        sentences.append("How far the score follows response length is not known: len is neither scored nor a term of the rule.")
    else:
        parts += _length_tables(inputs, score, ranked, *length)
        sentences.append("The partial correlation of an indicator is the one among rows of equal length.")
    source = sources(inputs.selection)
    if source.n_unique() > 1 or (len(source) and source[0]):
        parts += _source_tables(inputs, source, score, ranked)
    return Section("confounds", "Length and sources", tuple(sentences), tuple(parts))


def response_lengths(inputs: ReportInputs) -> tuple[Floats, Mask] | None:
    """Response lengths of the pool and where they are known; None where nothing says them."""
    if inputs.table is not None and "len" in inputs.table.symbols:
        return inputs.table.values("len")
    assert inputs.selection is not None
    terms = (inputs.selection.manifest.get("rule") or {}).get("terms") or []
    weights = {term.get("indicator"): term.get("weight") for term in terms}
    if f"len{CONTRIBUTION}" in inputs.selection.frame.columns and finite(weights.get("len")):
        values, valid = values_and_mask(inputs.selection.frame[f"len{CONTRIBUTION}"])
        return values / weights["len"], valid
    return None


def length_correlation(inputs: ReportInputs) -> float | None:
    """Pearson's correlation of the score with response length, over the rows that are ranked; None where it is not known."""
    if inputs.selection is None:
        return None
    lengths = response_lengths(inputs)
    if lengths is None:
        return None
    score, ranked = values_and_mask(inputs.selection.frame["score"])
    both = ranked & lengths[1]
    return pearson(score[both], lengths[0][both])


def _length_tables(inputs: ReportInputs, score: Floats, ranked: Mask, length: Floats, known: Mask) -> list[Part]:
    assert inputs.selection is not None
    is_kept, both = kept_mask(inputs.selection), ranked & known
    r = pearson(score[both], length[both])
    random = [mean_of(length[known & kept_mask(baseline)]) for baseline in inputs.baselines if baseline.baseline == RANDOM]
    facts = [
        ("rows ranked with a length", int(both.sum())),
        ("correlation of the score with len", r),
        ("share of the score's variance that goes with len", None if r is None else r * r),
        ("rank correlation of the score with len", pearson(ranks(score[both]), ranks(length[both]))),
        ("mean len of the pool", mean_of(length[known])),
        ("mean len of the selected rows", mean_of(length[known & is_kept])),
        ("mean len of random subsets", average_of(random)),
    ]
    parts: list[Part] = [facts_table("length", "The score and the length of the response", facts)]
    rows = []
    for symbol, _, values, valid in indicator_values(inputs):
        bare = symbol.removesuffix(" × weight")
        if bare not in ("score", "len"):
            rows.append((bare, *partial(values, score, length, both & valid)))
    if rows:
        columns: tuple[Column, ...] = (
            Column("indicator", "indicator"),
            Column("n", "rows", "count"),
            Column("r", "correlation with the score", "signed"),
            Column("r_len", "correlation with len", "signed"),
            Column("partial", "with the score, at equal len", "signed"),
            Column("reason", "why there is none"),
        )
        parts.append(Table("partial", "Correlations of the indicators", columns, tuple(rows)))
    return parts


def _source_tables(inputs: ReportInputs, source: pl.Series, score: Floats, ranked: Mask) -> list[Part]:
    """Sources in the pool, in the selection and in random subsets, and how far the score tells them apart."""
    assert inputs.selection is not None
    is_kept = kept_mask(inputs.selection)
    names = source.unique().sort().to_list()
    codes = (source.rank("dense").cast(pl.Int64) - 1).to_numpy()
    size = len(names)
    pool, selected = np.bincount(codes, minlength=size), np.bincount(codes[is_kept], minlength=size)
    subsets = [kept_mask(baseline) for baseline in inputs.baselines if baseline.baseline == RANDOM]
    shares = [np.bincount(codes[subset], minlength=size) / max(1, int(subset.sum())) for subset in subsets]
    random = np.mean(shares, axis=0) if shares else None
    counts = np.bincount(codes[ranked], minlength=size)
    totals = np.bincount(codes[ranked], weights=score[ranked], minlength=size).astype(np.float64)
    rows = []
    for index in np.lexsort((np.arange(size), -pool)).tolist():
        share, chosen = pool[index] / max(1, len(source)), selected[index] / max(1, int(selected.sum()))
        rows.append(
            (
                names[index] or "(none)",
                int(pool[index]),
                int(selected[index]),
                float(share),
                float(chosen) if selected.sum() else None,
                None if random is None else float(random[index]),
                float(chosen / share) if share and selected.sum() else None,
                float(totals[index] / counts[index]) if counts[index] else None,
            )
        )
    table = _composition(rows)
    if size < 2:
        return [table]
    data = {
        "kinds": ["pool", "selected"],
        "form": "share",
        "rows": [{"name": row[0], "values": [row[3], row[4]]} for row in table.rows[:BARS]],
    }
    facts = [("sources", size), ("share of the score's variance between sources", _explained(score[ranked], counts, totals))]
    return [
        Chart("composition-chart", "bars", "Sources, shares of the pool and of the selection", data),
        table,
        facts_table("sources", "How far the score tells sources apart", facts),
    ]


def _composition(rows: list[tuple[Any, ...]]) -> Table:
    columns: tuple[Column, ...] = (
        Column("source", "source"),
        Column("pool", "pool", "count"),
        Column("kept", "selected", "count"),
        Column("pool_share", "share of the pool", "share"),
        Column("kept_share", "share of the selection", "share"),
        Column("random_share", "share of random subsets", "share"),
        Column("ratio", "selection to pool", "number"),
        Column("mean_value", "mean score", "number"),
    )
    table = Table("composition", "Sources", columns, tuple(rows)).capped(SOURCES, "sources", sums=SUMMED)
    if len(table.rows) == len(rows):
        return table
    last = list(table.rows[-1])
    last[6] = last[4] / last[3] if last[3] and last[4] is not None else None
    return Table(table.name, table.caption, columns, (*table.rows[:-1], tuple(last)))


def _explained(scores: Floats, counts: NDArray[Any], totals: Floats) -> float | None:
    """The share of the score's variance that lies between sources; None where it does not vary."""
    total, center = float(counts.sum()), mean_of(scores)
    if center is None or total <= 2:
        return None
    spread = total_of((scores - center) ** 2)
    between = math.fsum(float(n * (s / n - center) ** 2) for n, s in zip(counts, totals, strict=True) if n)
    return min(1.0, between / spread) if spread > 1e-24 * max(1.0, center * center) * total else None


__all__ = ["NEEDS", "build", "length_correlation", "response_lengths"]
