"""What a command line, a variable or the settings file got wrong, in the form of every other error: the cause, and what to write instead."""

from __future__ import annotations

import difflib
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final, cast

from typer._click import exceptions as click

from instructsel.commands import _settings as settings
from instructsel.commands._console import fail, say
from instructsel.errors import UsageError

RENAMED: Final[Mapping[str, str]] = {
    "--floor": "--min",
    "--draws": "--random-subsets",
    "--seeds": "--random-subsets",
    "--equal": "--match-compute",
    "--max-refused": "--max-skipped-fraction",
    "--level": "--confidence",
    "--speaks-of": "--generalize-to",
    "--untouched": "--base-model",
    "--no-untouched": "--no-base-model",
    "--beside": "--baselines",
    "--no-beside": "--no-baselines",
    "--batch": "--batch-size",
    "--micro": "--micro-batch-size",
    "--lora-rank": "--lora-r",
    "--optim": "--optimizer",
    "--lora-target-modules": "--lora-targets",
}
"""A flag of an earlier release, or another word for one → the flag that does it."""
SHOWN_LIMIT: Final = 1000
"""A largest value above this one is shown only where it is exceeded."""
ELSEWHERE: Final = ("CACHE", "CACHE_LIMIT", "DATA", "PROCESSES")
"""What stands behind INSTRUCTSEL_ in variables that are no option of a command."""


@contextmanager
def explained(context: Any = None, *, path: str = "instructsel") -> Iterator[None]:
    """End with exit code 2, the cause and the fix where the parser of the command line refuses something in this block.

    Args:
        context: of the command, where it is there.
        path: the command, where it is not.
    """
    try:
        yield
    except click.NoArgsIsHelpError:
        raise
    except click.UsageError as error:
        if isinstance(error, click.MissingParameter) and error.ctx is not None:
            # It may stand in the settings file, where it is none.
            settings.check(cast(Any, error.ctx))
        fail(_explanation(error, error.ctx or context, path))


def _explanation(error: click.UsageError, context: Any, path: str) -> UsageError:
    help_page = f"See: {path if context is None else context.command_path} --help"
    if isinstance(error, click.NoSuchOption):
        return _unknown_option(error, context, help_page)
    if isinstance(error, click.MissingParameter) and error.param is not None:
        name = error.param.metavar if error.param.param_type_name == "argument" else f"--{settings.flag_of(error.param)}"
        return UsageError(f"{name} is missing.", fix=help_page)
    if isinstance(error, click.BadParameter) and error.param is not None:
        return _bad_value(error, context, help_page)
    if isinstance(error, click.BadOptionUsage) and error.message.endswith("requires an argument."):
        return UsageError(f"{error.option_name} needs a value.", fix=help_page)
    if extra := re.fullmatch(r"Got unexpected extra arguments? ?(?:\(s\) )?\((?P<words>.*)\)", error.format_message()):
        command = path if context is None else context.command_path
        return UsageError(f"{command} does not take '{extra['words']}'.", fix=help_page)
    message, _, hint = error.format_message().partition(" Did you mean ")
    return UsageError(message, fix=f"Did you mean {hint}" if hint else help_page)


def _unknown_option(error: click.NoSuchOption, context: Any, help_page: str) -> UsageError:
    parameters = context.command.params if context is not None else []
    flags: list[Any] = [
        flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts) if not getattr(parameter, "hidden", False)
    ]
    name = error.option_name
    renamed = RENAMED.get(name)
    near: list[str] = [renamed] if renamed is not None and renamed in flags else difflib.get_close_matches(name, flags, n=2)
    where = f" in {context.command_path}" if context is not None else ""
    return UsageError(f"There is no option {name}{where}.", fix=f"Did you mean {' or '.join(near)}?" if near else help_page)


def _bad_value(error: click.BadParameter, context: Any, help_page: str) -> UsageError:
    """A value of another type or outside its range; what a callback of ours says stays as it is."""
    parameter: Any = error.param
    cause: Any = error.__cause__
    problems = cause.errors() if hasattr(cause, "errors") else []
    source = context.get_parameter_source(parameter.name) if context is not None else None
    origin = getattr(source, "name", "")
    name = _name_of(parameter, context, origin)
    if not problems:
        return UsageError(f"{name}: {error.message}", fix=help_page)
    value = problems[0].get("input")
    # The command line and a variable have only texts; in the settings file a number and a text are two things.
    written = settings.toml(value) if origin == "DEFAULT_MAP" else str(value)
    return UsageError(f"{name} is {written or 'empty'}; it is {_kind(parameter, problems[0])}.", fix=help_page)


def check_numbers(context: Any) -> None:
    """Refuse numbers that are not finite: no range excludes NaN.

    Raises:
        click.BadParameter: of the first such option.
    """
    for parameter in context.command.params:
        value = context.params.get(parameter.name)
        if isinstance(value, float) and not math.isfinite(value):
            source = getattr(context.get_parameter_source(parameter.name), "name", "")
            name = _name_of(parameter, context, source)
            raise click.UsageError(f"{name} is {value}; it is {_kind(parameter, {})}.", cast(Any, context))


def _name_of(parameter: Any, context: Any, origin: str) -> str:
    """What a parameter is called where its value is from."""
    if origin == "DEFAULT_MAP" and context is not None:
        return f"[{'.'.join(context.command_path.split()[1:])}] {settings.flag_of(parameter)} in {settings.FILE}"
    if origin == "ENVIRONMENT":
        return str(parameter.envvar)
    return str(parameter.metavar or parameter.name) if parameter.param_type_name == "argument" else f"--{settings.flag_of(parameter)}"


def _kind(parameter: Any, problem: Mapping[str, Any]) -> str:
    """What a parameter takes, in words."""
    annotation = str(getattr(getattr(parameter, "type_descriptor", None), "annotation", ""))
    kinds = {"int": "a whole number", "float": "a number", "bool": "true or false"}
    finite = {**kinds, "float": "a finite number"} if not problem else kinds
    kind = next((words for name, words in finite.items() if name in annotation or str(problem.get("type")).startswith(name)), "a text")
    least, most = getattr(parameter, "min", None), getattr(parameter, "max", None)
    # A limit that nobody runs into by intent is said to who runs into it.
    if most is not None and most > SHOWN_LIMIT and not str(problem.get("type")).startswith("less_than"):
        most = None
    if least is not None and most is not None:
        return f"{kind} from {least:,} to {most:,}"
    return kind + (f" from {least:g}" if least is not None else "") + (f" up to {most:g}" if most is not None else "")


def warn_of_variables(prefix: str, parameters: list[Any]) -> None:
    """Say which variables are named as this command's options are, and are none of them.

    Args:
        prefix: what the command's variables begin with, as INSTRUCTSEL_SCORE.
        parameters: the command's.
    """
    known = {str(parameter.envvar) for parameter in parameters if parameter.envvar}
    for name in sorted(os.environ):
        if name.startswith(f"{prefix}_") and name not in known and name.removeprefix("INSTRUCTSEL_") not in ELSEWHERE:
            near = difflib.get_close_matches(name, sorted(known), n=1)
            say(f"warning: {name} sets nothing: no option is called so." + (f" Did you mean {near[0]}?" if near else ""))


__all__ = ["RENAMED", "check_numbers", "explained", "warn_of_variables"]
