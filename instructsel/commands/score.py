"""instructsel score: a number for every example and indicator, or null with a reason."""

from __future__ import annotations

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.artifact import atomic_write, check_outputs, check_replaced, manifest_path, read_manifest, write_manifest
from instructsel.cache import Cache
from instructsel.commands import _imports as imports
from instructsel.commands import _options as options
from instructsel.commands import _score_text as text
from instructsel.commands._console import Stages, messages, reported, say, write_json
from instructsel.commands._groups import with_options
from instructsel.commands._score_options import ModelOptions, OutputFiles, ReplaceOptions, SampleOptions, WantedScores
from instructsel.errors import ScoresError, UnknownIndicator, UsageError
from instructsel.indicators import registry as registry
from instructsel.indicators.base import Indicator, ModelIndicator
from instructsel.kinds import ROWS_WITH_SCORES, SCORES
from instructsel.models.runner import RunReport
from instructsel.pool.naming import files_of
from instructsel.pool.outputs import check_apart
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import DEFAULTS, ReadingOptions
from instructsel.pool.sources import label_of
from instructsel.pool.writer import notes_on_output
from instructsel.rules.catalog import load as load_rule
from instructsel.scores import merge
from instructsel.scores.estimate import estimate
from instructsel.scores.missing import is_computed, score_command
from instructsel.scores.models import ModelName, ModelSettings
from instructsel.scores.progress import Run, remember
from instructsel.scores.run import score
from instructsel.scores.table import ScoreTable
from instructsel.scores.with_scores import check_ending, write_with_scores
from instructsel.text import clean, counted

DEFAULT_RULE: Final = "eq4"
NOTE_EVERY: Final = 5.0
"""Seconds between notes of where a run stands."""
NAMED: Final = 3
"""Pool files that a default output is named after, at most."""

EXAMPLES: Final = """Examples:
  instructsel score examples/pool.jsonl --indicators len,mtld,knn_6 -o /tmp/demo.scores.parquet --with-scores /tmp/scored.jsonl
  instructsel score examples/pool.jsonl --import /tmp/scored.jsonl --column words=instructsel_len -o /tmp/demo.scores.csv
"""


@reported
@with_options
def command(
    *,
    pools: Annotated[
        list[str],
        typer.Argument(
            metavar="POOL...",
            help="Pool files (.jsonl .json .csv .tsv .parquet .arrow, each also .gz or .zst), folders of them, - for stdin, or hf://OWNER/NAME.",
        ),
    ],
    outputs: OutputFiles,
    wanted: WantedScores,
    replacing: ReplaceOptions,
    models: ModelOptions,
    elsewhere: imports.ImportOptions,
    sample: SampleOptions,
    read: ReadingOptions = DEFAULTS,
    cache: options.CacheOptions,
    common: options.CommonOptions,
    print_config: options.PrintConfig = False,
) -> None:
    """Score every example of a pool. What cannot be scored is null with a reason, never a default value."""
    json, quiet, rule = common.json, common.quiet, wanted.rule
    if json and str(outputs.output) == "-":
        raise UsageError("--json and -o - both want stdout.", fix="Leave one out.")
    settings = models.settings()
    imported = elsewhere.indicators()
    files = Outputs(outputs.output or default_output(pools), outputs.with_scores, replacing.replace_table, replacing.force)
    also = ["rew"] if models.reward else []
    chosen, unavailable = choose_indicators(rule, wanted.indicators, settings, also=also, imported=imported, present=files.present)
    if not sample.dry_run:
        files.check([*files_of(pools), *([rule] if rule else []), *elsewhere.files])
        check_apart([files.table, *([files.rows] if files.rows else [])], pools, flags={files.rows: "--with-scores"} if files.rows else {})
    for indicator in imported:
        indicator.fingerprint()  # a file that is missing ends the run before the pool is read
    store = cache.open(quiet=quiet)
    with Stages(["reading", *(indicator.symbol for indicator in chosen)], quiet=quiet) as stages:
        reading = read.settled()
        pool = reading.read(pools, message=messages(quiet=quiet), progress=stages("reading", unit="bytes"))
        if sample.limit is not None and sample.limit < len(pool):
            pool = pool.take(pool.ids[: sample.limit])
            say(f"scoring the first {counted(sample.limit, 'example')} in the order of ids", quiet=quiet)
        for note in notes_on_output(pool.files) if len(pool.files) > 1 else ():
            say(note, quiet=quiet)
        if sample.dry_run:
            _dry_run(pool, chosen, store, json=json, quiet=quiet)
            return
        files.check_columns(pool, chosen)
        run = Run.start(store, _record(pools, files.table, chosen)) if store else None
        scored = _scored(pool, chosen, store, unavailable, models.max_failed_fraction, _watch(stages, run), run)
    table = files.write(pool, scored, run=scored.run(chosen))
    if run:
        run.end()
    if store and str(files.table) != "-":
        remember(store, files.table)
    lines = [*files.lines(table, scored.wall), *text.summary(table, scored.seconds, symbols=scored.table.symbols)]
    for line in [
        *lines,
        *imports.lines(table, scored.table.symbols),
        *text.cached(scored.table, scored.reports),
        *text.notices(table, scored.table.symbols, pools),
        *files.next(table, rule, scored.table.symbols),
    ]:
        say(line, quiet=quiet)
    if store and (freed := store.prune(options.cache_limit(), since=scored.started - 1)):
        say(f"the cache was above its limit: {freed / 1e6:,.0f} MB of the least recently used values were removed", quiet=quiet)
    if json:
        write_json({"scores": str(files.table), **table.manifest})


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


