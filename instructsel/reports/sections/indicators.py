"""Section: what each indicator was scored with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from instructsel.reports.parts import Column, Section, Table
from instructsel.reports.sections import Page
from instructsel.reports.sections.columns import REASONS, null_counts, unit_of

NEEDS: Final = ""
COLUMNS: Final = (
    Column("indicator", "indicator"),
    Column("unit", "unit"),
    Column("name", "name"),
    Column("version", "version", "any"),
    Column("model", "model or tokenizer"),
    Column("digest", "digest", "code"),
    Column("precision", "precision"),
    Column("values", "values", "count"),
    Column("nulls", "null", "count"),
    Column("truncated", "truncated", "count"),
)
IMPORTS: Final = (
    Column("indicator", "indicator"),
    Column("file", "file"),
    Column("sha256", "SHA-256", "code"),
    Column("column", "column"),
    Column("joined_by", "joined by", "prose"),
    Column("matched", "examples with a row", "count"),
    Column("unused_rows", "rows not used", "count"),
    Column("direction", "better"),
)


def build(page: Page) -> Section | None:
    """What each indicator was scored with, and where it could not be."""
    table = page.inputs.table
    if table is None:
        return None
    described = table.manifest.get("indicators") or {}
    rows: list[tuple[Any, ...]] = []
    reasons: list[tuple[str, str, int]] = []
    for symbol in table.symbols:
        entry = described.get(symbol)
        entry = entry if isinstance(entry, dict) else {}
        model = entry.get("model") or entry.get("tokenizer")
        model = model if isinstance(model, dict) else {}
        counts = null_counts(table, symbol)
        nulls = sum(count for _, count in counts)
        rows.append(
            (
                symbol,
                unit_of(described, symbol),
                entry.get("name"),
                entry.get("version"),
                model.get("name"),
                model.get("digest") or model.get("revision"),
                model.get("precision"),
                len(table) - nulls,
                nulls,
                entry.get("truncated"),
            )
        )
        reasons += [(symbol, reason, count) for reason, count in counts]
    parts = [Table("indicators", "Indicators of the score table", COLUMNS, tuple(rows))]
    if imported := _imported(described, table.symbols):
        parts.append(Table("imports", "Scores that another program computed", IMPORTS, tuple(imported)).capped(REASONS, "files"))
    if reasons:
        ordered = tuple(sorted(reasons, key=lambda row: (-row[2], row[0], row[1])))
        columns = (Column("indicator", "indicator"), Column("reason", "reason"), Column("rows", "rows", "count"))
        parts.append(Table("nulls", "Why values are missing", columns, ordered).capped(REASONS, "reasons", sums=["rows"]))
    sentence = "A value that is missing is null with a reason, and is never ranked."
    return Section("indicators", "What the indicators were scored with", (sentence,), tuple(parts))


def _imported(described: Mapping[str, Any], symbols: Sequence[str]) -> list[tuple[Any, ...]]:
    """A row a column and file of what was imported."""
    rows: list[tuple[Any, ...]] = []
    for symbol in symbols:
        entry = described.get(symbol)
        record = entry.get("imported") if isinstance(entry, dict) else None
        if not record:
            continue
        for file in record.get("files") or [{}]:
            rows.append(
                (
                    symbol,
                    file.get("name"),
                    file.get("sha256"),
                    record.get("column"),
                    record.get("joined_by"),
                    record.get("matched"),
                    record.get("unused_rows"),
                    record.get("direction"),
                )
            )
    return rows


__all__ = ["NEEDS", "build"]
