"""Scores that another program computed, as an indicator: from a file, or from a field of the pool's own rows."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np

from instructsel.errors import ScoresError, TooManyNulls, UnknownIndicator, UsageError
from instructsel.indicators import registry
from instructsel.indicators.base import Batch, Indicator, Progress, Scored
from instructsel.pool.pool import Pool
from instructsel.scores.joining import NONE, Join, Joined, Joiner, PoolRows
from instructsel.scores.score_files import EMPTY, PRESENT, REASONS, SHOWN, Cells, ScoreFile, digest_of, read_score_file
from instructsel.scores.table import NOT_INDICATORS, REASON
from instructsel.text import counted, excerpt

IMPORTED: Final = "imported_scores"
"""The `name` of such a column in a manifest."""
SYMBOL: Final = re.compile(r"[a-z][a-z0-9_]*")
LONGEST: Final = 60
"""Characters of a symbol."""
BETTER: Final = ("", "higher", "lower")
MAX_UNMATCHED: Final = 0.5
"""Share of the examples that may be without a score, where nothing else is asked for."""


class ScoreFiles:
    """Files of scores that are read together, once, for one or several of their columns.

    >>> files = ScoreFiles(["scores.jsonl"], ["reward", "length_penalty"])  # doctest: +SKIP
    >>> score(pool, [ImportedScores("reward", files), ImportedScores("length_penalty", files)])  # doctest: +SKIP
    """

    def __init__(self, paths: str | Path | Sequence[str | Path], columns: Sequence[str], *, join: str = "auto") -> None:
        """Name the files; nothing is read yet.

        Args:
            paths: .jsonl, .json, .csv, .tsv or .parquet, each also .gz or .zst; of several, each holds a part of the rows or of the columns.
            columns: the fields to read.
            join: `auto`; `id`; `order`; FIELD of the pool and the file; FIELD=FIELD_OF_THE_FILE; several with commas between; or
                `row=FIELD`, which holds row numbers from 0.

        Raises:
            UsageError: no file, or another form of `join`.
        """
        self.paths: tuple[str, ...] = (str(paths),) if isinstance(paths, str | Path) else tuple(map(str, paths))
        if not self.paths or len(set(self.paths)) != len(self.paths):
            raise UsageError(
                "Files of scores are named once each, and at least one.", fix="For example: --import scores.jsonl --column reward"
            )
        self.columns: tuple[str, ...] = tuple(columns)
        self.join: Join = Join.parse(join)
        self.join_text: str = join
        self._content: tuple[str, ...] | None = None
        self._files: tuple[ScoreFile, ...] = ()
        self._rows: PoolRows | None = None

    def __repr__(self) -> str:
        return f"ScoreFiles({', '.join(Path(path).name for path in self.paths)}; {', '.join(self.columns)})"

    @cached_property
    def digests(self) -> tuple[str, ...]:
        """SHA-256 of the bytes of each file, in hexadecimal.

        Raises:
            ScoresError: there is no such file.
        """
        return tuple(digest_of(path) for path in self.paths)

    def read(self, content: Sequence[str] = ()) -> tuple[ScoreFile, ...]:
        """The files, read once for each set of `content` fields.

        Raises:
            ScoresError: as of `read_score_file`.
        """
        if self._content is None or not set(content) <= set(self._content):
            keys = [self.join.theirs, *((name,) for name in self.join.theirs)] if self.join.theirs else []
            self._files = tuple(read_score_file(path, self.columns, keys, content=content) for path in self.paths)
            if tuple(file.sha256 for file in self._files) != self.digests:
                raise ScoresError(f"{', '.join(self.paths[:3])} has changed in the meantime.", fix="Run the command again.")
            self._content = tuple(content)
        return self._files

    def holding(self, column: str, content: Sequence[str] = ()) -> tuple[ScoreFile, ...]:
        """Those of the files in which a row has a column.

        Raises:
            ScoresError: none of them.
        """
        files = self.read(content)
        holding = tuple(file for file in files if column in file.columns)
        if holding:
            return holding
        names = dict.fromkeys(name for file in files for name in file.fields)
        shown = ", ".join(excerpt(name, 30) for name in list(names)[:SHOWN]) + (" …" if len(names) > SHOWN else "")
        raise ScoresError(
            f"{', '.join(self.paths[:3])} has no column {excerpt(column, 40)}; there are {shown}.",
            fix="Name one of these with --column FIELD, or --column SYMBOL=FIELD.",
        )

    def rows_of(self, pool: Pool) -> PoolRows:
        """The pool's rows, kept for the next column."""
        if self._rows is None or self._rows.pool is not pool:
            self._rows = PoolRows(pool)
        return self._rows


