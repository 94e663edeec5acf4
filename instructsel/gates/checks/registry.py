"""The checks of this folder, by number."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Final

from instructsel.errors import UsageError
from instructsel.gates import checks as folder
from instructsel.gates.checks.base import Check

FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no check."""


@cache
def checks() -> dict[str, type[Check]]:
    """Kind → its class, by number."""
    classes: list[type[Check]] = []
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name in FRAMEWORK or module.name.startswith("_"):
            continue
        loaded = importlib.import_module(f"{folder.__name__}.{module.name}")
        classes += [
            item
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, Check) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return {check.kind: check for check in sorted(classes, key=lambda check: check.number)}


def check_named(name: str) -> type[Check]:
    """The check of a kind, or of a number.

    Raises:
        UsageError: there is none.
    """
    known = checks()
    for check in known.values():
        if name in (check.kind, check.number):
            return check
    raise UsageError.named(name, [*known, *(check.number for check in known.values())], noun="check")


__all__ = ["check_named", "checks"]
