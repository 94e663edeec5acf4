"""The conversions of this folder, by the key of their dataset."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from types import MappingProxyType
from typing import Any

from instructsel.errors import UsageError
from instructsel.mixtures import conversions
from instructsel.mixtures.conversions._base import Conversion


@cache
def classes() -> Mapping[str, type[Conversion]]:
    """Key → class; read off the files of this folder."""
    by_name: dict[str, type[Conversion]] = {}
    for module in pkgutil.iter_modules(conversions.__path__):
        if module.name.startswith("_"):
            continue
        for item in vars(importlib.import_module(f"{conversions.__name__}.{module.name}")).values():
            if isinstance(item, type) and issubclass(item, Conversion) and not inspect.isabstract(item) and "name" in vars(item):
                by_name[item.name] = item
    return MappingProxyType(dict(sorted(by_name.items())))


def names() -> tuple[str, ...]:
    """The keys of the datasets that have a conversion."""
    return tuple(classes())


def make(name: str, **settings: Any) -> Conversion:
    """The conversion of a dataset.

    Args:
        name: the key of the dataset.
        settings: fields of the conversion.

    Raises:
        UsageError: the dataset has none, or it has no such setting.
    """
    known = classes()
    if name not in known:
        raise UsageError.named(name, known, noun="conversion")
    have = [entry.name for entry in fields(known[name])]
    for setting in settings:
        if setting not in have:
            raise UsageError(f"The conversion of {name} has no {setting}.", fix=f"Its settings: {', '.join(have)}.")
    return known[name](**settings)
