"""Minimum thresholds: rows that an indicator puts below a value, or among the pool's lowest, are dropped before the ranking."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import UsageError
from instructsel.indicators.base import NOT_SHOWN
from instructsel.magnitude import RANGE, is_usable, mean
from instructsel.scores.table import ScoreTable

BELOW: Final = "below_minimum"
WRITTEN: Final = re.compile(r"(?P<symbol>[a-z][a-z0-9_]*)=(?P<number>[-+]?[0-9]*\.?[0-9]+(?:e[-+]?[0-9]+)?)(?P<share>%?)", re.IGNORECASE)


@dataclass(frozen=True)
class Minimum:
    """Where an indicator's values become too low. Either a value or a share is given."""

    value: float | None = None
    """Rows below it are dropped."""
    lowest: float | None = None
    """This share of the scored rows is dropped, the lowest; fewer where values are equal at the edge."""

    def __post_init__(self) -> None:
        if (self.value is None) == (self.lowest is None):
            raise UsageError("A minimum is a value or a share.", fix="Minimum(value=-1.5), or Minimum(lowest=0.1).")
        if self.lowest is not None and not (is_usable(self.lowest) and 0 < self.lowest < 1):
            raise UsageError(f"A minimum takes a share between 0 and 1; found {self.lowest}.", fix="Write 10% to drop the lowest tenth.")
        if self.value is not None and not is_usable(self.value):
            raise UsageError(f"A minimum is a finite number, {RANGE}.", fix="Write -1.5, for example.")

    def of(self, values: NDArray[np.float64]) -> float:
        """The value below which rows are dropped, given all scored ones."""
        if self.value is not None:
            return self.value
        assert self.lowest is not None
        # Exact: a share of 0.1 of 20 rows is 2 rows, not 1.
        return float(np.sort(values)[min(len(values) - 1, math.floor(self.lowest * len(values) + 1e-9))]) if len(values) else -math.inf

    def __str__(self) -> str:
        return f"{self.value:g}" if self.value is not None else f"{100 * (self.lowest or 0):g}%"


def parse(texts: Sequence[str]) -> dict[str, Minimum]:
    """Minima of SYMBOL=VALUE and SYMBOL=SHARE%.

    Raises:
        UsageError: another form, or a symbol that stands there twice.
    """
    minima: dict[str, Minimum] = {}
    for text in texts:
        match = WRITTEN.fullmatch(text.strip())
        if match is None:
            raise UsageError(f"'{text}' is not a minimum.", fix="Write SYMBOL=VALUE or SYMBOL=SHARE%: --min len=20, --min rew=10%")
        symbol, number = match["symbol"].lower(), float(match["number"])
        if symbol in minima:
            raise UsageError(f"{symbol} has two minima.", fix="Give one.")
        minima[symbol] = Minimum(lowest=number / 100) if match["share"] else Minimum(value=number)
    return minima


def below(
    table: ScoreTable, sources: Sequence[str], minima: Mapping[str, Minimum]
) -> tuple[dict[int, tuple[str, str | None]], dict[str, dict[str, Any]]]:
    """What the minima drop, and whom.

    Args:
        table: the scores, in the order of the pool.
        sources: of the pool's rows, (n,).
        minima: by symbol; all are columns of the table.

    Returns:
        Position in the pool → (reason, None), rows without a value included unless the indicator could not be shown them, the
        first minimum's reason where several apply; and for each minimum what was asked, its value, how many rows lie below it, how
        many stay that the indicator could not be shown, and of those below the mean response length (`len` in the table, beside that
        of all rows) and the count by source.
    """
    dropped: dict[int, tuple[str, str | None]] = {}
    record: dict[str, dict[str, Any]] = {}
    for symbol, minimum in minima.items():
        values, valid = table.values(symbol)
        threshold = minimum.of(values[valid])
        low = np.flatnonzero(valid & (values < threshold))
        # One tuple for all rows of a reason.
        is_below = f"{BELOW}:{symbol}", None
        for position in low.tolist():
            dropped.setdefault(position, is_below)
        missing, not_shown = np.flatnonzero(~valid), 0
        if len(missing):
            entries: dict[str | None, tuple[str, None]] = {}
            for position, reason in zip(missing.tolist(), table.reasons_at(symbol, missing), strict=True):
                if reason in NOT_SHOWN:
                    not_shown += 1
                    continue
                dropped.setdefault(position, entries.setdefault(reason, (f"unscored:{symbol}:{reason}", None)))
        record[symbol] = {
            "asked": str(minimum),
            "value": threshold if math.isfinite(threshold) else None,
            "rows": len(low),
            "not_shown": not_shown,
            **_removed(table, sources, low),
        }
    return dropped, record


def _removed(table: ScoreTable, sources: Sequence[str], low: NDArray[np.int64]) -> dict[str, Any]:
    """Length and source of the rows a minimum drops, beside those of all rows."""
    removed: dict[str, Any] = {"mean_len": None, "mean_len_of_all": None, "sources": {}}
    if "len" in table.symbols and len(low):
        lengths, known = table.values("len")
        among = low[known[low]]
        if len(among):
            removed["mean_len"] = mean(lengths[among].tolist())
            removed["mean_len_of_all"] = mean(lengths[known].tolist())
    removed["sources"] = dict(sorted(Counter(sources[position] for position in low.tolist()).items()))
    return removed


__all__ = ["BELOW", "Minimum", "below", "parse"]
