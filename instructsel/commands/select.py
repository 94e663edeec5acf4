"""instructsel select: rank by a rule, remove repetitions, fill a budget, write the rows as they were."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.commands import _options as options
from instructsel.commands import _settings as settings
from instructsel.commands._console import messages, reported, say, watching
from instructsel.errors import UsageError
from instructsel.pool import spec
from instructsel.rules import catalog
from instructsel.rules.collinearity import warnings
from instructsel.scores.table import ScoreTable, newest
from instructsel.selection import budget as budgets
from instructsel.selection import minima
from instructsel.selection.baselines.rds_plus import RDS
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.choose import select
from instructsel.selection.files import default_output, find_pool, neighborhood
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.summary import INSIDE, OVER_THE_POOL
from instructsel.text import aligned

EXAMPLES: Final = """Examples:
  instructsel select /tmp/demo.scores.parquet --rule longest --n 50 -o /tmp/chosen.jsonl
  instructsel select /tmp/demo.scores.parquet --rule longest --fraction 0.1 --baseline random --seeds 2 -o /tmp/tenth.jsonl
"""


@reported
def command(
    context: typer.Context,
    scores: Annotated[Path | None, typer.Argument(metavar="[SCORES]", help="The score table; the newest one here by default.")] = None,
    rule: Annotated[str, typer.Option(help="A preset (see: instructsel rules list) or a rule file.")] = "eq4",
    n: Annotated[int | None, typer.Option("--n", help="Keep N examples.")] = None,
    fraction: Annotated[float | None, typer.Option(help="Keep this share of the pool, above 0 and at most 1.")] = None,
    tokens: Annotated[
        int | None, typer.Option(help="Keep examples up to N tokens, prompt and response in the chat template of --tokenizer.")
    ] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Tokenizer of --tokens: a local folder or a hub id.")] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where the chosen rows go, in the pool's own format; - prints them. POOL.selected.* here by default."
        ),
    ] = None,
    to: Annotated[str | None, typer.Option(help="messages: write JSON lines with messages instead of the pool's format.")] = None,
    pool: Annotated[list[str] | None, typer.Option(help="The pool files, where the score table's manifest does not lead to them.")] = None,
    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Write a baseline beside the selection: random, longest, length-matched, reward-only, or rds+ (with --target). May be repeated."
        ),
    ] = None,
    target: Annotated[
        list[str] | None, typer.Option(help="Rows like those the model is to do well on, for --baseline rds+. May be repeated.")
    ] = None,
    target_model: Annotated[
        str | None, typer.Option(help="The language model whose states say which rows are near the target: usually the base.")
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, help="How many draws of random and length-matched.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="The first seed.")] = 0,
    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=CAP", help="At most CAP examples (500) or this share of the budget (0.3) of a source. May be repeated."
        ),
    ] = None,
    floor: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYMBOL=FLOOR",
            help="Leave out rows whose indicator is below this value (-1.5) or among the lowest share (10%), before ranking. May be repeated.",
        ),
    ] = None,
    near_duplicates: Annotated[float, typer.Option(help="Jaccard similarity from which a row repeats a better-ranked one.")] = 0.8,
    keep_near_duplicates: Annotated[bool, typer.Option("--keep-near-duplicates", help="Remove no near-duplicates.")] = False,
    keep_exact_duplicates: Annotated[bool, typer.Option("--keep-exact-duplicates", help="Remove no exact duplicates.")] = False,
    clip: Annotated[
        bool, typer.Option("--clip", help="Winsorise each indicator at its 1st and 99th percentile first; not part of any published rule.")
    ] = False,
    allow_mismatch: Annotated[
        bool, typer.Option("--allow-mismatch", help="Rank scores of other models than the rule assumes; every output says so.")
    ] = False,
    max_null_fraction: Annotated[float, typer.Option(help="Share of examples that may lack a value the rule uses.")] = 0.05,
    max_bad_fraction: Annotated[float, typer.Option(help="Share of rows that may have been quarantined.")] = 0.05,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Select the best part of a pool under a budget. Every row is kept, or left out with a reason."""
    settings.check(context)
    if print_config:
        settings.print_config(context)
    chosen_budget = budgets.parse(n=n, fraction=fraction, tokens=tokens, tokenizer=tokenizer)
    quotas = budgets.parse_quotas(quota or [])
    chosen_rule = catalog.load(rule)
    streamed = str(output) == "-"
    if streamed and (json or baseline):
        raise UsageError("-o - writes rows to stdout; --json and --baseline need files.", fix="Name a file with -o.")
    if (RDS in (baseline or [])) != bool(target) or bool(target) != bool(target_model):
        raise UsageError("--baseline rds+, --target and --target-model go together.", fix="Give all three, or none.")
    path = scores or newest()
    if scores is None:
        say(f"taking the newest score table here: {path}", quiet=quiet)
    table = ScoreTable.read(path)
    whole = find_pool(path, pool, message=messages(quiet=quiet))
    store = options.open_cache(cache, off=no_cache, quiet=quiet)
    began = time.monotonic()
    chosen = select(
        whole,
        table,
        chosen_rule,
        budget=chosen_budget,
        near_duplicate_threshold=None if keep_near_duplicates else near_duplicates,
        keep_exact_duplicates=keep_exact_duplicates,
        quotas=quotas,
        minima=minima.parse(floor or []),
        clip=clip,
        allow_mismatch=allow_mismatch,
        max_null_fraction=max_null_fraction,
        max_bad_fraction=max_bad_fraction,
        neighbors=neighborhood(whole, table, store, watch=watching(quiet=quiet), scores=path),
    )
    seconds = {chosen.name: time.monotonic() - began}
    beside: list[Selection] = []
    for name in dict.fromkeys(baseline or []):
        began = time.monotonic()
        near = _target(name, target, target_model)
        made = baselines(chosen, [name], seeds=range(seed, seed + seeds), **near)
        seconds |= {each.name: (time.monotonic() - began) / len(made) for each in made}
        beside += made
    if streamed:
        whole.stream(sys.stdout.buffer, [whole.position(name) for name in chosen.kept_ids], to=to)
        written = {}
    else:
        made_set = SelectionSet.create(output or default_output(whole, to), chosen, beside, to=to, scores=path, seconds=seconds)
        written = {
            subset.name: {"output": str(subset.file), "sidecar": str(subset.sidecar), "rows_written": subset.rows}
            for subset in made_set.subsets
        }
    for line in report(chosen, beside, written):
        say(line, quiet=quiet)
    if json:
        summaries = [
            {**selection.summary, "form": selection.manifest["form"], **written[selection.name]} for selection in (chosen, *beside)
        ]
        typer.echo(orjson.dumps({"selection": summaries[0], "baselines": summaries[1:]}, option=orjson.OPT_INDENT_2).decode())


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _target(name: str, files: list[str] | None, model: str | None) -> dict[str, Any]:
    """What the baseline rds+ needs beside the selection."""
    if name != RDS or not files or model is None:
        return {}
    from instructsel.neighbors.pooled_states import PooledStates

    return {"target": spec.Reading().read(files), "encoder": PooledStates.load(model)}


