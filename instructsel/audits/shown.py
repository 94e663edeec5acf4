"""A row as pieces of text: prompt, trained, end of turn, cut off."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject

STATES: Final = ("prompt", "trained", "end", "cut", "boundary")
"""prompt: seen, without loss; trained: the loss falls on it; end: trained, and closes the turn; cut: beyond the length, never seen;
boundary: no text, another packed sequence begins here."""


@dataclass(frozen=True)
class Piece:
    """Successive tokens of one state."""

    state: str
    """One of STATES."""
    text: str
    """Their text."""
    tokens: int
    """How many."""


@dataclass(frozen=True)
class ShownRow:
    """A row to look at."""

    place: str
    """FILE:LINE."""
    tokens: int
    """Tokens that are seen."""
    loss_tokens: int
    """Of these, the ones the loss falls on."""
    reason: str | None
    """Why the loss falls on none."""
    flags: tuple[str, ...]
    """Kinds of findings in it."""
    pieces: tuple[Piece, ...]
    """In order."""
    sequence: str = ""
    """Where it stands in the packed sequences, in words."""

    def as_dict(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "place": self.place,
            "tokens": self.tokens,
            "loss_tokens": self.loss_tokens,
            "reason": self.reason,
            "flags": list(self.flags),
            "sequence": self.sequence,
            "pieces": [[piece.state, piece.text, piece.tokens] for piece in self.pieces],
        }


def show_row(row: AuditedRow, subject: Subject, context: Mapping[str, Any]) -> ShownRow:
    """A row as pieces.

    Args:
        row: the row.
        subject: whose tokens they are.
        context: place, flags, sequence and boundaries (tokens before which another packed sequence begins) of the row.
    """
    ids, loss_mask = row.full.ids, row.full.loss_mask
    texts = _texts(row, subject)
    trained = [number for number, loss in enumerate(loss_mask) if loss]
    ends = set(trained[len(trained) - row.full.end :]) if row.full.end else set()
    pieces: list[Piece] = []
    for number in range(len(ids)):
        if number in context["boundaries"]:
            pieces.append(Piece("boundary", "", 0))
        state = "cut" if number >= row.length else "end" if number in ends else "trained" if loss_mask[number] else "prompt"
        # Each token of an end by itself, so that its name stands alone.
        if pieces and pieces[-1].state == state and state != "end":
            pieces[-1] = Piece(state, pieces[-1].text + texts[number], pieces[-1].tokens + 1)
        else:
            pieces.append(Piece(state, texts[number], 1))
    if not pieces:
        pieces.append(Piece("prompt", row.example.text, 0))
    return ShownRow(context["place"], row.length, row.loss_tokens, row.reason, tuple(context["flags"]), tuple(pieces), context["sequence"])


def _texts(row: AuditedRow, subject: Subject) -> list[str]:
    """The text of each token; a character of several tokens stands with the first of them."""
    if row.text is not None:
        ids, offsets = subject.template.tokens(row.text)
        if ids == row.full.ids:
            texts, cursor = [], 0
            for _, stop in offsets:
                texts.append(row.text[cursor : max(cursor, stop)])
                cursor = max(cursor, stop)
            return texts
    return [subject.template.decoded([token]) for token in row.full.ids]


__all__ = ["STATES", "Piece", "ShownRow", "show_row"]
