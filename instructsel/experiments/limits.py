"""The least values of settings, beside their fields: refused in Python and in a plan, and the least an option takes.

seeds: int = field(default=3, metadata=at_least(1))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from instructsel.errors import UsageError

LEAST: Final = "least"
"""Key of a field's metadata: the least number that the field may hold."""


def at_least(number: int) -> Mapping[str, int]:
    """The metadata of a field that holds a number of this size or more, or None."""
    return {LEAST: number}


def check_limits(settings: Any) -> None:
    """Refuse values below the least of their fields.

    Args:
        settings: a dataclass.

    Raises:
        UsageError: a value is below.
    """
    for setting in fields(settings):
        least, value = setting.metadata.get(LEAST), getattr(settings, setting.name)
        if least is not None and value is not None and value < least:
            raise UsageError(f"{setting.name} is {value}; {least} or more is expected.", fix=f"For example: {setting.name} = {least}")


__all__ = ["LEAST", "at_least", "check_limits"]
