"""Files into the rows of a pool: every row kept, dropped or quarantined."""

from __future__ import annotations

import itertools
import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.errors import EmptyFile, InstructselError, PoolError, UsageError
from instructsel.pool import one_object
from instructsel.pool.example import Conversation
from instructsel.pool.formats import _registry as registry
from instructsel.pool.formats import _rows as row_formats
from instructsel.pool.formats._base import Chain, Fields, Format, TableFormat
from instructsel.pool.formats._rows import RowReader
from instructsel.pool.formats._turns import with_roles
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.json_text import as_bytes
from instructsel.pool.lines import Limits, Row, RowDropped, RowFault
from instructsel.pool.sources import Source
from instructsel.pool.stretches import (
    DROP,
    UNWANTED,
    How,
    Read,
    RowColumns,
    Tally,
    native,
    raw_digest,
    read_beside,
    read_rows,
    readable,
)
from instructsel.read_report import REFUSED, ReadReport, role_fix
from instructsel.text import counted

Rows = Sequence[int] | NDArray[np.integer[Any]]


UNDESIRABLE: Final = (DROP, "keep")
"""What becomes of such a row."""
SAMPLE_BYTES: Final = 4 << 20
"""Of the rows that a file's format is told from; parsed, they take many times as much."""
FIXES: Final[Mapping[str, str]] = {
    "invalid_utf8": "Write it in UTF-8, e.g. of a file in Latin-1: iconv -f LATIN1 -t UTF-8 FILE > NEW; binary files are not read.",
    "line_too_long": "If the file is one object with all rows in it, write them as JSON lines; longer rows are read with Limits(max_line_bytes=…) from Python.",
    "lone_surrogate": "Write the text again from its source: half of a character was lost, as where a text was cut.",
    "not_finite": "Write null where there is no number (Python: json.dumps(row, allow_nan=False) finds the rows).",
}
"""Fault of all rows looked at → what mends the file."""
FAULTS: Final = (RowFault, RowDropped, UnicodeDecodeError, StopIteration, ValueError, IndexError)
"""What reading a row again raises where the file is another."""
COMPARED: Final = 64
"""Pairs of equal examples whose rows are compared."""
LEAST_TEXT: Final = 3
"""Words of a text that may be part of a conversation, and is no name."""
MOST_FILES: Final = 65_535
"""Files of a pool."""


@dataclass(frozen=True, eq=False)
class PoolFile:
    """A source, its format, and where its rows stand."""

    source: Source
    format: Format
    lines: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.uint32]
    digests: NDArray[np.uint64]
    """Of each row's bytes."""
    chains: tuple[Chain, ...] = ()
    """For a table format: the rows of each example."""
    several: Several = field(default_factory=lambda: Several())
    """Conversations of the last rows that hold several."""
    rows: RowReader | None = None
    """How its rows are read; None where by the format alone."""

    def row(self, number: int) -> Any:
        """A row's parsed value.

        Raises:
            PoolError: the file has changed since it was read.
        """
        return self.source.value_of(self.raw(number))

    def raw(self, number: int) -> bytes:
        """A row's bytes.

        Raises:
            PoolError: the file has changed since it was read.
        """
        raw = self.source.raw(int(self.offsets[number]), int(self.lengths[number]))
        if int.from_bytes(raw_digest(raw)) != int(self.digests[number]):
            raise PoolError(
                f"{self.source.name} has changed since it was read: line {int(self.lines[number]):,} holds another row.",
                fix="Run the command again.",
            )
        return raw

    def written(self, number: int) -> bytes:
        """A row's bytes as they are written to a file: those it has, but for what stands in rows from memory for dates and the like.

        Raises:
            UsageError: a row from memory holds bytes, which JSON has no form for.
        """
        raw = self.raw(number)
        if self.source.columns is not None:
            return as_bytes(self.source.plain(raw))
        return raw if self.source.marks is None else self.source.marks.line(raw, self.source.name)

    def plain(self, number: int) -> dict[str, Any]:
        """A row's fields as JSON can hold them; see `Source.plain`."""
        return self.source.plain(self.raw(number))

    def rows_of(self, number: int) -> tuple[int, ...]:
        """The rows an example stands in."""
        return self.chains[number].rows if self.chains else (number,)

    def conversation(self, number: int, part: int) -> Conversation:
        """An example: of a row's several the one numbered `part`, of a table format the chain `number`."""
        if isinstance(self.format, TableFormat):
            return self.format.joined([self.row(row) for row in self.chains[number].rows])
        conversations = self.several.get(number)
        if conversations is None:
            conversations = (self.rows or self.format).conversations(self.row(number))
            if len(conversations) > 1:
                self.several.put(number, conversations)
        return conversations[part]

    @property
    def content_fields(self) -> tuple[str, ...]:
        """The fields that its formats read, in order."""
        return self.format.fields if self.rows is None else self.rows.fields

    def fields_of(self, row: Fields) -> frozenset[str]:
        """The fields of one of its rows that are read."""
        return frozenset(self.format.fields) if self.rows is None else self.rows.fields_of(row)


