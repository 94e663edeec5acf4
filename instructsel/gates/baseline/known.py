"""Reading a change: rows that stand in the baseline already, in the same file, are passed over and counted.

A row is unchanged where its file, by name, has the very bytes of it in the baseline, as many times. The same row in another file is a copy of it, and
is looked at: that is what checks for duplicates are for.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EmptyFile, NoSourceField, PoolError
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.baseline.identities import WIDTH, Digests, Identities, file_digest, relative, row_digest
from instructsel.gates.unread import Refused, UnreadFile
from instructsel.pool.lines import Limits, Row, read_lines
from instructsel.pool.naming import expanded
from instructsel.pool.sources import Source, open_source
from instructsel.pool.spec import PoolSpec, Reading
from instructsel.read_report import ReadReport
from instructsel.text import counted

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool

STAYS: Final = 0.5
"""Where a file of the change has fewer of the rows that the baseline has under its name, it is no newer version of that file."""


@dataclass(frozen=True)
class KnownFile:
    """A file of the change that the baseline knows."""

    name: str
    """In the change."""
    number: int
    """In the baseline."""
    rows: int
    """Of the change's file that the baseline has."""
    present: bytes = field(default=b"", repr=False)
    """The digests of those rows, one behind the other; of an unchanged file none."""
    unchanged: bool = False


@dataclass(frozen=True)
class Known:
    """What of a change is in the baseline already."""

    files: tuple[KnownFile, ...] = ()
    excluded: int = 0
    """Rows that reading counted, and that are no rows of the change."""
    places: frozenset[tuple[str, int]] = field(default=frozenset(), repr=False)
    """Those rows, as the file's name and where they begin in it."""

    @property
    def rows(self) -> int:
        """Of all files."""
        return sum(file.rows for file in self.files)

    def statement(self, identities: Identities) -> str:
        """In a sentence; "" where there are none.

        Where a file is known under another name, both are named.
        """
        if not self.rows:
            return ""
        others = [
            f"{relative(file.name)} as {identities.files[file.number].name}"
            for file in self.files
            if file.rows and relative(file.name) != identities.files[file.number].name
        ]
        named = f" ({', '.join(others[:3])})" if others else ""
        return f"{counted(self.rows, 'row')} {'are' if self.rows > 1 else 'is'} in the baseline already{named}."


