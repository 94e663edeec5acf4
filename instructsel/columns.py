"""Columns of a long table as few bytes, of which a frame is made when it is asked for, or piece by piece where it is written.

A text of a polars frame takes 16 bytes a row, also where it is null, and an id 48. Here a text that many rows have is a number of one byte, an
id the digest that a pool holds anyway, and what only some rows have is kept for these.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, Self, overload

import numpy as np
import polars as pl
from numpy.typing import NDArray

PIECE: Final = 65_536
"""Rows that are made at a time."""
HELD: Final = "_held_"


class Column(Protocol):
    """A column of a table."""

    def __len__(self) -> int: ...

    def series(self, rows: slice) -> pl.Series:
        """Those rows as a column of a frame."""
        ...


@dataclass(frozen=True, eq=False)
class Plain:
    """A column of a frame as it is."""

    values: pl.Series

    def __len__(self) -> int:
        return len(self.values)

    def series(self, rows: slice) -> pl.Series:
        """Those rows."""
        return self.values[rows]


class Sliced(Protocol):
    """Texts of which a part becomes a column: `pool.ids.Ids`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int | slice) -> Any: ...


@dataclass(frozen=True, eq=False)
class Names:
    """Ids, made from their digests when they are asked for."""

    ids: Sliced

    def __len__(self) -> int:
        return len(self.ids)

    def series(self, rows: slice) -> pl.Series:
        """Those rows."""
        series: pl.Series = self.ids[rows].series("id")
        return series


@dataclass(frozen=True, eq=False)
class Coded(Sequence[Any]):
    """Texts of which there are few different ones; a sequence of them."""

    codes: NDArray[np.unsignedinteger[Any]]
    """(n,), the place of each row's text among the words."""
    words: tuple[str | None, ...]
    """None where a row has no text."""

    def __len__(self) -> int:
        return len(self.codes)

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> Coded: ...
    def __getitem__(self, index: Any) -> Any:
        """The text of a row, or those of a part."""
        return Coded(self.codes[index], self.words) if isinstance(index, slice) else self.words[int(self.codes[index])]

    def series(self, rows: slice) -> pl.Series:
        """Those rows."""
        codes = self.codes[rows]
        # What polars takes as positions, and no copy of eight bytes a row.
        if codes.dtype == np.uint16:
            codes = codes.astype(np.uint32)
        return pl.Series("words", self.words, dtype=pl.String)[codes]

    def counts(self) -> dict[str, int]:
        """How many rows have each text."""
        numbers = np.bincount(self.codes, minlength=len(self.words)).tolist()
        counts: dict[str, int] = {}
        for word, number in zip(self.words, numbers, strict=True):
            if number and word is not None:
                counts[word] = counts.get(word, 0) + number
        return counts

    def where(self, words: Callable[[str], bool]) -> NDArray[np.bool_]:
        """The rows with a text of which this is true."""
        wanted = np.array([word is not None and words(word) for word in self.words], dtype=bool)
        mask: NDArray[np.bool_] = wanted[self.codes] if len(wanted) else np.zeros(len(self.codes), dtype=bool)
        return mask

    @classmethod
    def of(cls, texts: pl.Series) -> Self:
        """Of a column of texts."""
        words = texts.unique(maintain_order=True).to_list()
        numbers = pl.Series("code", range(len(words)), dtype=pl.UInt32)
        codes = texts.replace_strict(pl.Series("word", words, dtype=pl.String), numbers, return_dtype=pl.UInt32).to_numpy()
        return cls(codes.astype(np.min_scalar_type(max(0, len(words) - 1))), tuple(words))


@dataclass(frozen=True, eq=False)
class Numbers:
    """Numbers, null where they are not present."""

    values: NDArray[Any]
    """(n,)."""
    absent: NDArray[Any] | None = None
    """(n,), not 0 where a row has none; by default every row has one."""
    dtype: Any = pl.Float64

    def __len__(self) -> int:
        return len(self.values)

    def series(self, rows: slice) -> pl.Series:
        """Those rows."""
        values = pl.Series("value", self.values[rows]).cast(self.dtype)
        return values if self.absent is None else _nulled(values, self.absent[rows] == 0)

    def present(self) -> NDArray[np.bool_]:
        """(n,), the rows that have one."""
        return np.ones(len(self), dtype=bool) if self.absent is None else self.absent == 0


