"""The options of gate, group by group as its help shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from instructsel.commands import _options as options
from instructsel.errors import UsageError

if TYPE_CHECKING:
    from instructsel.gates.config import GateConfig

LISTED: Final = 10
"""Findings of a check that are listed, where --max-findings says nothing else."""
MOST_LISTED: Final = 100_000


@dataclass(frozen=True)
class CheckOptions:
    """Which rows are asked, and by what."""

    config: Annotated[
        Path | None,
        typer.Option(
            "--config",
            metavar="FILE",
            help="Which checks, with which limits. By default gate.toml here, else [tool.instructsel.gate] of pyproject.toml, else every check "
            "that needs nothing but the rows. @structure: whether rows are whole and hold no secret, fast enough for every commit.",
        ),
    ] = None
    baseline: Annotated[
        Path | None, typer.Option("--baseline", metavar="FILE", help="The pool that the rows want to join, as gate baseline wrote it.")
    ] = None
    diff: Annotated[
        str | None,
        typer.Option(
            "--diff",
            metavar="BASE",
            help="Only rows on lines that this git branch adds or changes since it left BASE, a branch or commit; of the files named, else of "
            "those of the configuration, else of every data file. Rows that only moved are not new.",
        ),
    ] = None
    mode: Annotated[
        str | None,
        typer.Option(
            "--mode",
            metavar="MODE",
            help="When a rate is over its limit: pull-request, where the lower bound of its 95 % interval is, or nightly, where the rate is.",
        ),
    ] = None

    def settings(self) -> GateConfig:
        """The configuration, with what flags say instead.

        Raises:
            UsageError: it cannot be read, or there is no such mode or baseline.
        """
        from dataclasses import replace

        from instructsel.gates.config import MODES, NIGHTLY, GateConfig

        if self.mode is not None and self.mode not in MODES:
            raise UsageError.named(self.mode, MODES, noun="mode of a gate")
        if self.baseline is not None and not self.baseline.exists():
            raise UsageError(
                f"There is no baseline {self.baseline}.", fix=f"Make one with: instructsel gate baseline create POOL -o {self.baseline}"
            )
        settings = GateConfig.near() if self.config is None else GateConfig.read(self.config)
        if self.mode is not None:
            settings = replace(settings, nightly=self.mode == NIGHTLY)
        return settings if self.baseline is None else replace(settings, baseline=self.baseline)


@dataclass(frozen=True)
class VerdictOptions:
    """What becomes of the verdict."""

    fail_on: Annotated[
        str,
        typer.Option("--fail-on", metavar="SEVERITY", help="From which severity on a failed check fails the gate: error, warning, never."),
    ] = "error"
    to: Annotated[
        list[str] | None,
        typer.Option(
            "--to",
            metavar="NAME[=FILE]",
            help="Write the verdict also as markdown, junit, sarif, github, gitlab or json; - is stdout. Once for each.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    findings: Annotated[
        Path | None,
        typer.Option("--findings", metavar="FILE", help="Write every finding: .parquet or .csv.", rich_help_panel=options.OUTPUT),
    ] = None
    fix_out: Annotated[
        Path | None,
        typer.Option(
            "--fix-out",
            metavar="FILE",
            help="Write the rows that pass, their bytes unchanged; none where a check that had to run could not.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    max_findings: Annotated[
        int,
        typer.Option(
            "--max-findings", min=0, max=MOST_LISTED, metavar="N", help="Print so many findings of a check.", rich_help_panel=options.OUTPUT
        ),
    ] = LISTED
    force: Annotated[bool, typer.Option("--force", help="Replace files that are no verdict of a gate.", rich_help_panel=options.OUTPUT)] = (
        False
    )


__all__ = ["CheckOptions", "VerdictOptions"]
