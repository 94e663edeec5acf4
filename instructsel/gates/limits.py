"""A figure beside its limits: what a pull request and a nightly run fail on, and how it is said."""

from __future__ import annotations

import math
from typing import Final

from instructsel.errors import UsageError
from instructsel.gates.checks.base import Limit, NotEnough
from instructsel.stats.summaries import Summary

ONE: Final = {"are": "is", "have": "has"}
"""Verbs of several rows → of one."""


def beside(
    subject: str, summary: Summary, least: float | None, most: float | None, *, nightly: bool, key: str, percent: bool = False
) -> Limit:
    """A figure with its interval beside its limits.

    In a pull request it fails where the interval as a whole is beyond a limit, nightly where the figure is.

    Args:
        subject: what the figure is of, at the beginning of the sentence.
        summary: the figure.
        least: what it has to be at least; None where nothing is asked.
        most: what it may be at most.
        nightly: whether the figure counts.
        key: see `Limit`.
        percent: whether it is a share.

    Raises:
        NotEnough: the interval of so few rows is unbounded on the side that counts: no figure would ever fail.
    """
    low, high = (summary.value, summary.value) if nightly else (summary.low, summary.high)
    is_over, is_under = most is not None and low > most, least is not None and high < least
    words = [f"at most {shown(most, percent)}"] if most is not None else []
    words += [f"at least {shown(least, percent)}"] if least is not None else []
    rule = "the figure counts" if nightly else "the interval counts"
    interval = f"{_bound(summary.low, percent)} to {_bound(summary.high, percent)}"
    if not (is_over or is_under) and ((most is not None and low == -math.inf) or (least is not None and high == math.inf)):
        raise NotEnough(
            f"There are not enough rows: {subject} is {shown(summary.value, percent)}, its 95 % interval {interval}, and the interval counts "
            "in a pull request. Nightly the figure does."
        )
    verb = "may be" if least is None else "has to be"
    limits_in_words = f"; it {verb} {' and '.join(words)}, and {rule}" if words else ""
    statement = f"{subject}: {shown(summary.value, percent)} (95 % interval {interval}){limits_in_words}."
    return Limit(not is_over and not is_under, statement, summary.value, _finite(summary.low), _finite(summary.high), key)


def shown(value: float, percent: bool = False) -> str:
    """A figure for people."""
    return f"{value:.2%}" if percent else f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"


def _bound(value: float, percent: bool) -> str:
    return shown(value, percent) if math.isfinite(value) else "unbounded"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def check_enough(n: int, least: int, words: str = "are new") -> None:
    """Say nothing of too few rows.

    Raises:
        NotEnough: there are fewer than `least`, of which at least one is needed.
    """
    if n < max(1, least):
        verb, _, remainder = words.partition(" ")
        words = f"{ONE.get(verb, verb)} {remainder}" if n == 1 else words
        raise NotEnough(f"There are not enough rows: {n:,} {words}, and nothing is said below {max(1, least):,}.")


def check_asked(kind: str, names: str, *limits: float | None) -> None:
    """Refuse a check that asks for nothing.

    Raises:
        UsageError: every limit is None.
    """
    if all(limit is None for limit in limits):
        raise UsageError(f"The check {kind} has no limit.", fix=f"Set one of: {names}")


def check_order(kind: str, least: float | None, most: float | None) -> None:
    """Refuse a least that is above the most.

    Raises:
        UsageError: it is.
    """
    if least is not None and most is not None and least > most:
        raise UsageError(f"The check {kind} asks for at least {least:g} and at most {most:g}.", fix="Exchange them.")


__all__ = ["beside", "check_asked", "check_enough", "check_order", "shown"]
