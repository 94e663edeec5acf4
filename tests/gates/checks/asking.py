"""What a check says about rows that a test writes."""

from __future__ import annotations

from typing import Any

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit
from instructsel.gates.checks.registry import check_named
from instructsel.pool.pool import Pool


def row(response: str, prompt: str = "Describe the harbor of Brest in a few words.") -> dict[str, Any]:
    """A row of one question and one answer."""
    return {"instruction": prompt, "output": response}


def dialogue(*turns: str, system: str = "") -> dict[str, Any]:
    """A row of turns, a user's first."""
    first = [{"role": "system", "content": system}] if system else []
    return {"messages": first + [{"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(turns)]}


def hits(kind: str, *rows: dict[str, Any], **settings: Any) -> list[Hit]:
    """What a check reports of rows."""
    check = check_named(kind)(**settings)
    change = Change(Pool.of(list(rows)))
    assert check.locked(change) is None
    return list(check.hits(change))  # type: ignore[attr-defined]


def flags(kind: str, row_: dict[str, Any], **settings: Any) -> bool:
    """Whether a check reports one row."""
    return bool(hits(kind, row_, **settings))


def flagged(kind: str, responses: list[str], **settings: Any) -> list[str]:
    """The responses that a check reports, asked at once."""
    check = check_named(kind)(**settings)
    change = Change(Pool.of([row(text) for text in responses]))
    reported = {change.rows[hit.position].response for hit in check.hits(change)}  # type: ignore[attr-defined]
    return [text for text in responses if text in reported]
