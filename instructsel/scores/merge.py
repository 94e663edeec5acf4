"""Columns added to a score table that is there already."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

import orjson
import polars as pl

from instructsel.artifact import dump_json
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.indicators.base import Indicator
from instructsel.pool.pool import Pool
from instructsel.pool.spec import of_an_earlier_id_rule
from instructsel.scores.imported import IMPORTED
from instructsel.scores.table import REASON, ScoreTable

COUNTS: Final = ("truncated", "nulls", "smaller_batches", "imported")
"""What of an indicator's entry in the manifest is found while scoring; the others say what the values were made with."""


def check_same(table: ScoreTable, pool: Pool, indicators: Sequence[Indicator], *, where: str) -> None:
    """Refuse to add columns to a table of another pool, or of other models, before anything is scored.

    Indicators whose model cannot be loaded are passed over: their columns will be null.

    Args:
        table: what is there.
        pool: what is to be scored.
        indicators: what is to be scored with.
        where: the table's file, for the messages.

    Raises:
        UsageError: the pool or an indicator is another one.
    """
    recorded = (table.manifest.get("pool") or {}).get("fingerprint")
    if not isinstance(recorded, str) or not pool.has_fingerprint(recorded):
        raise UsageError(
            f"{where} holds the scores of another pool, or the pool has changed since." + of_an_earlier_id_rule(table.manifest.get("run")),
            fix="Name another file with -o, or add --replace to score this pool in its place.",
        )
    described = table.manifest.get("indicators") or {}
    for indicator in indicators:
        entry = described.get(indicator.symbol)
        # A column whose model could not be had has an entry without parameters; it may be filled in.
        if entry and "parameters" in entry:
            try:
                expected = indicator.fingerprint()
            except EnvironmentFault:  # the scoring itself reports what cannot be loaded
                continue
            _check_entry(indicator.symbol, entry, expected, where)


def merged(table: ScoreTable, scored: ScoreTable, *, where: str) -> ScoreTable:
    """A table's columns with those of another table of the same pool; where both have one, the other's stands.

    The order of the columns: the table's, then the new ones.

    Raises:
        UsageError: the tables are of different pools.
    """
    if not table.frame["id"].equals(scored.frame["id"]):
        raise UsageError(f"{where} holds other examples.", fix="Name another file with -o, or add --replace.")
    symbols = dict.fromkeys([*table.symbols, *scored.symbols])
    columns: list[pl.Series] = scored.frame.select("id", "file", "line").get_columns()
    for symbol in symbols:
        owner = scored if symbol in scored.symbols else table
        columns += [owner.frame[symbol], owner.frame[symbol + REASON]]
    entries = {**(table.manifest.get("indicators") or {}), **(scored.manifest.get("indicators") or {})}
    manifest = {**scored.manifest, "indicators": {symbol: entries[symbol] for symbol in symbols if symbol in entries}}
    return ScoreTable(pl.DataFrame(columns), manifest, scored.spec)


def merged_run(earlier: Mapping[str, Any], run: Mapping[str, Any]) -> dict[str, Any]:
    """What differs from run to run, of the columns that were there and of the new ones: seconds, models and batches by symbol."""
    both: dict[str, Any] = dict(run)
    for name, values in run.items():
        if isinstance(values, dict) and isinstance(earlier.get(name), dict):
            both[name] = {**earlier[name], **values}
    return both


def _check_entry(symbol: str, entry: Mapping[str, Any], expected: Mapping[str, Any], where: str) -> None:
    before, now = _content(entry), _content(expected)
    if before == now:
        return
    differing = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
    details = "; ".join(f"{name} is {_short(before.get(name), now.get(name))}" for name in differing)
    raise UsageError(
        f"{where} has a column {symbol} that was made in another way: {details}.", fix="Name another file with -o, or add --replace."
    )


def _content(entry: Mapping[str, Any]) -> dict[str, Any]:
    """What the values depend on. The precision and device asked for are no part of it: the model's entry has those used."""
    content = {name: value for name, value in entry.items() if name not in COUNTS}
    if content.get("name") == IMPORTED:
        # Said of the values, and no part of them.
        content.pop("unit", None)
    content["parameters"] = {
        name: value for name, value in (content.get("parameters") or {}).items() if name not in ("precision", "device")
    }
    normalized: dict[str, Any] = orjson.loads(dump_json(content))
    return normalized


def _short(before: Any, now: Any) -> str:
    """The two values, or of two mappings the part that differs."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        names = sorted(name for name in {*before, *now} if before.get(name) != now.get(name))
        name = "name" if "name" in names else names[0]
        return f"{name} {str(before.get(name))[:60]} there, {str(now.get(name))[:60]} here"
    return f"{str(before)[:60]} there, {str(now)[:60]} here"
