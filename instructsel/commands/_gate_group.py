"""`instructsel gate FILE…` and its subcommands: what is no subcommand is a gate's own argument."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from instructsel.commands._own_work import OwnWork, WorkGroup, offered

SUBCOMMANDS: Final[dict[str, str]] = {
    "init": "Propose a configuration from a pool's own distribution, with a reason for each line.",
    "baseline": "Make, extend and show the file of a pool that new rows are compared with.",
    "index": "Put evaluation sets into a file of hashes, which shows contamination without the sets.",
    "checks": "List the checks: number, kind, severity, what each needs.",
    "waive": "Write a waiver of findings into the configuration, with a reason and a last day.",
}
"""Subcommand → what it does: the first sentence of its docstring. Those whose module is missing are not offered."""


class GateCommand(OwnWork):
    """The gate itself."""

    group: ClassVar[str] = "gate"
    lines: ClassVar[Mapping[str, str]] = SUBCOMMANDS
    front: ClassVar[tuple[str, ...]] = ("files", "config")


class GateGroup(WorkGroup):
    """`gate`: a subcommand where the first word is one, and else the gate itself."""

    work: ClassVar[type[OwnWork]] = GateCommand


def subcommands() -> dict[str, str]:
    """Those of SUBCOMMANDS that there are."""
    return offered(GateCommand.group, SUBCOMMANDS)


__all__ = ["SUBCOMMANDS", "GateCommand", "GateGroup", "subcommands"]
