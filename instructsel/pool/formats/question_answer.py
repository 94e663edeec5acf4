"""Question and answer, as GSM8K has them."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, text


class QuestionAnswer(Format):
    """`question` and `answer`. Source: GSM8K."""

    name: ClassVar[str] = "question_answer"
    precedence: ClassVar[int] = 70
    fields: ClassVar[tuple[str, ...]] = ("question", "answer")

    def fits(self, row: Fields) -> str | None:
        """`question` and `answer` are there."""
        return "has 'question' and 'answer'" if "question" in row and "answer" in row else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        return [conversation(text(row, "question"), text(row, "answer"))]
