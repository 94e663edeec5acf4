"""Baize's transcripts: `input`, one text in which `[|Human|]` and `[|AI|]` stand before the turns."""

from __future__ import annotations

from typing import ClassVar, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, answered, text
from instructsel.pool.lines import RowFault
from instructsel.pool.message import Message

HUMAN: Final = "[|Human|]"
AI: Final = "[|AI|]"


class Baize(Format):
    """`input`, a transcript with `[|Human|]` and `[|AI|]`. What stands before the first mark is left out, and so are exchanges that are blank or
    without a turn of the model. Source: Baize, `*_chat_data.json`."""

    name: ClassVar[str] = "baize"
    precedence: ClassVar[int] = 70
    fields: ClassVar[tuple[str, ...]] = ("input",)

    def fits(self, row: Fields) -> str | None:
        """`input` is a text with both marks."""
        transcript = row.get("input")
        return "has marks of turns in 'input'" if isinstance(transcript, str) and HUMAN in transcript and AI in transcript else None

    def conversations(self, row: Fields) -> list[Conversation]:
        """The exchanges in order."""
        return answered(Conversation(tuple(turns_of(text(row, "input")))))


def turns_of(transcript: str) -> list[Message]:
    """The turns of a transcript.

    Raises:
        RowFault: the model has two turns in one exchange, so that nobody knows who speaks.

    >>> [turn.content for turn in turns_of("A chat.\\n[|Human|] Hello\\n[|AI|] Hi.\\n[|Human|] ")]
    ['Hello', 'Hi.']
    """
    turns: list[Message] = []
    for number, exchange in enumerate(transcript.split(HUMAN)[1:], 1):
        human, *replies = exchange.split(AI)
        if not replies:
            # A transcript ends in the mark of a turn that nobody wrote.
            continue
        if len(replies) > 1:
            raise RowFault("bad_transcript", f"exchange {number} has {len(replies)} turns of the model")
        turns += [Message("user", human.strip()), Message("assistant", replies[0].strip())]
    return turns
