"""`instructsel mix RECIPE` and its subcommands: what is no subcommand is a recipe.

A subcommand is a module of its own, `_mix_NAME.py`, with `command`, a function. Help and completion read SUBCOMMANDS, so that they import
none; a test holds its lines against the modules.
"""

from __future__ import annotations

from functools import cached_property
from importlib.util import find_spec
from typing import Any, Final

import typer
import typer.main
from typer.core import TyperGroup

from instructsel.commands._help import Command, Group, grouped, write_groups
from instructsel.commands._lazy import Modules
from instructsel.commands._parsing import explained

SUBCOMMANDS: Final[dict[str, str]] = {
    "check": "Say whether a mixture, and the files it was made of, are as they were.",
    "fit": "Propose the shares of sources from finished studies, and say what they are expected to give.",
}
"""Subcommand → what it does: the first sentence of its docstring. Those whose module is missing are not offered."""
RUN: Final = "run"
"""What mixing itself is called where a subcommand is expected; nobody need write it."""


def subcommands() -> dict[str, str]:
    """Those of SUBCOMMANDS that there are."""
    return {name: line for name, line in SUBCOMMANDS.items() if find_spec(f"{__package__}._mix_{name}") is not None}


class MixCommand(Command):
    """Mixing itself, whose help shows its subcommands, too."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Subcommands, then arguments and options."""
        write_groups(formatter, {"Commands": list(subcommands().items())})
        write_groups(formatter, grouped(self.get_params(ctx), ctx))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The subcommands that begin so where nothing else stands in front, and the options."""
        from typer._click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=line) for name, line in subcommands().items() if name.startswith(incomplete)]
        return [*(named if not ctx.params.get("recipe") else []), *super().shell_complete(ctx, incomplete)]

    @property
    def nested(self) -> tuple[str, ...]:
        """Tables that may stand in this command's table of the settings file."""
        return tuple(subcommands())


class MixGroup(Group):
    """`mix`: a subcommand where the first word is one, and else mixing itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Modules(f"{__package__}._mix_", subcommands())

    @cached_property
    def run(self) -> Any:
        """Mixing itself, as a command."""
        from instructsel.commands.mix import command

        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command("mix", cls=MixCommand)(command)
        return typer.main.get_command(single)

    def list_commands(self, ctx: Any) -> list[str]:
        """The subcommands, in the order of the help."""
        return list(self.commands)

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """The context of the group where a subcommand is named first, else that of mixing itself."""
        if args and args[0] in self.commands:
            return super().make_context(info_name, args, parent, **extra)
        words = args[1:] if args and args[0] == RUN else args
        return self.run.make_context(info_name, words, parent, **extra)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The subcommand that the first argument names, or mixing itself."""
        with explained(ctx):
            return TyperGroup.resolve_command(self, ctx, args)

    @property
    def keys(self) -> list[str]:
        """What may stand in the group's table of the settings file besides the tables of its subcommands."""
        from instructsel.commands._settings import flag_of

        return [flag_of(parameter) for parameter in self.run.params]


__all__ = ["RUN", "SUBCOMMANDS", "MixCommand", "MixGroup", "subcommands"]
