"""Help that a stranger can read: options in groups, 80 columns, and how to set an option elsewhere said once.

An option names its group with `rich_help_panel`, which Typer hands through; the groups of the shared flags are in `_options`.
Typer's own grouped help needs rich and draws boxes; this writes plain text, as pipes and screen readers want it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from typer.core import TyperCommand, TyperGroup

from instructsel.commands import _completion
from instructsel.commands import _settings as settings
from instructsel.commands._console import continued
from instructsel.commands._parsing import check_numbers, explained, warn_of_variables
from instructsel.commands._trust import TRUSTED_ONLY
from instructsel.text import wrapped

ARGUMENTS: Final = "Arguments"
OTHERS: Final = "Options"
"""Where options of no group stand, --help among them."""
COMMON: Final = "Common options"
"""The group that comes last, whatever the order of the parameters."""
EXAMPLES: Final = "Examples:"
TYPES: Final[Mapping[str, str]] = {
    "<int>": "N",
    "<int range>": "N",
    "<float>": "X",
    "<float range>": "X",
    "<str>": "TEXT",
    "<list[str]>": "TEXT",
    "<list[Path]>": "PATH",
    "<list[path]>": "PATH",
    "<path>": "PATH",
}
"""Typer's names of types → what stands behind a flag."""
DIGITS: Final = 5
"""Of a largest value that help does not show."""
NAMES: Final = 26
"""Characters of the column of flags; a wider flag stands on a line of its own."""
WIDTH: Final = 78
"""Characters of a line of help: 80 columns less a margin."""


BARE: Final[Mapping[tuple[str, str], tuple[str, tuple[str, ...]]]] = {("audit", "--packing"): ("bfd", ("bfd", "bfd_split", "wrapped"))}
"""(Command, flag) → the value that the flag has where none of its values follows it, and these values."""


