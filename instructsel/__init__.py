"""Choose the training data that makes a fine-tune better, and prove it.

>>> pool = Pool.read("pool.jsonl")                                    # doctest: +SKIP
>>> rule = load_rule("eq4-without-reward")                            # doctest: +SKIP
>>> chosen = select(pool, score(pool, rule.indicators), rule, budget=2000)   # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from instructsel.cache import Cache
    from instructsel.errors import InstructselError
    from instructsel.pool.example import Example, Message
    from instructsel.pool.pool import Pool
    from instructsel.rules.catalog import load as load_rule
    from instructsel.rules.linear import LinearRule
    from instructsel.scores.run import score
    from instructsel.scores.table import ScoreTable
    from instructsel.selection.baselines import baselines
    from instructsel.selection.budget import Count, Fraction, Tokens
    from instructsel.selection.floors import Floor
    from instructsel.selection.selection import Selection, select

    __version__: str

__all__ = [
    "Cache",
    "Count",
    "Example",
    "Floor",
    "Fraction",
    "InstructselError",
    "LinearRule",
    "Message",
    "Pool",
    "ScoreTable",
    "Selection",
    "Tokens",
    "baselines",
    "load_rule",
    "score",
    "select",
]

_HOME = {
    "Cache": ("instructsel.cache", "Cache"),
    "Count": ("instructsel.selection.budget", "Count"),
    "Example": ("instructsel.pool.example", "Example"),
    "Floor": ("instructsel.selection.floors", "Floor"),
    "Fraction": ("instructsel.selection.budget", "Fraction"),
    "InstructselError": ("instructsel.errors", "InstructselError"),
    "LinearRule": ("instructsel.rules.linear", "LinearRule"),
    "Message": ("instructsel.pool.example", "Message"),
    "Pool": ("instructsel.pool.pool", "Pool"),
    "ScoreTable": ("instructsel.scores.table", "ScoreTable"),
    "Selection": ("instructsel.selection.selection", "Selection"),
    "Tokens": ("instructsel.selection.budget", "Tokens"),
    "baselines": ("instructsel.selection.baselines", "baselines"),
    "load_rule": ("instructsel.rules.catalog", "load"),
    "score": ("instructsel.scores.run", "score"),
    "select": ("instructsel.selection.selection", "select"),
}


def __getattr__(name: str) -> Any:
    """Import a name of the face when it is first used."""
    if name == "__version__":
        from importlib.metadata import version

        return version("instructsel")
    if name not in _HOME:
        raise AttributeError(f"module 'instructsel' has no attribute '{name}'")
    module, attribute = _HOME[name]
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted([*__all__, "__version__"])
