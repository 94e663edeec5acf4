"""instructsel score: a number for every example and indicator, or null with a reason."""

from __future__ import annotations

import shlex
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final

import numpy as np
import orjson
import typer

from instructsel.artifact import atomic_write
from instructsel.commands import _options as options
from instructsel.commands import _settings as settings
from instructsel.commands._console import Progress, messages, reported, say
from instructsel.errors import UsageError
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Indicator, ModelIndicator
from instructsel.indicators.neighbor_distance import NeighborDistance
from instructsel.models.runner import RunReport
from instructsel.pool import spec
from instructsel.pool.pool import Pool
from instructsel.pool.sources import label_of
from instructsel.rules.catalog import load as load_rule
from instructsel.rules.collinearity import collinearity, warnings
from instructsel.scores.estimate import Estimate, estimate
from instructsel.scores.progress import Run
from instructsel.scores.run import score
from instructsel.scores.table import ScoreTable
from instructsel.text import aligned

DEFAULT_RULE: Final = "eq4"
NOTED: Final = 5.0
"""Seconds between notes of where a run stands."""

EXAMPLES: Final = """Examples:
  instructsel score examples/pool.jsonl --indicators len,mtld,knn_6 -o /tmp/demo.scores.parquet
  instructsel score examples/pool.jsonl --rule longest -o /tmp/demo.scores.csv
"""