@contextmanager
def unchanged(file: PoolFile) -> Iterator[None]:
    """A block that reads a file again: what had no fault has none unless the file is another."""
    try:
        yield
    except InstructselError:
        raise
    except FAULTS as error:
        raise changed(file) from error


def changed(file: PoolFile) -> PoolError:
    """The error of a file that is another than the one that was read."""
    return PoolError(f"{file.source.name} has changed since it was read.", fix="Run the command again.")


class Several:
    """The conversations of the last few rows that hold several: they are asked for one by one, and in the order of ids."""

    CONVERSATIONS: Final = 65_536
    CHARACTERS: Final = 96 << 20

    def __init__(self) -> None:
        self.rows: dict[int, tuple[list[Conversation], int]] = {}
        self.conversations: int = 0
        self.characters: int = 0

    def get(self, number: int) -> list[Conversation] | None:
        """Those of a row, if they are known."""
        entry = self.rows.get(number)
        return None if entry is None else entry[0]

    def put(self, number: int, conversations: list[Conversation]) -> None:
        """Those of a row; the rows that came first make room."""
        characters = sum(len(turn.text) for conversation in conversations for turn in conversation.messages)
        self.rows[number] = conversations, characters
        self.conversations += len(conversations)
        self.characters += characters
        while len(self.rows) > 1 and (self.conversations > self.CONVERSATIONS or self.characters > self.CHARACTERS):
            first, characters = self.rows.pop(next(iter(self.rows)))
            self.conversations -= len(first)
            self.characters -= characters


