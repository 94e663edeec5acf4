"""A group of commands that imports a command's module when the command is called, not before."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping, MutableMapping
from typing import Any, ClassVar

import typer.main
from typer.core import TyperGroup

from instructsel.commands._help import Command, Group, grouped, write_groups


class LazyGroup(Group):
    """The root of the command line.

    A command is a module of the package that has either `command`, a function, or `app`, a group of several. Help and
    completion read `sections`, static data; a test holds it against the modules.
    """

    package: ClassVar[str]
    sections: ClassVar[Mapping[str, Mapping[str, str]]]

    @classmethod
    def of(cls, package: str, sections: Mapping[str, Mapping[str, str]]) -> type[LazyGroup]:
        """The class of a group with these commands.

        Args:
            package: where the modules are.
            sections: heading → command → one line of help.
        """
        return type("Root", (cls,), {"package": package, "sections": sections})

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = Modules(f"{self.package}.", self.lines)

    @property
    def lines(self) -> dict[str, str]:
        """Command → its line of help."""
        return {name: line for commands in self.sections.values() for name, line in commands.items()}

    def list_commands(self, ctx: Any) -> list[str]:
        """All commands, in the order of the help."""
        return list(self.lines)

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """The commands under their headings, then the options."""
        write_groups(formatter, {heading: list(commands.items()) for heading, commands in self.sections.items()})
        write_groups(formatter, grouped(self.get_params(ctx), ctx))

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        """The commands that begin so, and the options."""
        from typer._click.shell_completion import CompletionItem

        named = [CompletionItem(name, help=line) for name, line in self.lines.items() if name.startswith(incomplete)]
        return [*named, *super(TyperGroup, self).shell_complete(ctx, incomplete)]


class Modules(MutableMapping[str, Any]):
    """Command → the command, made when it is looked up."""

    def __init__(self, prefix: str, names: Mapping[str, str]) -> None:
        self.prefix = prefix
        """What stands before a command's name in that of its module."""
        self.names = names
        self.loaded: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self.names:
            raise KeyError(name)
        if name not in self.loaded:
            self.loaded[name] = command_of(importlib.import_module(f"{self.prefix}{name.replace('-', '_')}"), name)
        return self.loaded[name]

    def __setitem__(self, name: str, command: Any) -> None:
        self.loaded[name] = command

    def __delitem__(self, name: str) -> None:
        del self.loaded[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __len__(self) -> int:
        return len(self.names)


def command_of(module: Any, name: str) -> Any:
    """A module's command or group of commands, as Typer builds it."""
    if hasattr(module, "app"):
        command: Any = typer.main.get_group(module.app)
    else:
        single = typer.Typer(add_completion=False, rich_markup_mode=None)
        single.command(name, cls=Command)(module.command)
        command = typer.main.get_command(single)
    command.name = name
    return command
