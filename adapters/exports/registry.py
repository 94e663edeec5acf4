"""The exports of this folder, by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Final

from instructsel.adapters import exports as folder
from instructsel.adapters.exports.base import Export
from instructsel.errors import UsageError

FRAMEWORK: Final = frozenset(
    {
        "account",
        "base",
        "card",
        "card_text",
        "columns",
        "contents",
        "facts",
        "json_lines",
        "registry",
        "run",
        "selected",
        "thoughts",
        "view",
    }
)
"""Files of this folder that are no export."""


@cache
def exports() -> dict[str, Export]:
    """One of each, by name."""
    listed: list[Export] = []
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name in FRAMEWORK:
            continue
        loaded = importlib.import_module(f"{folder.__name__}.{module.name}")
        listed += [
            item()
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, Export) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return {export.name: export for export in sorted(listed, key=lambda export: export.name)}


def export_of(name: str) -> Export:
    """The export of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in exports():
        raise UsageError.named(name, exports(), noun="consumer")
    return exports()[name]


__all__ = ["export_of", "exports"]
