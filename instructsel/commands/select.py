"""instructsel select: rank by a rule, drop repetitions, fill a budget, write the rows as they were."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from instructsel.artifact import manifest_path
from instructsel.commands import _options as options
from instructsel.commands import _select_text as text
from instructsel.commands._console import messages, reported, say, watching, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._select_options import BaselineOptions, BudgetOptions, FilterOptions, RankingOptions
from instructsel.commands._select_outputs import SelectOutputs
from instructsel.errors import UsageError
from instructsel.pool.reading_options import TargetReading
from instructsel.scores.progress import latest
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines import registry
from instructsel.selection.candidates import check_symbol, prepare
from instructsel.selection.choose import best
from instructsel.selection.files import find_pool, neighborhood
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.similarity import TextVectors
from instructsel.selection.way import Way
from instructsel.tables import SUFFIXES

EXAMPLES: Final = """Examples:
  instructsel select /tmp/demo.scores.parquet --by -len --n 50 -o /tmp/chosen.jsonl --with-scores /tmp/chosen.with-scores.jsonl
  instructsel select /tmp/demo.scores.parquet --rule longest --fraction 10% --random-subsets 2 -o /tmp/tenth.jsonl
"""


@reported
@with_options
def command(
    *,
    scores: Annotated[Path | None, typer.Argument(metavar="[SCORES]", help="The score table; the newest one here by default.")] = None,
    ranking: RankingOptions,
    budget: BudgetOptions,
    outputs: SelectOutputs,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="The pool files, where the score table does not lead to them.", rich_help_panel=options.READING),
    ] = None,
    baselines: BaselineOptions,
    filters: FilterOptions,
    source_field: options.SourceField = None,
    target_reading: TargetReading,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Select the best part of a pool under a budget. Every row is kept, or dropped with a reason."""
    settings = filters.settings(budget, ranking)
    ranker = ranking.ranker(baselines.seed)
    compared = baselines.comparison(ranker, target_reading)
    store = options.open_cache(cache, off=no_cache, quiet=quiet)
    watch = watching(quiet=quiet)
    compared = replace(compared, target=replace(compared.target, store=store, watch=watch))
    path = scores or latest(store)
    if scores is None:
        say(f"The newest score table is taken: {path}", quiet=quiet)
    if path.is_file() and path.suffix not in SUFFIXES:
        # A pool most often: it has no scores.
        raise UsageError(
            f"{path} is no score table, which ends in .parquet, .csv or .tsv.",
            fix=f"If it is a pool, score it first with: instructsel score {path}",
        )
    table = ScoreTable.read(path)
    if ranking.by or isinstance(ranker, Way):
        for symbol in ranker.indicators:
            is_way = isinstance(ranker, Way)
            check_symbol(table, symbol, ranker.name if is_way else "--by", others=() if is_way else registry.names())
    for symbol in settings.thresholds:
        check_symbol(table, symbol, "The minimum")
    if outputs.streamed and (json or compared.names or outputs.with_scores):
        raise UsageError("-o - writes rows to stdout; --json, --with-scores and baselines need files.", fix="Name a file with -o.")
    inputs: list[str | Path] = [path, manifest_path(path), *compared.target.files]
    if outputs.output is not None:
        # Before the pool is read, which can take minutes.
        rule = [ranking.rule] if ranking.rule else []
        outputs.check(outputs.output, compared, [*inputs, *(pool or (table.spec.paths if table.spec is not None else ())), *rule])
    examples = find_pool(path, pool, source_field=source_field, message=messages(quiet=quiet))
    place = outputs.checked(examples, compared, [*inputs, *examples.spec.paths])
    began = time.monotonic()
    neighbors = neighborhood(examples, table, store, watch=watch, scores=path)
    if isinstance(ranker, Way):
        ranker = replace(ranker, **compared.target.context(ranker.name))
    chosen = best(prepare(examples, table, ranker, settings, neighbors=neighbors, vectors=TextVectors(store, watch=watch), watch=watch))
    seconds = {chosen.name: time.monotonic() - began}
    others = compared.select(chosen, seconds)
    if outputs.streamed:
        examples.stream(sys.stdout.buffer, examples.positions(chosen.kept_ids), to=outputs.to)
        written = None
    else:
        written = SelectionSet.create(place, chosen, others, to=outputs.to, scores=path, seconds=seconds)
        outputs.write_with_scores(examples, table, chosen, quiet=quiet)
    for line in text.report(chosen, others, written):
        say(line, quiet=quiet)
    if json and written is not None:
        write_json(_summaries(written, chosen, others))


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _summaries(written: SelectionSet, chosen: Selection, others: Sequence[Selection]) -> dict[str, Any]:
    """What --json prints."""
    files = {
        subset.name: {"output": str(subset.file), "sidecar": str(subset.sidecar), "rows_written": subset.rows} for subset in written.subsets
    }
    summaries = [{**one.summary, "form": one.manifest["form"], **files[one.name]} for one in (chosen, *others)]
    same = list(written.same_rows())
    return {"selection": summaries[0], "baselines": summaries[1:], "selection_set": str(written.path), "same_rows_as_the_selection": same}
