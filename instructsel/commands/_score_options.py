"""The options of score, group by group as its help shows them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from instructsel.commands import _options as options
from instructsel.experiments.limits import MOST_ROWS
from instructsel.scores.models import ModelSettings, parse_models


@dataclass(frozen=True)
class OutputFiles:
    """What is written."""

    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            help="Where the scores go, .parquet or .csv; - prints CSV. POOL.scores.parquet beside the pool by default. "
            "A score table of the same pool gets the new columns beside its own.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None
    with_scores: Annotated[
        Path | None,
        typer.Option(
            "--with-scores",
            help="Write the pool's rows with their scores beside them, too: .jsonl, .csv or .parquet.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None


@dataclass(frozen=True)
class WantedScores:
    """What is scored."""

    rule: Annotated[str | None, typer.Option(help="Score what this rule needs; eq4 by default.")] = None
    indicators: Annotated[
        str | None,
        typer.Option(
            help="Score these instead, comma-separated: len, len_in (tokens), mtld (word variety), knn_N (distance to the Nth neighbor), rew "
            "(reward model), plausibility (built-in model), ppl, ppl_cond, ifd (likelihoods), nat, coh, und (yes-no questions to a model). "
            "See docs/reference/indicators.md, or instructsel doctor."
        ),
    ] = None


@dataclass(frozen=True)
class ReplaceOptions:
    """What may be replaced."""

    replace_table: Annotated[
        bool,
        typer.Option(
            "--replace", help="Replace the score table that is there instead of adding columns to it.", rich_help_panel=options.OUTPUT
        ),
    ] = False
    force: Annotated[
        bool, typer.Option("--force", help="Replace an output that is no score table; never an input.", rich_help_panel=options.OUTPUT)
    ] = False


@dataclass(frozen=True)
class ModelOptions:
    """The models of indicators, and how they are run."""

    reward: Annotated[
        str | None,
        typer.Option(help="Reward model of rew: a hub id or a local folder. Short for --model rew=MODEL.", rich_help_panel=options.MODELS),
    ] = None
    model: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SYMBOL=MODEL[@REVISION]",
            help="Model or tokenizer of an indicator: a hub id, a local folder, or embedded, which is all-MiniLM-L6-v2 for knn_i, len and "
            "len_in, and SmolLM2-135M-Instruct for ppl, ppl_cond and ifd.",
            rich_help_panel=options.MODELS,
        ),
    ] = None
    precision: Annotated[
        str,
        typer.Option(help="fp32, bf16, or auto: bf16 on a GPU, and on a processor that is faster with it.", rich_help_panel=options.MODELS),
    ] = "auto"
    device: str = "auto"
    skip_probe: Annotated[
        bool,
        typer.Option("--skip-probe", help="Use models without the sanity probe; the scores say so.", rich_help_panel=options.MODELS),
    ] = False
    reward_turns: Annotated[
        str,
        typer.Option(
            help="Responses of a conversation that rew scores: last, or mean or min over all of them.", rich_help_panel=options.MODELS
        ),
    ] = "last"
    max_failed_fraction: Annotated[
        float,
        typer.Option(
            min=0,
            max=1,
            help="Share of examples at which a model may fail (no number, out of memory) before the run ends.",
            rich_help_panel=options.MODELS,
        ),
    ] = 0.05

    def settings(self) -> ModelSettings:
        """The models as settings.

        Raises:
            UsageError: a model that cannot be, or one named twice.
        """
        return ModelSettings(
            parse_models(list(self.model or ()), self.reward), self.precision, self.device, not self.skip_probe, self.reward_turns
        )


@dataclass(frozen=True)
class SampleOptions:
    """How much is scored now."""

    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Measure a sample and print the time, memory and downloads of the run. Score nothing."),
    ] = False
    limit: Annotated[
        int | None,
        typer.Option(min=1, max=MOST_ROWS, help="Score only the first N examples in the order of ids, which is as good as random."),
    ] = None


__all__ = ["ModelOptions", "OutputFiles", "ReplaceOptions", "SampleOptions", "WantedScores"]
