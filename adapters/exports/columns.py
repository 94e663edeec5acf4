"""Conversations as columns: lists of role and content where rows hold no more, lists of JSON texts where they do.

Arrow has one type a column. Turns that differ in their keys, or calls that differ in their arguments, would all get the keys of all
others, filled with null; as JSON texts they stay what they are. `datasets` (4.7 and later) makes messages of the texts by its feature
Json, which the folder's README.md declares.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from instructsel.adapters.exports.json_lines import json_text

if TYPE_CHECKING:
    import polars

STRUCTURED: Final = frozenset(
    {
        *("calls", "call_ids", "reasoning", "names", "result_names", "untrained", "weights", "weights_of_others"),
        "results",
    }
)
"""What of a conversation is more than role and content."""
TEXTS: Final = {"dtype": "string"}
JSON_LIST: Final = {"list": "json"}
TURN_LIST: Final = {"list": [{"name": "role", **TEXTS}, {"name": "content", **TEXTS}]}


def is_structured(contents: frozenset[str]) -> bool:
    """Whether turns hold more than role and content."""
    return bool(contents & STRUCTURED)


def frame(rows: Sequence[Mapping[str, Any]], turns: Sequence[str], texts: Sequence[str], *, structured: bool) -> polars.DataFrame:
    """Rows as columns.

    Args:
        rows: by column.
        turns: columns that hold lists of turns.
        texts: columns that hold a text or null.
        structured: whether turns are JSON texts.
    """
    import polars as pl

    turn = pl.Struct({"role": pl.String, "content": pl.String})
    columns = []
    for name in dict.fromkeys(column for row in rows[:1] for column in row):
        if name in turns and structured:
            columns.append(pl.Series(name, [[json_text(entry) for entry in row[name]] for row in rows], dtype=pl.List(pl.String)))
        elif name in turns:
            columns.append(pl.Series(name, [row[name] for row in rows], dtype=pl.List(turn)))
        else:
            assert name in texts, name
            columns.append(pl.Series(name, [row[name] for row in rows], dtype=pl.String))
    return pl.DataFrame(columns)


def features(names: Sequence[str], turns: Sequence[str], *, structured: bool) -> list[dict[str, Any]]:
    """The same as a README.md declares it to `datasets`."""
    listed = JSON_LIST if structured else TURN_LIST
    return [{"name": name, **(listed if name in turns else TEXTS)} for name in names]


__all__ = ["features", "frame", "is_structured"]
