"""Rows whose prompt is empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.pool.example import Example
from instructsel.text import is_blank


@dataclass(frozen=True)
class EmptyPrompt(RowCheck):
    """Prompts in which nothing can be seen.

    A prompt is what stands between an answer and the answer before it; the result of a call is one, and a system turn alone is none.
    """

    number: ClassVar[str] = "IS009"
    kind: ClassVar[str] = "empty-prompt"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own rule; a model that answers nothing learns to write anything"
    fix: ClassVar[str] = "Fill in the prompt, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Prompts of white space and invisible characters."""
        for row in change.rows:
            for turn in _unasked(row.example):
                only = len(row.example.messages) <= 3
                message = "The prompt is empty." if only else f"Turn {turn + 1} answers nothing: the turn before it is empty."
                yield Hit(row.position, message, key="" if only else f"turn {turn + 1}")


def _unasked(example: Example) -> Iterator[int]:
    """The turns that are trained on and answer turns of white space alone, and the response where nothing stands before it."""
    prompt: list[str] = []
    results = False
    for number, message in enumerate(example.messages[: example.last_answer + 1]):
        if message.role == "assistant":
            # A second answer in a row is another check's matter: roles.
            if message.is_trained and not results and prompt and all(map(is_blank, prompt)):
                yield number
            prompt, results = [], False
        elif message.role == "user":
            prompt.append(message.content)
        elif message.role == "tool":
            results = True
    if not any(message.role != "system" for message in example.messages[: example.last_answer]):
        yield example.last_answer
