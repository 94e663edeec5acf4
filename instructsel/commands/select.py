"""instructsel select: rank by a rule, drop repetitions, fill a budget, write the rows as they were."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from instructsel import kinds
from instructsel.artifact import check_outputs, check_replaced, manifest_path, write_manifest
from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands import _select_text as text
from instructsel.commands._console import messages, reported, say, watching, write_json
from instructsel.commands._groups import with_options
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, MOST_SUBSETS
from instructsel.pool.outputs import check_apart
from instructsel.pool.pool import Pool
from instructsel.pool.reading_options import TARGET_DEFAULTS, TargetReading
from instructsel.pool.writer import check_output
from instructsel.rules.by_indicator import DESCENDING
from instructsel.rules.by_indicator import by as by_indicator
from instructsel.rules.linear import LinearRule
from instructsel.scores.progress import latest
from instructsel.scores.table import ScoreTable
from instructsel.scores.with_scores import check_ending, write_with_scores
from instructsel.selection import budget as budgets
from instructsel.selection import minima
from instructsel.selection import selection_set as sets
from instructsel.selection.baselines import registry
from instructsel.selection.baselines.base import RANDOM, Baseline
from instructsel.selection.candidates import check_symbol, prepare
from instructsel.selection.choose import best, ranker_of
from instructsel.selection.compared import BOTH
from instructsel.selection.files import default_output, find_pool, neighborhood
from instructsel.selection.selection import Selection
from instructsel.selection.selection_set import SelectionSet
from instructsel.selection.settings import SelectionSettings
from instructsel.selection.similarity import TextVectors
from instructsel.selection.way import ABSENT, Way

if TYPE_CHECKING:
    from instructsel.cache import Cache
    from instructsel.scores.cached_states import CachedStates

DEFAULT_RULE: Final = "eq4"
RANKING: Final = "Ranking"
WITH_SCORES: Final = "--with-scores"

EXAMPLES: Final = """Examples:
  instructsel select /tmp/demo.scores.parquet --by -len --n 50 -o /tmp/chosen.jsonl --with-scores /tmp/chosen.with-scores.jsonl
  instructsel select /tmp/demo.scores.parquet --rule longest --fraction 10% --random-subsets 2 -o /tmp/tenth.jsonl
