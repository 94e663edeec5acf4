"""Options of `score` for scores that another program computed, and what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final

import typer

from instructsel.errors import UsageError
from instructsel.scores.imported import BETTER, MAX_UNMATCHED, ImportedScores, ScoreFiles, symbol_of
from instructsel.scores.table import ScoreTable
from instructsel.text import counted, excerpt

PANEL: Final = "Scores from elsewhere"


@dataclass(frozen=True)
class ImportOptions:
    """Scores that another program computed."""

    import_files: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="FILE",
            help="Take scores from this file: .jsonl, .json, .csv, .tsv or .parquet, each also .gz or .zst. Repeatable: each holds a part of the rows or of the columns.",
            rich_help_panel=PANEL,
        ),
    ] = None
    column: Annotated[
        list[str] | None,
        typer.Option(
            "--column",
            metavar="[SYMBOL=]FIELD",
            help="Field that holds the numbers, in the files of --import or else in the pool's own rows; OBJECT.FIELD for one of an object. Repeatable.",
            rich_help_panel=PANEL,
        ),
    ] = None
    join: Annotated[
        str,
        typer.Option(
            "--join",
            metavar="WAY",
            help="What joins a file to the rows: id (instructsel's, or the rows' field id), order, FIELD, FIELD=FIELD_OF_THE_FILE, several with commas, "
            "row=FIELD (row numbers from 0), or auto: the first that fits, which is said.",
            rich_help_panel=PANEL,
        ),
    ] = "auto"
    direction: Annotated[
        list[str] | None,
        typer.Option(
            "--direction",
            metavar="[SYMBOL=]higher|lower",
            help="Which values are better; recorded, and ranked by nothing.",
            rich_help_panel=PANEL,
        ),
    ] = None
    unit: Annotated[
        list[str] | None, typer.Option("--unit", metavar="[SYMBOL=]TEXT", help="Unit of imported values; recorded.", rich_help_panel=PANEL)
    ] = None
    max_unmatched_fraction: Annotated[
        float,
        typer.Option(
            "--max-unmatched-fraction",
            min=0,
            max=1,
            help="Share of examples that may be without an imported score before the run ends.",
            rich_help_panel=PANEL,
        ),
    ] = MAX_UNMATCHED

    @property
    def files(self) -> tuple[str, ...]:
        """Of --import."""
        return tuple(self.import_files or ())

    def indicators(self) -> list[ImportedScores]:
        """One for each column.

        Raises:
            UsageError: an option without the one it belongs to, a symbol that cannot be, or one named twice.
        """
        if not self.column:
            for flag, value in (("--import", self.files), ("--direction", self.direction), ("--unit", self.unit)):
                if value:
                    raise UsageError(
                        f"{flag} needs --column, the field that holds the numbers.",
                        fix="For example: --import scores.jsonl --column reward",
                    )
            if self.join != "auto":
                raise UsageError("--join needs --import and --column.", fix="For example: --import scores.jsonl --column reward")
            return []
        if not self.files and self.join != "auto":
            raise UsageError(
                "--join is for a file, and none is named: the column is read from the pool's own rows.", fix="Name it with --import FILE."
            )
        pairs = [_pair(text) for text in self.column]
        fields = list(dict.fromkeys(column for _, column in pairs))
        files = ScoreFiles(self.files, fields, join=self.join) if self.files else None
        symbols = [name if name is not None else symbol_of(column) for name, column in pairs]
        if twice := sorted({symbol for symbol in symbols if symbols.count(symbol) > 1}):
            raise UsageError(f"Two columns would be called {twice[0]}.", fix="Name one of them otherwise: --column SYMBOL=FIELD")
        better = _by_symbol(self.direction or (), symbols, "--direction")
        for direction in better.values():
            if direction not in BETTER[1:]:
                raise UsageError.named(direction, BETTER[1:], noun="direction")
        units = _by_symbol(self.unit or (), symbols, "--unit")
        return [
            ImportedScores(
                column,
                files,
                name,
                unit_of_values=units.get(symbol, ""),
                better=better.get(symbol, ""),
                max_unmatched_fraction=self.max_unmatched_fraction,
            )
            for symbol, (name, column) in zip(symbols, pairs, strict=True)
        ]


def _pair(text: str) -> tuple[str | None, str]:
    symbol, equals, column = text.partition("=")
    if equals and (not symbol.strip() or not column.strip()):
        raise UsageError(
            f"--column {excerpt(text, 60)} is not of the form SYMBOL=FIELD.", fix="For example: --column quality=quality_score"
        )
    if not text.strip():
        raise UsageError("--column names no field.", fix="For example: --column reward")
    return (symbol.strip(), column.strip()) if equals else (None, text.strip())


def _by_symbol(texts: Sequence[str], symbols: Sequence[str], flag: str) -> dict[str, str]:
    """What is said of each symbol; a text without a symbol is said of all."""
    values: dict[str, str] = {}
    for text in texts:
        symbol, equals, value = text.partition("=")
        if equals and symbol not in symbols:
            raise UsageError.named(symbol, symbols, noun="imported column", where=f"that {flag} could be for")
        values |= {symbol: value.strip()} if equals else dict.fromkeys(symbols, text.strip())
    return values


def lines(table: ScoreTable, symbols: Sequence[str]) -> list[str]:
    """Where imported columns came from, how they were joined, and what was not used."""
    described: Mapping[str, Any] = table.manifest.get("indicators") or {}
    texts: list[str] = []
    for symbol in symbols:
        record = (described.get(symbol) or {}).get("imported")
        if not record:
            continue
        column = record["column"]
        origin = ", ".join(file["name"] for file in record["files"]) or "the pool's own rows"
        renamed = "" if column == symbol else f", column {excerpt(column, 40)}"
        nulls = table.null_counts(symbol)
        missing = sum(nulls.values())
        joined = f", joined by {record['joined_by']}" if record["files"] else ""
        without = f"; {missing:,} {'has' if missing == 1 else 'have'} none" if missing else ""
        texts.append(
            f"{symbol}: from {origin}{renamed}{joined}: {len(table) - missing:,} of {counted(len(table), 'example')} have a value{without}"
        )
        if record.get("unused_rows"):
            texts.append(f"note: {counted(record['unused_rows'], 'row')} of {origin} belong to no example of the pool.")
        if record.get("repeated_rows"):
            texts.append(f"note: {counted(record['repeated_rows'], 'row')} of {origin} repeat another one with the same value.")
        if record.get("booleans"):
            texts.append(f"note: {symbol}: {record['booleans']:,} times true or false was read as 1 or 0.")
    return list(dict.fromkeys(texts))


__all__ = ["ImportOptions", "lines"]
