"""Reasoning inside the text of a turn, between <think> and </think>, as trainers take it that have no field for it."""

from __future__ import annotations

from typing import Final

BEGIN: Final = "<think>\n"
END: Final = "\n</think>\n\n"


def with_thought(reasoning: str | None, text: str) -> str:
    """A text behind its reasoning.

    >>> with_thought("Two and two.", "4")
    '<think>\\nTwo and two.\\n</think>\\n\\n4'
    """
    return text if reasoning is None else f"{BEGIN}{reasoning}{END}{text}"


__all__ = ["BEGIN", "END", "with_thought"]
