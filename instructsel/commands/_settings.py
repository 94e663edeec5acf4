"""Settings: flags > INSTRUCTSEL_* > instructsel.toml > defaults, and where each value came from."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from typing import Any, Final

import typer

from instructsel.commands import _trust
from instructsel.commands._console import fail, write
from instructsel.errors import UsageError
from instructsel.text import in_toml

FILE: Final = "instructsel.toml"
ORIGIN: Final = {"COMMANDLINE": "flag", "ENVIRONMENT": "environment", "DEFAULT_MAP": FILE, "DEFAULT": "default", "PROMPT": "prompt"}
NO_SETTINGS: Final = ("help", "print_config")
"""Parameters that are no setting."""


def defaults(commands: Iterable[str]) -> dict[str, Any]:
    """The settings file of the working directory: one table a command, keys as the flags are called.

    A file that cannot be read, or a table of no command, ends the program with exit code 2.
    """
    if not os.path.isfile(FILE):
        return {}
    # Where there is no file, a command's name is looked up without it.
    from instructsel.structured import Refusal, read_toml

    try:
        tables: dict[str, Any] = read_toml(FILE, dict[str, Any], Refusal(UsageError, "Correct it, or run from another folder."))
    except UsageError as error:
        fail(error)
    known = list(commands)
    for table, values in tables.items():
        if table not in known:
            fail(UsageError.named(table, known, noun="command", where=f"that [{table}] of {FILE} could be for"))
        if not isinstance(values, dict):
            fail(UsageError(f"{table} in {FILE} is not a table.", fix=f"Write [{table}] in a line of its own, and its settings below."))
    return tables


def flag_of(parameter: Any) -> str:
    """How the command line calls a parameter, without dashes in front; an argument has only its name."""
    if parameter.param_type_name == "argument":
        return str(parameter.name).replace("_", "-")
    return str(max(parameter.opts, key=len).lstrip("-").replace("_", "-"))


def values_of(table: Mapping[str, Any], parameters: Iterable[Any]) -> dict[str, Any]:
    """A command's table by the names of its parameters; keys that no flag answers to, values of no flag, and what a file may not
    set are left to `check`.

    One value where a flag may be repeated is a list of one.
    """
    values: dict[str, Any] = {}
    for parameter in parameters:
        flag = flag_of(parameter)
        if flag in table and parameter.name not in NO_SETTINGS and parameter.param_type_name == "option":
            value = table[flag]
            if isinstance(value, Mapping) or (isinstance(value, list) and not _repeated(parameter)):
                continue
            if _trust.refusal(flag, value) is not None:
                continue
            values[parameter.name] = [value] if _repeated(parameter) and not isinstance(value, list) else value
    return values


def _repeated(parameter: Any) -> bool:
    return bool(getattr(parameter, "multiple", False) or parameter.nargs != 1)


def check(context: typer.Context) -> None:
    """End with exit code 2 where the settings file names a setting of this command that it does not have."""
    parents: list[Any] = []
    parent: Any = context.parent
    while parent is not None:
        parents.insert(0, parent)
        parent = parent.parent
    if not parents:
        return
    table: Any = parents[0].default_map
    path: list[str] = []
    for group, name in zip(parents, [*(inner.info_name for inner in parents[1:]), context.info_name], strict=True):
        if not isinstance(table, Mapping):
            return
        if path:
            known = group.command.list_commands(group)
            own = getattr(group.command, "keys", ())
            for key in table:
                if key not in known and key not in own:
                    fail(UsageError.named(key, known, noun="command", where=f"in [{'.'.join(path)}] of {FILE}"))
        path.append(str(name))
        table = table.get(name)
    if table is None:
        return
    title = ".".join(path)
    if not isinstance(table, Mapping):
        fail(UsageError(f"{title} in {FILE} is not a table.", fix=f"Write [{title}] in a line of its own, and its settings below."))
    flags = {
        flag_of(parameter): parameter
        for parameter in context.command.params
        if parameter.name not in NO_SETTINGS and parameter.param_type_name == "option" and not getattr(parameter, "hidden", False)
    }
    arguments = {flag_of(parameter): parameter for parameter in context.command.params if parameter.param_type_name == "argument"}
    for key, value in table.items():
        if key in getattr(context.command, "nested", ()) and isinstance(value, Mapping):
            continue
        if (argument := next((name for name in arguments if key in (name, name.removesuffix("s"))), None)) is not None and key not in flags:
            shown = str(arguments[argument].metavar or argument.upper())
            fail(UsageError(f"{key} in [{title}] of {FILE} is an argument, no setting.", fix=f"Write {shown} on the command line."))
        if key not in flags:
            fail(UsageError.named(key, flags, noun="setting", where=f"in [{title}] of {FILE}"))
        _check_value(title, key, value, flags[key])
        if (reason := _trust.refusal(key, value)) is not None:
            variable = flags[key].envvar
            fail(
                UsageError(
                    f"{key} in [{title}] of {FILE} {reason}. A file of the working folder may be somebody else's.",
                    fix=f"Leave it out, and write --{key} on the command line" + (f", or set {variable}." if variable else "."),
                )
            )


def _check_value(title: str, key: str, value: Any, parameter: Any) -> None:
    if isinstance(value, Mapping):
        fail(UsageError(f"{key} in [{title}] of {FILE} is a table.", fix=f"Write a value: {key} = …"))
    if isinstance(value, list) and not _repeated(parameter):
        fail(
            UsageError(f"{key} in [{title}] of {FILE} is a list, and the flag takes one value.", fix=f"Write {key} = …, without brackets.")
        )
    _check_kind(title, key, value, parameter)


def _check_kind(title: str, key: str, value: Any, parameter: Any) -> None:
    """Refuse true for a number, and a number for a switch: TOML has them apart."""
    annotation = str(getattr(getattr(parameter, "type_descriptor", None), "annotation", ""))
    takes_number = any(f"'{name}'" in annotation for name in ("int", "float"))
    takes_switch = "'bool'" in annotation
    if isinstance(value, bool) is not takes_switch and (takes_switch or (takes_number and isinstance(value, bool))):
        kind = "true or false" if takes_switch else "a number"
        fail(UsageError(f"[{title}] {key} in {FILE} is {toml(value)}; it is {kind}.", fix=f"Write {key} = …, as {kind}."))


def print_config(context: typer.Context) -> None:
    """Print the command's settings as a table for the settings file, each with its origin, and end.

    What is not set stands as a comment, since TOML has no value for it; so does what the file may not set.
    """
    names = context.command_path.split()[1:] or [str(context.info_name)]
    write(f"[{'.'.join(names)}]")
    for parameter in context.command.params:
        name = parameter.name or ""
        if name not in context.params or name in NO_SETTINGS:
            continue
        source = context.get_parameter_source(name)
        origin = ORIGIN.get(source.name if source else "DEFAULT", "default")
        value = context.params[name]
        if getattr(parameter, "hidden", False):
            continue
        if parameter.param_type_name == "argument":
            # Said on the command line: a table of the settings file holds for every run.
            write(f"# argument {parameter.metavar or name.upper()}: {'not set' if value is None or value == () else toml(value)}")
        elif value is None or value == () or value == []:
            write(f"# {flag_of(parameter)} is not set")
        elif _trust.refusal(flag_of(parameter), value) is not None:
            # Written so that all of it can be pasted into the file.
            write(f"# {flag_of(parameter)} = {toml(value)}  # {origin}; set by flag or variable alone")
        else:
            write(f"{flag_of(parameter)} = {toml(value)}  # {origin}")
    raise typer.Exit


def toml(value: Any) -> str:
    """A setting as TOML writes it.

    >>> toml(["a", 1, True, Path("x/y")])
    '["a", 1, true, "x/y"]'
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(toml, value))}]"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    text = json.dumps(os.fspath(value) if isinstance(value, os.PathLike) else str(value), ensure_ascii=False)
    return in_toml(text)
