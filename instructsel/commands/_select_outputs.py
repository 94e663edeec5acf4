"""The files that select writes: checked before any work, so that nothing is replaced that was no selection."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel import kinds
from instructsel.artifact import check_outputs, check_replaced, manifest_path, write_manifest
from instructsel.commands import _options as options
from instructsel.commands._comparison import Comparison
from instructsel.commands._console import say
from instructsel.pool.outputs import check_apart
from instructsel.pool.pool import Pool
from instructsel.pool.writer import check_output
from instructsel.scores.table import ScoreTable
from instructsel.scores.with_scores import check_ending, write_with_scores
from instructsel.selection import selection_set as sets
from instructsel.selection.files import default_output
from instructsel.selection.selection import Selection

WITH_SCORES: Final = "--with-scores"


@dataclass(frozen=True)
class SelectOutputs:
    """The files that are written."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Where the chosen rows go, in the pool's own format; - prints them. POOL.selected.* here by default.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    to: Annotated[
        str | None,
        typer.Option(
            metavar="messages",
            help="messages: write JSON lines with messages instead of the pool's format.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    with_scores: Annotated[
        Path | None,
        typer.Option(
            WITH_SCORES,
            metavar="FILE",
            help="Also write the chosen rows with their scores in further fields: .jsonl, .csv or .parquet.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that is no selection; never an input.", rich_help_panel=options.OUTPUT)
    ] = False

    @property
    def streamed(self) -> bool:
        """Whether rows go to stdout."""
        return str(self.output) == "-"

    @property
    def flags(self) -> dict[Path, str]:
        """Output → the flag that names it, where that is not -o."""
        return dict.fromkeys((self.with_scores, manifest_path(self.with_scores)), WITH_SCORES) if self.with_scores is not None else {}

    def check(self, rows: Path, compared: Comparison, inputs: Sequence[str | Path]) -> None:
        """Refuse what cannot be written, would replace an input, or is no earlier selection. Called before any work.

        Raises:
            UsageError: an output is an input, or another kind of file.
            EnvironmentFault: the folder of an output is missing or not writable.
        """
        if self.streamed:
            return
        if self.to is not None:
            check_output((), rows, self.to)
        outputs: list[Path] = []
        for file in (rows, *(sets.sibling(rows, name) for name in compared.subsets)):
            sidecar = sets.sidecar_of(file)
            outputs += [file, sidecar, manifest_path(sidecar)]
        if self.with_scores is not None:
            check_ending(self.with_scores)
            outputs += [self.with_scores, manifest_path(self.with_scores)]
        # The rows first: an error names the file that -o names.
        check_outputs([*outputs, sets.manifest_of(rows)], inputs, flags=self.flags)
        check_apart(outputs, inputs, flags=self.flags)
        for file in (rows, *(sets.sibling(rows, name) for name in compared.subsets)):
            sidecar = sets.sidecar_of(file)
            check_replaced(sidecar, kinds.SELECTION, "a selection's sidecar", force=self.force)
            # Rows have no manifest of their own: they are an earlier selection's where its sidecar stands beside them.
            if not sidecar.exists():
                check_replaced(file, kinds.SELECTION, "a selection", force=self.force)
        if not self.force:
            sets.check_rows(rows)
        if self.with_scores is not None:
            check_replaced(self.with_scores, kinds.ROWS_WITH_SCORES, "a file of rows with scores", force=self.force, flag=WITH_SCORES)

    def checked(self, pool: Pool, compared: Comparison, inputs: Sequence[str | Path]) -> Path:
        """Where the rows go, if the pool can be written there.

        Raises:
            UsageError, EnvironmentFault: they cannot.
        """
        rows = self.output or default_output(pool, self.to)
        if not self.streamed:
            check_output(pool.files, rows, self.to)
            self.check(rows, compared, inputs)
        return rows

    def write_with_scores(self, pool: Pool, table: ScoreTable, chosen: Selection, *, quiet: bool) -> None:
        """The chosen rows with their scores, best first, where that was asked for."""
        if self.with_scores is None:
            return
        # The manifest first: see SelectionSet.create.
        write_manifest(self.with_scores, {"kind": kinds.ROWS_WITH_SCORES, "rows": len(chosen), "scores": table.fingerprint}, run={})
        write_with_scores(pool, table, self.with_scores, pool.positions(chosen.kept_ids).tolist())
        say(f"rows with their scores → {self.with_scores}", quiet=quiet)


__all__ = ["WITH_SCORES", "SelectOutputs"]
