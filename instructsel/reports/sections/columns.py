"""What the sections of a selection share: columns, units, counts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from instructsel.scores.table import ScoreTable
from instructsel.selection.selection import CONTRIBUTION, Selection
from instructsel.stats.correlation import Floats, Mask

SOURCES: Final = 50


REASONS: Final = 60


CHARTS: Final = 24
"""Histograms; other indicators stand in the table."""


BARS: Final = 20


def _form(selection: Selection) -> str:
    return str(selection.manifest.get("form") or selection.name)


def _unit(described: Mapping[str, Any], symbol: str) -> str:
    entry = described.get(symbol)
    return str(entry.get("unit") or "") if isinstance(entry, dict) else ""


def _kept(selection: Selection) -> Mask:
    return selection.frame["kept"].fill_null(False).to_numpy()


def _contributions(selection: Selection) -> list[str]:
    return [name for name in selection.frame.columns if name.endswith(CONTRIBUTION)]


def _column(series: pl.Series) -> tuple[Floats, Mask]:
    """Values and where there is one; 0 where not."""
    return series.fill_null(0.0).to_numpy(), series.is_not_null().to_numpy()


def _null_counts(table: ScoreTable, symbol: str) -> list[tuple[str, int]]:
    """Counted in the column: no list of a row each."""
    counts = table.frame[f"{symbol}_reason"].value_counts(name="n").rows()
    return sorted(((reason, int(count)) for reason, count in counts if reason is not None), key=lambda each: (-each[1], each[0]))


def _any_null(table: ScoreTable) -> int:
    if not table.symbols:
        return 0
    missing = np.zeros(len(table), dtype=bool)
    for symbol in table.symbols:
        missing |= table.frame[symbol].is_null().to_numpy()
    return int(missing.sum())


def _signed(value: float) -> str:
    return f"{value:+.2f}".replace("-", "−")
