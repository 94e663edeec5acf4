"""Section: the best and the worst rows, by file and line."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from instructsel.reports.inputs import ReportInputs
from instructsel.reports.parts import Column, Section, Table
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import contribution_columns, values_and_mask
from instructsel.selection.selection import CONTRIBUTION
from instructsel.text import masked_excerpt

NEEDS: Final = ""
WITHOUT_TEXT: Final = "What a term adds is its weight × the indicator. Texts of rows are not shown."
WITH_TEXT: Final = (
    "What a term adds is its weight × the indicator. Texts are cut; what looks like a key, a password or an address in them is masked."
)


def build(page: Page) -> Section | None:
    """The best and the worst rows of the ranking."""
    inputs = page.inputs
    if inputs.selection is None:
        return None
    frame = inputs.selection.frame
    ranks, ranked = values_and_mask(frame["rank"].cast(pl.Float64))
    positions = np.flatnonzero(ranked)
    order = positions[np.argsort(ranks[positions], kind="stable")]
    top, bottom = order[: page.rows], order[max(page.rows, len(order) - page.rows) :]
    parts = []
    for name, caption, rows in (("top", "The best rows", top), ("bottom", "The worst rows that were ranked", bottom)):
        if len(rows):
            parts.append(_table(page, name, f"{caption}: {len(rows):,} of {len(order):,}", rows.tolist()))
    return Section("rows", "Best and worst rows", (WITHOUT_TEXT if page.texts is None else WITH_TEXT,), tuple(parts))


def _table(page: Page, name: str, caption: str, rows: list[int]) -> Table:
    assert page.inputs.selection is not None
    selection = page.inputs.selection
    terms = contribution_columns(selection)
    shown = selection.frame[rows]
    places = _places(page.inputs, rows)
    columns = [Column("rank", "rank", "count")]
    columns.append(Column("place", "file and line") if places is not None else Column("id", "id", "code"))
    cells: list[list[Any]] = [shown["rank"].to_list(), places if places is not None else shown["id"].to_list()]
    if page.texts is not None:
        texts = page.texts(shown["id"].to_list())
        excerpts = [[masked_excerpt(text) for text in texts.get(row, ("", ""))] for row in shown["id"].to_list()]
        columns += [Column("instruction", "instruction", "prose"), Column("response", "response", "prose")]
        cells += [[row[0] for row in excerpts], [row[1] for row in excerpts]]
    columns += [Column("source", "source"), Column("score", "score", "number")]
    columns += [Column(term, f"{term.removesuffix(CONTRIBUTION)} adds", "signed") for term in terms]
    columns += [Column("kept", "selected", "any"), Column("reason", "reason")]
    cells += [shown[column].to_list() for column in ("source", "score", *terms, "kept", "reason")]
    return Table(name, caption, tuple(columns), tuple(zip(*cells, strict=True)))


def _places(inputs: ReportInputs, rows: list[int]) -> list[str] | None:
    """FILE:LINE of each row, from the sidecar, the score table or the pool; None where nobody knows."""
    assert inputs.selection is not None
    frames = [inputs.selection.frame, *([inputs.table.frame] if inputs.table is not None else [])]
    for frame in frames:
        # The score table's rows are the selection's, in the same order.
        if {"file", "line"} <= set(frame.columns):
            shown = frame[rows].select("file", "line").rows()
            if all(file is not None and line is not None for file, line in shown):
                return [f"{file}:{line}" for file, line in shown]
    candidates = inputs.selection.candidates
    if candidates is None:
        return None
    ids = inputs.selection.frame["id"]
    located = [candidates.pool.locate(candidates.pool.position(ids[row])) for row in rows]
    return [f"{file.rpartition('/')[2]}:{lines[0]}" for file, lines in located]


__all__ = ["NEEDS", "build"]
