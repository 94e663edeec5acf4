"""Figures as a report writes them: about four digits, the same decimals in a column, units by its form, a real minus sign."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Any, Final

NONE: Final = "–"
"""Shown where there is no value."""
FIGURES: Final = 4
"""Of the greatest number of a column."""


def shown(value: Any, form: str = "any") -> str:
    """A value as every renderer writes it.

    >>> shown(0.25, "share"), shown(-1234.5, "number"), shown(None, "count")
    ('25.0 %', '−1,234', '–')
    """
    if value is None or value == "":
        return NONE
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str):
        return value
    if form == "count" or (form == "any" and isinstance(value, int)):
        return minus(f"{value:,}")
    if form == "share":
        return minus(f"{100 * value:.1f} %")
    if form == "p":
        return "<0.0001" if value < 0.0001 else f"{value:.4f}"
    return minus(("+" if form == "signed" and value > 0 else "") + _rounded(float(value)))


def alike(values: Sequence[Any], form: str = "number", *, figures: int = FIGURES) -> list[str]:
    """Values that are read beneath or beside each other, all with the same number of decimals.

    The greatest has about four figures, and the smallest two, or three where quantities of several sizes stand in one column, as far as
    three decimals more do that; one that would read as 0 and is not is shown by itself.

    >>> alike([0.5, 12.25, -3, None])
    ['0.50', '12.25', '−3.00', '–']
    >>> alike([0.1, -0.0834, 0.123], "signed", figures=3)
    ['+0.100', '−0.083', '+0.123']
    >>> alike([1520.4, 0.5723]), alike([31.0, 7.0]), alike([0.25, 0.0000001], "signed")
    (['1,520.400', '0.572'], ['31', '7'], ['+0.2500', '+1.000e-07'])
    """
    known = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    places = _places([abs(value) for value in known], figures, is_mixed=form == "number")
    if form not in ("number", "signed") or places is None:
        return [shown(value, form) for value in values]
    texts = []
    for value in values:
        if not isinstance(value, int | float) or isinstance(value, bool):
            texts.append(shown(value, form))
            continue
        text = f"{value:{'+' if form == 'signed' and value else ''},.{places}f}"
        texts.append(shown(value, form) if value and not float(text.replace(",", "")) else minus(text))
    return texts


def _places(sizes: Sequence[float], figures: int, *, is_mixed: bool) -> int | None:
    """Decimals for numbers of these sizes; None where one is so large that it needs an exponent."""
    if any(size >= 1e15 for size in sizes):
        return None
    if all(size.is_integer() for size in sizes):
        return 0
    # What is a millionth of the greatest is rounding.
    largest = max(sizes)
    smallest = min(size for size in sizes if size > largest / 1e6)
    most, least = math.floor(math.log10(largest)), math.floor(math.log10(smallest))
    places = max(0, figures - 1 - most)
    few = 3 if is_mixed and largest >= 100 * smallest else 2
    return min(max(places, min(few - 1 - least, places + 3)), 8)


def _rounded(value: float) -> str:
    """About four figures, and no exponent where a reader would stumble over it."""
    size = abs(value)
    if value == 0:
        return "0"
    if size >= 1e15 or size < 1e-5:
        return f"{value:.3e}"
    return f"{value:,.0f}" if size >= 1000 else f"{value:.4g}" if size >= 1e-4 else f"{value:.3g}"


def minus(text: str) -> str:
    """A text with real minus signs in front of its figures."""
    return re.sub(r"(?<![\w.])-(?=[\d.])", "−", text)


def plain(text: str) -> str:
    """A text for a terminal: hyphens for minus signs, no space before a per cent sign.

    >>> plain("95 % interval [−0.1, +0.2]")
    '95% interval [-0.1, +0.2]'
    """
    return re.sub(r"(?<=\d) %", "%", text.replace("−", "-"))


__all__ = ["NONE", "alike", "minus", "plain", "shown"]
