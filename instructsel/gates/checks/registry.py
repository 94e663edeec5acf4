"""The checks of this folder, by number."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files

from instructsel.errors import UsageError
from instructsel.gates import checks as folder
from instructsel.gates.checks.base import Check
from instructsel.gates.folders import classes_of, files_of


@cache
def modules() -> frozenset[str]:
    """The files of this folder that are checks, without importing any."""
    return files_of(folder)


@cache
def kinds() -> Mapping[str, str]:
    """Kind → number of every check of this folder, by number, without importing any: `numbers.toml` has them."""
    numbers = tomllib.loads((files("instructsel.gates") / "numbers.toml").read_text(encoding="utf-8"))
    return {kind: number for number, kind in numbers.items() if kind.replace("-", "_") in modules()}


@cache
def checks() -> dict[str, type[Check]]:
    """Kind → its class, by number. All of them are imported; `check_named` imports one."""
    return {check.kind: check for check in sorted(classes_of(folder, Check), key=lambda check: check.number)}


def check_named(name: str) -> type[Check]:
    """The check of a kind, or of a number.

    Raises:
        UsageError: there is none.
    """
    for kind, number in kinds().items():
        if name in (kind, number):
            return next(check for check in classes_of(folder, Check, [kind.replace("-", "_")]) if check.kind == kind)
    for check in checks().values():
        if name in (check.kind, check.number):
            return check
    raise UsageError.named(name, [*kinds(), *kinds().values()], noun="check")


__all__ = ["check_named", "checks", "kinds", "modules"]
