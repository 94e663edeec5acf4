"""The score table: a row an example, a column an indicator, and why a value is missing where it is."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from instructsel.artifact import checked_version, dump_json, manifest_path, read_manifest, release
from instructsel.columns import Coded, Column, Columns, MadeFrame, Names, Numbers, Plain, held_columns
from instructsel.errors import ScoresError, UnknownIndicator, UsageError
from instructsel.kinds import SCORES, head
from instructsel.pool.ids import Ids
from instructsel.pool.pool import Pool
from instructsel.pool.spec import PoolSpec
from instructsel.scores.shape import ScoresManifest, WithPool
from instructsel.structured import Refusal, read_json
from instructsel.tables import SUFFIXES, read_frame, write_frame
from instructsel.text import counted, html_table

SUFFIX: Final = ".scores.parquet"
"""How a score table's name ends when nobody chose it."""

PIECE: Final = 65_536
"""Ids that are looked at together."""
COMPACT: Final = 1 << 16
"""Rows from which on a table that is read is held as columns of few bytes."""
PLACE: Final = ("file", "line")
"""Columns that say where an example stands: its file's name and its first line in it, counted from 1."""
NOT_INDICATORS: Final = ("id", "source", *PLACE)
REASON: Final = "_reason"


@dataclass(frozen=True, repr=False)
class ScoreTable:
    """Scores of a pool: finite or null, and null only with a reason."""

    frame: MadeFrame = MadeFrame()  # noqa: RUF009 - a descriptor: each table has its own
    """A polars frame. `id`, optionally `source`, `file` and `line` (String and Int64; null where they are not known), and per indicator a
    Float64 column under its symbol and a String column `<symbol>_reason`; in the order of the ids. A table that `score` made makes it when
    it is asked for; see `instructsel.columns`."""
    manifest: dict[str, Any] = field(default_factory=dict, repr=False)
    """What the scores were made from: `kind`, `schema`, `instructsel`, `pool` (fingerprint and read report) and
    `indicators` (symbol → fingerprint). Nothing in it differs between two equal runs."""
    spec: PoolSpec | None = field(default=None, repr=False, compare=False)
    """Where the pool is and how it was read; None where nobody recorded it."""
    spaces: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)
    """Symbol → the embeddings that `score` computed in this process, so that `select` need not compute them again; never written."""

    def __post_init__(self) -> None:
        if isinstance(vars(self)["_held_frame"], Columns):
            _check_numbers(self._columns)
            return
        # Tables of earlier releases do not say where their examples stand.
        frame = _with_places(self.frame)
        _check(frame)
        object.__setattr__(self, "frame", frame if _ascends(frame["id"]) else frame.sort("id", maintain_order=True))

    @classmethod
    def from_columns(
        cls,
        ids: Sequence[str] | pl.Series,
        columns: Mapping[str, tuple[ArrayLike | Sequence[float | None] | pl.Series, Sequence[str | None] | pl.Series]],
        manifest: Mapping[str, Any] | None = None,
        *,
        sources: Sequence[str] | None = None,
        places: pl.DataFrame | None = None,
        spec: PoolSpec | None = None,
    ) -> Self:
        """A table of columns of values and reasons.

        Args:
            ids: one per example, in the order of the values.
            columns: symbol → (values, reasons), each as long as `ids`. A value that has a reason is null, whatever number
                stands there; a value without one must be finite. A series of values is taken as it is, null where it has a reason.
            manifest: the deterministic part; `kind`, `schema` and `instructsel` are filled in.
            sources: the examples' source labels, if the table should show them.
            places: columns `file` and `line` in the order of `ids`, as `Pool.places` gives them.
            spec: where the pool is.

        Raises:
            ScoresError: lengths differ, an id occurs twice, or a value is neither finite nor null with a reason.
        """
        data: dict[str, pl.Series] = {"id": _id_column(ids)}
        if sources is not None:
            data["source"] = pl.Series("source", list(sources), dtype=pl.String)
        if places is not None:
            data |= {name: places[name] for name in PLACE}
        for symbol, (values, reasons) in columns.items():
            texts = reasons if isinstance(reasons, pl.Series) else list(reasons)
            why = pl.Series(f"{symbol}{REASON}", texts, dtype=pl.String)
            numbers = _numbers(symbol, values)
            if not len(numbers) == len(why) == len(ids):
                raise ScoresError(f"{symbol} has {len(numbers)} values and {len(why)} reasons for {len(ids)} examples.")
            is_silent = not isinstance(values, pl.Series) and len(ids)
            data[symbol] = pl.select(pl.when(why.is_null()).then(numbers).alias(symbol)).to_series() if is_silent else numbers
            data[why.name] = why
        try:
            frame = pl.DataFrame(data)
        except pl.exceptions.PolarsError as error:
            raise ScoresError(f"The columns do not make a table: {error}") from error
        begin = {**head(SCORES), "instructsel": release()}
        return cls(frame, {**begin, **(manifest or {})}, spec)

    @classmethod
    def of_pool(
        cls,
        pool: Pool,
        columns: Mapping[str, tuple[Numbers, Coded]],
        manifest: Mapping[str, Any],
        *,
        spaces: Mapping[str, Any],
    ) -> Self:
        """A table of columns over the examples of a pool, in its order; ids and places are the pool's own.

        Args:
            pool: that was scored.
            columns: symbol → values, and why they are missing.
            manifest: the deterministic part.
            spaces: symbol → embeddings.

        Raises:
            ScoresError: a value is not finite.
        """
        held: dict[str, Column] = {
            "id": Names(pool.ids),
            "file": Coded(pool.file_of, pool.file_names),
            "line": Numbers(pool.line_of, dtype=pl.Int64),
        }
        for symbol, (values, reasons) in columns.items():
            held |= {symbol: values, symbol + REASON: reasons}
        return cls(Columns(held), {**head(SCORES), "instructsel": release(), **manifest}, pool.spec, spaces)

    @property
    def _columns(self) -> Columns:
        return held_columns(self)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        """One line: the examples, and the columns with their nulls.

        >>> ScoreTable.from_columns(["a", "b"], {"len": ([3.0, None], [None, "empty_response"])})
        ScoreTable(2 examples; len: 1 null)
        """
        columns = ", ".join(f"{symbol}: {int((~self.values(symbol)[1]).sum()):,} null" for symbol in self.symbols)
        return f"ScoreTable({counted(len(self), 'example')}; {columns or 'no columns'})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a row an indicator."""
        rows = []
        for symbol in self.symbols:
            values, valid = self.values(symbol)
            quantiles = [f"{value:.4g}" for value in np.quantile(values[valid], [0.05, 0.5, 0.95])] if valid.any() else ["", "", ""]
            nulls = ", ".join(f"{reason} {count:,}" for reason, count in self.null_counts(symbol).items()) or "0"
            rows.append([symbol, f"{int(valid.sum()):,}", nulls, *quantiles])
        return html_table(repr(self), ("indicator", "scored", "null", "5%", "median", "95%"), rows)

    @cached_property
    def fingerprint(self) -> str:
        """blake2b-128 over ids, values, reasons and what they were made with. Files and lines are no part of it, so that
        shuffled rows and a renamed pool have the same one."""
        digest = hashlib.blake2b(dump_json([self.manifest.get("indicators") or {}, self.symbols]), digest_size=16)
        names = self._columns["id"]
        for start in range(0, len(names), PIECE):
            # In pieces: the texts of ten million ids take a gigabyte, and their join a third of one.
            digest.update(("\n" * bool(start) + "\n".join(names.series(slice(start, start + PIECE)).to_list())).encode())
        for symbol in self.symbols:
            values, valid = self.values(symbol)
            digest.update(values.astype("<f8").tobytes() + valid.tobytes())
            why = self._columns[symbol + REASON]
            for start in range(0, len(why), PIECE):
                # One JSON list, in pieces.
                digest.update((b"," if start else b"[") + dump_json(why.series(slice(start, start + PIECE)).to_list())[1:-1])
            digest.update(b"]" if len(why) else b"[]")
        return digest.hexdigest()

    @property
    def ids(self) -> list[str]:
        """The examples' ids, ascending."""
        return self._columns.column("id").to_list()

    def has_ids(self, ids: Ids) -> bool:
        """Whether these are its ids, in this order."""
        column = self._columns["id"]
        return column.ids == ids if isinstance(column, Names) else ids.equals(self._columns.column("id"))

    @property
    def symbols(self) -> tuple[str, ...]:
        """The indicators' symbols, in the order of the columns."""
        return tuple(name for name in self._columns.names if name not in NOT_INDICATORS and not name.endswith(REASON))

    def values(self, symbol: str) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """An indicator's values, float64 (n,), and where they are valid, bool (n,); 0 where not, so never NaN.

        Raises:
            UnknownIndicator: the table has no such column.
        """
        held = self._columns[self._known(symbol)]
        if isinstance(held, Numbers):
            return held.values, held.present()
        column = self._columns.column(symbol)
        return column.fill_null(0.0).to_numpy(), column.is_not_null().to_numpy()

    def reasons(self, symbol: str) -> list[str | None]:
        """Why a value is missing, one per row; None where it is not.

        Raises:
            UnknownIndicator: the table has no such column.
        """
        return self._columns.column(self._known(symbol) + REASON).to_list()

    def reasons_at(self, symbol: str, rows: NDArray[np.integer[Any]]) -> list[str | None]:
        """Why the values of these rows are missing.

        Raises:
            UnknownIndicator: the table has no such column.
        """
        held = self._columns[self._known(symbol) + REASON]
        if isinstance(held, Coded):
            return [held.words[code] for code in held.codes[rows].tolist()]
        return self._columns.column(symbol + REASON)[rows].to_list()

    def null_fraction(self, symbol: str) -> float:
        """Rows without a value as a share of all, in [0, 1]; 0 for an empty table.

        Raises:
            UnknownIndicator: the table has no such column.
        """
        return int((~self.values(symbol)[1]).sum()) / len(self) if len(self) else 0.0

    def null_counts(self, symbol: str) -> dict[str, int]:
        """Rows without a value by reason, most frequent first.

        Raises:
            UnknownIndicator: the table has no such column.
        """
        held = self._columns[self._known(symbol) + REASON]
        counts: dict[str, int] = (
            held.counts() if isinstance(held, Coded) else dict(Counter(self._columns.column(symbol + REASON).drop_nulls().to_list()))
        )
        return dict(sorted(counts.items(), key=lambda item: (-item[1], item[0])))

    def write(self, path: str | Path, *, run: dict[str, Any] | None = None) -> None:
        """Write .parquet or .csv, the same bytes for the same scores, and the manifest as JSON beside it.

        Args:
            path: where; the suffix says how.
            run: what differs from run to run (seconds, machine, paths); goes into the JSON only, as does where the pool is.

        Raises:
            UsageError: another suffix.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        pool = {"pool": self.spec.as_dict()} if self.spec is not None else {}
        write_frame(path, self._columns, self.manifest, run={**pool, **(run or {})})

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """The table that `write` wrote; a CSV without its JSON is readable and has an empty manifest.

        Raises:
            ScoresError: missing, damaged, not a score table, or of a newer release.
        """
        frame, manifest = read_frame(path, kind=SCORES, noun="a score table", shape=ScoresManifest)
        try:
            table = cls(_typed(frame) if Path(path).suffix == ".csv" else frame, manifest, _spec(path))
            return table if len(table) < COMPACT else cls(_compact(table.frame), manifest, table.spec)
        except ScoresError as error:
            raise ScoresError(f"{path} is not a score table: {error.message}", fix="Score the pool again, or name another file.") from error

    def _known(self, symbol: str) -> str:
        if symbol not in self.symbols:
            raise UnknownIndicator.named(symbol, self.symbols, noun="indicator in this table")
        return symbol


def _compact(frame: pl.DataFrame) -> Columns:
    """The columns of a checked frame as few bytes, in which a table takes a quarter of its memory."""
    columns: dict[str, Column] = {}
    for name in frame.columns:
        series = frame[name]
        if name == "id":
            ids = Ids.of(series)
            columns[name] = Names(ids) if ids is not None else Plain(series)
        elif series.dtype == pl.String:
            columns[name] = Coded.of(series)
        elif name == "line":
            columns[name] = Plain(series)
        else:
            columns[name] = Numbers(series.fill_null(0.0).to_numpy(), series.is_null().to_numpy())
    return Columns(columns)


def _check_numbers(columns: Columns) -> None:
    """Refuse values that are not finite, of columns that keep the other promises of a table by what they are."""
    for name in columns.names:
        column = columns[name]
        if isinstance(column, Numbers) and name not in NOT_INDICATORS:
            unfinite = int((~np.isfinite(column.values) & column.present()).sum())
            if unfinite:
                raise _not_finite(name, unfinite)


def _not_finite(name: str, count: int) -> ScoresError:
    return ScoresError(
        f"Column '{name}' holds {counted(count, 'value')} that {'is' if count == 1 else 'are'} NaN or infinite; what cannot be scored is null with a reason."
    )


def _spec(path: str | Path) -> PoolSpec | None:
    """Where the pool of a table is, by the JSON beside it."""
    try:
        run = (read_manifest(path, WithPool) or {}).get("run")
        return PoolSpec.of(run) if run else None
    except ScoresError:
        return None


def newest(folder: str | Path = ".") -> Path:
    """The score table in a folder that was finished last, by its manifest and not by the file's date.

    Looked at are `*.scores.parquet` and every .parquet or .csv file whose JSON beside it says `kind: scores`.

    Raises:
        UsageError: there is none; or the last two were finished at the same moment; or a `*.scores.parquet` has lost its
            manifest, so that nobody can tell whether it is the newest.
        ScoresError: the manifest of a `*.scores.parquet` is damaged.
    """
    dated: list[tuple[datetime, str, Path]] = []
    undated: list[Path] = []
    for path in sorted(Path(folder).iterdir()):
        if path.suffix not in SUFFIXES or not path.is_file():
            continue
        moment = _finished_at(path)
        if moment is not None:
            dated.append((moment, path.name, path))
        elif path.name.endswith(SUFFIX):
            undated.append(path)
    if undated:
        raise UsageError(
            f"{undated[0]} has no readable time in {manifest_path(undated[0]).name}, so which score table is the newest cannot be said.",
            fix=f"Name one: instructsel select {undated[0]}",
        )
    if not dated:
        raise UsageError(f"There is no score table in {Path(folder).resolve()}.", fix="Make one with: instructsel score POOL")
    dated.sort()
    if len(dated) > 1 and dated[-1][0] == dated[-2][0]:
        raise UsageError(
            f"{dated[-2][2]} and {dated[-1][2]} were finished at the same moment.", fix=f"Name one: instructsel select {dated[-2][2]}"
        )
    return dated[-1][2]


def _finished_at(path: Path) -> datetime | None:
    """When a score table was finished; None where the file is not one or does not say."""
    beside = manifest_path(path)
    ours = path.name.endswith(SUFFIX)
    try:
        manifest = read_json(beside, dict[str, Any], Refusal(ScoresError, "Score the pool again."), missing=None)
    except ScoresError:
        # A file that by its name is ours and cannot be dated must not be passed over in silence.
        if ours:
            raise
        return None
    if manifest is None or manifest.get("kind") != SCORES:
        return None
    run = checked_version(manifest, beside).get("run")
    try:
        moment = datetime.fromisoformat(run["finished_at"])  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _with_places(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with `file` and `line`, null where it has none of the two."""
    if "id" not in frame.columns or any(name in frame.columns for name in PLACE):
        return frame
    position = 2 if "source" in frame.columns else 1
    nulls = [pl.Series("file", [None] * frame.height, dtype=pl.String), pl.Series("line", [None] * frame.height, dtype=pl.Int64)]
    return pl.DataFrame([*frame.get_columns()[:position], *nulls, *frame.get_columns()[position:]])


