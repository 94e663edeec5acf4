"""The classes of a folder of which each file holds one: checks, outputs of a verdict, parts of a baseline."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Iterable
from types import ModuleType
from typing import Any, Final

FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files that are none of them."""


def files_of(folder: ModuleType) -> frozenset[str]:
    """The names of the files of a folder that hold a class, without importing any."""
    names = (module.name for module in pkgutil.iter_modules(folder.__path__))
    return frozenset(name for name in names if name not in FRAMEWORK and not name.startswith("_"))


def classes_of(folder: ModuleType, base: type[Any], files: Iterable[str] | None = None) -> list[type[Any]]:
    """The classes of some files of a folder, or of all of them, that can be made.

    Args:
        folder: the package.
        base: what they are.
        files: the names of files; all by default.
    """
    listed: list[type[Any]] = []
    for name in files_of(folder) if files is None else files:
        loaded = importlib.import_module(f"{folder.__name__}.{name}")
        listed += [
            item
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, base) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return listed


__all__ = ["classes_of", "files_of"]
