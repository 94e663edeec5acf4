"""Question and answer, as GSM8K has them, or question and response as OpenOrca."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, first_field, text
from instructsel.pool.formats._beside import ONE_TURN


class QuestionAnswer(Format):
    """`question` and `answer` (or `response`). Source: GSM8K, OpenOrca."""

    name: ClassVar[str] = "question_answer"
    precedence: ClassVar[int] = 70
    fields: ClassVar[tuple[str, ...]] = ("question", "answer", "response")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """`question` and `answer` are there; or `question` and `response`."""
        answer = self._answer(row)
        return f"has 'question' and '{answer}'" if "question" in row and answer is not None else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        return [conversation(text(row, "question"), text(row, self._answer(row) or "answer"))]

    @staticmethod
    def _answer(row: Fields) -> str | None:
        return first_field(row, ("answer", "response"))