class PoolReader:
    """Reads files one after the other and sorts what it found by id at the end."""

    def __init__(
        self,
        limits: Limits,
        oasst: str,
        progress: ReadProgress | None = None,
        roles: Sequence[str] = (),
        undesirable: str = "drop",
        source_field: str | None = None,
    ) -> None:
        """Read within `limits`.

        Args:
            limits: how much is read.
            oasst: which paths of OpenAssistant trees become examples.
            progress: told of how many bytes are read.
            roles: further spellings of roles, SPELLING=ROLE.
            undesirable: whether rows marked as not wanted are dropped (drop) or read (keep).
            source_field: the field that is read as the source of a row, which is therefore not named as unread.

        Raises:
            UsageError: a role or a treatment that there is not.
        """
        if undesirable not in UNDESIRABLE:
            raise UsageError.named(undesirable, UNDESIRABLE, noun="treatment of unwanted rows")
        self.limits = limits
        self.oasst = oasst
        self.role_names: tuple[str, ...] = tuple(roles)
        self.roles = with_roles(roles) if roles else None
        self.undesirable = undesirable
        self.progress = progress
        self.source_fields: frozenset[str] = frozenset() if source_field is None else frozenset({source_field})
        self.report: ReadReport = ReadReport()
        self.files: list[PoolFile] = []
        self.columns: list[RowColumns] = []
        """Of each file, for the examples in it."""
        self.held: list[list[Conversation] | None] = []
        """Of each file its conversations, where they are held."""

    def add(self, source: Source, chosen: str | Format) -> None:
        """Read one file, or refuse it with its report."""
        try:
            self._add(source, chosen)
        except BaseException:
            # The error's traceback keeps the file alive, which nobody reads any more.
            source.file.close()
            raise

    def _add(self, source: Source, chosen: str | Format) -> None:
        if len(self.files) == MOST_FILES:
            raise UsageError(f"A pool has at most {MOST_FILES:,} files.", fix="Put several into one.")
        if self.progress is not None:
            self.progress.begin(source)
        rows = source.rows()
        noted = source.notes.copy()
        try:
            sample = _sample(rows)
            if not sample:
                raise EmptyFile(f"{source.name}: the file has no rows.", fix="Name a file with rows.")
            tally = Tally()
            everything = self._watched(source, itertools.chain(sample, rows))
            candidates: list[Format] = []
            if isinstance(chosen, str):
                candidates = registry.formats_of_rows(self.oasst)
                detected = registry.detect([value for _, value in sample], oasst=self.oasst)
                chosen_format, why = detected.format, detected.why
                if chosen_format is None:
                    why = _first_fault(source, sample) or ("" if detected.is_pairs else one_object.what_it_is(source, sample))
                    fix = one_object.fix_of(source, sample) or _fix_of(source, sample)
                    fix = fix or (one_object.FIX if why.startswith(one_object.ONE_OBJECT) else detected.fix)
                    self._refuse(source, everything, tally, why or detected.why, fix)
            else:
                chosen_format, why = chosen, "as --map says" if isinstance(chosen, Mapped) else "as --format says"
            assert chosen_format is not None
            reader = row_formats.reader(chosen_format, candidates, self.roles)
            how = How(reader, self.limits, self.undesirable)
            beside = None if isinstance(chosen_format, TableFormat) else read_beside(source, how)
            file: PoolFile | None = None
            if isinstance(chosen_format, TableFormat):
                read, file = self._linked(source, reader, chosen_format, everything)
            elif beside is not None:
                source.notes.clear()
                source.notes.update(noted)
                read = self._gathered(source, beside)
                source.notes.update(read.notes)
            else:
                read = read_rows(everything, source, how)
        except RowFault as fault:
            raise PoolError(f"{source.name}: {fault.detail}.", fix="Check the file's quoting.") from fault
        tally = read.tally
        reader.counts.update(read.counts)
        self._drop_unwanted(read)
        not_read = row_formats.note(reader.unread([value for _, value in sample], tally.marks.read | self.source_fields))
        why = _why(reader, sample, why)
        report = tally.report(source, "; ".join(part for part in (f"{_named(reader)}: {why}", not_read) if part))
        if not report.kept:
            worst = max({**report.dropped, **report.quarantined}.items(), key=lambda item: item[1], default=("no rows", 0))
            first = next(iter(tally.listed), None)
            where = f", line {first.line}: {first.reason} ({first.detail})" if first else f", line 1: {worst[0]}"
            raise PoolError(
                f"{source.name}{where}. None of its {counted(report.read, 'row')} is an example (read as {chosen_format.name}).",
                fix=one_object.fix_of(source, sample) or _fix(report, [value for _, value in sample if isinstance(value, Mapping)]),
                report=self.report + report,
            )
        if not tally.answered and not source.unanswered:
            raise PoolError(
                f"{source.name}, line 1: none of its {counted(report.read, 'row')} has an answer: every response is empty.",
                fix="A pool needs responses; if another field holds them, name it with --map instruction=FIELD,response=FIELD",
                report=self.report
                + replace(
                    report,
                    kept=0,
                    examples=0,
                    dropped={**report.dropped, "no_answer": report.dropped.get("no_answer", 0) + report.kept},
                ),
            )
        self.report += report
        self.files.append(file or _file(source, reader, read.columns))
        self.columns.append(read.columns)
        self.held.append(read.conversations)

    def _refuse(self, source: Source, rows: Iterable[tuple[Row, Any]], tally: Tally, why: str, fix: str) -> None:
        line = 1
        for row, _ in rows:
            if row.fault is not None:
                tally.quarantine(source.name, row, row.fault)
            else:
                line = line if tally.dropped else row.line
                tally.drop("refused")
        if source.header_raw and len(source.header) == 1 and "no known format" in why:
            fix = _by_delimiter(source)
        elif source.header_raw and "no known format" in why:
            fix += "; if the file has no header row, name its columns with --columns a,b,c as well."
        raise PoolError(f"{source.name}, line {line}: {why}.", fix=fix, report=self.report + tally.report(source, REFUSED + why))

    def _watched(self, source: Source, rows: Iterable[tuple[Row, Any]]) -> Iterator[tuple[Row, Any]]:
        """The rows, as many as there may be, and how far reading has come."""
        for count, entry in enumerate(rows):
            if not count % ReadProgress.ROWS:
                source.check_rows(count)
                if self.progress is not None:
                    self.progress.reach(entry[0].offset)
            yield entry

    def _gathered(self, source: Source, stretches: Iterable[Read]) -> Read:
        """What was read of a file, stretch by stretch."""
        read = Read()
        for stretch in stretches:
            read.add(stretch)
            source.check_rows(read.tally.rows)
            if self.progress is not None:
                self.progress.reach(read.end)
        return read

    def _linked(self, source: Source, reader: RowReader, chosen: TableFormat, rows: Iterable[tuple[Row, Any]]) -> tuple[Read, PoolFile]:
        """What was read of a file of turns, and the file."""
        read = Read()
        columns, tally = read.columns, read.tally
        chains, dropped, faults = chosen.link(value for _, value in readable(rows, read, source.name))
        short = [chain for chain in chains if sum(columns.lengths[row] for row in chain.rows) <= self.limits.max_line_bytes]
        if len(short) < len(chains):
            kept = {row for chain in short for row in chain.rows}
            fault = RowFault("line_too_long", f"a conversation of more than {self.limits.max_line_bytes:,} bytes")
            faults |= {row: fault for chain in chains for row in chain.rows if row not in kept}
        for number, fault in sorted(faults.items()):
            tally.quarantine(source.name, Row(columns.lines[number], columns.offsets[number], b"", 0), fault)
        for reason in dropped.values():
            tally.drop(reason)
        file = _file(source, reader, columns, tuple(short))
        for number, chain in enumerate(short):
            raw = b"\n".join(source.identity(file.raw(row)) for row in chain.rows)
            columns.keep(file.conversation(number, 0), raw_digest(raw), number, 0, tally)
        tally.kept += len({row for chain in short for row in chain.rows})
        return read, file

    @staticmethod
    def _drop_unwanted(read: Read) -> None:
        """Drop the rows of a file that a field says are not wanted, which only the whole file shows."""
        positions, rows = read.tally.marks.unwanted()
        if not positions:
            return
        read.tally.kept -= len(rows)
        read.tally.examples -= len(positions)
        read.tally.dropped[UNWANTED] += len(rows)
        read.columns.leave_out(positions)
        if read.conversations is not None:
            left_out = set(positions)
            read.conversations = [conversation for number, conversation in enumerate(read.conversations) if number not in left_out]

    def finish(self) -> dict[str, Any]:
        """The columns of the pool, in the order of ids."""
        if self.progress is not None:
            self.progress.end()
        digests = _joined([native(columns.ids) for columns in self.columns]).reshape(-1, 2)
        identities = self._identities()
        row_of = _joined([np.frombuffer(columns.row_of, dtype=np.uint32) for columns in self.columns])
        part_of = _joined([np.frombuffer(columns.part_of, dtype=np.uint16) for columns in self.columns])
        turns = _joined([np.frombuffer(columns.turns, dtype=np.uint16) for columns in self.columns])
        file_of = np.repeat(np.arange(len(self.columns), dtype=np.uint16), [len(columns.row_of) for columns in self.columns])
        self.columns = []
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        digests = digests[order]
        starts = np.flatnonzero(np.r_[True, (digests[1:] != digests[:-1]).any(axis=1)]) if len(order) else np.zeros(0, dtype=np.int64)
        occurrences = np.arange(len(order), dtype=np.int64) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        repeated = starts[np.diff(np.r_[starts, len(order)]) > 1].tolist()
        self._note_unread([(int(order[start]), int(order[start + 1])) for start in repeated[:COMPARED]], file_of, row_of)
        for start in repeated:
            end = start + 1
            while end < len(order) and (digests[end] == digests[start]).all():
                end += 1
            # Equal examples are told apart by what their rows hold, then by where they came from; never by arrival.
            ranked = sorted(order[start:end].tolist(), key=lambda i: self._tie(int(file_of[i]), int(row_of[i])))
            # Ids sort as text everywhere else, where ".10" stands before ".2".
            numbers = sorted(range(end - start), key=lambda n: f".{n}" if n else "")
            occurrences[start:end] = numbers
            order[start:end] = [ranked[n] for n in numbers]
        return {
            "files": tuple(self.files),
            "report": self.report,
            "digests": digests,
            "occurrences": occurrences.astype(np.uint32),
            "file_of": file_of[order],
            "row_of": row_of[order],
            "part_of": part_of[order],
            "identities": None if identities is None else identities[order],
            "turns": turns[order],
            "held": self._held(order),
        }

    def _identities(self) -> NDArray[np.uint64] | None:
        """The digest by which the rows of each example are known; None where every row is known by its own, which the files hold."""
        if not any(columns.identities for columns in self.columns):
            return None
        return _joined(
            [
                native(columns.identities) if columns.identities else file.digests[np.frombuffer(columns.row_of, dtype=np.uint32)]
                for file, columns in zip(self.files, self.columns, strict=True)
            ]
        )

    def _held(self, order: NDArray[np.int64]) -> tuple[Conversation, ...] | None:
        """The conversations in the order of ids; None unless those of every file are held."""
        held = [conversations for conversations in self.held if conversations is not None]
        is_whole = len(held) == len(self.held)
        self.held = []
        if not is_whole:
            return None
        listed = list(itertools.chain.from_iterable(held))
        return tuple(listed[number] for number in order.tolist())

    def _note_unread(self, pairs: Sequence[tuple[int, int]], file_of: Rows, row_of: Rows) -> None:
        """Note the texts in which rows of equal examples differ, and which nobody reads: one may belong to the conversation."""
        differ: Counter[str] = Counter()
        for pair in pairs:
            rows = [_texts_unread(self.files[int(file_of[i])], int(row_of[i])) for i in pair]
            names = rows[0].keys() | rows[1].keys()
            differ.update(name for name in names if rows[0].get(name) != rows[1].get(name))
        if differ:
            shown = ", ".join(f"{name} ({count})" for name, count in sorted(differ.items(), key=lambda item: (-item[1], item[0]))[:3])
            note = (
                f"equal examples whose rows differ in texts that are not read: {shown} of {counted(len(pairs), 'pair')} looked at; "
                "--map context=FIELD reads one"
            )
            self.report = replace(self.report, notes=(*self.report.notes, note))

    def _tie(self, number: int, row: int) -> tuple[bytes, str]:
        file = self.files[number]
        return b"\n".join(file.source.identity(file.raw(number)) for number in file.rows_of(row)), file.source.label


