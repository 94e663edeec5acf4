"""instructsel study size: how many rows of a ranking to keep, by fine-tuning on several sizes of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

import numpy as np
import orjson
import typer

from instructsel.artifact import atomic_write
from instructsel.commands import _options as options
from instructsel.commands import _recipe as recipes
from instructsel.commands._console import Progress, messages, reported, say, watching
from instructsel.errors import UsageError
from instructsel.pool import spec
from instructsel.pool.overlap import check_evaluation
from instructsel.reports.charts import Curve, Series, scatter
from instructsel.rules import catalog
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection.choose import select
from instructsel.selection.files import find_pool, neighborhood
from instructsel.study.folder import CHECKPOINTS
from instructsel.study.size_curve import SizeCurve
from instructsel.study.size_search import search_size

EXAMPLES: Final = """Examples:
  instructsel study size study-demo/sources.scores.parquet --rule longest --max-skipped-fraction 0.5 --base study-demo/toybase --search study-demo/sources/evaluation.jsonl --report study-demo/sources/report.jsonl --preset tiny --steps 2 --sizes 20,40 --seeds 2 -o /tmp/sizes
  instructsel study size study-demo/sources.scores.parquet --rule longest --max-skipped-fraction 0.5 --base study-demo/toybase --search study-demo/sources/evaluation.jsonl --report study-demo/sources/report.jsonl --preset tiny --steps 2 --by blend --least 20 --most 60 --trials 2 --seeds 2 -o /tmp/sizes