@reported
def command(
    context: typer.Context,
    pools: Annotated[
        list[str],
        typer.Argument(
            metavar="POOL...", help="Pool files (.jsonl .json .csv .tsv .parquet, each also .gz or .zst), - for stdin, or hf://OWNER/NAME."
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "-o", "--output", help="Where the scores go, .parquet or .csv; - prints CSV. POOL.scores.parquet beside the pool by default."
        ),
    ] = None,
    rule: Annotated[str | None, typer.Option(help="Score what this rule needs; eq4 by default.")] = None,
    indicators: Annotated[
        str | None, typer.Option(help="Score these instead, comma-separated: len,len_in,mtld,knn_6,rew,ppl,ppl_cond,ifd,nat,coh,und.")
    ] = None,
    reward: Annotated[
        str | None, typer.Option(help="Reward model of rew: a hub id or a local folder. Short for --model rew=MODEL.")
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(metavar="SYMBOL=MODEL[@REVISION]", help="Model or tokenizer of an indicator: a hub id or a local folder."),
    ] = None,
    precision: Annotated[str, typer.Option(help="fp32, bf16, or auto: bf16 on a GPU or a CPU with AMX.")] = "auto",
    device: Annotated[str, typer.Option(help="cpu, cuda, or auto.")] = "auto",
    skip_probe: Annotated[bool, typer.Option("--skip-probe", help="Use models without the sanity probe; the scores say so.")] = False,
    reward_turns: Annotated[
        str, typer.Option(help="Answers of a conversation that rew scores: last, or mean or min over all of them.")
    ] = "last",
    max_failed_fraction: Annotated[
        float, typer.Option(help="Share of examples at which a model may fail (no number, out of memory) before all is given up.")
    ] = 0.05,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Measure a sample and say what the run would take: time, memory, downloads. Score nothing.")
    ] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Score only the first N examples in the order of ids, which is as good as random.")
    ] = None,
    form: options.Form = "auto",
    mapping: options.Mapping = None,
    columns: options.Columns = None,
    oasst: options.Oasst = "best-path",
    on_duplicate_key: options.DuplicateKey = "error",
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Score every example of a pool. What cannot be scored is null with a reason, never a default value."""
    settings.check(context)
    if print_config:
        settings.print_config(context)
    if json and str(output) == "-":
        raise UsageError("--json and -o - both want stdout.", fix="Leave one out.")
    common = {"precision": precision, "device": device, "probe": not skip_probe, "turns": reward_turns}
    chosen, unavailable = _indicators(rule, indicators, reward, model or [], common)
    reading = spec.Reading(form, mapping, columns, oasst, on_duplicate_key)
    pool = reading.read(pools, message=messages(quiet=quiet))
    if limit is not None and limit < len(pool):
        pool = pool.take(pool.ids[:limit])
        say(f"scoring the first {limit:,} examples in the order of ids", quiet=quiet)
    target = output or default_output(pools)
    if str(target) != "-" and target.suffix not in (".parquet", ".csv"):
        raise UsageError(f"{target} is neither .parquet nor .csv.", fix="Name the scores with one of the two, e.g. -o pool.scores.parquet")
    store = options.open_cache(cache, off=no_cache, quiet=quiet)
    if dry_run:
        predicted = estimate(pool, chosen, cache=store)
        for line in forecast(predicted, len(pool)):
            say(line, quiet=quiet and not json)
        if json:
            typer.echo(orjson.dumps([each.as_dict() for each in predicted], option=orjson.OPT_INDENT_2).decode())
        return
    seconds: dict[str, float] = {}
    reports: dict[str, RunReport] = {}
    started, opened = time.perf_counter(), time.time()
    about = {
        "pools": list(pools),
        "target": str(target),
        "indicators": [each.symbol for each in chosen],
        "folder": str(Path.cwd()),
        "command": shlex.join(["instructsel", *sys.argv[1:]]),
    }
    note = Run.start(store, about) if store else None
    try:
        table = score(
            pool,
            chosen,
            cache=store,
            unavailable=unavailable,
            watch=_watches(chosen, note, quiet=quiet),
            seconds=seconds,
            reports=reports,
            max_failed_fraction=max_failed_fraction,
        )
    except KeyboardInterrupt:
        raise
    except BaseException:
        # What failed by itself is no run to go on with; what was stopped is.
        if note:
            note.end()
        raise
    run = {
        "pools": [name if name == "-" or name.startswith("hf://") else str(Path(name).resolve()) for name in pools],
        "reading": reading.as_dict(),
        "limit": limit,
        "seconds": seconds,
        # Where a model was to be asked: what was not computed was in the cache, and its seconds are those of an earlier run.
        "computed": {
            each.symbol: reports[each.symbol].rows if each.symbol in reports else 0
            for each in chosen
            if isinstance(each, ModelIndicator | NeighborDistance)
        },
        "models": {indicator.symbol: str(getattr(indicator, "model", "")) for indicator in chosen if hasattr(indicator, "model")},
        "batches": {
            symbol: {"batches": each.batches, "tokens": each.tokens, "padding_share": round(each.padding_share, 4)}
            for symbol, each in reports.items()
        },
    }
    if str(target) == "-":
        typer.echo(table.frame.write_csv(), nl=False)
    else:
        table.write(target, run=run)
        quarantine = write_quarantine(target, pool)
        say(
            f"{len(table):,} examples scored in {time.perf_counter() - started:.1f} s → {target}"
            + (f"; quarantined rows → {quarantine}" if quarantine else ""),
            quiet=quiet,
        )
    if note:
        note.end()
    for line in summary(table, seconds):
        say(line, quiet=quiet)
    for symbol, each in reports.items():
        computed = f"{each.tokens:,} tokens in {each.batches:,} batches, {each.padding_share:.1%} of what was computed padding"
        say(f"{symbol}: {computed}" if each.batches else f"{symbol}: nothing to compute, all from the cache", quiet=quiet)
    for told in notices(table):
        say(told, quiet=quiet)
    if store and (freed := store.prune(options.cache_limit(), since=opened - 1)):
        say(f"the cache was above its limit: {freed / 1e6:,.0f} MB of the least recently used were removed", quiet=quiet)
    if json:
        typer.echo(orjson.dumps({"scores": str(target), **table.manifest}, option=orjson.OPT_INDENT_2).decode())


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def default_output(pools: list[str]) -> Path:
    """Beside the first pool; in the working directory for streams and hub data."""
    first = pools[0]
    if first == "-":
        return Path("stdin.scores.parquet")
    name = label_of(first.removeprefix("hf://").replace(":", "-").replace("@", "-")) if len(pools) == 1 else "pool"
    return Path(f"{name}.scores.parquet") if first.startswith("hf://") else Path(first).parent / f"{name}.scores.parquet"


def write_quarantine(target: Path, pool: Pool) -> Path | None:
    """The quarantined rows as JSON lines beside the scores; None where there are none."""
    entries = pool.account.quarantine
    path = target.with_name(target.name.removesuffix(target.suffix) + ".quarantine.jsonl")
    if not entries:
        path.unlink(missing_ok=True)
        return None
    with atomic_write(path) as file:
        for entry in entries:
            file.write(orjson.dumps(entry.as_dict()) + b"\n")
    return path


def _indicators(
    rule: str | None, named: str | None, reward: str | None, models: list[str], common: dict[str, Any]
) -> tuple[list[Indicator], str]:
    """The indicators to score, and what to do where a model is not to be had: a model asked for by flag must be there."""
    if rule is not None and named is not None:
        raise UsageError("--rule and --indicators exclude each other.", fix="Leave one out.")
    if common["precision"] not in ("auto", "fp32", "bf16"):
        raise UsageError.named(common["precision"], ["auto", "fp32", "bf16"], noun="precision")
    wanted = None if named is not None else load_rule(rule or DEFAULT_RULE)
    symbols = (
        [part.strip() for part in named.split(",") if part.strip()] if named is not None else list(wanted.indicators if wanted else ())
    )
    chosen = dict(_assignment(given) for given in models)
    asked = set(chosen)
    if reward is not None:
        if "rew" in chosen:
            raise UsageError("--reward and --model rew=… both name the reward model.", fix="Leave one out.")
        name, at, revision = reward.rpartition("@")
        chosen["rew"] = (name, revision) if at and not Path(reward).exists() else (reward, None)
        asked.add("rew")
        if "rew" not in symbols:
            symbols.append("rew")
    for symbol in chosen:
        if symbol not in symbols:
            raise UsageError(
                f"--model names a model for {symbol}, which is not scored.", fix=f"Add it: --indicators {','.join([*symbols, symbol])}"
            )
    for term in wanted.terms if wanted else ():
        # A rule's own models, where the indicator asks one: another rule's reward model would be another rule.
        if term.indicator not in chosen and term.model and issubclass(type(registry.make(term.indicator)), ModelIndicator):
            chosen[term.indicator] = (term.model, None)
    built = [_make(symbol, chosen.get(symbol), common) for symbol in symbols]
    explicit = named is not None and any(isinstance(indicator, ModelIndicator) for indicator in built)
    return built, "raise" if asked or explicit else "null"


def _assignment(given: str) -> tuple[str, tuple[str, str | None]]:
    symbol, equals, name = given.partition("=")
    if not equals or not symbol or not name:
        raise UsageError(
            f"--model {given} is not of the form SYMBOL=MODEL[@REVISION].",
            fix="For example: --model rew=OpenAssistant/reward-model-deberta-v3-large-v2",
        )
    base, at, revision = name.rpartition("@")
    return symbol, (base, revision) if at and not Path(name).exists() else (name, None)


def _make(symbol: str, model: tuple[str, str | None] | None, common: dict[str, Any]) -> Indicator:
    fields = set(type(registry.make(symbol)).__dataclass_fields__)
    given = dict(common)
    if model is not None:
        if "model" not in fields:
            raise UsageError(f"{symbol} uses no model.", fix=f"Leave --model {symbol}=… out.")
        given["model"] = model[0]
        if model[1] is not None:
            if "revision" not in fields:
                raise UsageError(f"{symbol} takes no revision.", fix="Fetch that revision and name its folder.")
            given["revision"] = model[1]
    return registry.make(symbol, **{key: value for key, value in given.items() if key in fields})


def _watches(chosen: list[Indicator], note: Run | None, *, quiet: bool) -> Any:
    bars = {indicator.symbol: Progress(indicator.symbol, quiet=quiet) for indicator in chosen}
    told = {indicator.symbol: 0.0 for indicator in chosen}

    def watch(symbol: str) -> Any:
        def tell(done: int, total: int) -> None:
            bars[symbol](done, total)
            now = time.monotonic()
            if note is not None and now - told[symbol] >= NOTED:
                told[symbol] = now
                note.tell(symbol, done, total)

        return tell

    return watch


def forecast(predicted: list[Estimate], examples: int) -> list[str]:
    """What a run would take, for people."""
    rows = []
    for each in predicted:
        seconds = (
            "not measured" if each.seconds is None else f"{_span(each.seconds[0])} ({_span(each.seconds[1])} to {_span(each.seconds[2])})"
        )
        size = "size unknown here" if each.download_bytes is None else f"{each.download_bytes / 1e9:.1f} GB"
        rows.append(
            [
                each.symbol,
                f"{each.examples:,}",
                f"{each.cached:,}",
                "" if each.tokens is None else f"{each.tokens:,}",
                seconds,
                "" if each.memory is None else f"{each.memory / 1e9:.1f} GB",
                "" if each.padding_share is None else f"{each.padding_share:.0%}",
                f"{each.download} ({size})" if each.download else "none",
            ]
        )
    header = ["", "to score", "cached", "tokens", "time (95 % interval)", "memory", "padding", "download"]
    lines = [f"dry run over {examples:,} examples; nothing was scored", *aligned(rows, header=header, right=(1, 2, 3, 5, 6))]
    lines += sorted({f"note: {each.symbol}: {each.note}" for each in predicted if each.note})
    measured = [each.seconds for each in predicted if each.seconds is not None]
    if measured:
        total = [sum(part) for part in zip(*measured, strict=True)]
        lines.append(f"all together: about {_span(total[0])}, {_span(total[1])} to {_span(total[2])}, on this machine as it is now")
    return lines


def _span(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.1f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def summary(table: ScoreTable, seconds: dict[str, float]) -> list[str]:
    """A line an indicator: nulls by reason, truncated examples, quantiles, seconds."""
    rows = []
    for symbol in table.symbols:
        values, valid = table.values(symbol)
        described = table.manifest["indicators"][symbol]
        nulls = ", ".join(f"{reason} {count:,}" for reason, count in table.null_counts(symbol).items()) or "0"
        quantiles = [f"{value:.4g}" for value in np.quantile(values[valid], [0.05, 0.5, 0.95])] if valid.any() else ["", "", ""]
        rows.append(
            [symbol, f"{int(valid.sum()):,}", nulls, f"{described.get('truncated', 0):,}", *quantiles, f"{seconds.get(symbol, 0.0):.1f}"]
        )
    return aligned(rows, header=["", "scored", "null", "truncated", "5 %", "median", "95 %", "seconds"], right=(1, 3, 4, 5, 6, 7))


def notices(table: ScoreTable) -> list[str]:
    """What a reader must know of these scores."""
    found = []
    described = table.manifest["indicators"]
    for symbol in ("nat", "coh", "und", "ppl", "ppl_cond", "ifd"):
        if symbol in table.symbols and table.null_counts(symbol).get("model_unavailable"):
            found.append(
                f"note: {symbol} is null (model_unavailable). With a model: instructsel score POOL --model {symbol}=FOLDER_OR_HUB_ID"
            )
    if table.null_counts("rew").get("model_unavailable") if "rew" in table.symbols else 0:
        found.append(
            "note: rew is null (model_unavailable): no reward model is on this machine. With one: instructsel score POOL --reward "
            "OpenAssistant/reward-model-deberta-v3-large-v2 (fetch it with: hf download OpenAssistant/reward-model-deberta-v3-large-v2). "
            "Without: instructsel select --rule eq4-without-reward"
        )
    tokenizer = described.get("len", {}).get("tokenizer") or {}
    if tokenizer.get("name") == "sentence-transformers/all-MiniLM-L6-v2":
        found.append(
            "note: len counts tokens of the embedded MiniLM tokenizer; eq4 assumes LLaMA's: --model len=hf-internal-testing/llama-tokenizer"
        )
    for symbol, entry in described.items():
        if (entry.get("parameters") or {}).get("probe") is False:
            found.append(f"note: the model of {symbol} was used without the sanity probe.")
        if entry.get("smaller_batches"):
            found.append(f"note: memory ran out; {entry['smaller_batches']:,} answers for {symbol} come from smaller batches.")
    if "coh" in table.symbols and described["coh"].get("truncated"):
        found.append(
            f"note: coh did not see the whole history of {described['coh']['truncated']:,} examples: what is beyond 1,024 tokens is cut, and the history comes last."
        )
    if {"nat", "und"} <= set(table.symbols):
        values = {symbol: table.values(symbol) for symbol in ("nat", "und")}
        both = values["nat"][1] & values["und"][1]
        found += warnings(collinearity({symbol: each[0][both] for symbol, each in values.items()}))[:1]
    if table.manifest["pool"]["account"]["quarantined"]:
        found.append("note: some rows were quarantined; select refuses when they are more than --max-bad-fraction.")
    return found
