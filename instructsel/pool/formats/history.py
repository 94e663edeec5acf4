"""LLaMA-Factory's `history`: earlier turns as pairs beside `instruction`, `input`, `output`."""

from __future__ import annotations

from typing import ClassVar

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import Fields, Format, kind, listed
from instructsel.pool.formats._beside import ONE_TURN
from instructsel.pool.formats.alpaca import Alpaca
from instructsel.pool.lines import RowFault
from instructsel.pool.message import Message


class History(Format):
    """Alpaca's fields and `history`, a list of [instruction, response] pairs that came before. Source: LLaMA-Factory's data format."""

    name: ClassVar[str] = "history"
    precedence: ClassVar[int] = 30
    fields: ClassVar[tuple[str, ...]] = (*Alpaca.fields, "history")
    beside: ClassVar[frozenset[str]] = ONE_TURN

    def fits(self, row: Fields) -> str | None:
        """Alpaca's fields are there, and `history` is a list or null."""
        if Alpaca().fits(row) is None or "history" not in row or not isinstance(listed(row["history"]), list | None):
            return None
        return "has 'instruction', 'output' and a 'history' of earlier turns"

    def conversations(self, row: Fields) -> list[Conversation]:
        """The pairs in order, then the last turn; a system text stays first."""
        (last,) = Alpaca().conversations(row)
        earlier: list[Message] = []
        pairs = listed(row.get("history"))
        if not isinstance(pairs, list | None):
            raise RowFault("not_a_list", f"'history' holds {kind(pairs)} where a list of pairs belongs")
        for number, pair in enumerate(pairs or [], 1):
            if not isinstance(pair, list) or len(pair) != 2:
                raise RowFault("not_a_pair", f"entry {number} of 'history' is no [instruction, response] pair")
            for who, content in zip(("user", "assistant"), pair, strict=True):
                if not isinstance(content, str):
                    raise RowFault("not_text", f"entry {number} of 'history' holds {kind(content)} where a text belongs")
                earlier.append(Message(who, content))
        return [Conversation((*earlier, *last.messages), last.tools)]
