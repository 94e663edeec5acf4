"""Which row of a file of scores belongs to which example of a pool."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import PoolError, ScoresError, UsageError
from instructsel.pool.lines import RowDropped, RowFault
from instructsel.pool.pool import Pool
from instructsel.pool.reader import PoolFile
from instructsel.scores.score_files import KEYS, SHOWN, Key, ScoreFile, key_of
from instructsel.text import counted, excerpt

AUTO, ID, ORDER, ROW = "auto", "id", "order", "row"
OUR_ID: Final = ("instructsel_id", "id")
"""Fields of a file of scores that may hold instructsel's ids."""
NONE: Final = -1
"""The row of an example that no row of the file belongs to."""

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Join:
    """How the rows of a file are joined to examples."""

    kind: str = AUTO
    """`auto`; `id`, instructsel's or else the rows' field id; `order`; `row`, by row numbers from 0; or `fields`."""
    ours: tuple[str, ...] = ()
    """Fields of the pool's rows, for `fields`."""
    theirs: tuple[str, ...] = ()
    """Fields of the file, as many; for `row` the one that holds the number."""

    @classmethod
    def parse(cls, text: str) -> Self:
        """`auto`, `id`, `order`, `row=FIELD`, `FIELD`, `FIELD,FIELD` or `FIELD=FIELD_OF_THE_FILE`.

        Raises:
            UsageError: another form.

        >>> Join.parse("uuid=key").theirs
        ('key',)
        """
        if text in (AUTO, ID, ORDER):
            return cls(text)
        pairs = [part.partition("=") for part in text.split(",")]
        ours, theirs = tuple(part[0].strip() for part in pairs), tuple((part[2] if part[1] else part[0]).strip() for part in pairs)
        if not all(ours) or not all(theirs) or len(set(ours)) != len(ours):
            raise UsageError(f"'{excerpt(text, 60)}' is no way to join.", fix="Write --join id, order, FIELD, or FIELD=FIELD_OF_THE_FILE.")
        if ours == (ROW,) and pairs[0][1]:
            return cls(ROW, (), theirs)
        return cls("fields", ours, theirs)


@dataclass(frozen=True, eq=False)
class Joined:
    """Which row of some files, counted through, each example of a pool has."""

    rows: Rows
    """(n,), in the order of the pool's ids; NONE where there is none."""
    by: str
    """By what, in words: "the field 'id'"."""
    unused: int
    """Rows of the files that belong to no example."""
    repeated: int
    """Rows of the files that repeat another one's name and value."""

    @property
    def matched(self) -> int:
        """Examples with a row."""
        return int((self.rows != NONE).sum())


