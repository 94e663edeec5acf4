"""The graders of this folder, of the adapters and of plug-ins, by name. Nothing is imported before it is asked for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.grading import graders

GROUP: Final = "instructsel.graders"
"""Entry points of this group name further grader classes."""
FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no grader."""
ADAPTERS: Final[Mapping[str, str]] = {
    "gold_bits": "instructsel.adapters.lm_eval.gold:GoldBits",
    "lm_eval": "instructsel.adapters.lm_eval.grader:LmEval",
}
"""Graders that hand off to another package, as module:class; the engine names them and never imports them itself."""


@cache
def names() -> tuple[str, ...]:
    """File names of the graders of this folder, then the adapters', then plug-ins.

    >>> names()[:4]
    ('held_out_loss', 'judged_outputs', 'responses', 'reward')
    """
    files = [
        module.name for module in pkgutil.iter_modules(graders.__path__) if not module.name.startswith("_") and module.name not in FRAMEWORK
    ]
    return (*sorted(files), *sorted(ADAPTERS), *sorted(entry.name for entry in entry_points(group=GROUP)))


@cache
def load(name: str) -> type[Any]:
    """The class of a grader by its file's name, an adapter's or a plug-in's.

    Raises:
        UsageError: no grader of that name, or a plug-in that is none.
    """
    if name not in names():
        raise UsageError.named(name, names(), noun="grader")
    if name in ADAPTERS:
        module, _, attribute = ADAPTERS[name].partition(":")
        return _checked(getattr(importlib.import_module(module), attribute), ADAPTERS[name])
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            return _checked(entry.load(), entry.value)
    defined: Any = importlib.import_module(f"{graders.__name__}.{name}")
    grader: type[Any] = next(item for item in vars(defined).values() if _grades(item) and item.__module__ == defined.__name__)
    return grader


def _grades(item: object) -> bool:
    return isinstance(item, type) and callable(getattr(item, "grade", None))


def _checked(grader: Any, origin: str) -> type[Any]:
    if not _grades(grader):
        raise UsageError(f"{origin} is no grader: it has no method grade.", fix=f"Remove it, or correct its '{GROUP}' entry point.")
    checked: type[Any] = grader
    return checked


__all__ = ["ADAPTERS", "GROUP", "load", "names"]
