"""Ranking by one indicator: a rule of a single term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.rules.linear import LinearRule, Term

DESCENDING: Final = "-"


def by(symbol: str) -> LinearRule:
    """A rule that ranks by one indicator: `by("ppl")` the lowest first, `by("-len")` the highest first.

    Args:
        symbol: of the indicator, with a minus in front where the highest come first.

    Raises:
        UsageError: no symbol.

    >>> by("-len").terms[0].weight
    -1.0
    """
    indicator = symbol.removeprefix(DESCENDING)
    if not indicator:
        raise UsageError("An indicator is needed to rank by.", fix='For example: by("ppl") the lowest first, by("-len") the highest first.')
    highest = symbol.startswith(DESCENDING)
    return LinearRule(
        name=f"by {symbol}",
        terms=(Term(indicator, -1.0 if highest else 1.0),),
        title=f"{indicator}, {'highest' if highest else 'lowest'} first",
        equation=f"{'−' if highest else ''}{indicator}",
        target=f"minus {indicator}" if highest else indicator,
    )


def only_indicator(rule: Mapping[str, Any]) -> str | None:
    """The indicator that a rule ranks by as it is; None for a rule that predicts a value: with several terms, an intercept, or a fit.

    Args:
        rule: as plain data, as `LinearRule.as_dict` and the manifest of a selection have it.

    >>> only_indicator(by("-len").as_dict())
    'len'
    """
    terms = rule["terms"]
    predicts = len(terms) != 1 or bool(rule.get("intercept")) or bool(rule.get("fit"))
    return None if predicts else str(terms[0]["indicator"])


__all__ = ["by", "only_indicator"]
