"""The parts of a baseline, by name: the files of `parts/`."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache

from instructsel.gates.baseline import parts as folder
from instructsel.gates.baseline.base import Part


@cache
def parts() -> dict[str, Part]:
    """Name → the part, in the order of names."""
    classes: list[type[Part]] = []
    for module in pkgutil.iter_modules(folder.__path__):
        loaded = importlib.import_module(f"{folder.__name__}.{module.name}")
        classes += [
            item
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, Part) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return {part.name: part() for part in sorted(classes, key=lambda part: part.name)}


__all__ = ["parts"]
