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
"""Rows of a table of sources."""
REASONS: Final = 60
"""Rows of a table of reasons."""
CHARTS: Final = 24
"""Histograms; other indicators stand in the table."""
BARS: Final = 20
"""Rows of a bar chart."""


def form_of(selection: Selection) -> str:
    """What a selection is ranked by, for people."""
    return str(selection.manifest.get("form") or selection.name)


def unit_of(described: Mapping[str, Any], symbol: str) -> str:
    """An indicator's unit, as the score table says it; "" where it says none."""
    entry = described.get(symbol)
    return str(entry.get("unit") or "") if isinstance(entry, dict) else ""


def kept_mask(selection: Selection) -> Mask:
    """(rows of the pool,), which are kept."""
    return selection.frame["kept"].fill_null(False).to_numpy()


def contribution_columns(selection: Selection) -> list[str]:
    """The columns that say what each term of the rule adds."""
    return [name for name in selection.frame.columns if name.endswith(CONTRIBUTION)]


def values_and_mask(series: pl.Series) -> tuple[Floats, Mask]:
    """Values and where there is one; 0 where not."""
    return series.fill_null(0.0).to_numpy(), series.is_not_null().to_numpy()


def null_counts(table: ScoreTable, symbol: str) -> list[tuple[str, int]]:
    """Reasons of missing values with their counts, most frequent first. Counted in the column: no list of a row each."""
    counts = table.frame[f"{symbol}_reason"].value_counts(name="n").rows()
    return sorted(((reason, int(count)) for reason, count in counts if reason is not None), key=lambda row: (-row[1], row[0]))


def unscored_rows(table: ScoreTable) -> int:
    """Rows that some indicator could not score."""
    if not table.symbols:
        return 0
    missing = np.zeros(len(table), dtype=bool)
    for symbol in table.symbols:
        missing |= table.frame[symbol].is_null().to_numpy()
    return int(missing.sum())


def signed(value: float) -> str:
    """A figure with its sign, two decimals."""
    return f"{value:+.2f}".replace("-", "−")
