"""Question and answer, as GSM8K has them, question and response as OpenOrca, or query and response as MetaMathQA."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, first_field, text
from instructsel.pool.formats._beside import ONE_TURN


class QuestionAnswer(Format):
    """`question` (or `query`) and `answer` (or `response`). Source: GSM8K, OpenOrca, MetaMathQA, MS-Swift."""

    name: ClassVar[str] = "question_answer"
    precedence: ClassVar[int] = 70
    fields: ClassVar[tuple[str, ...]] = ("question", "query", "answer", "response")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """`question` or `query` is there, and `answer` or `response`."""
        question, answer = self._question(row), self._answer(row)
        return None if question is None or answer is None else f"has '{question}' and '{answer}'"

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn."""
        return [conversation(text(row, self._question(row) or "question"), text(row, self._answer(row) or "answer"))]

    @staticmethod
    def _question(row: Fields) -> str | None:
        return first_field(row, ("question", "query"))

    @staticmethod
    def _answer(row: Fields) -> str | None:
        return first_field(row, ("answer", "response"))