class PoolRows:
    """The rows of a pool, as files of scores are joined to them."""

    def __init__(self, pool: Pool) -> None:
        self.pool = pool
        self._keys: dict[tuple[str, ...], list[Key | None]] = {}

    @property
    def content_fields(self) -> tuple[str, ...]:
        """Fields that the pool's formats read: instruction, output, messages, …"""
        names: dict[str, None] = {}
        for file in self.pool.files:
            names |= dict.fromkeys(file.content_fields)
        return tuple(names)

    def records(self) -> Iterator[tuple[int, PoolFile, int, dict[str, Any]]]:
        """Position of the example, its file, its row in it, and what that row holds, in the order of the files.

        Of an example of several rows it is the last, which holds its response.
        """
        pool = self.pool
        for position in np.lexsort((pool.part_of, pool.row_of, pool.file_of)).tolist():
            file = pool.files[int(pool.file_of[position])]
            row = file.rows_of(int(pool.row_of[position]))[-1]
            try:
                yield position, file, row, file.row(row)
            except (RowFault, RowDropped, UnicodeDecodeError, StopIteration, ValueError, IndexError) as error:
                raise PoolError(f"{file.source.name} has changed since it was read.", fix="Run the command again.") from error

    def keys(self, names: Sequence[tuple[str, ...]]) -> Mapping[tuple[str, ...], list[Key | None]]:
        """What fields of the rows hold: fields → a name an example, in the pool's order."""
        missing = [name for name in names if name not in self._keys]
        if missing:
            listed: list[list[Key | None]] = [[None] * len(self.pool) for _ in missing]
            for position, _, _, record in self.records():
                for name, keys in zip(missing, listed, strict=True):
                    keys[position] = key_of(record, name)
            self._keys |= dict(zip(missing, listed, strict=True))
        return self._keys

    def numbers(self) -> tuple[Rows, int]:
        """The number of each example's row among all rows of all files, from 0, dropped and quarantined ones counted; and how many there are."""
        pool = self.pool
        numbers = np.zeros(len(pool), dtype=np.int64)
        offset = 0
        for number, file in enumerate(pool.files):
            positions = np.flatnonzero(pool.file_of == number)
            rows = np.array([file.rows_of(row)[-1] for row in pool.row_of[positions].tolist()], dtype=np.int64)
            if pool.report.n_quarantined:
                # Rows that could not be read are in no index: the file is gone through once more.
                places = {row.offset: count for count, (row, _) in enumerate(file.source.rows())}
                size = len(places)
                if not places.keys() >= set(file.offsets[rows].tolist()):
                    raise PoolError(f"{file.source.name} has changed since it was read.", fix="Run the command again.")
                numbers[positions] = [offset + places[int(place)] for place in file.offsets[rows].tolist()]
            else:
                size = len(file.lines)
                numbers[positions] = offset + rows
            offset += size
        return numbers, offset

    def place(self, position: int) -> str:
        """An example as messages name it."""
        file, lines = self.pool.locate(position)
        return f"{Path(file).name}, line {lines[0]:,}"


class TwoValues(ScoresError):
    """Two rows of one name, which the pool knows, hold two values."""


