"""Plain data from a file or a manifest, every key checked."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.magnitude import RANGE, is_usable
from instructsel.shapes import shown

MISSING: Final = object()


def no_others(data: Mapping[str, Any], known: set[str], where: str) -> None:
    """Refuse a key that is not among the known ones."""
    for key in data:
        if key not in known:
            hint = UsageError.named(key, known, noun="key")
            raise UsageError(f"{where} has an unknown key '{key}'.", fix=hint.fix)


def value(data: Mapping[str, Any], key: str, kind: type, where: str, default: Any = MISSING) -> Any:
    """The value of a key, if it is of the kind; the default where the key is absent."""
    if key not in data:
        if default is MISSING:
            raise UsageError(f"{where} lacks the key '{key}'.")
        return default
    if not isinstance(data[key], kind):
        raise UsageError(f"{where}: '{key}' is {type(data[key]).__name__}, not {kind.__name__}.")
    return data[key]


def number(data: Mapping[str, Any], key: str, where: str, default: Any = MISSING) -> float:
    """The value of a key as a float; true and false are no numbers."""
    if key not in data:
        return float(value(data, key, float, where, default))
    if isinstance(data[key], bool) or not isinstance(data[key], int | float):
        raise UsageError(f"{where}: '{key}' is {type(data[key]).__name__}, not a number.")
    if not is_usable(data[key]):
        raise UsageError(f"{where}: '{key}' is {shown(data[key])}, not finite or not {RANGE}.", fix="Correct the number.")
    return float(data[key])