\b
All of it is made by make toy-study.
"""


@reported
def command(
    scores: Annotated[Path | None, typer.Argument(metavar="[SCORES]", help="The score table; the newest one here by default.")] = None,
    rule: Annotated[str, typer.Option(help="A preset or a rule file.")] = "eq4",
    base: Annotated[str, typer.Option(help="The model to fine-tune: a local folder or a hub id.")] = "",
    search: Annotated[list[str] | None, typer.Option(help="Rows whose loss chooses the size. May be repeated.")] = None,
    report: Annotated[list[str] | None, typer.Option(help="Other rows, whose loss is reported. May be repeated.")] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", metavar="FOLDER", help="Where finished fine-tunes are written down.")
    ] = None,
    by: Annotated[str, typer.Option(help="grid, or blend for FLAML's BlendSearch.")] = "grid",
    sizes: Annotated[str | None, typer.Option(help="The grid's sizes, comma-separated; doubled from --least by default.")] = None,
    least: Annotated[int, typer.Option(min=1, help="The smallest size.")] = 512,
    most: Annotated[int | None, typer.Option(min=1, help="The largest size; 10,000 or all rows that are left by default.")] = None,
    trials: Annotated[int, typer.Option(min=1, help="Sizes that blend tries.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="How often each size is trained, with seeds 0, 1, …")] = 3,
    search_seed: Annotated[int, typer.Option(min=0, help="Seed of blend.")] = 0,
    preset: recipes.Preset = "paper-v1",
    epochs: recipes.Epochs = None,
    steps: recipes.Steps = None,
    tokens: recipes.Tokens = None,
    method: recipes.Method = None,
    bits: recipes.Bits = None,
    lr: recipes.LearningRate = None,
    batch_size: recipes.BatchSize = None,
    max_length: recipes.MaxLength = None,
    revision: recipes.Revision = None,
    precision: recipes.Precision = "auto",
    device: recipes.Device = "auto",
    max_skipped_fraction: recipes.MaxSkippedFraction = 0.05,
    chart: Annotated[Path | None, typer.Option(help="Draw the losses by size into this file (.svg).")] = None,
    allow_mismatch: Annotated[bool, typer.Option("--allow-mismatch", help="Rank scores of other models than the rule assumes.")] = False,
    max_null_fraction: Annotated[float, typer.Option(help="Share of examples that may lack a value the rule uses.")] = 0.05,
    pool: Annotated[list[str] | None, typer.Option(help="The pool files, where the score table does not lead to them.")] = None,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Find how many rows of a ranking to keep. One evaluation set chooses, another reports; seeds say what is luck."""
    for flag, value in (("--base", base), ("--search", search), ("--report", report), ("-o", output)):
        if not value:
            raise UsageError(f"{flag} is missing.", fix="See: instructsel study size --help")
    if by not in ("grid", "blend"):
        raise UsageError.named(by, ("grid", "blend"), noun="search")
    if chart is not None and chart.suffix != ".svg":
        raise UsageError(f"{chart} does not end in .svg.", fix="Give the chart this ending.")
    from instructsel.adapters.recipe import recipe
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    changed = recipes.changes(
        epochs=epochs, steps=steps, tokens=tokens, learning_rate=lr, batch_size=batch_size, max_length=max_length, method=method, bits=bits
    )
    chosen = recipe(preset, **changed)
    folder = Path(output or ".")
    path = scores or newest()
    table = ScoreTable.read(path)
    whole = find_pool(path, pool, message=messages(quiet=quiet))
    held = {
        name: spec.Reading().read(list(files or []), message=messages(quiet=quiet))
        for name, files in (("search", search), ("report", report))
    }
    for name, each in held.items():
        warning = check_evaluation(whole, each)
        if warning:
            say(f"warning: {name} set: {warning}", quiet=quiet)
    store = options.open_cache(cache, off=no_cache, quiet=quiet)
    ranked = select(
        whole,
        table,
        catalog.load(rule),
        budget=1,
        allow_mismatch=allow_mismatch,
        max_null_fraction=max_null_fraction,
        neighbors=neighborhood(whole, table, store, watch=watching(quiet=quiet), scores=path),
    )
    trainer = TrlTrainer(
        base, chosen, folder / CHECKPOINTS, revision=revision, device=device, precision=precision, max_skipped_fraction=max_skipped_fraction
    )
    graders = {
        name: HeldOutLoss(each, name=f"{name} loss", max_length=chosen.max_length, device=device, precision=precision)
        for name, each in held.items()
    }
    watched = Progress("size search", quiet=quiet, unit="fine-tunes")
    curve = search_size(
        ranked,
        trainer=trainer,
        grader=graders["search"],
        report=graders["report"],
        sizes=_sizes(sizes),
        method=_method(by),
        least=least,
        most=most,
        trials=trials,
        seeds=tuple(range(seeds)),
        seed=search_seed,
        folder=folder,
        progress=watched,
    )
    if chart is not None:
        with atomic_write(chart) as file:
            file.write(drawn(curve).encode())
        say(f"wrote {chart}", quiet=quiet)
    if json:
        typer.echo(orjson.dumps(curve.as_dict(), option=orjson.OPT_INDENT_2).decode())
        return
    for line in curve.lines():
        typer.echo(line)


def _method(text: str) -> Literal["grid", "blend"]:
    return "blend" if text == "blend" else "grid"


def _sizes(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",") if part.strip()]
    except ValueError as error:
        raise UsageError(f"'{text}' is no list of sizes.", fix="Write them as 512,1024,2048.") from error


def drawn(curve: SizeCurve) -> str:
    """The losses of every fine-tune by size, and the mean with its interval, as SVG."""
    told = curve.curve
    points = told["points"]
    series = Series(name="", x=np.array(points["x"], dtype=float), y=np.array(points["y"], dtype=float), labels=points["labels"])
    line = None
    if told["low"] is not None:
        y, low, high = (np.array(told[key], dtype=float) for key in ("y", "low", "high"))
        line = Curve(f"{told['name']}, 95 % interval", np.array(told["x"], dtype=float), y, low, high)
    return scatter([series], line, title=f"{curve.search} by size of the selection", x_label=told["x_label"], y_label=told["y_label"])


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"