@dataclass(frozen=True, eq=False)
class Joiner:
    """The rows of files against the rows of a pool, for one column."""

    rows: PoolRows
    files: Sequence[ScoreFile]
    column: str

    def join(self, join: Join, least: float) -> Joined:
        """Which row each example has.

        Args:
            join: how.
            least: share of the examples that must have a row, in [0, 1].

        Raises:
            ScoresError: no way of joining fits; rows of one name hold two values; the files have another number of rows than
                the pool; or rows that belong together hold other texts.
        """
        if join.kind == ORDER:
            joined = self._by_order()
        elif join.kind == ROW:
            joined = self._by_number(join.theirs)
        elif join.kind == "fields":
            joined = self._by_fields(join.ours, join.theirs)
        else:
            joined = self._found(join, least)
        self._check_matched(joined, least)
        if not joined.by.startswith("the fields "):
            self._check_texts(joined)
        return joined

    def _found(self, join: Join, least: float) -> Joined:
        """The first way that fits: ids, fields that name rows, the texts themselves, and the order."""
        refused: list[ScoresError] = []
        candidates = [joined for name in OUR_ID if (joined := self._attempt(self._by_our_id, name, refused))]
        for name in KEYS if join.kind == AUTO else (ID,):
            if self._has((name,)) and any(key is not None for key in self.rows.keys([(name,)])[name,]):
                repeated = self._shared((name,)) if join.kind == AUTO else 0
                if repeated:
                    refused.append(ScoresError(f"{counted(repeated, 'example')} share their {name} with another one"))
                elif joined := self._attempt(lambda one: self._by_fields((one,), (one,)), name, refused):
                    candidates.append(joined)
        best = max(candidates, key=lambda joined: joined.matched, default=None)
        if best is not None and best.matched >= max(1, least * len(self.rows.pool)):
            return best
        if join.kind == AUTO and not any(self._has((name,)) for name in KEYS):
            return self._without_key(refused, least)
        if best is not None and best.matched:
            return best
        if conflict := next((error for error in refused if isinstance(error, TwoValues)), None):
            raise conflict
        seen = [name for name in dict.fromkeys([*OUR_ID, *KEYS]) if self._has((name,))]
        named = f"Its {', '.join(seen[:3])} matches no example of the pool" if seen else "It has no field that names its rows"
        raise ScoresError(
            f"{self._name} cannot be joined to the pool. {named}{''.join('; ' + error.message for error in refused[:2])}.",
            fix=self._advice(),
        )

    def _without_key(self, refused: list[ScoresError], least: float) -> Joined:
        """A file without a field that names its rows: by the texts that it repeats, or by order."""
        texts = self._texts()
        if texts:
            joined = self._attempt(lambda one: self._by_fields(texts, texts), "", refused)
            if joined and joined.matched >= max(1, least * len(self.rows.pool)):
                return joined
            if joined:
                refused.append(ScoresError(f"{joined.matched:,} of {counted(len(self.rows.pool), 'example')} have a row"))
        try:
            return self._by_order()
        except ScoresError as error:
            if refused:
                raise ScoresError(f"{error.message} By {self._words(texts)}: {refused[-1].message.rstrip('.')}.", fix=error.fix) from error
            raise

    @staticmethod
    def _attempt(way: Callable[[str], Joined | None], name: str, refused: list[ScoresError]) -> Joined | None:
        try:
            return way(name)
        except ScoresError as error:
            refused.append(error)
            return None

    def _by_our_id(self, name: str) -> Joined | None:
        if not self._has((name,)):
            return None
        return self._matched(self.rows.pool.ids, (name,), f"instructsel's id in the field '{name}'")

    def _by_fields(self, ours: tuple[str, ...], theirs: tuple[str, ...]) -> Joined:
        if not self._has(theirs):
            raise ScoresError(
                f"{self._name} has no field {excerpt(next(name for name in theirs if not self._has((name,))), 40)}; there are {self._fields}.",
                fix="Write --join FIELD_OF_THE_POOL=FIELD_OF_THE_FILE.",
            )
        keys = self.rows.keys([ours])[ours]
        if all(key is None for key in keys):
            raise ScoresError(
                f"No row of the pool has a field {excerpt(ours[0], 40)} that could name it.", fix="Name a field that the pool's rows have."
            )
        return self._matched(keys, theirs, self._words(ours) if ours == theirs else f"{self._words(ours)} = {', '.join(theirs)}")

    def _by_number(self, theirs: tuple[str, ...]) -> Joined:
        if not self._has(theirs):
            raise ScoresError(f"{self._name} has no field {excerpt(theirs[0], 40)}; there are {self._fields}.", fix="Name one of them.")
        numbers, _ = self.rows.numbers()
        return self._matched([str(number) for number in numbers.tolist()], theirs, f"row numbers in the field '{theirs[0]}', from 0")

    def _by_order(self) -> Joined:
        numbers, total = self.rows.numbers()
        size = sum(len(file) for file in self.files)
        if size != total:
            report = self.rows.pool.report
            apart = f" ({report.n_dropped:,} dropped and {report.n_quarantined:,} quarantined ones counted)" if total > report.kept else ""
            raise ScoresError(
                f"{self._name} has {counted(size, 'row')} and the pool's files have {total:,}{apart}: they cannot be joined by order.",
                fix=self._advice(order=False),
            )
        used = len(np.unique(numbers))
        return Joined(numbers, "the order of the rows", size - used, 0)

    def _matched(self, ours: Sequence[Key | None], theirs: tuple[str, ...], by: str) -> Joined:
        """Rows of equal names.

        Raises:
            ScoresError: two rows of one name hold two values.
        """
        row_of: dict[Key, int] = {}
        known = set(ours)
        repeated = offset = 0
        for file in self.files:
            column = file.columns[self.column]
            for number, key in enumerate(file.keys.get(theirs) or ()):
                if key is None:
                    continue
                first = row_of.setdefault(key, offset + number)
                if first != offset + number:
                    repeated += 1
                    if key in known and self._value(first) != (float(column.values[number]), int(column.codes[number])):
                        shown = f"the {theirs[0]} '{excerpt(key, 40)}'" if isinstance(key, str) else f"the same {', '.join(theirs)}"
                        raise TwoValues(
                            f"{self._place(first)} and {file.place(number)} have {shown} and two values of {excerpt(self.column, 40)}.",
                            fix="Keep one of the two rows, or join by something that tells them apart with --join.",
                        )
            offset += len(file)
        rows = np.array([NONE if key is None else row_of.get(key, NONE) for key in ours], dtype=np.int64)
        used = len(np.unique(rows[rows != NONE]))
        return Joined(rows, by, offset - repeated - used, repeated)

    def _check_matched(self, joined: Joined, least: float) -> None:
        n = len(self.rows.pool)
        if joined.matched >= least * n and joined.matched:
            return
        raise ScoresError(
            f"{self._name}: joined by {joined.by}, only {joined.matched:,} of {counted(n, 'example')} have a row.",
            fix=f"{self._advice()} Or allow it with --max-unmatched-fraction {_share(1 - joined.matched / max(1, n))}."
            if joined.matched
            else self._advice(),
        )

    def _check_texts(self, joined: Joined) -> None:
        """Refuse rows that are joined and hold other texts: the file is of another pool, or in another order."""
        texts = self._texts()
        if not texts:
            return
        keys = self.rows.keys([texts])[texts]
        theirs = [key for file in self.files for key in file.keys[texts]]
        differing = [position for position, row in enumerate(joined.rows.tolist()) if row != NONE and keys[position] != theirs[row]]
        if differing:
            first = min(differing, key=lambda position: int(joined.rows[position]))
            raise ScoresError(
                f"{self._place(int(joined.rows[first]))} and {self.rows.place(first)} belong together by {joined.by}, and hold another "
                f"{' or '.join(texts)} ({len(differing):,} of {joined.matched:,} such pairs).",
                fix=f"Join by what they hold with --join {','.join(texts)}, or leave these fields out of the file if it is of this pool.",
            )

    def _texts(self) -> tuple[str, ...]:
        """Fields of the pool's format that the files have, too."""
        texts = {file.texts for file in self.files}
        return texts.pop() if len(texts) == 1 else ()

    def _shared(self, names: tuple[str, ...]) -> int:
        """Examples that share what should name them with an example of another row."""
        pool = self.rows.pool
        rows: dict[Key, tuple[int, int]] = {}
        shared = 0
        for position, key in enumerate(self.rows.keys([names])[names]):
            if key is not None:
                place = (int(pool.file_of[position]), int(pool.row_of[position]))
                shared += rows.setdefault(key, place) != place
        return shared

    def _has(self, names: tuple[str, ...]) -> bool:
        return bool(self.files) and all(names in file.keys for file in self.files)

    def _value(self, row: int) -> tuple[float, int]:
        for file in self.files:
            if row < len(file):
                column = file.columns[self.column]
                return float(column.values[row]), int(column.codes[row])
            row -= len(file)
        raise IndexError(row)

    def _place(self, row: int) -> str:
        for file in self.files:
            if row < len(file):
                return file.place(row)
            row -= len(file)
        raise IndexError(row)

    @staticmethod
    def _words(names: tuple[str, ...]) -> str:
        shown = ", ".join(excerpt(name, 40) for name in names)
        return f"the fields {shown}" if len(names) > 1 else f"the field '{shown}'"

    @property
    def _name(self) -> str:
        return ", ".join(file.path for file in self.files[:3]) + (f" and {len(self.files) - 3:,} more" if len(self.files) > 3 else "")

    @property
    def _fields(self) -> str:
        names = dict.fromkeys(name for file in self.files for name in file.fields)
        return ", ".join(excerpt(name, 30) for name in list(names)[:SHOWN]) + (" …" if len(names) > SHOWN else "")

    def _advice(self, *, order: bool = True) -> str:
        """The ways there are."""
        numbered = next((name for name in ("index", "idx", "row", "row_id", "id") if any(name in file.fields for file in self.files)), None)
        ways = ["--join FIELD or FIELD_OF_THE_POOL=FIELD_OF_THE_FILE"]
        ways += [f"--join row={numbered} if {numbered} counts the pool's rows from 0"] if numbered else []
        ways += ["--join order if its rows stand in the order of the pool's"] if order else []
        return f"Say how with {'; '.join(ways)}."


def _share(value: float) -> str:
    """A share that is allowed if it is written, rounded up."""
    return f"{min(1.0, (int(value * 100) + 1) / 100):g}"


__all__ = ["Join", "Joined", "Joiner", "PoolRows"]