@dataclass(frozen=True)
class ImportedScores(Indicator):
    """A column of scores that another program computed, joined to the examples of a pool.

    >>> score(pool, [ImportedScores("reward", "scores.jsonl")])  # doctest: +SKIP
    >>> score(pool, [ImportedScores("quality_score")])  # a field of the pool's own rows  # doctest: +SKIP
    """

    column: str
    """The field that holds the numbers; OBJECT.FIELD for one of an object."""
    files: ScoreFiles | str | Path | None = field(default=None, compare=False)
    """Where from; None for the pool's own rows."""
    name: str | None = None
    """The symbol; made from the column by default."""
    join: str = "auto"
    """How rows are joined, as of ScoreFiles; not where `files` are ScoreFiles, which say it."""
    unit_of_values: str = ""
    """In what the values are; "" where nobody says."""
    better: str = ""
    """higher, lower, or "" where nobody says."""
    max_unmatched_fraction: float = MAX_UNMATCHED
    """Share of the examples that may be without a score before the run ends."""

    symbol_pattern: ClassVar[str] = SYMBOL.pattern
    version: ClassVar[int] = 1
    unit: ClassVar[str] = ""
    direction: ClassVar[str] = "as its own program says"
    source: ClassVar[str] = "a file of scores, or the pool's own rows"
    scope: ClassVar = "pool"

    def __post_init__(self) -> None:
        """Refuse a symbol or a setting that cannot be.

        Raises:
            UsageError: it cannot.
        """
        check_symbol(self.symbol, self.column)
        if self.better not in BETTER:
            raise UsageError.named(self.better, BETTER[1:], noun="direction")
        if not 0 <= self.max_unmatched_fraction <= 1:
            raise UsageError(f"A share lies between 0 and 1; found {self.max_unmatched_fraction}.", fix="Write 0.5 for a half.")
        if self.score_files is not None and self.column not in self.score_files.columns:
            raise UsageError(f"{self.score_files!r} is not read for {self.column}.", fix="Name the column in its columns.")

    @property
    def symbol(self) -> str:
        """The column's name in the score table."""
        return self.name if self.name is not None else symbol_of(self.column)

    @cached_property
    def score_files(self) -> ScoreFiles | None:
        """The files; None for the pool's own rows."""
        if self.files is None or isinstance(self.files, ScoreFiles):
            return self.files
        return ScoreFiles(self.files, [self.column], join=self.join)

    def fingerprint(self) -> dict[str, Any]:
        """The column, the bytes of the files and how they are joined; not where the files lie or what they are called."""
        files = self.score_files
        parameters = {
            "column": self.column,
            "files": None if files is None else list(files.digests),
            "join": None if files is None else files.join_text,
        }
        return {"name": IMPORTED, "version": self.version, "unit": self.unit_of_values, "parameters": parameters}

    def score(self, batch: Batch, *, progress: Progress | None = None) -> Scored:
        """Refused: an example alone does not say where it stands in its pool.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self.symbol} is joined to a whole pool.", fix="Write score(pool, [ImportedScores(…)]).")

    def joined(self, pool: Pool) -> tuple[Scored, dict[str, Any]]:
        """The values of a pool's examples in its order, and the record of where they came from.

        Raises:
            ScoresError: the file or its join is refused.
            TooManyNulls: more examples than `max_unmatched_fraction` have no score.
        """
        values, codes, record = self._from_rows(pool) if self.score_files is None else self._from_files(pool, self.score_files)
        missing = int((codes != PRESENT).sum())
        if missing > self.max_unmatched_fraction * len(pool):
            counts = ", ".join(
                f"{reason} {int((codes == code).sum()):,}" for code, reason in enumerate(REASONS) if reason and (codes == code).any()
            )
            raise TooManyNulls(
                f"{self.symbol} has no value in {missing:,} of {counted(len(pool), 'example')} ({counts}), more than {self.max_unmatched_fraction:.0%}.",
                fix="Import scores of more of the rows, or raise --max-unmatched-fraction.",
            )
        reasons = [REASONS[code] for code in codes.tolist()]
        scored = Scored([None if reason else value for value, reason in zip(values.tolist(), reasons, strict=True)], reasons)
        return scored, record | {"column": self.column, "direction": self.better or None}

    def _from_files(self, pool: Pool, files: ScoreFiles) -> tuple[Any, Any, dict[str, Any]]:
        rows = files.rows_of(pool)
        holding = files.holding(self.column, rows.content_fields)
        joined: Joined = Joiner(rows, holding, self.column).join(files.join, 1 - self.max_unmatched_fraction)
        columns = [file.columns[self.column] for file in holding]
        values, codes = np.concatenate([column.values for column in columns]), np.concatenate([column.codes for column in columns])
        matched = joined.rows != NONE
        taken = np.where(matched, joined.rows, 0)
        return (
            np.where(matched, values[taken], 0.0),
            np.where(matched, codes[taken], EMPTY),
            {
                "files": [{"name": file.name, "sha256": file.sha256, "rows": len(file)} for file in holding],
                "joined_by": joined.by,
                "matched": joined.matched,
                "unused_rows": joined.unused,
                "repeated_rows": joined.repeated,
                "booleans": sum(column.booleans for column in columns),
            },
        )

    def _from_rows(self, pool: Pool) -> tuple[Any, Any, dict[str, Any]]:
        cells = Cells(self.column)
        positions: list[int] = []
        fields: dict[str, None] = {}
        for position, file, row, record in PoolRows(pool).records():
            cells.add(record, file.source.container, f"{file.source.name}, line {int(file.lines[row]):,}")
            positions.append(position)
            if len(fields) < SHOWN:
                fields |= dict.fromkeys(record)
        if not cells.seen:
            raise ScoresError(
                f"No row of the pool has a field {excerpt(self.column, 40)}; there are {', '.join(excerpt(name, 30) for name in list(fields)[:SHOWN])}.",
                fix="Name one of these with --column, or the file that holds the scores with --import FILE.",
            )
        column = cells.finished()
        order = np.argsort(np.array(positions, dtype=np.int64))
        values, codes = column.values[order], column.codes[order]
        record = {"files": [], "joined_by": "the pool's own rows", "matched": int((codes != EMPTY).sum()), "booleans": column.booleans}
        return values, codes, record


def symbol_of(column: str) -> str:
    """The symbol of a column: lower case, other characters than letters and digits as one _.

    >>> symbol_of("gpt-4o-mini"), symbol_of("scores.Helpfulness")
    ('gpt_4o_mini', 'scores_helpfulness')
    """
    return re.sub(r"[^a-z0-9]+", "_", column.lower()).strip("_")


def check_symbol(symbol: str, column: str) -> None:
    """Refuse a symbol that an indicator of our own or a column of every table has, or that cannot be written.

    Raises:
        UsageError: it has.
    """
    rename = f"Call it otherwise: --column my_{symbol_of(column) or 'score'}={column}"
    if len(symbol) > LONGEST or not SYMBOL.fullmatch(symbol):
        raise UsageError(
            f"'{excerpt(symbol, 40)}' is no symbol: small letters, digits and _, a letter first, at most {LONGEST} characters.", fix=rename
        )
    if symbol in NOT_INDICATORS or symbol.endswith(REASON):
        raise UsageError(f"{symbol} is a column of the score table itself.", fix=rename)
    try:
        registry.kind_of(symbol)
    except UnknownIndicator:
        return
    raise UsageError(f"{symbol} is an indicator that instructsel computes itself, and the imported values are others.", fix=rename)


__all__ = ["IMPORTED", "MAX_UNMATCHED", "ImportedScores", "ScoreFiles", "check_symbol", "symbol_of"]
