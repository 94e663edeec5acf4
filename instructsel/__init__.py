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
    from instructsel.rules.fit import Fitted, fit
    from instructsel.rules.linear import LinearRule
    from instructsel.rules.observations import Observations
    from instructsel.rules.univariate import univariate
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
    "Fitted",
    "Floor",
    "Fraction",
    "InstructselError",
    "LinearRule",
    "Message",
    "Observations",
    "Pool",
    "ScoreTable",
    "Selection",
    "Tokens",
    "baselines",
    "fit",
    "load_rule",
    "score",
    "select",
    "univariate",
]

_HOME = {
    "Cache": ("instructsel.cache", "Cache"),
    "Count": ("instructsel.selection.budget", "Count"),
    "Example": ("instructsel.pool.example", "Example"),
    "Fitted": ("instructsel.rules.fit", "Fitted"),
    "Floor": ("instructsel.selection.floors", "Floor"),
    "Fraction": ("instructsel.selection.budget", "Fraction"),
    "InstructselError": ("instructsel.errors", "InstructselError"),
    "LinearRule": ("instructsel.rules.linear", "LinearRule"),
    "Message": ("instructsel.pool.example", "Message"),
    "Observations": ("instructsel.rules.observations", "Observations"),
    "Pool": ("instructsel.pool.pool", "Pool"),
    "ScoreTable": ("instructsel.scores.table", "ScoreTable"),
    "Selection": ("instructsel.selection.selection", "Selection"),
    "Tokens": ("instructsel.selection.budget", "Tokens"),
    "baselines": ("instructsel.selection.baselines", "baselines"),
    "fit": ("instructsel.rules.fit", "fit"),
    "load_rule": ("instructsel.rules.catalog", "load"),
    "score": ("instructsel.scores.run", "score"),
    "select": ("instructsel.selection.selection", "select"),
    "univariate": ("instructsel.rules.univariate", "univariate"),
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
