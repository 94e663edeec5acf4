"""`instructsel mix RECIPE` and its subcommands: what is no subcommand is a recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from instructsel.commands._own_work import OwnWork, WorkGroup, offered

SUBCOMMANDS: Final[dict[str, str]] = {
    "check": "Say whether a mixture, and the files it was made of, are as they were.",
    "fit": "Propose the shares of sources from finished studies, and say what they are expected to give.",
}
"""Subcommand → what it does: the first sentence of its docstring. Those whose module is missing are not offered."""


class MixCommand(OwnWork):
    """Mixing itself."""

    group: ClassVar[str] = "mix"
    lines: ClassVar[Mapping[str, str]] = SUBCOMMANDS
    front: ClassVar[tuple[str, ...]] = ("recipe",)


class MixGroup(WorkGroup):
    """`mix`: a subcommand where the first word is one, and else mixing itself."""

    work: ClassVar[type[OwnWork]] = MixCommand


def subcommands() -> dict[str, str]:
    """Those of SUBCOMMANDS that there are."""
    return offered(MixCommand.group, SUBCOMMANDS)


__all__ = ["SUBCOMMANDS", "MixCommand", "MixGroup", "subcommands"]
