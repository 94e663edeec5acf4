"""What dedup and decontaminate share: outputs that are checked before any work, and what is said of the rows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.commands._console import say, write_json
from instructsel.errors import UsageError
from instructsel.text import counted

if TYPE_CHECKING:
    import polars

    from instructsel.gates.cleaning import Cleaned
    from instructsel.pool.pool import Pool

MaxBadFraction = Annotated[
    float, typer.Option("--max-bad-fraction", min=0, max=1, help="Share of rows that may be unreadable, and are not written.")
]

ONE_FORM: Final = "Write them in one format first: instructsel export FILES --to messages -o ALL.jsonl"


@dataclass(frozen=True)
class CleaningOutputs:
    """What a command that cleans a pool writes."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="CLEAN",
            help="Where the rows that stay go, their bytes unchanged, in the order of their files; in the pool's own format.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    pairs: Annotated[
        Path | None,
        typer.Option(
            "--pairs", metavar="FILE", help="Write why each row goes, a line each: .parquet, .csv or .tsv.", rich_help_panel=options.OUTPUT
        ),
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Count, and write nothing.", rich_help_panel=options.OUTPUT)] = False
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Replace files that are no earlier result of this command; never an input.", rich_help_panel=options.OUTPUT
        ),
    ] = False

    def targets(self, kind: str, noun: str) -> Targets:
        """The files of a kind of result.

        Raises:
            UsageError: nothing is named, or a table has no ending of one.
        """
        return Targets(kind, noun, self.output, self.pairs, dry_run=self.dry_run, force=self.force)


OUTPUTS: Final = CleaningOutputs()


class Targets:
    """The files that a command writes."""

    def __init__(self, kind: str, noun: str, output: Path | None, pairs: Path | None, *, dry_run: bool, force: bool) -> None:
        """Those of a kind of result.

        Raises:
            UsageError: nothing is named, or a table has no ending of one.
        """
        self.kind = kind
        self.output: Path | None = None if dry_run else output
        self.pairs: Path | None = None if dry_run else pairs
        self.noun = noun
        self.force = force
        if output is None and not dry_run:
            raise UsageError("No output is named.", fix="Name one with -o CLEAN.jsonl, or count with --dry-run.")
        if str(output) == "-":
            raise UsageError("The rows are written to a file, not to stdout.", fix="Name a file with -o.")
        if pairs is not None:
            from instructsel.tables import checked_suffix

            checked_suffix(pairs)

    def check(self, inputs: Sequence[str]) -> None:
        """Refuse outputs that cannot be written, are inputs, or would replace somebody's file. Called before any work.

        Raises:
            UsageError: one is so.
            EnvironmentFault: its folder is missing or not writable.
        """
        from instructsel.artifact import check_outputs, check_replaced, manifest_path
        from instructsel.pool.naming import files_of
        from instructsel.pool.outputs import check_apart

        named = [(path, flag) for path, flag in ((self.output, "-o"), (self.pairs, "--pairs")) if path is not None]
        flags = {target: flag for path, flag in named for target in (path, manifest_path(path))}
        check_outputs(list(flags), files_of(inputs), flags=flags)
        check_apart(list(flags), inputs, flags=flags)
        for path, flag in named:
            check_replaced(path, self.kind, self.noun, force=self.force, flag=flag)

    def check_rows(self, pool: Pool) -> None:
        """Refuse an output that is a file of the pool, or cannot hold its rows.

        Raises:
            UsageError: it is, or cannot.
        """
        from instructsel.artifact import check_outputs
        from instructsel.gates.passing import check_passing

        check_outputs([path for path in (self.output, self.pairs) if path], [file.source.name for file in pool.files])
        if self.output is not None:
            check_passing(pool, self.output, ONE_FORM)

    def write(self, cleaned: Cleaned, frame: polars.DataFrame, about: dict[str, Any], *, json: bool, quiet: bool) -> None:
        """Write them, and say so."""
        from instructsel.artifact import write_manifest
        from instructsel.tables import write_frame

        record = {**about, "rows": cleaned.account()}
        if self.pairs is not None:
            write_frame(self.pairs, frame, record)
        if self.output is not None:
            cleaned.write(self.output)
            write_manifest(self.output, record, run={"pool": cleaned.pool.spec.as_dict()})
        say(cleaned.sentence(), quiet=quiet)
        for path, noun in ((self.pairs, f"{counted(len(frame), 'line')}"), (self.output, counted(cleaned.n_kept, "row"))):
            if path is not None:
                say(f"wrote {path}: {noun}", quiet=quiet)
        if json:
            write_json(record)


__all__ = ["OUTPUTS", "CleaningOutputs", "MaxBadFraction", "Targets"]
