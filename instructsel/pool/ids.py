"""The ids of a pool, as a sequence whose texts are made when they are asked for: ten million of them as Python texts take a gigabyte.

ids[0]          "00c5…" or, of an example that others equal, "00c5….1"
ids[:10]        again ids, without a copy
ids.series()    a column of a frame, made in pieces
"""

from __future__ import annotations

import bisect
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final, overload

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import polars

PIECE: Final = 65_536
"""Ids whose texts are made at a time."""
DIGITS: Final = 32
"""Hexadecimal digits of a digest."""
FULL: Final = re.compile(r"([0-9a-f]{32})(?:\.([1-9][0-9]{0,9}))?")
SHOWN: Final = 3
"""Ids that a display shows."""
MISSING: Final = -1
"""The position of an id that there is not."""


class Ids(Sequence[str]):
    """The ids of a pool's examples, ascending. It equals any sequence of the same texts, and is read-only."""

    __slots__ = ("digests", "occurrences")

    def __init__(self, digests: NDArray[np.uint64], occurrences: NDArray[np.uint32]) -> None:
        """The ids of these examples; both columns are kept, not copied.

        Args:
            digests: (n, 2), the big-endian halves of each example's digest, ascending.
            occurrences: (n,), 0 for the first of equal examples; among equal digests in the order of their texts (1, 10, 2).
        """
        self.digests = digests
        self.occurrences = occurrences

    @classmethod
    def of(cls, column: polars.Series) -> Ids | None:
        """The ids that an ascending column of texts holds; None where one of them is none."""
        digests = np.empty((len(column), 2), dtype=np.uint64)
        occurrences = np.zeros(len(column), dtype=np.uint32)
        for start in range(0, len(column), PIECE):
            matches = [FULL.fullmatch(name) for name in column[start : start + PIECE].to_list()]
            hexes = "".join(match[1] for match in matches if match is not None)
            numbers = [int(match[2] or 0) for match in matches if match is not None]
            if len(numbers) < len(matches) or max(numbers, default=0) > np.iinfo(np.uint32).max:
                return None
            digests[start : start + len(matches)] = np.frombuffer(bytes.fromhex(hexes), dtype=">u8").reshape(-1, 2)
            occurrences[start : start + len(matches)] = numbers
        ids = cls(digests, occurrences)
        return ids if ids.equals(column) else None

    def __len__(self) -> int:
        return len(self.occurrences)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> Ids: ...
    def __getitem__(self, index: Any) -> Any:
        """The id at a position, or those of a slice."""
        if isinstance(index, slice):
            return Ids(self.digests[index], self.occurrences[index])
        high, low = self.digests[index].tolist()
        number = int(self.occurrences[index])
        return f"{high:016x}{low:016x}.{number}" if number else f"{high:016x}{low:016x}"

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), PIECE):
            yield from _texts(self.digests[start : start + PIECE], self.occurrences[start : start + PIECE])

    def __reversed__(self) -> Iterator[str]:
        return iter(self[::-1])

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._position(name) != MISSING

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Ids):
            return np.array_equal(self.digests, other.digests) and np.array_equal(self.occurrences, other.occurrences)
        if isinstance(other, list | tuple):
            return len(self) == len(other) and all(mine == theirs for mine, theirs in zip(self, other, strict=True))
        return NotImplemented

    def __hash__(self) -> int:
        return hash(tuple(self))

    def __add__(self, other: Iterable[str]) -> list[str]:
        return [*self, *other]

    def __radd__(self, other: Iterable[str]) -> list[str]:
        return [*other, *self]

    def __repr__(self) -> str:
        shown = ", ".join(map(repr, self[:SHOWN]))
        return f"[{shown}{f', … {len(self):,} ids' if len(self) > SHOWN else ''}]"

    def __reduce__(self) -> tuple[Any, ...]:
        """What pickle and copy make it of: its columns."""
        return Ids, (self.digests, self.occurrences)

    def index(self, value: Any, start: int = 0, stop: int | None = None) -> int:
        """The position of an id.

        Raises:
            ValueError: it is none of them.
        """
        position = self._position(value) if isinstance(value, str) else MISSING
        if position == MISSING or position not in range(len(self))[start:stop]:
            raise ValueError(f"{value!r} is not one of the ids")
        return position

    def count(self, value: Any) -> int:
        """1 for an id that is one of them, and 0 for any other."""
        return int(value in self)

    def at(self, positions: NDArray[np.integer[Any]] | Sequence[int]) -> Iterator[str]:
        """The ids at these positions, in this order."""
        where = np.asarray(positions, dtype=np.int64)
        for start in range(0, len(where), PIECE):
            piece = where[start : start + PIECE]
            yield from _texts(self.digests[piece], self.occurrences[piece])

    def series(self, name: str = "id") -> polars.Series:
        """A column of the ids: texts that a frame holds, some 48 bytes each."""
        import polars

        if not len(self):
            return polars.Series(name, [], dtype=polars.String)
        pieces = (slice(start, start + PIECE) for start in range(0, len(self), PIECE))
        return polars.concat(
            [polars.Series(name, _texts(self.digests[piece], self.occurrences[piece]), dtype=polars.String) for piece in pieces],
            rechunk=True,
        )

    def equals(self, column: polars.Series) -> bool:
        """Whether a column of texts holds the same ids in the same order."""
        if len(column) != len(self):
            return False
        pieces = (slice(start, start + PIECE) for start in range(0, len(self), PIECE))
        return all(_texts(self.digests[piece], self.occurrences[piece]) == column[piece].to_list() for piece in pieces)

    def positions(self, names: Iterable[str]) -> Iterator[int]:
        """The position of each name, which is a full id; MISSING of what is none."""
        names = iter(names)
        while piece := list(itertools.islice(names, PIECE)):
            yield from self._positions(piece)

    def _positions(self, names: Sequence[str]) -> list[int]:
        matches = [FULL.fullmatch(name) for name in names]
        full = [number for number, match in enumerate(matches) if match is not None]
        positions = [MISSING] * len(names)
        if not full or not len(self):
            return positions
        halves = np.frombuffer(bytes.fromhex("".join(names[number][:DIGITS] for number in full)), dtype=">u8").reshape(-1, 2)
        # By the first half alone: two different examples that share it are one in 2⁶⁴ of their pairs.
        firsts = np.searchsorted(self.digests[:, 0], halves[:, 0].astype(np.uint64))
        for number, first in zip(full, firsts.tolist(), strict=True):
            positions[number] = self._from(first, names[number])
        return positions

    def _position(self, name: str) -> int:
        return MISSING if FULL.fullmatch(name) is None else self._from(0, name)

    def _from(self, first: int, name: str) -> int:
        """The position of an id that does not stand before `first`, and most likely there."""
        if first < len(self) and self[first] == name:
            return first
        position = bisect.bisect_left(self, name, lo=first)
        return position if position < len(self) and self[position] == name else MISSING


def _texts(digests: NDArray[np.uint64], occurrences: NDArray[np.uint32]) -> list[str]:
    """The texts of a piece."""
    hexes = digests.astype(">u8").tobytes().hex()
    return [hexes[DIGITS * i : DIGITS * (i + 1)] + (f".{number}" if number else "") for i, number in enumerate(occurrences.tolist())]


__all__ = ["MISSING", "Ids"]