class Command(TyperCommand):
    """A command whose help is grouped and whose settings file is checked before it runs."""

    def __init__(self, *arguments: Any, **attributes: Any) -> None:
        super().__init__(*arguments, **attributes)
        for param in self.params:
            if param.param_type_name == "argument" and param.metavar is None:
                param.metavar = str(param.name).upper()
            complete = _completion.BY_FLAG.get(settings.flag_of(param))
            if complete is not None and param.param_type_name == "option":
                param.shell_complete = partial(_completed, complete)  # type: ignore[method-assign]

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the command's table of the settings file by the names of its flags, and its variables by the same names."""
        table = (getattr(parent, "default_map", None) or {}).get(info_name)
        if table is not None:
            # What is not a table is refused when the command is invoked, so that --help is still to be had.
            extra.setdefault("default_map", settings.values_of(table, self.params) if isinstance(table, Mapping) else {})
        prefix = f"{parent.auto_envvar_prefix}_{info_name}".replace("-", "_").upper() if parent and parent.auto_envvar_prefix else None
        self._name_variables(prefix)
        if prefix and not extra.get("resilient_parsing"):
            warn_of_variables(prefix, self.params)
        with explained(path=f"{parent.command_path} {info_name}" if parent else str(info_name)):
            context = super().make_context(info_name, self._completed_flags(info_name, args), parent, **extra)
            if not extra.get("resilient_parsing"):
                check_numbers(context)
            return context

    def _completed_flags(self, info_name: str | None, args: list[str]) -> list[str]:
        """The arguments, with the usual value behind a flag that stands without one."""
        completed: list[str] = []
        for number, argument in enumerate(args):
            completed.append(argument)
            usual, values = BARE.get((str(info_name), argument), ("", ()))
            following = args[number + 1] if number + 1 < len(args) else ""
            # A word that names no file is a value that there is not, and is refused as one; not a file that is missing.
            if usual and following not in values and (not following.isidentifier() or os.path.exists(following)):
                completed[-1] = f"{argument}={usual}"
        return completed

    def _name_variables(self, prefix: str | None) -> None:
        """A variable is called as its flag is, where the parameter could not be."""
        for param in self.params:
            if prefix and param.param_type_name == "option" and param.envvar is None:
                param.envvar = f"{prefix}_{settings.flag_of(param)}".replace("-", "_").upper()
                param.show_envvar = False  # type: ignore[attr-defined]

    def invoke(self, ctx: Any) -> Any:
        """Run the command, or print its settings; a setting that no flag answers to is refused first."""
        settings.check(ctx)
        if ctx.params.get("print_config"):
            settings.print_config(ctx)
        return super().invoke(ctx)

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        """`[OPTIONS] POOL...`, without the braces and doubled dots of a repeated argument."""
        return [_usage(piece) for piece in super().collect_usage_pieces(ctx)]

    def format_help_text(self, ctx: Any, formatter: Any) -> None:
        """What the command does, then its examples, long ones continued with a backslash."""
        text, _, examples = (self.help or "").partition(EXAMPLES)
        formatter.write_paragraph()
        with formatter.indentation():
            formatter.write_text(" ".join(text.replace("\b", "").split("\f")[0].split()))
        if examples:
            formatter.write_paragraph()
            formatter.write(f"{EXAMPLES}\n")
            for line in filter(None, map(str.strip, examples.replace("\b", "").splitlines())):
                is_command = line.startswith("instructsel ")
                formatter.write("\n".join(continued(line) if is_command else [f"  {part}" for part in wrapped(line, WIDTH - 2)]) + "\n")

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Arguments, then the groups of options in the order in which they first appear."""
        write_groups(formatter, grouped(self.get_params(ctx), ctx))

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        """How to set an option elsewhere than on the command line, once for all options."""
        path = ctx.command_path.split()[1:] or [ctx.info_name]
        variable = "_".join(["INSTRUCTSEL", *path]).replace("-", "_").upper()
        formatter.write_paragraph()
        trusted = [f"--{settings.flag_of(param)}" for param in self.get_params(ctx) if settings.flag_of(param) in TRUSTED_ONLY]
        text = f"Every option can also be set by a variable, {variable}_<OPTION>, or in {settings.FILE} below [{'.'.join(path)}]" + (
            f"; by flag or variable alone: {', '.join(trusted)}." if trusted else "."
        )
        formatter.write("\n".join(wrapped(text, WIDTH)) + "\n")


def _completed(complete: Callable[[str], _completion.Choices], ctx: Any, incomplete: str) -> list[Any]:
    from typer._click.shell_completion import CompletionItem

    choices = [(choice, None) if isinstance(choice, str) else choice for choice in complete(incomplete)]
    return [CompletionItem(value, help=meaning) for value, meaning in choices]


class Group(TyperGroup):
    """A group of commands, each with its first sentence in full."""

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Read the group's options."""
        with explained(path=f"{parent.command_path} {info_name}" if parent else str(info_name)):
            return super().make_context(info_name, args, parent, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that the first argument names."""
        with explained(ctx):
            return super().resolve_command(ctx, args)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Options, then commands."""
        self.format_commands(ctx, formatter)
        write_groups(formatter, grouped(self.get_params(ctx), ctx))

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The commands and what they do."""
        commands = [(name, self.get_command(ctx, name)) for name in self.list_commands(ctx)]
        rows = [(name, first_sentence(command.help or "")) for name, command in commands if command and not command.hidden]
        write_groups(formatter, {"Commands": rows})


def first_sentence(text: str) -> str:
    """The first sentence of a docstring, on one line.

    >>> first_sentence("Score a pool. Or\\ntwo.")
    'Score a pool.'
    """
    return re.split(r"(?<=\.)\s", " ".join(text.split()), maxsplit=1)[0]


def grouped(parameters: Iterable[Any], ctx: Any) -> dict[str, list[tuple[str, str]]]:
    """The visible parameters by the heading they stand under; arguments first, common options last."""
    groups: dict[str, list[tuple[str, str]]] = {ARGUMENTS: []}
    for param in parameters:
        if getattr(param, "show_envvar", False):
            param.show_envvar = False
        record = param.get_help_record(ctx)
        if record is None:
            continue
        heading = ARGUMENTS if param.param_type_name == "argument" else getattr(param, "rich_help_panel", None)
        if heading is None:
            heading = COMMON if param.name == "help" and COMMON in groups else OTHERS
        groups.setdefault(heading, []).append(_record(param, *record))
    last = groups.pop(COMMON, [])
    return {heading: rows for heading, rows in {**groups, COMMON: last}.items() if rows}


def write_groups(formatter: Any, groups: Mapping[str, Sequence[tuple[str, str]]]) -> None:
    """Headings with two columns below each, the left one equally wide in all, no line broken inside a word that fits."""
    width = min(NAMES, max(len(name) for rows in groups.values() for name, _ in rows))
    for heading, rows in groups.items():
        formatter.write(f"\n{heading}:\n")
        for name, text in rows:
            lines = wrapped(text, WIDTH - width - 4) or [""]
            if len(name) > width:
                formatter.write(f"  {name}\n")
            else:
                formatter.write(f"  {name.ljust(width)}  {lines.pop(0)}".rstrip() + "\n")
            for line in lines:
                formatter.write(" " * (width + 4) + f"{line}\n")


def _record(param: Any, name: str, text: str) -> tuple[str, str]:
    if param.param_type_name == "argument":
        # What an argument is stands in its metavar and help; Typer adds the type once more.
        name = _usage(re.sub(r"\s*<[^>]*>(\.\.\.)?$", "", name))
    for label, shown in TYPES.items():
        name = name.replace(label, shown)
    # A limit that nobody runs into by intent is no help.
    text = re.sub(rf"<=x<=\d{{{DIGITS},}}(?=[;\]])", "", re.sub(rf"\b(\S+?)<=x<=(?=\d{{{DIGITS},}}[;\]])", r"x>=\1<=x<=", text))
    text = re.sub(r"\b(\S+?)<=x<=(\S+?)(?=[;\]])", r"\1 to \2", text)
    text = re.sub(r"\bx>=(\S+?)(?=[;\]])", r"at least \1", text)
    text = re.sub(r"\bx<=(\S+?)(?=[;\]])", r"at most \1", text)
    text = re.sub(r"\bx>(\S+?)(?=[;\]])", r"above \1", text)
    return name, " ".join(text.split())


def _usage(piece: str) -> str:
    """
    >>> _usage("{POOL...}..."), _usage("[[SCORES]]"), _usage("{A}"), _usage("[[FOLDER]...]...")
    ('POOL...', '[SCORES]', 'A', '[FOLDER]...')
    """
    piece = re.sub(r"\.\.\.([}\]]*)\.\.\.$", r"...\1", piece).replace("{", "").replace("}", "")
    return piece.replace("[[", "[").replace("]]", "]").replace("]...]", "]...")


__all__ = ["COMMON", "Command", "Group", "first_sentence", "grouped"]
