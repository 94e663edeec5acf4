"""instructsel study size: how many rows of a ranking to keep, by fine-tuning on several sizes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import numpy as np
import typer

from instructsel.artifact import atomic_write
from instructsel.commands import _options as options
from instructsel.commands._console import messages, reported, say, watching, write, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._recipe import RecipeChanges, TrainerSettings
from instructsel.commands._runs import display
from instructsel.commands._size_options import EvaluationFiles, RankingLimits, SizeFlags, SizeOutputs
from instructsel.errors import UsageError
from instructsel.experiments.store import check_folder
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.reports.charts import Curve, Series, scatter
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.choose import select
from instructsel.selection.files import find_pool, neighborhood
from instructsel.stats.loss_units import AUTO, FLAGS
from instructsel.study.folder import CHECKPOINTS
from instructsel.study.size_curve import SizeCurve
from instructsel.study.size_search import search_size

if TYPE_CHECKING:
    from instructsel.grading.graders.held_out_loss import HeldOutLoss
    from instructsel.pool.pool import Pool

WIDTH: Final = 80
"""Characters of a printed line."""
EXAMPLES: Final = """Examples:
  instructsel study size study-demo/sources.scores.parquet --rule longest --max-skipped-fraction 0.5 --base study-demo/toybase --search study-demo/sources/evaluation.jsonl --report study-demo/sources/report.jsonl --preset tiny --steps 2 --sizes 20,40 --seeds 2 -o /tmp/sizes
  instructsel study size study-demo/sources.scores.parquet --rule longest --max-skipped-fraction 0.5 --base study-demo/toybase --search study-demo/sources/evaluation.jsonl --report study-demo/sources/report.jsonl --preset tiny --steps 2 --by blend --least 20 --most 60 --trials 2 --seeds 2 -o /tmp/sizes

\b
All of it is made by make toy-study.
"""


@reported
@with_options
def command(
    *,
    training: TrainerSettings,
    recipe: RecipeChanges,
    size: SizeFlags,
    scores: Annotated[Path | None, typer.Argument(metavar="[SCORES]", help="The score table; the newest one here by default.")] = None,
    rule: Annotated[str, typer.Option(help="A preset or a rule file.")] = "eq4",
    evaluation: EvaluationFiles,
    outputs: SizeOutputs,
    limits: RankingLimits,
    loss_unit: options.LossUnit = AUTO,
    pool: Annotated[list[str] | None, typer.Option(help="The pool files, where the score table does not lead to them.")] = None,
    read: ReadingOptions = DEFAULTS,
    cache: options.CacheOptions,
    common: options.CommonOptions,
) -> None:
    """Find how many rows of a ranking to keep. One evaluation set chooses, another reports; seeds say what is luck."""
    files, chart, quiet = evaluation.by_name, outputs.chart, common.quiet
    for flag, value in (("--search", files["search"]), ("--report", files["report"]), ("-o", outputs.output)):
        if not value:
            raise UsageError(f"{flag} is missing.", fix="See: instructsel study size --help")
    if chart is not None and chart.suffix != ".svg":
        raise UsageError(f"{chart} does not end in .svg.", fix="Give the chart this ending.")
    from instructsel.adapters.experiment import Adapters

    searched = replace(size.settings(), allow_contamination=training.allow_contamination)
    toolkit, folder, path = Adapters(), Path(outputs.output or "."), scores or newest()
    chosen = toolkit.recipe(replace(training, recipe=recipe.as_dict()))
    pools = [*files["search"], *files["report"], *(pool or [])]
    inputs: list[str | Path] = [path, *pools, training.base]
    check_folder(folder, inputs, pools=pools)
    outputs.check(folder, inputs)
    table = ScoreTable.read(path)
    rows = find_pool(path, pool, message=messages(quiet=quiet))
    held_out = {name: read.settled().read(paths, message=messages(quiet=quiet)) for name, paths in files.items()}
    ranked = select(
        rows,
        table,
        catalog.load(rule),
        budget=1,
        allow_mismatch=limits.allow_mismatch,
        max_null_fraction=limits.max_null_fraction,
        neighbors=neighborhood(rows, table, cache.open(quiet=quiet), watch=watching(quiet=quiet), scores=path),
    )
    graders = _graders(held_out, chosen, training, loss_unit)
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
    if common.json:
        write_json(curve.as_dict())
    elif not quiet:
        for line in curve.lines(WIDTH):
            write(line)


def _graders(held_out: Mapping[str, Pool], recipe: Any, training: TrainerSettings, loss_unit: str) -> dict[str, HeldOutLoss]:
    """The loss on each of the evaluation sets, by name."""
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    return {
        name: HeldOutLoss(
            rows,
            name=f"{name} loss",
            max_length=recipe.max_length,
            device=training.device,
            precision=training.precision,
            unit=FLAGS[loss_unit],
            template_date=recipe.template_date,
        )
        for name, rows in held_out.items()
    }


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
