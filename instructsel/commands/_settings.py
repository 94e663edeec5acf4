"""Settings: flags > INSTRUCTSEL_* > instructsel.toml > defaults, and where each value came from."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any, Final

import typer

from instructsel.commands._console import clean, fail
from instructsel.errors import UsageError

FILE: Final = "instructsel.toml"
ORIGIN: Final = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": FILE, "DEFAULT": "default", "PROMPT": "prompt"}


def defaults() -> dict[str, Any]:
    """The settings file of the working directory: one table a command, keys as the flags are called."""
    path = Path(FILE)
    if not path.is_file():
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        fail(UsageError(f"{FILE} cannot be read: {error}.", fix="Correct it, or run from another folder."))
    known = {"score", "select", "rules", "explain", "diff", "status", "doctor", "cache", "demo", "train", "study", "verify", "report"}
    for table, values in found.items():
        if table not in known:
            fail(UsageError.named(table, known, noun=f"command in {FILE}"))
        if not isinstance(values, dict):
            fail(UsageError(f"{table} in {FILE} is no table.", fix=f"Write [{table}] in a line of its own, and its settings below."))
    return {table: {_parameter(key): value for key, value in values.items()} for table, values in found.items()}


def _parameter(flag: str) -> str:
    # Where a parameter could not be called as its flag is.
    return {"map": "mapping", "format": "form", "eval": "evaluate", "all": "everything", "traceback": "show_traceback"}.get(
        flag, flag.replace("-", "_")
    )


def check(context: typer.Context) -> None:
    """Refuse keys of the settings file that the command has no flag for."""
    given = (context.parent.default_map or {}).get(context.info_name or "", {}) if context.parent else {}
    # As the flags are called, which is what a reader of --help would write.
    called = {parameter.name or "": max(parameter.opts, key=len).lstrip("-").replace("_", "-") for parameter in context.command.params}
    for key in given:
        if key not in called:
            raise UsageError.named(key.replace("_", "-"), called.values(), noun=f"setting for {context.info_name} in {FILE}")


def print_config(context: typer.Context) -> None:
    """Print every setting of the command with its origin, and end."""
    for parameter in context.command.params:
        name = parameter.name or ""
        if name in context.params and name != "print_config":
            source = context.get_parameter_source(name)
            origin = ORIGIN.get(source.name if source else "DEFAULT", "default")
            typer.echo(f"{name.replace('_', '-')} = {clean(str(context.params[name]))}    # {origin}")
    raise typer.Exit