class KnownRows:
    """Passes rows over that the baseline has in the same file, before they are parsed."""

    def __init__(self, identities: Identities, paths: Sequence[str]) -> None:
        self.identities = identities
        self.entries = {entry.name: entry.path for path in paths for entry in expanded(path).entries}
        self.numbers = identities.files_called(list(self.entries))
        self.files: dict[str, KnownFile] = {}

    def __call__(self, source: Source) -> Source:
        """The source, of whose lines those that are known are passed over."""
        number = self.numbers.get(source.name)
        by_lines = source.container == "lines" and not source.spread and source.columns is None
        if number is None or not by_lines or not self.identities.files[number].by_line:
            return source
        if not self.identities.is_likely(source.name, number) and not self._holds_most(source.name, number):
            return source
        return replace(source, through=lambda rows: self._through(source.name, number, rows))

    def _holds_most(self, name: str, number: int) -> bool:
        """Whether a file has most of the rows of the baseline's: with no more than the name in common, it may be another one with copies of a few."""
        left = self._left(number)
        total = left.total()
        with open_source(self.entries[name], Limits()).file as file:
            for row in read_lines(file, Limits()):
                if row.fault is None:
                    left[row_digest(row.raw)] -= 1
        return total - sum(count for count in left.values() if count > 0) >= STAYS * total

    def _through(self, name: str, number: int, rows: Iterator[Row]) -> Iterator[Row]:
        left = self._left(number)
        passed = bytearray()
        try:
            for row in rows:
                if row.fault is None:
                    digest = row_digest(row.raw)
                    count = left.get(digest)
                    if count:
                        left[digest] = count - 1
                        passed += digest
                        continue
                yield row
        finally:
            self.files[name] = KnownFile(name, number, len(passed) // WIDTH, bytes(passed))

    def _left(self, number: int) -> Counter[bytes]:
        identities = self.identities
        begin, end = np.searchsorted(identities.row_file, [number, number + 1])
        return Counter(_digests(identities.row_raw[begin:end]))

    def knows(self, name: str) -> bool:
        """Whether rows of a file were passed over."""
        return name in self.files and self.files[name].rows > 0

    @property
    def known(self) -> Known:
        """What was passed over."""
        return Known(tuple(self.files.values()))


def read_new(
    paths: Sequence[str],
    baseline: Baseline,
    reading: Reading | None = None,
    *,
    message: Callable[[str], None] | None = None,
    progress: Callable[[int, int], None] | None = None,
    only: Callable[[Source], Source] | None = None,
    unread: list[UnreadFile] | None = None,
) -> tuple[Pool, Known]:
    """The rows of some files that the baseline does not have in the same file, as a pool, and what was passed over.

    Args:
        paths: files or folders, as Pool.read takes them.
        baseline: what the rows want to join.
        reading: how they are read where it says something; else as the baseline's pool.
        message: gets lines on the files.
        progress: called with how many bytes of how many are read.
        only: what opened files go through first, as where git says which rows are new.
        unread: gets the files that cannot be read as a pool, where the others are to be read all the same.

    Raises:
        PoolError: a file cannot be read as a pool; with `unread`, none can.
    """
    options = baseline.reading if reading is None else reading.over(baseline.reading)
    try:
        return _read_new(paths, baseline, options, message=message, progress=progress, only=only, unread=unread)
    except NoSourceField:
        if reading is not None and reading.source_field is not None:
            raise
        # The field is that of the baseline's rows; the new ones need not have it, and nobody asked for it.
        without_field = replace(options, source_field=None)
        return _read_new(paths, baseline, without_field, message=message, progress=progress, only=only, unread=unread)


def _read_new(
    paths: Sequence[str],
    baseline: Baseline,
    options: Reading,
    *,
    message: Callable[[str], None] | None,
    progress: Callable[[int, int], None] | None,
    only: Callable[[Source], Source] | None,
    unread: list[UnreadFile] | None,
) -> tuple[Pool, Known]:
    """What `read_new` gives, with all options settled."""
    identities = baseline.identities
    unchanged = _unchanged(paths, identities)
    if unchanged is not None:
        return nothing(paths, options), Known(unchanged)
    through = KnownRows(identities, paths)
    try:
        pool: Pool | None = options.read(
            paths,
            message=message,
            progress=progress,
            through=through if only is None else lambda source: through(only(source)),
            refused=_kept(unread),
        )
    except EmptyFile:
        if not through.known.rows:
            raise
        return nothing(paths, options), through.known
    except PoolError:
        if not through.known.rows:
            raise
        pool = None
    if pool is None or any(through.knows(file.name) for file in unread or ()):
        # The new rows alone make no pool, as where the only one is broken: what is wrong with them is found among the others.
        return without_known(options.read(paths, message=None, progress=progress, through=only, refused=_kept(unread)), baseline)
    new_rows, more = without_known(pool, baseline, besides={file.number for file in through.known.files})
    return new_rows, replace(more, files=through.known.files + more.files)


def _kept(unread: list[UnreadFile] | None) -> Refused | None:
    """What keeps the files that this reading refuses, and not those of an earlier try."""
    if unread is None:
        return None
    unread.clear()
    return lambda *refused: unread.append(UnreadFile(*refused))


def without_known(pool: Pool, baseline: Baseline, besides: set[int] | None = None) -> tuple[Pool, Known]:
    """A pool without the examples that the baseline has in the same file, and what was taken out.

    Args:
        pool: what was read.
        baseline: what the rows want to join.
        besides: numbers of files of the baseline that are not looked at.
    """
    identities = baseline.identities
    called = identities.files_called([file.source.name for file in pool.files])
    matched = {number: called.get(file.source.name) for number, file in enumerate(pool.files)}
    if all(code is None or code in (besides or ()) for code in matched.values()):
        return pool, Known()
    identities_here, index = Identities.of(pool)
    stays = np.ones(len(pool), dtype=bool)
    files: list[KnownFile] = []
    rows: set[tuple[int, int]] = set()
    for number, code in matched.items():
        if code is None or code in (besides or ()):
            continue
        theirs = np.flatnonzero(identities.file == code)
        left = Counter(zip(_keys(identities, theirs), identities.part[theirs].tolist(), strict=True))
        present = np.flatnonzero(pool.file_of[index] == number)
        if not identities.is_likely(pool.files[number].source.name, code):
            own_rows = Counter(zip(_keys(identities_here, present), identities_here.part[present].tolist(), strict=True))
            if (left & own_rows).total() < STAYS * left.total():
                continue
        passed, n_staying = _staying(pool, number, left)
        for key, part, place in zip(_keys(identities_here, present), identities_here.part[present].tolist(), present.tolist(), strict=True):
            if left[key, part]:
                left[key, part] -= 1
                stays[index[place]] = False
                passed += key
                rows.update((number, row) for row in pool.files[number].rows_of(int(pool.row_of[index[place]])))
        rows |= {(number, row) for row in _known_without_example(pool, number, identities, code)}
        n_known = n_staying + sum(file == number for file, _ in rows)
        files.append(KnownFile(pool.files[number].source.name, code, n_known, bytes(passed)))
    staying = pool.at(np.flatnonzero(stays))
    places = frozenset((pool.files[number].source.name, int(pool.files[number].offsets[row])) for number, row in rows)
    return staying, Known(tuple(files), len(rows), places)


def _known_without_example(pool: Pool, number: int, identities: Identities, code: int) -> Iterator[int]:
    """The rows of a file that are no example, and that the baseline's file has as well: they were so before."""
    file = pool.files[number]
    if not (pool.report.n_dropped or pool.report.n_quarantined):
        return
    with_example = {row for of_file, row in pool.rows_of(np.flatnonzero(pool.file_of == number)) if of_file == number}
    begin, end = np.searchsorted(identities.row_file, [code, code + 1])
    left = Counter(_digests(identities.row_raw[begin:end]))
    for row in range(len(file.lines)):
        if row not in with_example:
            digest = row_digest(file.source.identity(file.raw(row)))
            if left[digest]:
                left[digest] -= 1
                yield row


def _staying(pool: Pool, number: int, left: Counter[tuple[bytes, int]]) -> tuple[bytearray, int]:
    """The digests of the examples that stand beside the new rows of a file, and of how many rows they are; they are taken out of `left`.

    Of a file whose new rows alone were read: of two equal rows, the one that stays is the baseline's, and the new one a copy of it.
    """
    passed = bytearray()
    passes = pool.files[number].source.passes
    if passes is None:
        return passed, 0
    with suppress(PoolError):
        entire = pool.spec.reading.read([pool.files[number].source.name], through=lambda source: replace(source, unanswered=True))
        file = entire.files[0]
        identities_here, index = Identities.of(entire)
        rows: set[int] = set()
        for key, part, row in zip(
            _keys(identities_here, np.arange(len(identities_here))),
            identities_here.part.tolist(),
            entire.row_of[index].tolist(),
            strict=True,
        ):
            is_new = all(passes(Row(int(file.lines[place]), int(file.offsets[place]), b"", 0)) for place in file.rows_of(row))
            if not is_new and left[key, part]:
                left[key, part] -= 1
                passed += key
                rows.update(file.rows_of(row))
        return passed, len(rows)
    return passed, 0


def _keys(identities: Identities, positions: NDArray[np.int64]) -> list[bytes]:
    return _digests(identities.raw[positions])


def _digests(halves: Digests) -> list[bytes]:
    joined = halves.astype(">u8").tobytes()
    return [joined[offset : offset + WIDTH] for offset in range(0, len(joined), WIDTH)]


def _unchanged(paths: Sequence[str], identities: Identities) -> tuple[KnownFile, ...] | None:
    """The files, where every one has the bytes that the baseline's has; None where one does not."""
    files = []
    entries = [entry for path in paths for entry in expanded(path).entries]
    called = identities.files_called([entry.name for entry in entries])
    for entry in entries:
        number = called.get(entry.name)
        if number is None or identities.files[number].digest is None or file_digest(entry.path) != identities.files[number].digest:
            return None
        begin, end = np.searchsorted(identities.row_file, [number, number + 1])
        files.append(KnownFile(entry.name, number, int(end - begin), unchanged=True))
    return tuple(files)


def nothing(paths: Sequence[str], reading: Reading) -> Pool:
    """A pool without an example."""
    from instructsel.pool.pool import Pool

    def column(kind: str, *shape: int) -> NDArray[Any]:
        return np.zeros((0, *shape), dtype=kind)

    return Pool(
        files=(),
        report=ReadReport(),
        digests=column("u8", 2),
        occurrences=column("u4"),
        file_of=column("u2"),
        row_of=column("u4"),
        part_of=column("u2"),
        identities=None,
        turns=column("u2"),
        spec=PoolSpec(tuple(paths), reading, part=True),
    )


def gone(identities: Identities, known: Known) -> NDArray[np.bool_]:
    """(n,), the examples of the baseline whose row is no longer in its file, which the change has in a newer version.

    An edited row is no near-duplicate of what it was before. Where a file has fewer than half of the rows that the baseline has under its name, it
    may be another file of that name, and nothing of it is gone.
    """
    mask = np.zeros(len(identities), dtype=bool)
    for file in known.files:
        theirs = np.flatnonzero(identities.file == file.number)
        if file.unchanged or not len(theirs):
            continue
        present = {file.present[offset : offset + WIDTH] for offset in range(0, len(file.present), WIDTH)}
        absent = np.array([key not in present for key in _keys(identities, theirs)], dtype=bool)
        if absent.mean() <= STAYS:
            mask[theirs[absent]] = True
    return mask


__all__ = ["Known", "KnownFile", "KnownRows", "gone", "nothing", "read_new", "without_known"]
