"""The least and the most of settings, beside their fields: refused in Python and in a plan, and the range of an option.

seeds: int = field(default=3, metadata=between(1, MOST_SEEDS))
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.magnitude import LARGEST_WHOLE, is_usable
from instructsel.shapes import shown

LEAST: Final = "least"
"""Key of a field's metadata: the least number that the field may hold."""
MOST: Final = "most"
"""Key of a field's metadata: the largest number that the field may hold."""
MOST_SEEDS: Final = 10_000
"""Of trainings; each is a run."""
MOST_SUBSETS: Final = 100_000
"""Of a pool; each is a training set."""
MOST_ROWS: Final = 10_000_000_000
"""Of a pool."""
MOST_DRAWS: Final = 1_000_000
"""Of a bootstrap."""
MOST_EPOCHS: Final = 1_000_000
MOST_UNITS: Final = 10_000_000
"""Of what a computer holds at a time: rows of a batch, the rank of an adapter."""
LONGEST_ROW: Final = 1_000_000_000
"""Tokens."""
MOST_RATE: Final = 1_000_000
"""Of a learning rate or a decay: nothing is learnt far below."""
MOST_NORM: Final = 1_000_000_000_000
"""Of a gradient: so large a limit never clips it."""
MOST_PROCESSES: Final = 4096
LARGEST_SEED: Final = (1 << 32) - 1
"""What NumPy's older generators take, which trainers seed, too."""
NUMBERS: Final = ("int", "float")


def between(least: float, most: float) -> Mapping[str, float]:
    """The metadata of a field that holds a number in this range, ends included, or None."""
    return {LEAST: least, MOST: most}


def check_limits(settings: Any) -> None:
    """Refuse numbers that are none, not finite, or outside the range of their fields; true and false are no numbers.

    Args:
        settings: a dataclass whose annotations are texts.

    Raises:
        UsageError: the first of them.
    """
    for setting in fields(settings):
        kind, value = str(setting.type).partition(" ")[0], getattr(settings, setting.name)
        if kind not in NUMBERS or value is None:
            continue
        least, most = setting.metadata.get(LEAST), setting.metadata.get(MOST, LARGEST_WHOLE)
        whole = kind == "int"
        if not is_usable(value) or (whole and not isinstance(value, int)):
            noun = "a whole number" if whole else "a finite number"
            raise UsageError(f"{setting.name} is {shown(value)}; {noun} is expected.", fix=f"For example: {setting.name} = {least or 1:g}")
        if least is not None and value < least:
            raise UsageError(f"{setting.name} is {value}; {least:g} or more is expected.", fix=f"For example: {setting.name} = {least:g}")
        if value > most:
            raise UsageError(
                f"{setting.name} is {shown(value)}; {most:,} or less is expected.", fix=f"For example: {setting.name} = {most}"
            )


__all__ = [
    "LARGEST_SEED",
    "LEAST",
    "LONGEST_ROW",
    "MOST",
    "MOST_DRAWS",
    "MOST_EPOCHS",
    "MOST_NORM",
    "MOST_PROCESSES",
    "MOST_RATE",
    "MOST_ROWS",
    "MOST_SEEDS",
    "MOST_SUBSETS",
    "MOST_UNITS",
    "between",
    "check_limits",
]
