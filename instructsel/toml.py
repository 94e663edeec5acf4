"""Plain data as TOML text, by tomli-w: the same text for the same data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from instructsel.errors import UsageError
from instructsel.text import encodable, in_toml


def dumps(data: Mapping[str, Any]) -> str:
    """A TOML document.

    Args:
        data: strings, whole and finite numbers, booleans, lists and tables of these. Entries that are None are left out of
            tables, as TOML has no null.

    Raises:
        UsageError: a value TOML has no form for, or a number that is not finite.

    >>> print(dumps({"name": "mine", "note": None, "terms": [{"indicator": "len", "weight": -0.01}]}), end="")
    name = "mine"
    terms = [
        { indicator = "len", weight = -0.01 },
    ]
    """
    import tomli_w

    # A file of ours may be looked at in a terminal, and names in it are of others.
    return in_toml(tomli_w.dumps(_writable(data)))


def _writable(value: Any) -> Any:
    if isinstance(value, Mapping):
        if any(not isinstance(key, str) for key in value):
            raise UsageError("The keys of a TOML file are texts.")
        return {_writable(key): _writable(item) for key, item in value.items() if item is not None}
    if isinstance(value, list | tuple):
        return [_writable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        # TOML has nan and inf; a rule or a plan that holds one is broken, and is found out where it is written.
        raise UsageError(f"A TOML file of ours holds finite numbers; found {value}.")
    if not isinstance(value, bool | int | float | str):
        raise UsageError(f"A TOML file holds text, numbers, booleans, lists and tables; found {type(value).__name__}.")
    if isinstance(value, str) and not encodable(value):
        raise UsageError("A TOML file holds Unicode; found half of a surrogate pair.", fix="Correct the text it stands in.")
    return value
