"""ShareGPT: long conversations into pieces of whole exchanges, with a limit in tokens."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Final, NamedTuple

from instructsel.errors import UsageError
from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, Outcome, digest
from instructsel.pool.formats._base import kind, listed, text
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.message import Message

ROLES: Final = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant"}
LEFT_OUT: Final = frozenset({"system", "bing"})
"""Senders whose conversations are left out as a whole."""
MARKUP: Final = 6
"""Tokens that each turn counts more than its text, for the marks around it."""
Count = Callable[[Sequence[str]], Sequence[int]]
"""Tokens of each text, with those that the tokenizer puts around it."""


class Piece(NamedTuple):
    """Whole exchanges of a conversation that follow each other."""

    start: int
    """The number of its first turn, from 0."""
    end: int
    """Behind its last one."""


def pieces_of(lengths: Sequence[int], max_tokens: int) -> tuple[list[Piece], int]:
    """Exchanges packed greedily, as many as the limit holds; those that are longer than it are left out, and counted.

    The original loses the last exchange where it would begin a new piece; it is one here.

    Args:
        lengths: tokens of each turn; the last one of an odd number is left out.
        max_tokens: of a piece.

    >>> pieces_of([4, 4, 4, 4, 9, 9, 1, 1], 16)
    ([Piece(start=0, end=4), Piece(start=6, end=8)], 1)
    """
    pieces: list[Piece] = []
    start = length = too_long = 0
    even = len(lengths) // 2 * 2
    for place in range(0, even, 2):
        exchange = lengths[place] + lengths[place + 1]
        if exchange > max_tokens or length + exchange > max_tokens:
            if place > start:
                pieces.append(Piece(start, place))
            start, length = place, 0
        if exchange > max_tokens:
            too_long += 1
            start = place + 2
        else:
            length += exchange
    if even > start:
        pieces.append(Piece(start, even))
    return pieces, too_long


@dataclass(frozen=True)
class ShareGPT(Conversion):
    """Conversations of `from` and `value`, split at a limit in tokens; pieces in which people and model do not alternate are left out."""

    count: Count | None = field(default=None, compare=False, repr=False)
    """Counts tokens."""
    tokenizer: str = ""
    """The name of the tokenizer that counts, for the record."""
    max_tokens: int = 2_048
    """Of a piece; 4,096 in the later mixture."""

    name: ClassVar[str] = "sharegpt"

    def content(self, row: InputRow) -> bytes:
        """The turns: nothing is drawn."""
        return digest([[who, content] for who, content in _turns(row.fields)])

    def convert(self, row: InputRow, occurrence: int) -> Outcome:
        """A conversation for each piece."""
        if self.count is None:
            raise UsageError("Pieces have a limit in tokens, and no tokenizer is named.", fix="Name one: --tokenizer huggyllama/llama-7b")
        turns = _turns(row.fields)
        if any(who in LEFT_OUT for who, _ in turns):
            raise RowDropped("system_or_bing")
        turns = turns[: len(turns) // 2 * 2]
        if not turns:
            raise RowDropped("no_exchange")
        lengths = [length + MARKUP for length in self.count([content for _, content in turns])]
        pieces, too_long = pieces_of(lengths, self.max_tokens)
        own_id = row.fields.get("id")
        name = str(own_id) if isinstance(own_id, str | int) and own_id != "" else self.content(row).hex()
        conversations: list[Converted] = []
        parts: Counter[str] = Counter({"exchange_too_long": too_long} if too_long else {})
        for piece in pieces:
            messages = tuple(Message(ROLES[who], content) for who, content in turns[piece.start : piece.end])
            if any(turn.role != ("user", "assistant")[number % 2] for number, turn in enumerate(messages)):
                parts["piece_not_alternating"] += 1
                continue
            conversations.append(Converted(f"{name}_{piece.start}", messages))
        if not conversations:
            raise RowDropped("not_alternating" if parts["piece_not_alternating"] else "too_long")
        parts["pieces"] += len(conversations)
        return Outcome(tuple(conversations), parts)


def _turns(fields: Any) -> list[tuple[str, str]]:
    """Sender and text of each turn.

    Raises:
        RowFault: they are no list of turns, or somebody unknown speaks.
    """
    values = listed(fields.get("conversations"))
    if not isinstance(values, list):
        raise RowFault("not_a_list", f"'conversations' holds {kind(values)} where a list of turns belongs")
    turns: list[tuple[str, str]] = []
    for number, value in enumerate(values, 1):
        if not isinstance(value, dict):
            raise RowFault("not_an_object", f"turn {number} is {kind(value)}")
        who = value.get("from")
        if not isinstance(who, str) or (who not in ROLES and who not in LEFT_OUT):
            raise RowFault("unknown_role", f"turn {number} is from {str(who)[:40]!r}")
        turns.append((who, text(value, "value")))
    return turns
