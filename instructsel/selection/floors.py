"""Floors: rows that an indicator puts below a value, or among the pool's lowest, are left out before anything is ranked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.indicators.base import NOT_SHOWN
from instructsel.scores.table import ScoreTable

BELOW: Final = "below_floor"
WRITTEN: Final = re.compile(r"(?P<symbol>[a-z][a-z0-9_]*)=(?P<number>[-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)(?P<share>%?)", re.IGNORECASE)


@dataclass(frozen=True)
class Floor:
    """Where an indicator's values become too low."""

    value: float | None = None
    """Rows below it are left out."""
    lowest: float | None = None
    """This share of the scored rows is left out, the lowest; fewer where values are equal at the edge. One of the two is given."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.lowest is None):
            raise UsageError("A floor is a value or a share.", fix="Floor(value=-1.5), or Floor(lowest=0.1).")
        if self.lowest is not None and not 0 < self.lowest < 1:
            raise UsageError(
                f"A floor takes a share between 0 and 1; found {self.lowest:g}.", fix="Write 10% to leave out the lowest tenth."
            )
        if self.value is not None and not math.isfinite(self.value):
            raise UsageError("A floor's value is a finite number.", fix="Write -1.5, for example.")

    def of(self, values: NDArray[np.float64]) -> float:
        """The value below which rows are left out, given all scored ones."""
        if self.value is not None:
            return self.value
        assert self.lowest is not None
        # Exact: a share of 0.1 of 20 rows is 2 rows, not 1.
        return float(np.sort(values)[min(len(values) - 1, math.floor(self.lowest * len(values) + 1e-9))]) if len(values) else -math.inf

    def __str__(self) -> str:
        return f"{self.value:g}" if self.value is not None else f"{100 * (self.lowest or 0):g}%"


def parse(texts: Sequence[str]) -> dict[str, Floor]:
    """Floors of SYMBOL=VALUE and SYMBOL=SHARE%.

    Raises:
        UsageError: it reads otherwise, or a symbol stands there twice.
    """
    found: dict[str, Floor] = {}
    for text in texts:
        match = WRITTEN.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"'{text}' is no floor.", fix="Write SYMBOL=VALUE or SYMBOL=SHARE%: --floor plausibility=10%")
        symbol, number = match["symbol"].lower(), float(match["number"])
        if symbol in found:
            raise UsageError(f"{symbol} has two floors.", fix="Give one.")
        found[symbol] = Floor(lowest=number / 100) if match["share"] else Floor(value=number)
    return found


def below(
    table: ScoreTable, rows: NDArray[np.int64], floors: Mapping[str, Floor]
) -> tuple[dict[int, tuple[str, str | None]], dict[str, dict[str, Any]]]:
    """What the floors leave out.

    Args:
        table: the scores.
        rows: positions in the table of the pool's rows.
        floors: by symbol; all are columns of the table.

    Returns:
        Position in the pool → (reason, None), rows without a value included unless the indicator could not be shown them, the
        first floor's reason where several apply; and for each floor what was asked, its value, how many rows lie below it, and
        how many stay that it could not be shown.
    """
    dropped: dict[int, tuple[str, str | None]] = {}
    told: dict[str, dict[str, Any]] = {}
    for symbol, floor in floors.items():
        values, valid = table.values(symbol)
        values, valid = values[rows], valid[rows]
        cut = floor.of(values[valid])
        low = np.flatnonzero(valid & (values < cut))
        for position in low.tolist():
            dropped.setdefault(position, (f"{BELOW}:{symbol}", None))
        missing, not_shown = np.flatnonzero(~valid), 0
        if len(missing):
            reasons = table.reasons(symbol)
            for position in missing.tolist():
                reason = reasons[int(rows[position])]
                if reason in NOT_SHOWN:
                    not_shown += 1
                    continue
                dropped.setdefault(position, (f"unscored:{symbol}:{reason}", None))
        told[symbol] = {"asked": str(floor), "value": cut if math.isfinite(cut) else None, "rows": len(low), "not_shown": not_shown}
    return dropped, told