def _id_column(ids: Sequence[str] | pl.Series) -> pl.Series:
    if isinstance(ids, pl.Series):
        return ids.alias("id")
    return ids.series() if isinstance(ids, Ids) else pl.Series("id", list(ids), dtype=pl.String)


def _numbers(symbol: str, values: ArrayLike | Sequence[float | None] | pl.Series) -> pl.Series:
    """A column of values. A series is one already, null where there is a reason."""
    if isinstance(values, pl.Series):
        return values.alias(symbol)
    listed = [np.nan if value is None else value for value in values] if isinstance(values, list | tuple) else values
    return pl.Series(symbol, np.asarray(listed, dtype=np.float64))


def _ascends(names: pl.Series) -> bool:
    """Whether each of some ids comes behind the one before it. In pieces: a set of ten million texts takes half a gigabyte."""
    pieces = (names[start : start + PIECE + 1] for start in range(0, len(names), PIECE))
    return all((piece[1:] > piece[:-1]).all() for piece in pieces)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """A CSV's texts as ids, places, numbers and reasons."""
    if "id" not in frame.columns:
        return frame
    numbers = [name for name in frame.columns if name not in NOT_INDICATORS and not name.endswith(REASON)]
    reasons = [name for name in frame.columns if name.endswith(REASON)]
    try:
        typed = frame.with_columns(pl.col(numbers).cast(pl.Float64, strict=True)) if numbers else frame
        typed = typed.with_columns(pl.col("line").cast(pl.Int64, strict=True)) if "line" in typed.columns else typed
    except pl.exceptions.PolarsError as error:
        raise ScoresError(f"a cell that should be a number is none: {str(error).splitlines()[0]}") from error
    if reasons:
        typed = typed.with_columns(pl.col(reasons).replace("", None))
    return typed.with_columns(pl.col("source").fill_null("")) if "source" in typed.columns else typed


