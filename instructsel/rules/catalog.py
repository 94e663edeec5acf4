"""The published rules, and rules in files of one's own."""

from __future__ import annotations

import os
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Final

from instructsel.errors import UnknownRule, UsageError
from instructsel.rules.by_indicator import DESCENDING
from instructsel.rules.linear import LinearRule
from instructsel.scores.table import ScoreTable
from instructsel.structured import Refusal, parse_toml, read_toml
from instructsel.text import excerpt

SUFFIX: Final = ".toml"
RULE: Final = Refusal(UsageError)


def names() -> tuple[str, ...]:
    """The presets: every file of the folder, by its `order` and then its name."""
    presets = [
        (_parsed(file.read_bytes(), file.name).get("order", 1_000), file.name.removesuffix(SUFFIX))
        for file in _presets().iterdir()
        if file.name.endswith(SUFFIX)
    ]
    return tuple(name for _, name in sorted(presets))


def load(name_or_path: str | Path) -> LinearRule:
    """A preset by its name, or a rule from a .toml file.

    Raises:
        UnknownRule: neither a preset nor a file.
        UsageError: the file is not a rule; the key is named.

    >>> load("eq4").indicators
    ('rew', 'len', 'knn_6')
    """
    name = str(name_or_path)
    if name.endswith(SUFFIX):
        if not os.path.exists(name):
            raise UnknownRule(f"There is no rule file {name}.", fix=f"Presets: {', '.join(names())}.")
        return LinearRule.from_dict(read_toml(name, dict[str, Any], RULE), where=name)
    # Looked up in the listing, not joined to a path: a name like "../x" is no preset.
    if name not in names():
        if name.startswith(DESCENDING):
            raise UnknownRule(f"'{excerpt(name)}' is no rule.", fix=f"An indicator alone: --by {excerpt(name)}")
        raise UnknownRule.named(name, names(), noun="rule")
    return LinearRule.from_dict(_parsed((_presets() / (name + SUFFIX)).read_bytes(), name), where=name)


def usable(table: ScoreTable) -> str | None:
    """The first preset whose indicators a table has values of; None where there is none."""
    scored = {symbol for symbol in table.symbols if table.null_fraction(symbol) < 1}
    return next((name for name in names() if set(load(name).indicators) <= scored), None)


def _presets() -> Traversable:
    return files("instructsel.rules") / "presets"


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    rule: dict[str, Any] = parse_toml(data, dict[str, Any], where, RULE)
    return rule
