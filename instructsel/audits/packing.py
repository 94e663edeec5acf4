"""Rows packed into sequences exactly as TRL packs them, by their lengths alone."""

from __future__ import annotations

import bisect
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

BATCH: Final = 1000
"""Rows that TRL packs together: what `datasets` hands over at a time. No sequence holds rows of two batches."""


class Part(NamedTuple):
    """A row, or a part of one, in a sequence."""

    row: int
    """The row's number."""
    start: int
    """Its first token that is in the sequence."""
    stop: int
    """Behind its last token."""


@dataclass(frozen=True)
class Packing:
    """Sequences of rows."""

    strategy: str
    length: int
    """Tokens a sequence holds."""
    sequences: tuple[tuple[Part, ...], ...]
    """In TRL's order."""

    @property
    def tokens(self) -> int:
        """Tokens of all sequences."""
        return sum(part.stop - part.start for sequence in self.sequences for part in sequence)

    @property
    def efficiency(self) -> float:
        """Share of the room of the sequences that is filled."""
        return self.tokens / (self.length * len(self.sequences)) if self.sequences else 0.0

    def followers(self) -> list[int]:
        """Rows that stand behind another row in a sequence, ascending."""
        return sorted({part.row for sequence in self.sequences for part in sequence[1:] if part.row != sequence[0].row})

    def split(self) -> list[int]:
        """Rows of which a part begins a sequence without what stood before it, ascending."""
        return sorted({part.row for sequence in self.sequences for part in sequence if part.start})


def pack(lengths: Sequence[tuple[int, int]], length: int, strategy: str) -> Packing:
    """Rows packed in TRL's way (trl 1.16.0, `pack_dataset`).

    bfd puts the longest rows first, each into the fullest sequence that still has room; a longer row than a sequence is cut, with
    bfd_split continued elsewhere. wrapped writes row after row and cuts where a sequence is full.

    Args:
        lengths: (row number, tokens) in the order of the data set.
        length: tokens of a sequence.
        strategy: bfd, bfd_split or wrapped.

    >>> [[tuple(part) for part in sequence] for sequence in pack([(0, 5), (1, 2), (2, 3), (3, 1)], 4, "bfd").sequences]
    [[(0, 0, 4)], [(2, 0, 3), (3, 0, 1)], [(1, 0, 2)]]
    """
    sequences: list[tuple[Part, ...]] = []
    for begin in range(0, len(lengths), BATCH):
        batch = lengths[begin : begin + BATCH]
        sequences += _wrapped(batch, length) if strategy == "wrapped" else _best_fit(batch, length, split=strategy == "bfd_split")
    return Packing(strategy, length, tuple(sequences))


def _best_fit(rows: Sequence[tuple[int, int]], length: int, *, split: bool) -> list[tuple[Part, ...]]:
    parts: list[Part] = []
    for row, tokens in rows:
        stops = range(length, tokens + length, length) if split else [length]
        parts += [Part(row, stop - length, min(stop, tokens)) for stop in stops if tokens]
    bins: list[list[Part]] = []
    # Room left → the sequences with exactly so much, the first that came to it first.
    by_room: dict[int, deque[list[Part]]] = {}
    rooms: list[int] = []
    for part in _longest_first(parts):
        size = part.stop - part.start
        place = bisect.bisect_left(rooms, size)
        if place < len(rooms):
            room = rooms[place]
            sequence = by_room[room].popleft()
            if not by_room[room]:
                del by_room[room], rooms[place]
        else:
            room, sequence = length, []
            bins.append(sequence)
        sequence.append(part)
        room -= size
        if room:
            if room not in by_room:
                by_room[room] = deque()
                bisect.insort(rooms, room)
            by_room[room].append(sequence)
    return [tuple(sequence) for sequence in bins]


def _longest_first(parts: Sequence[Part]) -> list[Part]:
    """By length descending; of equal length in their order."""
    return sorted(parts, key=lambda part: part.start - part.stop)


def _wrapped(rows: Sequence[tuple[int, int]], length: int) -> list[tuple[Part, ...]]:
    sequences: list[tuple[Part, ...]] = []
    current: list[Part] = []
    room = length
    for row, tokens in rows:
        start = 0
        while start < tokens:
            stop = min(tokens, start + room)
            current.append(Part(row, start, stop))
            room -= stop - start
            start = stop
            if not room:
                sequences.append(tuple(current))
                current, room = [], length
    return [*sequences, *([tuple(current)] if current else [])]


__all__ = ["Packing", "Part", "pack"]