def _texts_unread(file: PoolFile, number: int) -> dict[str, str]:
    """The texts of a row that nobody reads: of a table of turns none."""
    row = {} if file.chains else file.row(number)
    texts = {name: value for name, value in row.items() if isinstance(value, str) and len(value.split(None, LEAST_TEXT)) >= LEAST_TEXT}
    return {name: texts[name] for name in texts.keys() - file.fields_of(row)} if texts else {}


def _named(reader: RowReader) -> str:
    """The format of a file, or its formats with the rows of each."""
    if len(reader.counts) < 2:
        return next(iter(reader.counts), reader.format.name)
    return ", ".join(f"{name} ({counted(count, 'row')})" for name, count in reader.counts.most_common())


def _fix(report: ReadReport, rows: Sequence[Fields]) -> str:
    """What to do about a file none of whose rows is an example."""
    if set(report.quarantined) == {"missing_field"} and (keys := registry.keys_of_turns(rows)):
        return keys
    if report.unknown_roles:
        return role_fix(report.unknown_roles)
    if report.dropped.get(UNWANTED) == report.read:
        return "Every row is marked as not wanted; to read them all the same, add --undesirable keep"
    return "Check --format, or name the fields with --map instruction=FIELD,response=FIELD"


class ReadProgress:
    """Tells how many bytes of all files are read, as they lie on disk: a compressed one by its share that is unpacked and read."""

    ROWS: Final = 1024
    """Rows between two calls."""

    def __init__(self, report: Callable[[int, int], None], sizes: Sequence[int]) -> None:
        """Tell `report` (bytes done, bytes in all); `sizes` are those of the files, 0 where it is not known."""
        self.report = report
        self.sizes: list[int] = list(sizes)
        self.number: int = -1
        self.unpacked: int = 1

    def begin(self, source: Source) -> None:
        """The next file."""
        self.number += 1
        self.unpacked = max(1, source.file.seek(0, 2))
        self.sizes[self.number] = self.sizes[self.number] or self.unpacked
        self.reach(0)

    def reach(self, offset: int) -> None:
        """Where in the unpacked file reading stands."""
        done = sum(self.sizes[: self.number]) + self.sizes[self.number] * offset // self.unpacked
        self.report(done, sum(self.sizes))

    def end(self) -> None:
        """Every file is read."""
        self.report(sum(self.sizes), sum(self.sizes))


