"""instructsel mix: one pool out of several sources, by a recipe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import typer

from instructsel.commands import _completion
from instructsel.commands import _options as options
from instructsel.commands._console import display, messages, reported, say, watching, write, write_json
from instructsel.commands._mix_group import MixGroup
from instructsel.errors import UsageError
from instructsel.experiments.limits import LARGEST_SEED, LONGEST_ROW

EXAMPLES: Final = """Examples:
  instructsel mix human-gpt --dry-run
  instructsel mix examples/mixture.toml -o /tmp/mixed.jsonl

\b
A recipe that is called as a subcommand is named with its folder: ./check
"""


@reported
def command(
    recipe: Annotated[
        str | None,
        typer.Argument(
            metavar="RECIPE",
            help="A recipe file (TOML), or a built-in recipe: human, human-gpt.",
            autocompletion=_completion.recipes,
        ),
    ] = None,
    source: Annotated[
        list[str] | None,
        typer.Option(
            "--source",
            metavar="NAME=PATH",
            help="The files of a source of the recipe, by its label or dataset; once for each file.",
        ),
    ] = None,
    seed: Annotated[
        int | None, typer.Option("--seed", min=0, max=LARGEST_SEED, help="Of what is drawn and of the order; the recipe's by default.")
    ] = None,
    tokenizer: Annotated[
        str | None,
        typer.Option("--tokenizer", help="What counts tokens: embedded, a local folder, or a hub id; the recipe's by default."),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            "--max-length",
            min=1,
            max=LONGEST_ROW,
            metavar="N",
            help="Tokens beyond which a row counts as truncated; the recipe's by default.",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--output",
            metavar="MIXTURE",
            help="The rows, JSON lines (.jsonl, .jsonl.gz, .jsonl.zst); manifest and card lie beside them. NAME.jsonl here by default.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="Show rows, tokens and licences by the catalogue alone; read no row, write nothing.",
            rich_help_panel=options.OUTPUT,
        ),
    ] = False,
    print_recipe: Annotated[
        bool,
        typer.Option("--print-recipe", help="Print the recipe file, to begin one's own with, and end.", rich_help_panel=options.OUTPUT),
    ] = False,
    force: Annotated[
        bool, typer.Option("--force", help="Replace a file that is no mixture; never an input.", rich_help_panel=options.OUTPUT)
    ] = False,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
    print_config: options.PrintConfig = False,
) -> None:
    """Mix sources into one pool by a recipe: rows, shares, repeats, token budgets; with licences, lengths and an account of every row."""
    from instructsel.commands import _mix_text as text
    from instructsel.mixtures.mixture import mix
    from instructsel.mixtures.plan import Plan
    from instructsel.mixtures.recipe import built_in, recipe_text

    if recipe is None:
        raise UsageError("No recipe is named.", fix=f"Name a file, or a built-in recipe: {', '.join(built_in())}.")
    if print_recipe:
        write(recipe_text(recipe).rstrip("\n"))
        return
    chosen = text.changed(recipe, source or (), seed=seed, tokenizer=tokenizer, max_length=max_length)
    if dry_run:
        plan = Plan.of(chosen)
        if json:
            write_json(plan.as_dict())
        elif not quiet:
            for line in text.plan_lines(plan):
                display(line)
        return
    target = output if output is not None else Path(f"{chosen.name}.jsonl")
    mixture = mix(chosen, target, force=force, message=messages(quiet=quiet), progress=watching(quiet=quiet))
    if json:
        write_json(dict(mixture.manifest))
    elif not quiet:
        for line in text.lines(mixture):
            display(line)
    for path in text.written(mixture):
        say(f"wrote {path}", quiet=quiet)
    say(f"next: {text.next_command(mixture)}", quiet=quiet)


command.__doc__ = f"{command.__doc__}\n\n\b\n{EXAMPLES}"

app: typer.Typer = typer.Typer(
    cls=MixGroup,
    help="Mix sources into one pool by a recipe: rows, shares, repeats, token budgets; with licences, lengths and an account of every row.",
    rich_markup_mode=None,
)
