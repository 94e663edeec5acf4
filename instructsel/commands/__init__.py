"""The command line: one file a verb. The only place that wires adapters to the engine."""

from __future__ import annotations

from typing import Annotated

import typer

from instructsel.commands import cache, demo, diff, doctor, explain, report, rules, score, select, status, study, train, verify
from instructsel.commands._settings import defaults

app: typer.Typer = typer.Typer(
    name="instructsel",
    help="Choose the training data that makes a fine-tune better: score, rank by a fitted rule, select.",
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "auto_envvar_prefix": "INSTRUCTSEL"},
)


def _version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(version("instructsel"))
        raise typer.Exit


@app.callback()
def _root(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")] = False,
) -> None:
    """Settings come from flags, then INSTRUCTSEL_* variables, then instructsel.toml here, then defaults; see --print-config."""
    context.default_map = defaults()


app.command("score")(score.command)
app.command("select")(select.command)
app.add_typer(rules.app, name="rules")
app.add_typer(study.app, name="study")
app.command("train")(train.command)
app.command("report")(report.command)
app.command("verify")(verify.command)
app.command("explain")(explain.command)
app.command("diff")(diff.command)
app.command("status")(status.command)
app.command("doctor")(doctor.command)
app.add_typer(cache.app, name="cache")
app.command("demo")(demo.command)


def main() -> None:
    """The console script."""
    app()
