"""Salesforce's xLAM and APIGen: `query` (or `question`), `tools`, and `answers`, the calls that answer it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from instructsel.pool.example import Conversation, conversation
from instructsel.pool.formats._base import Fields, Format, first_field, listed, text
from instructsel.pool.formats._beside import NAMES, ONE_TURN
from instructsel.pool.formats._calls import NAMES as CALL_NAMES
from instructsel.pool.formats._calls import calls_of
from instructsel.pool.lines import RowDropped
from instructsel.pool.message import Message

QUERIES: Final = ("query", "question")


class Xlam(Format):
    """`query` and `answers`, a list of calls or its JSON text, beside `tools`; an answer that is a text is one. Source: xLAM function calling 60k."""

    name: ClassVar[str] = "xlam"
    precedence: ClassVar[int] = 44
    fields: ClassVar[tuple[str, ...]] = (*QUERIES, "answers")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """`query` (or `question`) and `answers` are there, and the answers are calls or stand beside tools."""
        query = first_field(row, QUERIES)
        if query is None or "answers" not in row:
            return None
        if not any(row.get(name) is not None for name in NAMES["tools"]) and not _are_calls(row["answers"]):
            return None
        return f"has '{query}' and 'answers' that are calls"

    def conversations(self, row: Fields) -> list[Conversation]:
        """One turn: the calls, or the text that stands where they would."""
        answers, query = row.get("answers"), text(row, first_field(row, QUERIES) or QUERIES[0])
        if answers is None or (isinstance(answers, str) and answers.lstrip()[:1] not in ("[", "{")):
            return [conversation(query, text(row, "answers"))]
        calls = calls_of(answers, "'answers'")
        if not calls:
            # The tools do not fit the query, and no text says so.
            raise RowDropped("no_answer")
        return [Conversation((Message("user", query), Message("assistant", "", tuple(calls))))]


def _are_calls(answers: Any) -> bool:
    entries = listed(answers)
    entries = entries if isinstance(entries, list) else [entries]
    return bool(entries) and all(isinstance(entry, Mapping) and not entry.keys().isdisjoint(CALL_NAMES) for entry in entries)
