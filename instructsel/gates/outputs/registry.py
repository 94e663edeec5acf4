"""The outputs of this folder, by name."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from functools import cache
from typing import Final

from instructsel.errors import UsageError
from instructsel.gates import outputs as folder
from instructsel.gates.outputs.base import Output

FRAMEWORK: Final = frozenset({"base", "registry"})


@cache
def outputs() -> dict[str, Output]:
    """Name → the output."""
    classes: list[Output] = []
    for module in pkgutil.iter_modules(folder.__path__):
        if module.name in FRAMEWORK:
            continue
        loaded = importlib.import_module(f"{folder.__name__}.{module.name}")
        classes += [
            item()
            for item in vars(loaded).values()
            if isinstance(item, type) and issubclass(item, Output) and item.__module__ == loaded.__name__ and not inspect.isabstract(item)
        ]
    return {output.name: output for output in sorted(classes, key=lambda output: output.name)}


def output_named(name: str) -> Output:
    """The output of a name.

    Raises:
        UsageError: there is none.
    """
    if name not in outputs():
        raise UsageError.named(name, outputs(), noun="format of a verdict")
    return outputs()[name]


__all__ = ["output_named", "outputs"]
