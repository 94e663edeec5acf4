"""Lists of turns in other layouts than a list of objects: pairs of texts, columns, JSON or Python as text."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from typing import Any, Final

from instructsel.pool.formats._base import listed
from instructsel.pool.json_text import nested_too_deeply, parsed

ROLE_KEYS: Final = ("role", "from")
"""Names of the role of a turn."""
LONGEST_PYTHON: Final = 200_000
"""Characters of a list that Python has written, as pandas writes a column of lists to CSV."""
PYTHON: Final = re.compile(r"\[\s*\{\s*'")
"""How such a list of turns begins."""


def turn_list(value: Any) -> Any:
    """The list of turns that a value holds; the value where it holds none.

    >>> turn_list({"role": ["user", "assistant"], "content": ["Is rain wet?", "Yes."]})
    [{'role': 'user', 'content': 'Is rain wet?'}, {'role': 'assistant', 'content': 'Yes.'}]
    """
    entries = of_columns(value) if isinstance(value, Mapping) else listed(value)
    if isinstance(entries, str) and PYTHON.match(entries):
        return _of_python(entries)
    return entries


def of_columns(value: Mapping[str, Any]) -> Any:
    """The turns of an object of columns, as `datasets` stores a sequence of structures; the object where it is none."""
    columns = {key: entries for key, entries in value.items() if isinstance(entries, list)}
    lengths = {len(entries) for entries in columns.values()}
    if len(columns) < len(value) or len(lengths) != 1 or columns.keys().isdisjoint(ROLE_KEYS):
        return value
    return [{key: columns[key][number] for key in columns} for number in range(lengths.pop())]


def as_turn(entry: Any, names: Mapping[str, str]) -> Any:
    """An entry of a list that is a turn in another layout, as an object with a role: its JSON as a text, [role, text], or {role: text}.

    Args:
        entry: of the list.
        names: the spellings of roles.
    """
    if isinstance(entry, str):
        return _of_text(entry)
    if isinstance(entry, list) and len(entry) == 2 and all(isinstance(part, str) for part in entry) and entry[0].lower() in names:
        return {"role": entry[0], "content": entry[1]}
    if isinstance(entry, Mapping) and len(entry) == 1:
        ((key, text),) = entry.items()
        if isinstance(text, str) and isinstance(key, str) and key.lower() in names:
            return {"role": key, "content": text}
    return entry


def pairs(entries: list[Any]) -> list[str] | None:
    """The texts of a list of pairs, what is asked and what is answered; None where it is none."""
    if not entries or not all(isinstance(entry, list) and len(entry) == 2 for entry in entries):
        return None
    texts = [text for entry in entries for text in entry]
    return texts if all(isinstance(text, str) for text in texts) else None


def _of_text(turn: str) -> Any:
    """A turn that a column of texts holds as its JSON, as the structure; any other text as it is."""
    if not any(f'"{key}"' in turn for key in ROLE_KEYS) or turn.lstrip()[:1] != "{":
        return turn
    try:
        value = parsed(turn)
    except ValueError:
        return turn
    return value if isinstance(value, dict) and not value.keys().isdisjoint(ROLE_KEYS) else turn


def _of_python(text: str) -> Any:
    """The list that Python's text of one is; the text where it holds anything that JSON has no form for."""
    if len(text) > LONGEST_PYTHON or nested_too_deeply(text):
        return text
    try:
        value = ast.literal_eval(text.strip())
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        return text
    return value if _is_json(value) else text


def _is_json(value: Any) -> bool:
    if isinstance(value, list):
        return all(map(_is_json, value))
    if isinstance(value, dict):
        return all(isinstance(key, str) and _is_json(held) for key, held in value.items())
    if isinstance(value, str):
        return not any("\ud800" <= sign <= "\udfff" for sign in value)
    return value is None or isinstance(value, bool | int) or (isinstance(value, float) and value - value == 0)


__all__ = ["ROLE_KEYS", "as_turn", "of_columns", "pairs", "turn_list"]
