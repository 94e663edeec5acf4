"""The options of select, group by group as its help shows them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Annotated, Final

import typer

from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._comparison import Comparison, Target
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, MOST_SUBSETS
from instructsel.pool.reading_options import TargetReading
from instructsel.rules.by_indicator import DESCENDING
from instructsel.rules.by_indicator import by as by_indicator
from instructsel.rules.linear import LinearRule
from instructsel.selection import budget as budgets
from instructsel.selection import minima
from instructsel.selection.baselines import registry
from instructsel.selection.choose import ranker_of
from instructsel.selection.compared import BOTH
from instructsel.selection.settings import MAX_BAD_FRACTION, MAX_NULL_FRACTION, NEAR_DUPLICATE_THRESHOLD, SelectionSettings
from instructsel.selection.way import ABSENT, Way

DEFAULT_RULE: Final = "eq4"
RANKING: Final = "Ranking"


@dataclass(frozen=True)
class RankingOptions:
    """What rows are ranked by."""

    rule: Annotated[
        str | None,
        typer.Option(
            help="A preset (see: instructsel rules list), a rule file, or a way to select; eq4 by default.",
            rich_help_panel=RANKING,
            autocompletion=_completion.rules,
        ),
    ] = None
    by: Annotated[
        str | None,
        typer.Option(
            metavar="[-]SYMBOL|WAY",
            help="Rank by one indicator instead: ppl the lowest first, -len the highest first; or by a way to select, which instructsel rules list names: random, superfiltering, rds+, …",
            rich_help_panel=RANKING,
            autocompletion=_completion.by,
        ),
    ] = None
    clip: Annotated[
        bool,
        typer.Option(
            "--clip",
            help="Winsorise each indicator at its 1st and 99th percentile first; not part of any published rule.",
            rich_help_panel=RANKING,
        ),
    ] = False
    allow_mismatch: Annotated[
        bool,
        typer.Option(
            "--allow-mismatch", help="Rank scores of other models than the rule assumes; every output says so.", rich_help_panel=RANKING
        ),
    ] = False

    def ranker(self, seed: int) -> LinearRule | Way:
        """The rule or the way that makes the selection.

        Raises:
            UsageError: both are named, or none of that name is known.
        """
        if self.rule is not None and self.by is not None:
            raise UsageError("--rule and --by exclude each other.", fix="Leave one out.")
        if self.by is not None:
            name = self.by.removeprefix(DESCENDING)
            if name not in registry.names() and name not in ABSENT:
                return by_indicator(self.by)
            if name != self.by:
                raise UsageError(f"{name} is a way to select with an order of its own.", fix=f"Write --by {name}")
            return Way(name, seed)
        ranker = ranker_of(self.rule or DEFAULT_RULE)
        return replace(ranker, seed=seed) if isinstance(ranker, Way) else ranker


@dataclass(frozen=True)
class BudgetOptions:
    """How much is kept."""

    n: Annotated[str | None, typer.Option("--n", metavar="N", help="Keep N examples: 2000, 2k.", rich_help_panel=options.BUDGET)] = None
    fraction: Annotated[
        str | None,
        typer.Option(metavar="X", help="Keep this share of the pool, above 0 and at most 1: 0.1, 10%.", rich_help_panel=options.BUDGET),
    ] = None
    tokens: Annotated[
        str | None,
        typer.Option(
            metavar="N",
            help="Keep examples up to N tokens (50k), prompt and response in the chat template of --tokenizer.",
            rich_help_panel=options.BUDGET,
        ),
    ] = None
    tokenizer: Annotated[
        str | None,
        typer.Option(
            help="Tokenizer of --tokens: a local folder, a hub id, or embedded (SmolLM2-135M-Instruct's).", rich_help_panel=options.BUDGET
        ),
    ] = None


@dataclass(frozen=True)
class BaselineOptions:
    """What is selected for comparison, and what ways to select are told."""

    baseline: Annotated[
        list[str] | None,
        typer.Option(
            help="Select a baseline under the same settings: length-matched, or a way of --by. May be repeated.",
            rich_help_panel=options.BASELINES,
            autocompletion=_completion.baselines,
        ),
    ] = None
    random_subsets: Annotated[
        int | None,
        typer.Option(
            "--random-subsets",
            metavar="N",
            min=1,
            max=MOST_SUBSETS,
            help="N replicates, each with a seed of its own, of the baselines in which chance has a part (random, length-matched, dsir); of random where none is named.",
            rich_help_panel=options.BASELINES,
        ),
    ] = None
    seed: Annotated[int, typer.Option(min=0, max=LARGEST_SEED, help="The first seed.", rich_help_panel=options.BASELINES)] = 0
    target: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE",
            help="Rows like those the model is to do well on, for rds+ and other ways that need them. May be repeated.",
            rich_help_panel=options.BASELINES,
        ),
    ] = None
    target_model: Annotated[
        str | None,
        typer.Option(
            help="The language model of such a way: usually the base model; or embedded (SmolLM2-135M-Instruct).",
            rich_help_panel=options.BASELINES,
        ),
    ] = None
    tuned_model: Annotated[
        str | None,
        typer.Option(
            help="That model after a short fine-tune on the target (instructsel train TARGET --base MODEL), for loss_drop.",
            rich_help_panel=options.BASELINES,
        ),
    ] = None

    def comparison(self, ranker: LinearRule | Way, reading: TargetReading) -> Comparison:
        """The baselines; a target is read as `reading` says.

        Raises:
            UsageError: a baseline is unknown or is the selection itself, or its target or models do not fit.
        """
        target = Target(tuple(self.target or ()), self.target_model, self.tuned_model, reading=reading)
        way = ranker.name if isinstance(ranker, Way) else None
        return Comparison.of(list(self.baseline or ()), self.random_subsets, self.seed, target, way=way)


@dataclass(frozen=True)
class FilterOptions:
    """Which rows may be kept at all."""

    quota: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SOURCE=LIMIT",
            help="At most 500 examples of a source, or 30% of the budget; 100.. at least; 100..500; 30%..30% exactly. May be repeated.",
            rich_help_panel=options.FILTERS,
        ),
    ] = None
    minimum: Annotated[
        list[str] | None,
        typer.Option(
            "--min",
            metavar="SYMBOL=MINIMUM",
            help="Drop rows whose indicator is below this value (-1.5) or among the lowest share (10%), before ranking. May be repeated.",
            rich_help_panel=options.FILTERS,
            autocompletion=_completion.thresholds,
        ),
    ] = None
    near_duplicates: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Jaccard similarity from which a row is a near-duplicate of a better-ranked one.",
            rich_help_panel=options.FILTERS,
        ),
    ] = NEAR_DUPLICATE_THRESHOLD
    near_duplicates_of: Annotated[
        str,
        typer.Option(
            metavar="prompt|response|both",
            help="What near-duplicates are told by: prompt and response as one text (both), or one of them.",
            rich_help_panel=options.FILTERS,
        ),
    ] = BOTH
    max_similarity: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=1,
            help="Drop a row whose cosine similarity to a row kept already is this or more, in MiniLM's vectors: DEITA's filter, 0.9 in its paper. Baselines are not filtered.",
            rich_help_panel=options.FILTERS,
        ),
    ] = None
    keep_near_duplicates: Annotated[
        bool, typer.Option("--keep-near-duplicates", help="Drop no near-duplicates.", rich_help_panel=options.FILTERS)
    ] = False
    keep_exact_duplicates: Annotated[
        bool, typer.Option("--keep-exact-duplicates", help="Drop no exact duplicates.", rich_help_panel=options.FILTERS)
    ] = False
    max_null_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of examples that may lack a score the rule uses.", rich_help_panel=options.FILTERS)
    ] = MAX_NULL_FRACTION
    max_bad_fraction: Annotated[
        float, typer.Option(min=0, max=1, help="Share of rows that may have been quarantined.", rich_help_panel=options.FILTERS)
    ] = MAX_BAD_FRACTION

    def settings(self, budget: BudgetOptions, ranking: RankingOptions) -> SelectionSettings:
        """The settings of the selection.

        Raises:
            UsageError: a budget, quota or minimum that cannot be.
        """
        return SelectionSettings(
            budgets.parse(n=budget.n, fraction=budget.fraction, tokens=budget.tokens, tokenizer=budget.tokenizer),
            near_duplicate_threshold=None if self.keep_near_duplicates else self.near_duplicates,
            near_duplicates_of=self.near_duplicates_of,
            keep_exact_duplicates=self.keep_exact_duplicates,
            quotas=budgets.parse_quotas(list(self.quota or ())),
            minima=minima.parse(list(self.minimum or ())),
            clip=ranking.clip,
            allow_mismatch=ranking.allow_mismatch,
            max_similarity=self.max_similarity,
            max_null_fraction=self.max_null_fraction,
            max_bad_fraction=self.max_bad_fraction,
        )


__all__ = ["BaselineOptions", "BudgetOptions", "FilterOptions", "RankingOptions"]
