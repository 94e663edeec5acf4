"""Rows whose response is empty."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit, RowCheck
from instructsel.gates.wording.texts import answers


@dataclass(frozen=True)
class EmptyResponse(RowCheck):
    """Responses in which nothing can be seen.

    A turn that calls a tool or holds reasoning is not empty: see reasoning-without-answer.
    """

    number: ClassVar[str] = "IS010"
    kind: ClassVar[str] = "empty-response"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "instructsel's own rule; a trainer learns the end of turn alone"
    fix: ClassVar[str] = "Fill in the response, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Answers of white space and invisible characters, without a call and without reasoning."""
        for answer in answers(change):
            if answer.message.is_empty:
                yield answer.hit(f"{answer.name} is empty.")
