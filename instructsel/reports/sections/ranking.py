"""Section: the best and the worst rows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl

from instructsel.reports.parts import Column, Section, Table
from instructsel.reports.results import Given
from instructsel.reports.sections.columns import _column, _contributions
from instructsel.selection.selection import CONTRIBUTION
from instructsel.text import masked_excerpt


def _rows(given: Given, count: int, texts: Callable[[Sequence[str]], Mapping[str, tuple[str, str]]] | None) -> Section | None:
    """The best and the worst rows of the ranking."""
    if given.selection is None:
        return None
    frame = given.selection.frame
    ranks, ranked = _column(frame["rank"].cast(pl.Float64))
    places = np.flatnonzero(ranked)
    order = places[np.argsort(ranks[places], kind="stable")]
    top, bottom = order[:count], order[max(count, len(order) - count) :]
    names = _contributions(given.selection)
    columns: tuple[Column, ...] = (
        Column("rank", "rank", "count"),
        Column("id", "id", "code"),
        Column("source", "source"),
        Column("score", "score", "number"),
    )
    columns += tuple(Column(name, f"{name.removesuffix(CONTRIBUTION)} adds", "signed") for name in names)
    columns += (Column("kept", "kept", "any"), Column("reason", "reason"))
    said = [
        "What a term adds is its weight × the indicator. Texts of rows are not shown."
        if texts is None
        else "What a term adds is its weight × the indicator. Texts are cut, and what looks like a key, a password or an address in them is masked."
    ]
    parts = []
    for name, caption, rows in (("top", "The best rows", top), ("bottom", "The worst rows that were ranked", bottom)):
        if not len(rows):
            continue
        found = frame[rows.tolist()].select("rank", "id", "source", "score", *names, "kept", "reason")
        cells: list[tuple[Any, ...]] = found.rows()
        heads = columns
        if texts is not None:
            told = texts(found["id"].to_list())
            heads = (*columns, Column("instruction", "instruction", "prose"), Column("response", "response", "prose"))
            cells = [(*row, *(masked_excerpt(text) for text in told.get(row[1], ("", "")))) for row in cells]
        parts.append(Table(name, f"{caption}: {len(rows):,} of {len(order):,}", heads, tuple(cells)))
    return Section("rows", "Best and worst rows", tuple(said), tuple(parts))
