"""The command line: one file a verb, imported when the verb is called. The only place that wires adapters to the engine."""

from __future__ import annotations

import sys
from typing import Annotated, Final

import typer

from instructsel.commands._lazy import LazyGroup

SECTIONS: Final[dict[str, dict[str, str]]] = {
    "Select data": {
        "score": "Score every example of a pool.",
        "select": "Select the best part of a pool under a budget.",
        "export": "Write a selection as the files of a trainer, and account for every row that it cannot carry.",
        "verify": "Train on the selection and on its baselines alike, grade all of them, and say what the difference is worth.",
        "judge-app": "Have people judge pairs of responses, blind, in a local web app, and say how they judged and how far they agree.",
        "report": "Put results into one page that opens with the outcome and loads nothing.",
    },
    "Prepare data": {
        "datasets": "List and show the open datasets that users mix, and convert their originals to conversations.",
        "mix": "Mix sources into one pool by a recipe: rows, shares, repeats, token budgets; with licences, lengths and an account of every row.",
        "dedup": "Write a pool without the rows that repeat others, and say of each which row it repeats, and how much.",
        "decontaminate": "Write a pool without the rows that hold items of evaluation sets, and say of each which item it holds, and how much of it.",
        "gate": "Check whether new rows may join a pool, and say which may not and why.",
        "audit": "Show what a trainer would train on, without training: tokens, loss tokens, and what is wrong with rows, template and base.",
    },
    "Look closer": {
        "explain": "Explain one example: its scores, what each term adds, its rank, and why it was kept or left out.",
        "diff": "Compare two selections of one pool, or two rules over one score table.",
        "status": "Show the scorings, studies and verifications that have not ended: how far each is, and the command that goes on.",
    },
    "Fit a rule": {
        "rules": "List, show and fit the rules examples are ranked by.",
        "train": "Fine-tune a base on a selection with TRL.",
        "study": "Fine-tune on many subsets of a pool and measure their loss: what a rule of one's own is fitted on.",
    },
    "This machine": {
        "doctor": "Show what this machine can run: extras, models, indicators, precision, cache and unfinished scorings.",
        "cache": "Show and prune the cache of model outputs.",
        "schema": "Print the JSON Schema of what a command prints or writes.",
        "skill": "Show and install the page that tells an assistant how to use instructsel.",
        "demo": "Score, check and select a pool of 341 rows, then compare with the key of its planted defects.",
    },
}
"""Heading → command → what it does: the first sentence of its docstring, written here so that --help imports no command."""

app: typer.Typer = typer.Typer(
    name="instructsel",
    help="Choose the training data that makes a fine-tune better: score, rank by a fitted rule, select.",
    cls=LazyGroup.of(__name__, SECTIONS),
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "INSTRUCTSEL"},
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(version("instructsel"))
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Settings come from flags, then INSTRUCTSEL_* variables, then instructsel.toml here, then defaults; see --print-config."""
    from instructsel.commands._settings import defaults

    context.default_map = defaults(name for commands in SECTIONS.values() for name in commands)


def main() -> None:
    """The console script."""
    from instructsel.commands import _streams

    _streams.guard()
    try:
        app(prog_name="instructsel")
    except OSError as error:
        # Help or the version, which no command prints: every command reports its own.
        from instructsel.commands._console import fail, of_system

        if (refused := of_system(error)) is None:
            raise
        try:
            fail(refused)
        except typer.Exit as end:
            sys.exit(end.exit_code)