def _check(frame: pl.DataFrame) -> None:
    """The promises of a score table, each with its own message."""
    if "id" not in frame.columns:
        raise ScoresError(f"A score table needs a column 'id'; there are {', '.join(frame.columns) or 'none'}.")
    for name in NOT_INDICATORS:
        if name not in frame.columns:
            if name in PLACE:
                raise ScoresError(f"Columns 'file' and 'line' belong together; '{name}' is missing.")
            continue
        expected, noun = (pl.Int64, "whole numbers") if name == "line" else (pl.String, "text")
        if frame[name].dtype != expected:
            raise ScoresError(f"Column '{name}' holds {frame[name].dtype}, not {noun}.")
    if frame["id"].null_count():
        raise ScoresError(f"{counted(frame['id'].null_count(), 'row')} with no id.")
    if not _ascends(frame["id"]) and frame["id"].n_unique() != frame.height:
        twice = Counter(frame["id"].to_list()).most_common(1)[0][0]
        raise ScoresError(f"The id {twice} stands in more than one row.")
    for name in frame.columns:
        if name in NOT_INDICATORS:
            continue
        if name.endswith(REASON):
            if name.removesuffix(REASON) not in frame.columns:
                raise ScoresError(f"Column '{name}' has no column '{name.removesuffix(REASON)}' beside it.")
            continue
        values = frame[name]
        if values.dtype != pl.Float64:
            raise ScoresError(f"Column '{name}' holds {values.dtype}, not Float64.")
        if name + REASON not in frame.columns:
            raise ScoresError(f"Column '{name}' has no column '{name}{REASON}' beside it.")
        reasons = frame[name + REASON]
        if reasons.dtype != pl.String:
            raise ScoresError(f"Column '{name}{REASON}' holds {reasons.dtype}, not text.")
        unfinite = int((~values.is_finite()).sum() or 0)
        if unfinite:
            raise _not_finite(name, unfinite)
        if int((reasons == "").sum() or 0):
            raise ScoresError(f"Column '{name}{REASON}' holds an empty reason.")
        silent = int((values.is_null() & reasons.is_null()).sum())
        if silent:
            raise ScoresError(f"Column '{name}' is null in {counted(silent, 'row')} without a reason.")
        both = int((values.is_not_null() & reasons.is_not_null()).sum())
        if both:
            raise ScoresError(f"Column '{name}' has a value and a reason for none in {counted(both, 'row')}.")


__all__ = ["SUFFIX", "ScoreTable", "newest"]
