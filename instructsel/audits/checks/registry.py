"""The checks of this folder, by kind."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from functools import cache
from typing import Final

from instructsel.audits import checks as folder
from instructsel.audits.checks.base import Check
from instructsel.audits.finding import SEVERITIES
from instructsel.errors import UsageError

FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no check."""
ANY: Final = "any"
"""Every error and every warning."""


@cache
def checks() -> tuple[Check, ...]:
    """One of each: errors first, then warnings, then infos; of one severity by kind."""
    classes: list[type[Check]] = []
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name in FRAMEWORK:
            continue
        loaded = importlib.import_module(f"{folder.__name__}.{module.name}")
        classes += [
            item
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, Check) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return tuple(sorted((kind() for kind in classes), key=lambda check: (SEVERITIES.index(check.severity), check.kind)))


def kinds() -> tuple[str, ...]:
    """Their names, in order."""
    return tuple(check.kind for check in checks())


def checked_conditions(conditions: Iterable[str]) -> tuple[str, ...]:
    """What an audit may fail on: kinds of checks, severities, or any, which is every error and warning.

    Raises:
        UsageError: something else.
    """
    names = tuple(dict.fromkeys(conditions))
    for name in names:
        if name not in (ANY, *SEVERITIES, *kinds()):
            raise UsageError.named(name, (ANY, *SEVERITIES, *kinds()), noun="kind of finding")
    return names


__all__ = ["ANY", "checked_conditions", "checks", "kinds"]
