"""The rows of one file into conversations: each by its own format, with what stands beside it."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from instructsel.pool.example import Conversation
from instructsel.pool.formats import _beside as beside
from instructsel.pool.formats._base import Fields, Format, TableFormat, answered, listed
from instructsel.pool.formats._calls import CALL_FIELDS, CALLS, FUNCTIONS
from instructsel.pool.formats._items import FIELDS as ITEM_FIELDS
from instructsel.pool.formats._items import is_item
from instructsel.pool.formats._keyed_parts import typed_parts
from instructsel.pool.formats._layouts import turn_list
from instructsel.pool.formats._turns import PART_FIELDS, PART_KINDS, is_channel
from instructsel.pool.formats.mapped import Mapped

SHOWN: Final = 8
"""Fields that a line names."""


@dataclass(frozen=True, eq=False)
class RowReader:
    """How the rows of a file are read."""

    format: Format
    """Of most rows."""
    others: tuple[Format, ...] = ()
    """Of rows that the first does not fit, by precedence; none where a format was named."""
    counts: Counter[str] = field(default_factory=Counter)
    """Format → rows that it has read for the first time; counted by whoever reads the file."""

    def format_of(self, row: Fields) -> Format:
        """The format that a row is read in."""
        if not self.others:
            return self.format
        if (
            self.format.fits(row if None not in row.values() else {key: value for key, value in row.items() if value is not None})
            is not None
        ):
            return self.format
        names = fitting_names((self.format, *self.others), row)
        return next((form for form in (self.format, *self.others) if form.name in names), self.format)

    def conversations(self, row: Fields) -> list[Conversation]:
        """The conversations of a row.

        Raises:
            RowFault: a field is missing or is not what the format says.
            RowDropped: the row is well formed and holds no answer.
        """
        return self.read(row)[1]

    def read(self, row: Fields) -> tuple[Format, list[Conversation]]:
        """The format of a row, and its conversations; see `conversations`."""
        form = self.format_of(row)
        read = form.conversations(row)
        conversations = beside.add(read, row, form.beside, form.fields, form.roles)
        if conversations is not read and not all(conversation.trained for conversation in conversations):
            conversations = [trained for conversation in conversations for trained in answered(conversation)]
        return form, conversations

    @property
    def fields(self) -> tuple[str, ...]:
        """The fields that the formats of the file read."""
        formats = [self.format, *(other for other in self.others if other.name in self.counts)]
        return tuple(dict.fromkeys(name for form in formats for name in [*form.fields, *sorted(_beside_and_mapped(form))]))

    def fields_of(self, row: Fields) -> frozenset[str]:
        """The fields of a row that are read."""
        form = self.format_of(row)
        return frozenset(form.fields) | _beside_and_mapped(form, row)

    def unread(self, rows: Sequence[Any], read: frozenset[str] | set[str] = frozenset()) -> list[str]:
        """The fields that nobody reads, those of turns with these words behind them.

        Args:
            rows: some rows of the file.
            read: fields that were read for another reason.
        """
        of_rows: set[str] = set()
        of_turns: set[str] = set()
        for row in rows:
            if not isinstance(row, Mapping):
                continue
            form = self.format_of(row)
            fields = self.fields_of(row)
            of_rows.update(str(key) for key, value in row.items() if key not in fields and key not in read and value is not None)
            known, turns = form.turns_of(row) if isinstance(form, Mapped) else _turns_of(form, row)
            for turn in turns:
                of_turns.update(f"{name} (in turns)" for name in _unread(turn, ITEM_FIELDS if is_item(turn) else known))
                if known:
                    of_turns.update(_unread_within(turn))
        return [*sorted(of_rows), *sorted(of_turns)]


def _unread(fields: Fields, known: frozenset[str]) -> list[str]:
    """The fields of a turn, a part of one or a call that nobody reads."""
    return [
        str(name)
        for name, value in fields.items()
        if value is not None and (name not in known or (name == "channel" and not is_channel(value)))
    ]


def _unread_within(turn: Fields) -> set[str]:
    """The fields of the parts of a turn's text, and of its calls, that nobody reads."""
    unread: set[str] = set()
    for value in turn.values():
        for entry in typed_parts(value) if isinstance(value, list) else ():
            kind_of = entry.get("type", "text" if "text" in entry else None) if isinstance(entry, Mapping) else None
            if isinstance(kind_of, str) and kind_of in PART_KINDS:
                unread.update(f"{name} (in parts)" for name in _unread(entry, PART_FIELDS))
    for name in CALLS:
        calls = listed(turn.get(name))
        for call in calls if isinstance(calls, list) else [calls]:
            if isinstance(call, Mapping):
                functions = [call, *(call[key] for key in FUNCTIONS if isinstance(call.get(key), Mapping))]
                unread.update(f"{key} (in calls)" for function in functions for key in _unread(function, CALL_FIELDS))
    return unread


def _turns_of(form: Format, row: Fields) -> tuple[frozenset[str], list[Fields]]:
    """The fields of turns that a format reads, and the turns of a row."""
    if form.turn_fields is None:
        return frozenset(), []
    lists = [entries for name in form.fields if isinstance(entries := turn_list(row.get(name)), list)]
    return form.turn_fields, [turn for entries in lists for turn in entries if isinstance(turn, Mapping)]


def _beside_and_mapped(form: Format, row: Fields | None = None) -> frozenset[str]:
    return beside.names_of(form.beside, row) | (form.read() if isinstance(form, Mapped) else frozenset())


def fitting_names(candidates: Sequence[Format], row: Fields) -> list[str]:
    """The formats that fit a row, in their order.

    A table has every column in every row: where what is null counts as absent some format may fit, and then only that one does.
    """
    present = {key: value for key, value in row.items() if value is not None}
    names = [candidate.name for candidate in candidates if candidate.fits(present) is not None]
    return names if names or len(present) == len(row) else [candidate.name for candidate in candidates if candidate.fits(row) is not None]


def reader(chosen: Format, candidates: Sequence[Format], roles: Mapping[str, str] | None) -> RowReader:
    """The reader of a file.

    Args:
        chosen: the format of most rows, or the one that was named.
        candidates: the formats of other rows; empty where one was named. Tables of messages are never one row's.
        roles: the spellings of roles that were named; None where there are none.
    """
    others = (
        () if isinstance(chosen, TableFormat) else tuple(f for f in candidates if f.name != chosen.name and not isinstance(f, TableFormat))
    )
    return RowReader(_spelled(chosen, roles), tuple(_spelled(other, roles) for other in others))


def _spelled(form: Format, roles: Mapping[str, str] | None) -> Format:
    if roles is None:
        return form
    changed = copy.copy(form)
    # Frozen, as formats may be; the copy is still nobody's.
    object.__setattr__(changed, "roles", roles)
    return changed


def note(unread: Sequence[str]) -> str:
    """The end of the line on a file: which fields nobody reads.

    >>> note(["id", "name (in turns)"])
    'not read: id, name (in turns)'
    """
    return f"not read: {', '.join(unread[:SHOWN])}{' …' if len(unread) > SHOWN else ''}" if unread else ""


__all__ = ["RowReader", "note", "reader"]