"""

Baselines = Annotated[
    list[str] | None,
    typer.Option(
        help="Select a baseline under the same settings: length-matched, or a way of --by. May be repeated.",
        rich_help_panel=options.BASELINES,
        autocompletion=_completion.baselines,
    ),
]
RandomSubsets = Annotated[
    int | None,
    typer.Option(
        "--random-subsets",
        metavar="N",
        min=1,
        max=MOST_SUBSETS,
        help="N replicates, each with a seed of its own, of the baselines in which chance has a part (random, length-matched, dsir); of random where none is named.",
        rich_help_panel=options.BASELINES,
    ),
]
Quotas = Annotated[
    list[str] | None,
    typer.Option(
        metavar="SOURCE=LIMIT",
        help="At most 500 examples of a source, or 30% of the budget; 100.. at least; 100..500; 30%..30% exactly. May be repeated.",
        rich_help_panel=options.FILTERS,
    ),
]
Minima = Annotated[
    list[str] | None,
    typer.Option(
        "--min",
        metavar="SYMBOL=MINIMUM",
        help="Drop rows whose indicator is below this value (-1.5) or among the lowest share (10%), before ranking. May be repeated.",
        rich_help_panel=options.FILTERS,
        autocompletion=_completion.thresholds,
    ),
]


@reported
@with_options
def command(
    scores: Annotated[Path | None, typer.Argument(metavar="[SCORES]", help="The score table; the newest one here by default.")] = None,
    rule: Annotated[
        str | None,
        typer.Option(
            help="A preset (see: instructsel rules list), a rule file, or a way to select; eq4 by default.",
            rich_help_panel=RANKING,
            autocompletion=_completion.rules,
        ),
    ] = None,
    by: Annotated[
        str | None,
        typer.Option(
            metavar="[-]SYMBOL|WAY",
            help="Rank by one indicator instead: ppl the lowest first, -len the highest first; or by a way to select, which instructsel rules list names: random, superfiltering, rds+, …",
            rich_help_panel=RANKING,
            autocompletion=_completion.by,
        ),
    ] = None,
    n: Annotated[str | None, typer.Option("--n", metavar="N", help="Keep N examples: 2000, 2k.", rich_help_panel=options.BUDGET)] = None,
    fraction: Annotated[
        str | None,
        typer.Option(metavar="X", help="Keep this share of the pool, above 0 and at most 1: 0.1, 10%.", rich_help_panel=options.BUDGET),
    ] = None,
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Keep examples up to N tokens (50k), prompt and response in the chat template of --tokenizer.",
            rich_help_panel=options.BUDGET,
        ),
    ] = None,
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer of --tokens: a local folder or a hub id.", rich_help_panel=options.BUDGET)
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Where the chosen rows go, in the pool's own format; - prints them. POOL.selected.* here by default.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="messages",
            help="messages: write JSON lines with messages instead of the pool's format.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    with_scores: Annotated[
        Path | None,
        typer.Option(
            "--with-scores",
            metavar="FILE",
            help="Also write the chosen rows with their scores in further fields: .jsonl, .csv or .parquet.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that is no selection; never an input.", rich_help_panel=options.OUTPUT)
    ] = False,
    pool: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE", help="The pool files, where the score table does not lead to them.", rich_help_panel=options.READING),
    ] = None,
    baseline: Baselines = None,
    random_subsets: RandomSubsets = None,
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="The first seed.", rich_help_panel=options.BASELINES)] = 0,
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Rows like those the model is to do well on, for rds+ and other ways that need them. May be repeated.",
            rich_help_panel=options.BASELINES,
        ),
    ] = None,
    target_model: Annotated[
        str | None,
        typer.Option(
            help="The language model of such a way: usually the base model; or embedded (SmolLM2-135M-Instruct).",
            rich_help_panel=options.BASELINES,
        ),
    ] = None,
    tuned_model: Annotated[
        str | None,
        typer.Option(
            help="That model after a short fine-tune on the target (instructsel train TARGET --base MODEL), for loss_drop.",
            rich_help_panel=options.BASELINES,
        ),
    ] = None,
    quota: Quotas = None,
    minimum: Minima = None,
    near_duplicates: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Jaccard similarity from which a row is a near-duplicate of a better-ranked one.",
            rich_help_panel=options.FILTERS,
        ),
    ] = 0.8,
    near_duplicates_of: Annotated[
        str,
        typer.Option(
            metavar="prompt|response|both",
            help="What near-duplicates are told by: prompt and response as one text (both), or one of them.",
            rich_help_panel=options.FILTERS,
        ),
    ] = BOTH,
    max_similarity: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Drop a row whose cosine similarity to a row kept already is this or more, in MiniLM's vectors: DEITA's filter, 0.9 in its paper. Baselines are not filtered.",
            rich_help_panel=options.FILTERS,
        ),
    ] = None,
    keep_near_duplicates: Annotated[
        bool, typer.Option("--keep-near-duplicates", help="Drop no near-duplicates.", rich_help_panel=options.FILTERS)
    ] = False,
    keep_exact_duplicates: Annotated[
        bool, typer.Option("--keep-exact-duplicates", help="Drop no exact duplicates.", rich_help_panel=options.FILTERS)
    ] = False,
    clip: Annotated[
        bool,
        typer.Option(
            "--clip",
            help="Winsorise each indicator at its 1st and 99th percentile first; not part of any published rule.",
            rich_help_panel=RANKING,
        ),
    ] = False,
    allow_mismatch: Annotated[
        bool,
        typer.Option(
            "--allow-mismatch", help="Rank scores of other models than the rule assumes; every output says so.", rich_help_panel=RANKING
        ),
    ] = False,
    max_null_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of examples that may lack a score the rule uses.", rich_help_panel=options.FILTERS)
    ] = 0.05,
    max_bad_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of rows that may have been quarantined.", rich_help_panel=options.FILTERS)
    ] = 0.05,
    source_field: options.SourceField = None,
    target_reading: TargetReading = TARGET_DEFAULTS,
    cache: options.CacheFolder = None,
    no_cache: options.NoCache = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Select the best part of a pool under a budget. Every row is kept, or dropped with a reason."""
    settings = SelectionSettings(
        budgets.parse(n=n, fraction=fraction, tokens=tokens, tokenizer=tokenizer),
        near_duplicate_threshold=None if keep_near_duplicates else near_duplicates,
        near_duplicates_of=near_duplicates_of,
        keep_exact_duplicates=keep_exact_duplicates,
        quotas=budgets.parse_quotas(quota or []),
        minima=minima.parse(minimum or []),
        clip=clip,
        allow_mismatch=allow_mismatch,
        max_similarity=max_similarity,
        max_null_fraction=max_null_fraction,
        max_bad_fraction=max_bad_fraction,
    )
    ranker = _ranker(rule, by, seed)
    way = ranker.name if isinstance(ranker, Way) else None
    compared = Comparison.of(
        baseline, random_subsets, seed, Target(tuple(target or ()), target_model, tuned_model, reading=target_reading), way=way
    )
    store = options.open_cache(cache, off=no_cache, quiet=quiet)
    compared = replace(compared, target=replace(compared.target, store=store))
    path = scores or latest(store)
    if scores is None:
        say(f"The newest score table is taken: {path}", quiet=quiet)
    table = ScoreTable.read(path)
    for symbol in ranker.indicators if by or way else ():
        check_symbol(table, symbol, way or "--by")
    for symbol in settings.thresholds:
        check_symbol(table, symbol, "The minimum")
    places = Outputs(output, to, with_scores, force)
    if places.streamed and (json or compared.names or with_scores):
        raise UsageError("-o - writes rows to stdout; --json, --with-scores and baselines need files.", fix="Name a file with -o.")
    if output is not None:
        places.check(output, compared, [path, manifest_path(path), *_pool_files(table, pool), *(target or []), *([rule] if rule else [])])
    examples = find_pool(path, pool, source_field=source_field, message=messages(quiet=quiet))
    place = places.checked(examples, compared, [path, manifest_path(path), *examples.spec.paths, *(target or [])])
    began = time.monotonic()
    watch = watching(quiet=quiet)
    neighbors = neighborhood(examples, table, store, watch=watch, scores=path)
    if isinstance(ranker, Way):
        ranker = replace(ranker, **compared.target.context(ranker.name))
    chosen = best(prepare(examples, table, ranker, settings, neighbors=neighbors, vectors=TextVectors(store), watch=watch))
    seconds = {chosen.name: time.monotonic() - began}
    others = compared.select(chosen, seconds)
    if places.streamed:
        examples.stream(sys.stdout.buffer, [examples.position(name) for name in chosen.kept_ids], to=to)
        written = None
    else:
        written = SelectionSet.create(place, chosen, others, to=to, scores=path, seconds=seconds)
        places.write_with_scores(examples, table, chosen, quiet=quiet)
    for line in text.report(chosen, others, written):
        say(line, quiet=quiet)
    if json and written is not None:
        write_json(_summaries(written, chosen, others))


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"