@dataclass(frozen=True)
class Outputs:
    """Where the scores go, and what may be replaced."""

    table: Path
    """The score table; - for stdout."""
    rows: Path | None = None
    """The pool's rows with their scores."""
    replace: bool = False
    """Replace the score table that is there, whatever pool it is of."""
    force: bool = False
    """Replace a file that is no score table."""

    @property
    def quarantine(self) -> Path:
        """Where quarantined rows are listed."""
        return self.table.with_name(self.table.name.removesuffix(self.table.suffix) + ".quarantine.jsonl")

    def check(self, inputs: list[str]) -> None:
        """Refuse what cannot or must not be written, before any work.

        Raises:
            UsageError: an ending, an input that would be replaced, or a file that is no score table.
            EnvironmentFault: a folder that cannot be written.
        """
        written = [] if self.rows is None else [self.rows]
        if self.rows is not None:
            check_ending(self.rows)
            written.append(manifest_path(self.rows))
        if str(self.table) != "-":
            if self.table.suffix not in (".parquet", ".csv"):
                raise UsageError(
                    f"{self.table} is neither .parquet nor .csv.", fix="Name the scores with one of the two, e.g. -o pool.scores.parquet"
                )
            written += [self.table, manifest_path(self.table), self.quarantine]
        flag = "--with-scores"
        check_outputs(written, inputs, flags={} if self.rows is None else {self.rows: flag, manifest_path(self.rows): flag})
        if self.rows is not None:
            check_replaced(self.rows, ROWS_WITH_SCORES, "a file of rows with scores", force=self.force, flag=flag)
        if str(self.table) != "-" and not self._holds_table():
            check_replaced(self.table, SCORES, "a score table", force=self.force)

    def _holds_table(self) -> bool:
        """Whether a score table is there, also one whose manifest was not moved with it."""
        try:
            return self.table.exists() and bool(ScoreTable.read(self.table))
        except ScoresError:
            return False

    def present(self) -> tuple[str, ...]:
        """Symbols of the table that gets the new columns."""
        try:
            table = self.earlier()
        except UsageError:  # said where the table is checked
            return ()
        return () if table is None else table.symbols

    def earlier(self) -> ScoreTable | None:
        """The score table that gets the new columns; None where there is none, or where it is to be replaced."""
        if self.replace or str(self.table) == "-" or not self.table.exists():
            return None
        try:
            return ScoreTable.read(self.table)
        except ScoresError as error:
            if self.force:
                return None
            raise UsageError(
                f"{self.table} is there and no columns can be added to it: {error.message}",
                fix="Name another file with -o, or add --replace.",
            ) from error

    def check_columns(self, pool: Pool, indicators: list[Indicator]) -> None:
        """Refuse to add columns to a table of another pool or other models."""
        if (table := self.earlier()) is not None:
            merge.check_same(table, pool, indicators, where=str(self.table))

    def write(self, pool: Pool, scored: Scored, *, run: dict[str, Any]) -> ScoreTable:
        """Write the scores, the quarantined rows, and the rows with their scores; the table as it is on disk."""
        table = scored.table
        if str(self.table) == "-":
            text = table.frame.write_csv()
            # Data for a program stay as they are; a terminal is shown what it must not obey.
            typer.echo(clean(text) if sys.stdout.isatty() else text, nl=False)
        else:
            # Read again: another process may have added columns in the meantime.
            if (earlier := self.earlier()) is not None:
                table = merge.merged(earlier, table, where=str(self.table))
                run = merge.merged_run((read_manifest(self.table) or {}).get("run") or {}, run)
            table.write(self.table, run=run)
            self._write_quarantine(pool)
        if self.rows is not None:
            # The rows last: a run that was killed leaves no rows that a second run would take for somebody else's file.
            write_manifest(self.rows, {"kind": ROWS_WITH_SCORES, "rows": len(pool), "scores": table.fingerprint}, run=run)
            write_with_scores(pool, table, self.rows)
        return table

    def _write_quarantine(self, pool: Pool) -> None:
        entries = pool.report.quarantine
        if not entries:
            self.quarantine.unlink(missing_ok=True)
            return
        with atomic_write(self.quarantine) as file:
            for entry in entries:
                file.write(orjson.dumps(entry.as_dict()) + b"\n")

    def lines(self, table: ScoreTable, seconds: float) -> list[str]:
        """What was written where."""
        if str(self.table) == "-":
            return []
        columns = ", ".join(table.symbols)
        lines = [f"{counted(len(table), 'example')} scored in {seconds:.1f} s → {self.table} (columns {columns})"]
        if self.quarantine.exists():
            lines.append(f"quarantined rows → {self.quarantine}")
        return lines + ([f"rows with their scores → {self.rows}"] if self.rows is not None else [])

    def next(self, table: ScoreTable, rule: str | None, added: Sequence[str]) -> list[str]:
        """The command to run next."""
        return [] if str(self.table) == "-" else [text.next_command(table, self.table, rule, added)]


