"""The command that brings columns a score table lacks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from instructsel.errors import UnknownIndicator
from instructsel.indicators import registry


def is_computed(symbol: str) -> bool:
    """Whether an indicator here computes a symbol's values; others are imported."""
    try:
        registry.kind_of(symbol)
    except UnknownIndicator:
        return False
    return True


def score_command(missing: Sequence[str], present: Iterable[str] = ()) -> str:
    """The command that scores these symbols, and beside them those that the table has.

    >>> score_command(["mtld"], ["len", "reward"]), score_command(["reward"])
    ('instructsel score POOL --indicators len,mtld', 'instructsel score POOL --import FILE --column reward')
    """
    computed = [symbol for symbol in missing if is_computed(symbol)]
    imported = [symbol for symbol in missing if symbol not in computed]
    words = ["instructsel score POOL"]
    if computed:
        every = dict.fromkeys([*(symbol for symbol in present if is_computed(symbol)), *computed])
        words.append(f"--indicators {','.join(every)}")
    if imported:
        words.append(" ".join(["--import FILE", *(f"--column {symbol}" for symbol in imported)]))
    return " ".join(words)


__all__ = ["is_computed", "score_command"]