def _ranker(rule: str | None, by: str | None, seed: int) -> LinearRule | Way:
    """The rule or the way that makes the selection."""
    if rule is not None and by is not None:
        raise UsageError("--rule and --by exclude each other.", fix="Leave one out.")
    if by is not None:
        name = by.removeprefix(DESCENDING)
        if name not in registry.names() and name not in ABSENT:
            return by_indicator(by)
        if name != by:
            raise UsageError(f"{name} is a way to select with an order of its own.", fix=f"Write --by {name}")
        return Way(name, seed)
    ranker = ranker_of(rule or DEFAULT_RULE)
    return replace(ranker, seed=seed) if isinstance(ranker, Way) else ranker


def _pool_files(table: ScoreTable, named: list[str] | None) -> Sequence[str]:
    return named or (table.spec.paths if table.spec is not None else ())


@dataclass(frozen=True)
class Target:
    """What the model is to do well on, and the models that compare with it."""

    files: tuple[str, ...] = ()
    """Of examples."""
    model: str | None = None
    """The language model."""
    tuned: str | None = None
    """That model after a short fine-tune on the files."""
    store: Cache | None = None
    """Where what the models compute is kept."""
    reading: TargetReading = field(default_factory=TargetReading)
    """How the files are read."""

    def check(self, used: Sequence[Baseline]) -> None:
        """Refuse flags that none of the ways needs, and the lack of one that some way does.

        Raises:
            UsageError: one of them.
        """
        if self.reading != TARGET_DEFAULTS and not self.files:
            raise UsageError(
                "There are options of reading --target, and no --target.", fix="Leave them out: the pool is read as its scores record."
            )
        for flag, value, needed, example in (
            ("--target", self.files, "needs_target", "FILE"),
            ("--target-model", self.model, "needs_model", "embedded"),
            ("--tuned-model", self.tuned, "needs_tuned", "FOLDER"),
        ):
            users = [way.name for way in used if getattr(way, needed)]
            if users and not value:
                raise UsageError(f"{users[0]} needs {flag}.", fix=f"Give it, for example: {flag} {example}")
            if value and not users:
                takers = [name for name in registry.names() if getattr(registry.make(name), needed)]
                raise UsageError(
                    f"{flag} is for {', '.join(takers)}, and none of them is asked for.", fix=f"Add --by {takers[0]}, or leave it out."
                )

    @cached_property
    def _pool(self) -> Pool:
        return self.reading.settled().read(list(self.files))

    @cached_property
    def _states(self) -> dict[str, CachedStates]:
        return {}

    def _encoder(self, model: str | None) -> CachedStates:
        from instructsel.neighbors.pooled_states import PooledStates
        from instructsel.scores.cached_states import CachedStates

        assert model is not None
        if model not in self._states:
            self._states[model] = CachedStates(PooledStates.load(model), self.store)
        return self._states[model]

    def context(self, name: str) -> dict[str, Any]:
        """The target set and the models of a way, as far as it needs them; each is read once."""
        kind = registry.make(name)
        context: dict[str, Any] = {"target": self._pool} if kind.needs_target else {}
        if kind.needs_model:
            context["encoder"] = self._encoder(self.model)
        if kind.needs_tuned:
            context["tuned"] = self._encoder(self.tuned)
        return context


