"""The checks of this folder, by number."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import tomllib
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Final

from instructsel.errors import UsageError
from instructsel.gates import checks as folder
from instructsel.gates.checks.base import Check

FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no check."""


@cache
def modules() -> frozenset[str]:
    """The files of this folder that are checks, without importing any."""
    names = (module.name for module in pkgutil.iter_modules(folder.__path__))
    return frozenset(name for name in names if name not in FRAMEWORK and not name.startswith("_"))


@cache
def kinds() -> Mapping[str, str]:
    """Kind → number of every check of this folder, by number, without importing any: `numbers.toml` has them."""
    numbers = tomllib.loads((files("instructsel.gates") / "numbers.toml").read_text(encoding="utf-8"))
    return {kind: number for number, kind in numbers.items() if kind.replace("-", "_") in modules()}


@cache
def checks() -> dict[str, type[Check]]:
    """Kind → its class, by number. All of them are imported; `check_named` imports one."""
    classes = [check for name in modules() for check in _classes(name)]
    return {check.kind: check for check in sorted(classes, key=lambda check: check.number)}


def _classes(module: str) -> list[type[Check]]:
    loaded = importlib.import_module(f"{folder.__name__}.{module}")
    return [
        item
        for item in vars(loaded).values()
        if isinstance(item, type) and issubclass(item, Check) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
    ]


def check_named(name: str) -> type[Check]:
    """The check of a kind, or of a number.

    Raises:
        UsageError: there is none.
    """
    for kind, number in kinds().items():
        if name in (kind, number):
            return next(check for check in _classes(kind.replace("-", "_")) if check.kind == kind)
    for check in checks().values():
        if name in (check.kind, check.number):
            return check
    raise UsageError.named(name, [*kinds(), *kinds().values()], noun="check")


__all__ = ["check_named", "checks", "kinds", "modules"]
