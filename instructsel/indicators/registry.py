"""The indicators of this folder and of plug-ins, by name and by symbol. Nothing is imported that is not asked for."""

from __future__ import annotations

import importlib
import pkgutil
import re
from functools import cache
from importlib.metadata import entry_points
from typing import Any, Final

from instructsel import indicators
from instructsel.errors import UnknownIndicator
from instructsel.indicators.base import Indicator

GROUP: Final = "instructsel.indicators"
"""Entry points of this group name further Indicator classes."""
FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no indicator."""


@cache
def names() -> tuple[str, ...]:
    """File names of the indicators here, then plug-ins."""
    files = [
        module.name
        for module in pkgutil.iter_modules(indicators.__path__)
        if not module.name.startswith("_") and module.name not in FRAMEWORK
    ]
    return (*sorted(files), *sorted(entry.name for entry in entry_points(group=GROUP)))


@cache
def load(name: str) -> type[Indicator]:
    """The class of an indicator by its file's name, or by a plug-in's.

    Raises:
        UnknownIndicator: there is none of that name.
    """
    if name not in names():
        raise UnknownIndicator.named(name, names(), noun="indicator")
    for entry in entry_points(group=GROUP):
        if entry.name == name:
            kind = entry.load()
            if not (isinstance(kind, type) and issubclass(kind, Indicator)):
                raise UnknownIndicator(
                    f"The plug-in {entry.value} is not an Indicator.", fix=f"Remove it, or mend its '{GROUP}' entry point."
                )
            return kind
    module = importlib.import_module(f"{indicators.__name__}.{name}")
    return next(
        item
        for item in vars(module).values()
        if isinstance(item, type) and issubclass(item, Indicator) and item.__module__ == module.__name__
    )


def kind_of(symbol: str) -> type[Indicator]:
    """The class of the indicator a symbol names.

    Raises:
        UnknownIndicator: no indicator answers to the symbol.
    """
    return _matched(symbol)[0]


def make(symbol: str, **parameters: Any) -> Indicator:
    """The indicator a symbol names, with the parameters the symbol carries and those given that it has.

    >>> make("knn_6").symbol
    'knn_6'

    Raises:
        UnknownIndicator: no indicator answers to the symbol.
    """
    kind, carried = _matched(symbol)
    return kind(**{**parameters, **carried})


def _matched(symbol: str) -> tuple[type[Indicator], dict[str, int]]:
    for name in names():
        kind = load(name)
        if match := re.fullmatch(kind.symbol_pattern, symbol):
            return kind, {key: int(value) for key, value in match.groupdict().items()}
    raise UnknownIndicator.named(symbol, symbols(), noun="indicator")


def symbols() -> list[str]:
    """The symbols as people write them, e.g. knn_6 for the pattern of KNN-i."""
    return [re.sub(r"\(\?P<i>[^)]*\)", "6", load(name).symbol_pattern) for name in names()]