@dataclass(frozen=True)
class Comparison:
    """The baselines that are selected with a selection, and what they and the selection's own way look at."""

    names: tuple[str, ...] = ()
    """Of the baselines, each once."""
    seeds: tuple[int, ...] = (0,)
    """Of those in which chance has a part."""
    target: Target = field(default_factory=Target)
    """What they and the selection's own way are told."""

    @classmethod
    def of(
        cls,
        names: list[str] | None,
        random_subsets: int | None,
        seed: int,
        target: Target,
        *,
        way: str | None = None,
    ) -> Comparison:
        """From flags; `way` makes the selection itself.

        Raises:
            UsageError: no baseline of a name, the selection's own way among them, or a target without the model or the way it is for.
        """
        chosen = tuple(dict.fromkeys(names or []))
        if random_subsets and not any(registry.make(name).seeded for name in chosen):
            chosen = (RANDOM, *chosen)
        if way is not None and way in chosen:
            raise UsageError(f"The baseline {way} is the selection itself.", fix="Leave one of them out, or take another rule or way.")
        used = [registry.make(name) for name in ([way] if way is not None else []) + list(chosen)]
        target.check(used)
        return cls(chosen, tuple(range(seed, seed + (random_subsets or 1))), target)

    @property
    def subsets(self) -> list[str]:
        """What every baseline's replicates will be called."""
        kinds = [registry.make(name) for name in self.names]
        return [kind.named(seed) for kind in kinds for seed in (self.seeds if kind.seeded else (0,))]

    def select(self, chosen: Selection, seconds: dict[str, float]) -> list[Selection]:
        """The baselines of a selection; the seconds of each are added to `seconds`."""
        results: list[Selection] = []
        for name in self.names:
            began = time.monotonic()
            replicates = registry.baselines(chosen, [name], seeds=self.seeds, **self.target.context(name))
            seconds |= {one.name: (time.monotonic() - began) / len(replicates) for one in replicates}
            results += replicates
        return results


@dataclass(frozen=True)
class Outputs:
    """The files that are written."""

    output: Path | None
    """The rows of the selection; None for a name made from the pool's."""
    to: str | None
    with_scores: Path | None
    force: bool

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
        write_with_scores(pool, table, self.with_scores, [pool.position(name) for name in chosen.kept_ids])
        say(f"rows with their scores → {self.with_scores}", quiet=quiet)


def _summaries(written: SelectionSet, chosen: Selection, others: Sequence[Selection]) -> dict[str, Any]:
    """What --json prints."""
    files = {
        subset.name: {"output": str(subset.file), "sidecar": str(subset.sidecar), "rows_written": subset.rows} for subset in written.subsets
    }
    summaries = [{**one.summary, "form": one.manifest["form"], **files[one.name]} for one in (chosen, *others)]
    same = list(written.same_rows())
    return {"selection": summaries[0], "baselines": summaries[1:], "selection_set": str(written.path), "same_rows_as_the_selection": same}