def report(chosen: Selection, beside: list[Selection], written: dict[str, dict[str, Any]]) -> list[str]:
    """What came of it, for people."""
    found = [f"ranked by {chosen.manifest['form']} ({chosen.name}); value: {chosen.manifest['score']}, lower is better"]
    for selection in (chosen, *beside):
        found.extend(_account(selection, written.get(selection.name)))
    summary = chosen.summary
    found.extend(
        f"minimum: {told['rows']:,} rows have {symbol} below {told['value']:.4g} (asked: {told['asked']})"
        + (f"; {told['not_shown']:,} rows stay that it could not be shown whole" if told.get("not_shown") else "")
        for symbol, told in (summary.get("minima") or {}).items()
        if told["value"] is not None
    )
    shares = {symbol: share for symbol, share in summary["variance_shares"].items() if share is not None}
    if shares:
        found.append("share of the variance of the value: " + ", ".join(f"{symbol} {share:.1%}" for symbol, share in shares.items()))
    found.extend(warnings(summary.get("collinearity") or {}))
    found.extend(
        f"{symbol}: {told['ranked']:.0%} of the ranked rows and {told['kept']:.0%} of the kept lie outside the range of means the rule was fitted on "
        f"[{told['fitted'][0]:.4g}, {told['fitted'][1]:.4g}]"
        + ("; so does the mean of the kept: the rule extrapolates" if told["mean_of_kept_is_outside"] else "")
        for symbol, told in (summary.get("extrapolation") or {}).items()
        if told["kept"] is not None
    )
    for symbol, means in summary["means"].items():
        inside = summary["inside"].get(symbol)
        told = ""
        if inside is not None:
            told = (
                f", inside the selection {inside['mean']:.4g}"
                if inside["mean"] is not None
                else f", inside the selection null ({inside['reason']})"
            )
        if means["kept"] is not None:
            found.append(f"mean {symbol}: {means['ranked']:.4g} ranked, {means['kept']:.4g} kept{told}")
    value = summary["rule_score"]
    if value[OVER_THE_POOL] is not None:
        inside_value = f"; {value[INSIDE]:.4f} {INSIDE}" if value[INSIDE] is not None and value[INSIDE] != value[OVER_THE_POOL] else ""
        found.append(f"value of the selection: {value[OVER_THE_POOL]:.4f} as {OVER_THE_POOL}{inside_value}. Neither is a measured loss.")
    if len(summary["composition"]) > 1:
        found.extend(
            aligned(
                [[source, f"{counts['pool']:,}", f"{counts['kept']:,}"] for source, counts in summary["composition"].items()],
                header=["source", "pool", "kept"],
                right=(1, 2),
            )
        )
    found.extend(
        f"mismatch: {entry['indicator']} was scored with {entry['scored_with'] or 'an unknown model'}, the rule assumes {entry['assumes'][0]}"
        for entry in summary["mismatches"]
    )
    return found


def _account(selection: Selection, places: dict[str, Any] | None) -> list[str]:
    summary = selection.summary
    unscored = dict(summary["dropped"].items())
    dropped = ", ".join(f"{reason} {count:,}" for reason, count in unscored.items())
    total = sum(unscored.values())
    line = f"{selection.name}: {summary['read']:,} examples = {summary['kept']:,} kept + {total:,} dropped" + (
        f" ({dropped})" if dropped else ""
    )
    if places:
        line += f" → {places['output']}, {places['sidecar']}"
    found = [line]
    if summary["shortfall"]:
        unit = "tokens" if summary["unused_tokens"] is not None else "examples"
        found.append(f"  {summary['shortfall']:,} {unit} short of the budget: nothing more was left")
    elif summary["unused_tokens"]:
        found.append(f"  {summary['unused_tokens']:,} tokens of the budget unused: no remaining example fits")
    return found
