"""Options from dataclasses: a command takes a group of settings as one argument, and the command line has an option a field.

    @reported
    @with_options
    def command(output: Output, grading: GradingSettings, quiet: options.Quiet = False) -> None:

The help of an option is the field's docstring; its flag is the field's name, unless FLAGS names another; its least value is the
field's own. A field whose type says which option it is (`Annotated[str, typer.Option(…)]`) is that option.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
import typing
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer

from instructsel.commands import _options as options
from instructsel.experiments.limits import LEAST, MOST

FLAGS: Final[Mapping[str, str]] = {"form": "--format", "held_out": "--eval", "learning_rate": "--lr", "mapping": "--map"}
"""Field → its flag, where that is not its name."""
METAVARS: Final[Mapping[str, str]] = {
    "arm": "NAME=FILE[,FILE…]",
    "checkpoint": "NAME=FOLDER[+FOLDER…][,…]",
    "candidate": "ARM",
    "results": "[NAME=]PATH[+PATH…][,…]",
    "held_out": "FILE",
    "instructions": "FILE",
    "judge_key": "VARIABLE",
    "judge_url": "ADDRESS",
    "learning_rates": "X,X",
    "margin": "[GRADER=]X",
    "paths": "leaves|every-response",
    "pool": "FILE",
    "tasks": "FILE",
}
SHARED: Final[Mapping[str, Any]] = {"device": options.Device, "form": options.Form, "source_field": options.SourceField}
"""Field → its option, where other commands have it, too."""


def with_options(command: Callable[..., None]) -> Callable[..., None]:
    """The command with an option for each field of its dataclass arguments, under the heading that PANELS or the field's own option has for it.

    A value that a dataclass refuses is refused when the command is called, so that `reported` stands outside.
    """
    signature = inspect.signature(command, eval_str=True)
    groups: dict[str, tuple[type[Any], tuple[str, ...]]] = {}
    parameters: list[inspect.Parameter] = []
    for parameter in signature.parameters.values():
        kind = parameter.annotation
        if not dataclasses.is_dataclass(kind):
            parameters.append(parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        assert isinstance(kind, type)
        heading, left_out = PANELS.get(kind.__name__, ("", ()))
        docs = docs_of(kind)
        added = [
            _parameter(kind, field, heading, docs.get(field.name, "")) for field in dataclasses.fields(kind) if field.name not in left_out
        ]
        groups[parameter.name] = kind, tuple(option.name for option in added)
        parameters += added

    @functools.wraps(command)
    def grouped(**values: Any) -> None:
        arguments = {name: value for name, value in values.items() if not any(name in names for _, names in groups.values())}
        for name, (kind, names) in groups.items():
            settled = {field: value for field in names if (value := values[field]) is not None}
            arguments[name] = kind(**{field: tuple(value) if isinstance(value, list) else value for field, value in settled.items()})
        command(**arguments)

    grouped.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    grouped.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return grouped


def _parameter(kind: type[Any], field: dataclasses.Field[Any], heading: str, doc: str) -> inspect.Parameter:
    """A field as an option."""
    if field.name in SHARED:
        return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=SHARED[field.name])
    default = field.default_factory() if field.default_factory is not dataclasses.MISSING else field.default
    hint = typing.get_type_hints(kind, include_extras=True)[field.name]
    if typing.get_origin(hint) is Annotated:
        return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)
    flag = FLAGS.get(field.name, f"--{field.name.replace('_', '-')}")
    if hint is bool and default is True:
        flag = f"{flag}/--no-{flag.removeprefix('--')}"
    if typing.get_origin(hint) is tuple:
        hint, default = list[str] | None, None
    if default is dataclasses.MISSING or default == "":
        hint, default = hint | None, None
    settings: dict[str, Any] = {"help": doc, "rich_help_panel": heading}
    if field.name in METAVARS:
        settings["metavar"] = METAVARS[field.name]
    for name, key in (("min", LEAST), ("max", MOST)):
        if key in field.metadata:
            settings[name] = field.metadata[key]
    annotation = Annotated[hint, typer.Option(flag, **settings)]  # type: ignore[valid-type]
    return inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


def docs_of(kind: type[Any]) -> dict[str, str]:
    """Field → the text of the string below it.

    >>> from instructsel.experiments.plan import StatisticsSettings
    >>> docs_of(StatisticsSettings)["confidence"]
    'Family-wise confidence level (1 − α): the intervals of all comparisons hold together with this probability.'
    """
    docs: dict[str, str] = {}
    for base in kind.__bases__:
        if dataclasses.is_dataclass(base):
            docs |= docs_of(base)
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef)
    for statement, below in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(statement, ast.AnnAssign) and isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant):
            docs[ast.unparse(statement.target)] = " ".join(str(below.value.value).split())
    return docs


PANELS: Final[Mapping[str, tuple[str, tuple[str, ...]]]] = {
    "ArmSettings": ("Arms", ()),
    "AuditSettings": ("Training", ()),
    "TrainingSettings": ("Training", ("recipe",)),
    "TrainerSettings": ("Training", ("recipe", "match_compute", "learning_rates")),
    "RecipeChanges": ("Recipe", ()),
    "GradingSettings": ("Grading", ()),
    "StatisticsSettings": ("Statistics", ()),
    "ExecutionSettings": ("Runs", ()),
    "SizeFlags": ("Sizes", ()),
    "ConversionSettings": ("Settings of single datasets", ()),
    "DesignSettings": ("Subsets", ()),
    "ReadingOptions": (options.READING, ()),
    "TargetReading": ("Reading of --target", ("source_field",)),
}
"""Dataclass → the heading of its options, and its fields that are none."""

__all__ = ["docs_of", "with_options"]
