"""Groups that do a work of their own: `instructsel gate FILE…`, `instructsel mix RECIPE`. What is no subcommand is an argument of that work.

A subcommand is a module of its own, `_GROUP_NAME.py`, with either `command`, a function, or `app`, a group of several. Help and completion
read the lines that the group's own module gives, so that they import none; a test holds these lines against the modules.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib import import_module
from importlib.util import find_spec
from typing import Any, ClassVar, Final

import typer
import typer.main
from typer.core import TyperGroup

from instructsel.commands._help import Command, Group, grouped, write_groups
from instructsel.commands._lazy import Modules
from instructsel.commands._parsing import explained

RUN: Final = "run"
"""What the group's own work is called where a subcommand is expected; nobody need write it."""


def offered(group: str, lines: Mapping[str, str]) -> dict[str, str]:
    """Those of a group's subcommands whose module is there."""
    return {name: line for name, line in lines.items() if find_spec(f"{__package__}._{group}_{name}") is not None}


class OwnWork(Command):
    """The work itself, whose help shows the subcommands, too."""

    group: ClassVar[str]
    """The group's name."""
    lines: ClassVar[Mapping[str, str]]
    """Subcommand → the first sentence of its docstring."""
    front: ClassVar[tuple[str, ...]]
    """Parameters behind which no subcommand can stand any more."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Subcommands, then arguments and options."""
        write_groups(formatter, {"Commands": list(offered(self.group, self.lines).items())})
        write_groups(formatter, grouped(self.get_params(ctx), ctx))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The subcommands that begin so where nothing else stands in front, and the options."""
        from typer._click.shell_completion import CompletionItem

        lines = offered(self.group, self.lines)
        named = [CompletionItem(name, help=line) for name, line in lines.items() if name.startswith(incomplete)]
        return [*(named if not any(ctx.params.get(name) for name in self.front) else []), *super().shell_complete(ctx, incomplete)]

    @property
    def nested(self) -> tuple[str, ...]:
        """Tables that may stand in this command's table of the settings file."""
        return tuple(offered(self.group, self.lines))


class WorkGroup(Group):
    """A subcommand where the first word is one, and else the group's own work."""

    work: ClassVar[type[OwnWork]]
    """The group's own work; its function is `command` of the module with the group's name."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Modules(f"{__package__}._{self.work.group}_", offered(self.work.group, self.work.lines))

    @cached_property
    def run(self) -> Any:
        """The work itself, as a command."""
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(self.work.group, cls=self.work)(import_module(f"{__package__}.{self.work.group}").command)
        return typer.main.get_command(single)

    def list_commands(self, ctx: Any) -> list[str]:
        """The subcommands, in the order of the help."""
        return list(self.commands)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the group where a subcommand is named first, else that of the work itself."""
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        words = args[1:] if args and args[0] == RUN else args
        return self.run.make_context(info_name, words, parent, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand that the first argument names, or the work itself."""
        with explained(ctx):
            return TyperGroup.resolve_command(self, ctx, args)

    @property
    def keys(self) -> list[str]:
        """What may stand in the group's table of the settings file besides the tables of its subcommands."""
        from instructsel.commands._settings import flag_of

        return [flag_of(parameter) for parameter in self.run.params]


__all__ = ["RUN", "OwnWork", "WorkGroup", "offered"]
