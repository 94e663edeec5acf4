"""instructsel study size: how many rows of a ranking to keep, by fine-tuning on several sizes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import numpy as np
import typer

from instructsel.artifact import atomic_write, check_outputs
from instructsel.commands import _options as options
from instructsel.commands._console import messages, reported, say, watching, write, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._recipe import RecipeChanges, TrainerSettings
from instructsel.commands._runs import display
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, MOST_ROWS, MOST_SEEDS, MOST_SUBSETS, between, check_limits
from instructsel.experiments.store import check_folder
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.reports.charts import Curve, Series, is_chart, scatter
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.choose import select
from instructsel.selection.files import find_pool, neighborhood
from instructsel.stats.loss_units import AUTO, FLAGS
from instructsel.study.folder import CHECKPOINTS
from instructsel.study.size_curve import SizeCurve
from instructsel.study.size_search import METHODS, SizeSettings, search_size

EXAMPLES: Final = """Examples:
  instructsel study size study-demo/sources.scores.parquet --rule longest --max-skipped-fraction 0.5 --base study-demo/toybase --search study-demo/sources/evaluation.jsonl --report study-demo/sources/report.jsonl --preset tiny --steps 2 --sizes 20,40 --seeds 2 -o /tmp/sizes
  instructsel study size study-demo/sources.scores.parquet --rule longest --max-skipped-fraction 0.5 --base study-demo/toybase --search study-demo/sources/evaluation.jsonl --report study-demo/sources/report.jsonl --preset tiny --steps 2 --by blend --least 20 --most 60 --trials 2 --seeds 2 -o /tmp/sizes

\b
All of it is made by make toy-study.
"""


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


@reported
@with_options
def command(
    training: TrainerSettings,
    recipe: RecipeChanges,
    size: SizeFlags,
    scores: Annotated[Path | None, typer.Argument(metavar="[SCORES]", help="The score table; the newest one here by default.")] = None,
    rule: Annotated[str, typer.Option(help="A preset or a rule file.")] = "eq4",
    search: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Rows whose loss chooses the size. May be repeated.")] = None,
    report: Annotated[list[str] | None, typer.Option(metavar="FILE", help="Other rows, whose loss is reported. May be repeated.")] = None,
    output: Annotated[Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Folder of the finished fine-tunes.")] = None,
    chart: Annotated[Path | None, typer.Option(help="Draw the losses by size into this file (.svg).")] = None,
    allow_mismatch: Annotated[bool, typer.Option("--allow-mismatch", help="Rank scores of other models than the rule assumes.")] = False,
    max_null_fraction: Annotated[float, typer.Option(min=0, max=1, help="Share of examples that may lack a value the rule uses.")] = 0.05,
    loss_unit: options.LossUnit = AUTO,
    pool: Annotated[list[str] | None, typer.Option(help="The pool files, where the score table does not lead to them.")] = None,
    read: ReadingOptions = DEFAULTS,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Find how many rows of a ranking to keep. One evaluation set chooses, another reports; seeds say what is luck."""
    for flag, value in (("--search", search), ("--report", report), ("-o", output)):
        if not value:
            raise UsageError(f"{flag} is missing.", fix="See: instructsel study size --help")
    if chart is not None and chart.suffix != ".svg":
        raise UsageError(f"{chart} does not end in .svg.", fix="Give the chart this ending.")
    from instructsel.adapters.experiment import Adapters
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    searched = replace(size.settings(), allow_contamination=training.allow_contamination)
    toolkit, folder, path = Adapters(), Path(output or "."), scores or newest()
    chosen = toolkit.recipe(replace(training, recipe=recipe.as_dict()))
    inputs: list[str | Path] = [path, *(search or []), *(report or []), *(pool or []), training.base]
    check_folder(folder, inputs, pools=[*(search or []), *(report or []), *(pool or [])])
    if chart is not None:
        _check_chart(chart, folder, inputs)
    table = ScoreTable.read(path)
    rows_of_pool = find_pool(path, pool, message=messages(quiet=quiet))
    held_out = {
        name: read.settled().read(list(files or []), message=messages(quiet=quiet))
        for name, files in (("search", search), ("report", report))
    }
    ranked = select(
        rows_of_pool,
        table,
        catalog.load(rule),
        budget=1,
        allow_mismatch=allow_mismatch,
        max_null_fraction=max_null_fraction,
        neighbors=neighborhood(
            rows_of_pool, table, options.open_cache(cache, off=no_cache, quiet=quiet), watch=watching(quiet=quiet), scores=path
        ),
    )
    graders = {
        name: HeldOutLoss(
            rows,
            name=f"{name} loss",
            max_length=chosen.max_length,
            device=training.device,
            precision=training.precision,
            unit=FLAGS[loss_unit],
            template_date=chosen.template_date,
        )
        for name, rows in held_out.items()
    }
    unstarted: Any = toolkit.trainer(training, chosen, folder / CHECKPOINTS, None)
    unstarted.check()
    for notice in unstarted.notices:
        say(notice, quiet=quiet)
    with display("size search", quiet=quiet, unit="fine-tunes") as runs:
        curve = search_size(
            ranked,
            trainer=toolkit.trainer(training, chosen, folder / CHECKPOINTS, runs.training),
            grader=graders["search"],
            report=graders["report"],
            settings=searched,
            folder=folder,
            progress=runs.counted,
            message=lambda warning: say(f"warning: {warning}", quiet=quiet),
        )
    if chart is not None:
        with atomic_write(chart) as file:
            file.write(drawn(curve).encode())
        say(f"wrote {chart}", quiet=quiet)
    if json:
        write_json(curve.as_dict())
        return
    for line in curve.lines():
        write(line)


def _check_chart(path: Path, folder: Path, inputs: list[str | Path]) -> None:
    """Refuse a chart that cannot be written, or would replace an input or another's file.

    Raises:
        UsageError: an input, or a file that is no chart of instructsel.
        EnvironmentFault: its folder is missing or not writable.
    """
    # The folder of the results is made with them.
    if folder.is_dir() or path.absolute().parent != folder.absolute():
        check_outputs([path], inputs)
    if path.exists() and not is_chart(path):
        raise UsageError(f"{path} exists and is not a chart of instructsel.", fix="Name another file with --chart, or remove that one.")


def drawn(curve: SizeCurve) -> str:
    """The losses of every fine-tune by size, and the mean with its interval, as SVG."""
    data = curve.curve
    points = data["points"]
    series = Series(name="", x=np.array(points["x"], dtype=float), y=np.array(points["y"], dtype=float), labels=points["labels"])
    line = None
    if data["low"] is not None:
        y, low, high = (np.array(data[key], dtype=float) for key in ("y", "low", "high"))
        line = Curve(f"{data['name']}, 95% interval", np.array(data["x"], dtype=float), y, low, high)
    return scatter([series], line, title=f"{curve.search} by size of the selection", x_label=data["x_label"], y_label=data["y_label"])


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
