"""The options of study size, group by group as its help shows them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

import typer

from instructsel.artifact import check_outputs
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, MOST_ROWS, MOST_SEEDS, MOST_SUBSETS, between, check_limits
from instructsel.reports.charts import is_chart
from instructsel.study.size_search import METHODS, SizeSettings


@dataclass(frozen=True)
class SizeFlags:
    """Which sizes are tried, and how often."""

    sizes: str | None = None
    """Sizes of the grid, comma-separated; doubled from --least by default."""
    by: str = "grid"
    """grid, or blend for FLAML's BlendSearch."""
    least: int = field(default=512, metadata=between(1, MOST_ROWS))
    """The smallest size."""
    most: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """The largest size; by default 10,000 or all rows there are."""
    trials: int = field(default=8, metadata=between(1, MOST_SUBSETS))
    """Sizes that blend tries."""
    seeds: int = field(default=3, metadata=between(1, MOST_SEEDS))
    """How often each size is trained, with seeds 0, 1, …"""
    search_seed: int = field(default=0, metadata=between(0, LARGEST_SEED))
    """Seed of blend."""

    def __post_init__(self) -> None:
        check_limits(self)
        if self.by not in METHODS:
            raise UsageError.named(self.by, METHODS, noun="search")
        _ = self.grid

    @property
    def grid(self) -> list[int] | None:
        """The sizes as numbers.

        Raises:
            UsageError: they are none.
        """
        if self.sizes is None:
            return None
        try:
            return [int(part) for part in self.sizes.split(",") if part.strip()]
        except ValueError as error:
            raise UsageError(f"'{self.sizes}' is no list of sizes.", fix="Write them as 512,1024,2048.") from error

    def settings(self) -> SizeSettings:
        """What the search takes."""
        grid = None if self.grid is None else tuple(self.grid)
        method: Literal["grid", "blend"] = "blend" if self.by == "blend" else "grid"
        return SizeSettings(grid, method, self.least, self.most, self.trials, tuple(range(self.seeds)), self.search_seed)


@dataclass(frozen=True)
class EvaluationFiles:
    """What fine-tunes are graded on."""

    search: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Rows whose loss chooses the size. May be repeated.")] = None
    report: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Other rows, whose loss is reported. May be repeated.")] = None

    @property
    def by_name(self) -> dict[str, list[str]]:
        """`search` and `report` → their files."""
        return {"search": list(self.search or ()), "report": list(self.report or ())}


@dataclass(frozen=True)
class SizeOutputs:
    """What is written."""

    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the finished fine-tunes.")] = None
    chart: Annotated[Path | None, typer.Option(help="Draw the losses by size into this file (.svg).")] = None

    def check(self, folder: Path, inputs: Sequence[str | Path]) -> None:
        """Refuse a chart that cannot be written, or would replace an input or another's file.

        Raises:
            UsageError: an input, or a file that is no chart of instructsel.
            EnvironmentFault: its folder is missing or not writable.
        """
        if self.chart is None:
            return
        # The folder of the results is made with them.
        if folder.is_dir() or self.chart.absolute().parent != folder.absolute():
            check_outputs([self.chart], inputs)
        if self.chart.exists() and not is_chart(self.chart):
            raise UsageError(
                f"{self.chart} exists and is not a chart of instructsel.", fix="Name another file with --chart, or remove that one."
            )


@dataclass(frozen=True)
class RankingLimits:
    """What a ranking may lack."""

    allow_mismatch: Annotated[bool, typer.Option("--allow-mismatch", help="Rank scores of other models than the rule assumes.")] = False
    max_null_fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of examples that may lack a value the rule uses.")] = 0.05


__all__ = ["EvaluationFiles", "RankingLimits", "SizeFlags", "SizeOutputs"]