def _file(source: Source, reader: RowReader, columns: RowColumns, chains: tuple[Chain, ...] = ()) -> PoolFile:
    """The file of these columns, which nothing is added to any more."""
    return PoolFile(
        source,
        reader.format,
        np.frombuffer(columns.lines, dtype=np.uint32),
        np.frombuffer(columns.offsets, dtype=np.int64),
        np.frombuffer(columns.lengths, dtype=np.uint32),
        native(columns.digests),
        chains,
        rows=reader,
    )


def _joined(columns: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _sample(rows: Iterator[tuple[Row, Any]]) -> list[tuple[Row, Any]]:
    """The rows that a format is told from: the first ones, a few in number and in bytes."""
    sample: list[tuple[Row, Any]] = []
    size = 0
    for row, value in rows:
        sample.append((row, value))
        size += row.length
        if len(sample) == registry.SAMPLE or size > SAMPLE_BYTES:
            break
    return sample


def _why(reader: RowReader, sample: Sequence[tuple[Row, Any]], why: str) -> str:
    """Why the rows of a file were read as they were, where that is the reason of the format of most of its rows."""
    if len(reader.counts) > 1:
        return "each row by its own format"
    other = next((form for form in reader.others if form.name in reader.counts), None)
    reasons = (other.fits(value) for _, value in sample if isinstance(value, Mapping)) if other is not None else iter(())
    return next((reason for reason in reasons if reason is not None), why)


def _first_fault(source: Source, sample: Sequence[tuple[Row, Any]]) -> str:
    """What is wrong with the first row of a file, where no row is an object."""
    if not sample or any(isinstance(value, dict) for _, value in sample) or sample[0][0].fault is None:
        return ""
    fault = sample[0][0].fault
    what = "no record has the fields of the header" if source.header else "no row is a JSON object"
    return f"{what}; the first is {fault.code} ({fault.detail})"


def _fix_of(source: Source, sample: Sequence[tuple[Row, Any]]) -> str:
    """What mends a file of which no row is an object, by the fault of its first row; "" where that says no more than the fault."""
    fault = sample[0][0].fault if sample and _first_fault(source, sample) else None
    if fault is not None and fault.code == "ragged_row":
        return _by_delimiter(source)
    return FIXES.get(fault.code, "") if fault is not None else ""


def _by_delimiter(source: Source) -> str:
    """How to read a table whose delimiter was not found: the first sign of its header that no name has."""
    likely = next((sign for sign in " ".join(source.header) if not (sign.isalnum() or sign in " _-.")), None)
    if likely is None:
        return "Name what stands between two fields with --delimiter, or the columns with --columns a,b,c"
    return f"If '{likely}' stands between two fields: --delimiter {shlex.quote(likely)}"