@dataclass(frozen=True, eq=False)
class Scattered:
    """Numbers that only some rows have."""

    values: NDArray[np.float64]
    """(k,)."""
    positions: NDArray[np.integer[Any]]
    """(k,), the row of each, ascending."""
    present: NDArray[Any]
    """(n,), 0 where the row is null all the same."""

    def __len__(self) -> int:
        return len(self.present)

    def series(self, rows: slice) -> pl.Series:
        """Those rows."""
        start, stop, _ = rows.indices(len(self))
        low, high = np.searchsorted(self.positions, [start, stop]).tolist()
        values = np.zeros(max(0, stop - start), dtype=np.float64)
        values[self.positions[low:high] - start] = self.values[low:high]
        return _nulled(pl.Series("value", values), self.present[rows] != 0)


@dataclass(frozen=True, eq=False)
class References:
    """Ids of other rows."""

    places: NDArray[np.integer[Any]]
    """(n,), the position of each, -1 for none."""
    ids: Any
    """`pool.ids.Ids` of the rows that are referred to."""

    def __len__(self) -> int:
        return len(self.places)

    def series(self, rows: slice) -> pl.Series:
        """Those rows."""
        places = self.places[rows]
        texts: list[str | None] = [None] * len(places)
        has_one = np.flatnonzero(places >= 0)
        for row, name in zip(has_one.tolist(), self.ids.at(places[has_one]), strict=True):
            texts[row] = name
        return pl.Series("id", texts, dtype=pl.String)


@dataclass(frozen=True, eq=False)
class Columns:
    """The columns of a table, all of one length."""

    columns: Mapping[str, Column]

    def __len__(self) -> int:
        return len(next(iter(self.columns.values()))) if self.columns else 0

    def __getitem__(self, name: str) -> Column:
        return self.columns[name]

    def __contains__(self, name: object) -> bool:
        return name in self.columns

    @property
    def names(self) -> tuple[str, ...]:
        """Of the columns, in order."""
        return tuple(self.columns)

    def only(self, *names: str) -> Columns:
        """These of the columns."""
        return Columns({name: self.columns[name] for name in names})

    def rows(self, rows: slice) -> pl.DataFrame:
        """Some of its rows."""
        return pl.DataFrame([column.series(rows).alias(name) for name, column in self.columns.items()])

    def pieces(self) -> Iterator[pl.DataFrame]:
        """All of its rows, some after the other; of an empty table one piece without any."""
        for start in range(0, max(1, len(self)), PIECE):
            yield self.rows(slice(start, start + PIECE))

    def column(self, name: str) -> pl.Series:
        """A whole column."""
        column = self.columns[name]
        if isinstance(column, Plain):
            return column.values
        parts = [column.series(slice(start, start + PIECE)) for start in range(0, max(1, len(self)), PIECE)]
        return pl.concat(parts, rechunk=True).alias(name)

    def texts(self, name: str, rows: list[int]) -> list[str]:
        """A column of texts in these rows."""
        column = self.columns[name]
        return [column.ids[row] for row in rows] if isinstance(column, Names) else self.column(name).gather(rows).to_list()

    def frame(self) -> pl.DataFrame:
        """All of it."""
        return pl.DataFrame([self.column(name).alias(name) for name in self.columns])

    @classmethod
    def of(cls, frame: pl.DataFrame | Columns) -> Columns:
        """The columns of a frame as they are."""
        return frame if isinstance(frame, Columns) else cls({name: Plain(frame[name]) for name in frame.columns})


class MadeFrame:
    """A field of a dataclass that holds a frame, or columns of which it is made when it is asked for."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._key: str = HELD + name
        self._made: str = f"_made_{name}"

    @overload
    def __get__(self, instance: None, owner: type) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type) -> pl.DataFrame: ...
    def __get__(self, instance: object | None, owner: type) -> Any:
        """The frame. It stays, once it was made."""
        if instance is None:
            # A field without a default.
            raise AttributeError(self._key)
        there = vars(instance)
        held = there[self._key]
        if not isinstance(held, Columns):
            return held
        if self._made not in there:
            there[self._made] = held.frame()
        return there[self._made]

    def __set__(self, instance: object, value: pl.DataFrame | Columns) -> None:
        vars(instance)[self._key] = value
        vars(instance).pop(self._made, None)


def held_columns(instance: object, name: str = "frame") -> Columns:
    """What a `MadeFrame` of an object holds, without making the frame."""
    return Columns.of(vars(instance)[HELD + name])


def _nulled(values: pl.Series, present: NDArray[np.bool_]) -> pl.Series:
    return values if present.all() else pl.select(pl.when(pl.Series(present)).then(values)).to_series()


__all__ = ["PIECE", "Coded", "Column", "Columns", "MadeFrame", "Names", "Numbers", "Plain", "References", "Scattered", "held_columns"]
