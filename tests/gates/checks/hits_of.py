"""What a check finds in rows, in short."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.pool.pool import Pool


def turns(*spoken: tuple[str, str] | dict[str, Any], **more: Any) -> dict[str, Any]:
    """A row of turns, each as (role, text) or as the row has it."""
    return {"messages": [turn if isinstance(turn, dict) else {"role": turn[0], "content": turn[1]} for turn in spoken], **more}


def chat(answer: str, question: str = "What is it?", **more: Any) -> dict[str, Any]:
    """A row of a question and an answer."""
    return turns(("user", question), ("assistant", answer), **more)


def hits_of(check: RowCheck, rows: Sequence[dict[str, Any]]) -> list[tuple[int, Hit]]:
    """Line of the row, from 0 → hit, in the order of the rows."""
    change = Change(Pool.of(rows, reasoning="out"))
    by_line = [(change.rows[hit.position].place.line - 1, hit) for hit in check.hits(change) if hit.position is not None]
    return sorted(by_line, key=lambda pair: (pair[0], pair[1].key))


def keys_of(check: RowCheck, row: dict[str, Any]) -> list[str]:
    """The keys of the hits in one row."""
    return [hit.key for _, hit in hits_of(check, [row])]


def is_hit(check: RowCheck, row: dict[str, Any]) -> bool:
    """Whether a row has any hit."""
    return bool(hits_of(check, [row]))
