"""Observations: a row a fine-tuned set, what its examples score on average, and the loss it came out with."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import fingerprint, read_manifest
from instructsel.errors import ObservationsError, ScoresError, UnknownIndicator, UsageError
from instructsel.indicators import registry as registry
from instructsel.kinds import STUDY
from instructsel.magnitude import LARGEST, RANGE
from instructsel.scores.shape import Indicators
from instructsel.stats.loss_units import LOSS_UNITS, NATS_PER_TOKEN
from instructsel.structured import Refusal, parse_json, read_bytes
from instructsel.tables import SEAL, parsed_parquet, read_frame

LOG: Final = "log_"
SHARE: Final = "share_"
SUFFIXES: Final = (".parquet", ".csv", ".jsonl")
AGAIN: Final = "Give a table with a row for each fine-tuned set."
COUNTS: Final = ("nulls", "truncated")
"""Keys of a fingerprint that count rows of the pool it was made on."""
NAMED: Final = 5
"""Rows a message names before it counts the rest."""
DIFFERS: Final = 1e-6
"""A logarithm may differ this much from that of the column beside it."""


class ObservationsManifest(TypedDict, total=False):
    """What a manifest of observations may say."""

    indicators: Indicators | None
    run: dict[str, Any] | None
    grader: dict[str, Any] | None


@dataclass(frozen=True, eq=False)
class Observations:
    """A table of observations: columns by name.

    Known names: `log_loss` (the natural logarithm) or `loss`; `subset`, the same for the seeds of one set; `seed`; `source`, the
    largest one of the set, or `share_<source>` columns; `design`, mixture or bin. Indicator means stand under their symbols.
    """

    columns: Mapping[str, Sequence[Any]] = field(repr=False)
    """Name → values, all of one length; None where there is none."""
    manifest: Mapping[str, Any] = field(default_factory=dict, repr=False)
    """`indicators`: symbol → fingerprint of what was scored, where it is known."""
    positions: Sequence[int] | None = field(default=None, repr=False)
    """Where each row stood in the whole table, for messages; None where this is the whole."""

    def __post_init__(self) -> None:
        lengths = {name: len(values) for name, values in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ObservationsError(
                f"Columns of observations have one length; these have {', '.join(f'{name} {n}' for name, n in lengths.items())}."
            )
        if not lengths or not len(self):
            raise ObservationsError("There are no observations.", fix="Give one row for each fine-tuned set.")

    @classmethod
    def of(cls, table: Any, manifest: Mapping[str, Any] | None = None) -> Self:
        """Observations from a mapping of columns, or a polars or pandas frame.

        Raises:
            ObservationsError: no rows, or columns of different lengths.
            UsageError: something else than a table.
        """
        if isinstance(table, cls):
            return table
        if isinstance(table, Mapping):
            names: Sequence[Any] = list(table)
        elif hasattr(table, "columns") and hasattr(table, "__getitem__"):
            names = list(table.columns)
        else:
            raise UsageError(f"Observations are a frame or a mapping of columns, not {type(table).__name__}.")
        return cls({str(name): _listed(table[name]) for name in names}, dict(manifest or {}))

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Observations from a .parquet, .csv or .jsonl file, with the manifest in it or beside it.

        Raises:
            UsageError: another ending.
            ObservationsError: missing, damaged, empty, or something else by its manifest.
            ScoresError: the manifest beside it is damaged, or of a newer release.
        """
        target = Path(path)
        if target.suffix not in SUFFIXES:
            raise UsageError(f"{target} ends in none of {', '.join(SUFFIXES)}.", fix="Give the observations as one of these.")
        refusal = Refusal(ObservationsError, AGAIN)
        data = read_bytes(target, refusal)
        if target.suffix == ".jsonl":
            return cls(_from_lines(data, target), read_manifest(target, ObservationsManifest) or {})
        if target.suffix == ".csv" or SEAL in data:
            try:
                frame, manifest = read_frame(target, kind=STUDY, noun="a study's observations", shape=ObservationsManifest)
            except ScoresError as error:
                raise ObservationsError(error.message, fix=AGAIN) from error
            return cls.of(frame, manifest)
        # Of another writer: there is no digest to check.
        return cls.of(parsed_parquet(data, target, refusal), read_manifest(target, ObservationsManifest))

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    @property
    def loss_unit(self) -> str:
        """The unit of the losses, where the manifest says what graded them; else nats per token, as studies are."""
        unit = (self.manifest.get("grader") or {}).get("unit")
        return unit if unit in LOSS_UNITS else NATS_PER_TOKEN

    @property
    def names(self) -> tuple[str, ...]:
        """The columns, in order."""
        return tuple(self.columns)

    def numbers(self, name: str) -> NDArray[np.float64]:
        """A column as float64 (n,), every value finite.

        Raises:
            UsageError: there is no such column.
            ObservationsError: a value is missing, no number, or not finite; the rows are named.
        """
        if name not in self.columns:
            raise UsageError.named(name, self.names, noun="column of the observations")
        numbers = np.array([_number(value) for value in self.columns[name]], dtype=np.float64)
        bad = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
        if len(bad):
            raise ObservationsError(
                f"{name} is no finite number in {self.rows(bad)}.",
                fix=f"Correct these rows (a number is {RANGE}), drop them, or fit without {name}.",
            )
        return numbers

    def labels(self, name: str) -> tuple[str, ...] | None:
        """A column as text; None where there is none.

        Raises:
            ObservationsError: a label is missing; the rows are named.
        """
        if name not in self.columns:
            return None
        values = self.columns[name]
        bad = [row for row, value in enumerate(values) if value is None or value == ""]
        if bad:
            raise ObservationsError(f"{name} is empty in {self.rows(bad)}.", fix=f"Fill it in, or drop the column {name}.")
        return tuple(str(value) for value in values)

    def logarithm(self, target: str = "log_loss") -> NDArray[np.float64]:
        """The natural logarithm that is fitted, (n,): the column `log_x`, or the logarithm of the column `x`.

        Raises:
            UsageError: the name does not begin with log_.
            ObservationsError: neither column is there, they disagree, or a loss is missing, not finite or not above 0.
        """
        bare = target.removeprefix(LOG)
        if bare == target or not bare:
            raise UsageError(f"The target is '{target}'; it is the logarithm of a loss.", fix="Name it log_loss, or log_ and a column.")
        if target not in self.columns and bare not in self.columns:
            raise ObservationsError(
                f"The observations have neither a column {bare} nor {target}; they have {', '.join(self.names)}.",
                fix="Add one, or name another with --target.",
            )
        logarithms = self.numbers(target) if target in self.columns else None
        if bare not in self.columns:
            return logarithms if logarithms is not None else np.empty(0)
        losses = self.numbers(bare)
        bad = np.flatnonzero(losses <= 0)
        if len(bad):
            raise ObservationsError(
                f"{bare} is not above 0 in {self.rows(bad)}, so it has no logarithm.",
                fix=f"A mean negative log-likelihood is positive; if the column holds ln L, call it {target}.",
            )
        computed = np.log(losses)
        if logarithms is not None and np.abs(logarithms - computed).max() > DIFFERS:
            worst = int(np.abs(logarithms - computed).argmax())
            raise ObservationsError(
                f"{target} is not the natural logarithm of {bare} in {self.rows([worst])}: {logarithms[worst]:g}, not {computed[worst]:g}.",
                fix="Drop the wrong one of the two columns.",
            )
        return computed if logarithms is None else logarithms

    def shares(self) -> list[str]:
        """The columns `share_<source>`, by name."""
        return sorted(name for name in self.names if name.startswith(SHARE) and name != SHARE)

    def sources(self) -> tuple[str, ...] | None:
        """The largest source of each row: the column `source`, or the largest `share_<source>`, ties by name; None without these."""
        shares = self.shares()
        if "source" in self.columns or not shares:
            return self.labels("source")
        largest = np.argmax([self.numbers(name) for name in shares], axis=0)
        return tuple(shares[position].removeprefix(SHARE) for position in largest.tolist())

    def indicators(self) -> tuple[str, ...]:
        """The columns that hold indicators: those the manifest names, or else those whose name is an indicator's symbol.

        Raises:
            UsageError: there is none.
        """
        fingerprints = self.manifest.get("indicators")
        known = set(fingerprints) if isinstance(fingerprints, Mapping) else set()
        symbols = tuple(name for name in self.names if (name in known if known else _is_symbol(name)))
        if not symbols:
            raise UsageError(
                f"No column has the name of an indicator; there are {', '.join(self.names)}.", fix="Name the columns with --indicators."
            )
        return symbols

    def fingerprints(self, symbols: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Of these indicators, what the manifest says they were scored with; without what counts rows, and without nulls."""
        recorded = self.manifest.get("indicators")
        if not isinstance(recorded, Mapping):
            return {}
        chosen = {symbol: recorded[symbol] for symbol in symbols if isinstance(recorded.get(symbol), Mapping)}
        return {
            symbol: {key: _without_nulls(value) for key, value in entry.items() if value is not None and key not in COUNTS}
            for symbol, entry in chosen.items()
        }

    def where(self, mask: NDArray[np.bool_]) -> Self:
        """The rows of a mask."""
        picked = np.flatnonzero(mask).tolist()
        columns = {name: [values[row] for row in picked] for name, values in self.columns.items()}
        return type(self)(columns, self.manifest, [self._position(row) for row in picked])

    def rows(self, positions: Any) -> str:
        """Rows as messages name them, counted from 1."""
        numbers = [int(position) for position in positions]
        shown = [f"row {self._position(position) + 1}{self._label(position)}" for position in numbers[:NAMED]]
        return ", ".join(shown) + (f" and {len(numbers) - NAMED} more" if len(numbers) > NAMED else "")

    def digest(self, names: Sequence[str]) -> str:
        """A digest of some columns."""
        return fingerprint({name: [_plain(value) for value in self.columns[name]] for name in names if name in self.columns})

    def _position(self, row: int) -> int:
        return row if self.positions is None else self.positions[row]

    def _label(self, position: int) -> str:
        subset, seed = (self.columns[name][position] if name in self.columns else None for name in ("subset", "seed"))
        parts = [str(subset)] * (subset is not None) + [f"seed {seed}"] * (seed is not None)
        return f" ({', '.join(parts)})" if parts else ""


def _listed(column: Any) -> list[Any]:
    for method in ("to_list", "tolist"):
        if hasattr(column, method):
            return list(getattr(column, method)())
    return list(column)


def _number(value: Any) -> float:
    """A cell as a float; NaN where it is none."""
    if value is None or isinstance(value, bool):
        return math.nan
    try:
        return float(value)
    except (TypeError, ValueError, OverflowError):
        return math.nan


def _plain(value: Any) -> Any:
    number = _number(value)
    return number if math.isfinite(number) else str(value)


def _without_nulls(value: Any) -> Any:
    # A rule file is TOML, which has none.
    if isinstance(value, Mapping):
        return {str(key): _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value if item is not None] if isinstance(value, list | tuple) else value


def _is_symbol(name: str) -> bool:
    try:
        registry.make(name)
    except UnknownIndicator:
        return False
    return True


def _from_lines(data: bytes, path: Path) -> dict[str, list[Any]]:
    columns: dict[str, list[Any]] = {}
    refusal = Refusal(ObservationsError, AGAIN)
    count = 0
    for number, line in enumerate(data.split(b"\n"), start=1):
        if not line.strip():
            continue
        row = parse_json(line, dict[str, Any], f"{path}, line {number}", refusal)
        for name in row:
            columns.setdefault(name, [None] * count)
        for name, values in columns.items():
            values.append(row.get(name))
        count += 1
    return columns


__all__ = ["Observations"]