@dataclass(frozen=True)
class Scored:
    """What a run gave, and what it took."""

    table: ScoreTable
    seconds: dict[str, float]
    """Symbol → seconds."""
    reports: dict[str, RunReport]
    """Symbol → the batches of an indicator that asks a model."""
    started: float
    """Seconds since 1970."""
    wall: float
    """Seconds the run took."""

    def run(self, indicators: list[Indicator]) -> dict[str, Any]:
        """What differs from run to run, for the manifest."""
        return {
            "seconds": self.seconds,
            # Where a model was to be asked: what was not computed was in the cache, and its seconds are those of an earlier run.
            "computed": {
                indicator.symbol: self.reports[indicator.symbol].rows if indicator.symbol in self.reports else 0
                for indicator in indicators
                if indicator.asks_model
            },
            "models": {indicator.symbol: str(getattr(indicator, "model", "")) for indicator in indicators if hasattr(indicator, "model")},
            "batches": {
                symbol: {"batches": report.batches, "tokens": report.tokens, "padding_share": round(report.padding_share, 4)}
                for symbol, report in self.reports.items()
            },
        }


def default_output(pools: list[str]) -> Path:
    """Beside the first pool, named after all of them; in the working directory for streams and hub data."""
    first = pools[0]
    if first == "-":
        return Path("stdin.scores.parquet")
    labels = [label_of(name.removeprefix("hf://").rstrip("/").replace(":", "-").replace("@", "-")) for name in pools]
    name = "+".join(labels if len(labels) <= NAMED else [*labels[: NAMED - 1], f"{len(labels) - NAMED + 1}-more"])
    folder = Path() if first.startswith("hf://") else Path(first).parent
    return folder / f"{name}.scores.parquet"


