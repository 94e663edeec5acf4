"""The reasoning of a turn or a row, in the spellings of public pools."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from instructsel.pool.formats._base import Fields, kind
from instructsel.pool.lines import RowFault
from instructsel.pool.opaque import Opaque

REASONING: Final = (
    *("reasoning_content", "reasoning", "thinking", "thought", "thoughts", "reasoning_text", "thinking_content"),
    *(
        "chain_of_thought",
        "cot",
        "CoT",
        "COT",
        "complex_cot",
        "Complex_CoT",
        "long_cot",
        "thought_process",
        "thinking_process",
        "reasoning_process",
    ),
    *("think", "inner_thoughts", "inner_monologue", "internal_monologue", "thinking_trace", "thinking_trajectory", "reasoning_trace"),
    *("reasoning_chain", "reasoning_details", "thinking_blocks"),
)
"""Names of the reasoning of a turn."""
AGAIN: Final = ("reasoning_details", "thinking_blocks")
"""Names under which some interfaces give the parts of what stands under another."""
TEXTS: Final = ("text", "thinking", "reasoning", "content", "think", "summary")
"""Names of the text in an object that is reasoning."""
SWITCHES: Final = frozenset({"on", "off", "true", "false", "yes", "no", "none", "null", "minimal", "low", "medium", "high", "auto"})
"""Texts of a field of reasoning that are settings."""


def is_switch(value: Any) -> bool:
    """Whether a field of reasoning says how much of it there is to be, and holds none."""
    return isinstance(value, str) and value.strip().lower() in SWITCHES


def thought_of(value: Any) -> str | None:
    """The text of reasoning that is a text, or an object with one, also in parts; None for anything else.

    >>> thought_of({"type": "summary_text", "text": "Ebb."}), thought_of({"summary": [{"text": "Ebb."}]}), thought_of({"effort": 2})
    ('Ebb.', 'Ebb.', None)
    """
    if isinstance(value, str):
        return value
    if isinstance(value, Mapping):
        held = [value[key] for key in TEXTS if isinstance(value.get(key), str) or (isinstance(value.get(key), list) and value[key])]
        text: Any = next(filter(None, held), held[0] if held else None)
        return thought_of(text) if isinstance(text, str | list) else None
    if isinstance(value, list) and value:
        lines = [thought_of(entry) for entry in value]
        return "\n".join(line for line in lines if line) if all(line is not None for line in lines) else None
    return None


def reasoning_of(turn: Fields, where: str, names: Sequence[str] = REASONING) -> str | None:
    """The reasoning of a turn or a row, under the first of its names that holds any: a text, or texts, a line each.

    Raises:
        RowFault: a name holds something else, or two hold different texts.
    """
    reasoning: str | None = None
    for key in names:
        value = turn.get(key)
        if not value or isinstance(value, bool | int | float) or is_switch(value):
            continue
        text = None if isinstance(value, Opaque) else thought_of(value)
        if text is None:
            if isinstance(value, Mapping) and all(_is_setting(held) for held in value.values()):
                continue
            raise RowFault("not_text", f"{where} has {kind(value)} for '{key}'" + (" that is no text" if isinstance(value, list) else ""))
        if not text or reasoning is None:
            reasoning = reasoning or text or None
        elif key not in AGAIN and text.strip() not in reasoning:
            if reasoning.strip() not in text:
                raise RowFault("two_reasonings", f"{where} has one text of reasoning under '{key}' and another under another name")
            reasoning = text
    return reasoning


def _is_setting(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float) or is_switch(value)


__all__ = ["REASONING", "is_switch", "reasoning_of", "thought_of"]
