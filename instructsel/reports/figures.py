"""Figures as a report writes them: about four digits, units by the column's form, a real minus sign."""

from __future__ import annotations

import re
from typing import Any, Final

NONE: Final = "–"
"""Shown where there is no value."""


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


__all__ = ["NONE", "minus", "plain", "shown"]