def choose_indicators(
    rule: str | None,
    names: str | None,
    models: ModelSettings,
    *,
    also: list[str],
    imported: Sequence[Indicator] = (),
    present: Callable[[], Sequence[str]] = tuple,
) -> tuple[list[Indicator], str]:
    """The indicators to score, and what to do where a model cannot be had: a model asked for by flag must be there.

    Args:
        rule: what a rule needs is scored, with the models that the rule names.
        names: symbols, comma-separated, instead of a rule.
        models: the models of flags.
        also: symbols to score besides.
        imported: indicators whose values are imported; without a rule and names, these alone are scored.
        present: symbols of the score table that gets the columns; what of a rule was imported into it stays there.

    Returns:
        The indicators; "raise", or "null" where a column without its model is null.
    """
    if rule is not None and names is not None:
        raise UsageError("--rule and --indicators exclude each other.", fix="Leave one out.")
    imported_symbols = {indicator.symbol for indicator in imported}
    alone = bool(imported) and names is None and rule is None
    wanted = None if names is not None or alone else load_rule(rule or DEFAULT_RULE)
    symbols = (
        [part.strip() for part in names.split(",") if part.strip()] if names is not None else list(wanted.indicators if wanted else ())
    )
    symbols = [symbol for symbol in [*symbols, *(name for name in also if name not in symbols)] if symbol not in imported_symbols]
    if wanted is not None and (foreign := [symbol for symbol in symbols if not is_computed(symbol)]):
        absent = [symbol for symbol in foreign if symbol not in present()]
        if absent:
            raise UnknownIndicator(
                f"The rule {wanted.name} uses {', '.join(absent)}, which no indicator here computes.",
                fix=f"Import it with: {score_command(absent).replace('POOL', f'POOL --rule {rule}')}",
            )
        symbols = [symbol for symbol in symbols if symbol not in foreign]
    named = dict(models.named)
    for term in wanted.terms if wanted else ():
        if term.indicator not in symbols:
            continue
        # A rule's own models, where the indicator asks one: another rule's reward model would be another rule.
        if term.indicator not in named and term.model and isinstance(registry.make(term.indicator), ModelIndicator):
            named[term.indicator] = ModelName(term.model)
    indicators = replace(models, named=named).indicators(symbols)
    explicit = names is not None and any(isinstance(indicator, ModelIndicator) for indicator in indicators)
    return [*indicators, *imported], "raise" if models.named or explicit else "null"


def _record(pools: list[str], target: Path, indicators: list[Indicator]) -> dict[str, Any]:
    """What `instructsel status` shows of the run."""
    return {
        "pools": list(pools),
        "target": str(target),
        "indicators": [indicator.symbol for indicator in indicators],
        "folder": str(Path.cwd()),
        "command": shlex.join(["instructsel", *sys.argv[1:]]),
    }


def _scored(
    pool: Pool, indicators: list[Indicator], cache: Cache | None, unavailable: str, max_failed_fraction: float, watch: Any, run: Run | None
) -> Scored:
    seconds: dict[str, float] = {}
    reports: dict[str, RunReport] = {}
    started, begun = time.time(), time.perf_counter()
    try:
        table = score(
            pool,
            indicators,
            cache=cache,
            unavailable=unavailable,
            watch=watch,
            seconds=seconds,
            reports=reports,
            max_failed_fraction=max_failed_fraction,
        )
    except KeyboardInterrupt:
        raise
    except BaseException:
        # A run that failed by itself is not to be resumed; one that was stopped is.
        if run:
            run.end()
        raise
    return Scored(table, seconds, reports, started, time.perf_counter() - begun)


def _watch(stages: Stages, run: Run | None) -> Callable[[str], Callable[[int, int], None]]:
    """Progress of an indicator on the display, and every few seconds in the record of the run."""
    noted: dict[str, float] = {}

    def watch(symbol: str) -> Callable[[int, int], None]:
        report = stages(symbol, unit="examples")

        def tell(done: int, total: int) -> None:
            report(done, total)
            now = time.monotonic()
            if run is not None and now - noted.get(symbol, 0.0) >= NOTE_EVERY:
                noted[symbol] = now
                run.tell(symbol, done, total)

        return tell

    return watch


def _dry_run(pool: Pool, indicators: list[Indicator], cache: Cache | None, *, json: bool, quiet: bool) -> None:
    """Measure a sample and print what the run would take."""
    estimates = estimate(pool, indicators, cache=cache)
    for line in text.forecast(estimates, len(pool)):
        say(line, quiet=quiet and not json)
    if json:
        write_json([entry.as_dict() for entry in estimates])
