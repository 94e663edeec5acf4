"""The rows of a file into examples, a stretch of it at a time: here, or in another process beside it, with the same result."""

from __future__ import annotations

import hashlib
import io
import pickle
import sys
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from instructsel.pool.example import Conversation
from instructsel.pool.formats._base import kind
from instructsel.pool.formats._marks import Marks
from instructsel.pool.formats._rows import RowReader
from instructsel.pool.formats._turns import UnknownRole
from instructsel.pool.lines import Limits, Row, RowDropped, RowFault, overlong
from instructsel.pool.message import ANSWERS
from instructsel.pool.sources import Source
from instructsel.processes import in_order
from instructsel.read_report import LISTED, Quarantined, ReadReport

DIGEST: Final = 16
"""Bytes of an id."""
DROP: Final = "drop"
UNWANTED: Final = "undesirable"
"""Why a row is dropped that a field says is not wanted."""
MOST_PARTS: Final = 65_535
"""Examples of a row, whatever the limits say."""
MOST_TURNS: Final = 65_535
"""Turns that are counted."""
LARGE: Final = 32 << 20
"""Bytes of a file from which on other processes read beside this one: before, their start costs more than they save."""
STRETCH: Final = 1 << 20
"""Bytes that are read at a time there."""
OURS: Final = "instructsel."
"""What the module of a format begins with that another process can import."""


def raw_digest(raw: bytes) -> bytes:
    """The digest of a row's bytes: blake2b, 8 bytes."""
    return hashlib.blake2b(raw, digest_size=8).digest()


def native(digests: bytearray) -> NDArray[np.uint64]:
    """Digests of 8 bytes as numbers, in the same memory: the bytes are no digests any more."""
    numbers = np.frombuffer(digests, dtype=np.uint64)
    return numbers.byteswap(inplace=True) if sys.byteorder == "little" else numbers


class Tally:
    """Counts the rows of one file."""

    def __init__(self) -> None:
        self.kept = self.examples = 0
        self.dropped: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()
        self.listed: list[Quarantined] = []
        self.answered = False
        self.passed_over = 0
        self.marks = Marks()
        self.with_reasoning = 0
        self.first_answers = 0
        self.roles: Counter[str] = Counter()

    def quarantine(self, name: str, row: Row, fault: RowFault) -> None:
        """Count a malformed row of the file of this name."""
        self.quarantined[fault.code] += 1
        self.passed_over += row.passed
        if isinstance(fault, UnknownRole):
            self.roles.update(fault.roles)
        if len(self.listed) < LISTED:
            self.listed.append(Quarantined(name, row.line, row.offset, fault.code, fault.detail))

    @property
    def rows(self) -> int:
        """Rows that were read."""
        return self.kept + self.dropped.total() + self.quarantined.total()

    def drop(self, reason: str) -> None:
        """Count a row that is no example."""
        self.dropped[reason] += 1

    def add(self, other: Tally, rows: int, examples: int) -> None:
        """Count those of the next rows, before which there are so many rows and examples."""
        self.kept += other.kept
        self.examples += other.examples
        self.dropped += other.dropped
        self.quarantined += other.quarantined
        self.listed += other.listed[: LISTED - len(self.listed)]
        self.answered = self.answered or other.answered
        self.passed_over += other.passed_over
        self.marks.add(other.marks, rows, examples)
        self.with_reasoning += other.with_reasoning
        self.first_answers += other.first_answers
        self.roles += other.roles

    def report(self, source: Source, why: str) -> ReadReport:
        """The account of the file."""
        return ReadReport(
            read=self.rows,
            kept=self.kept,
            examples=self.examples,
            dropped=dict(sorted(self.dropped.items())),
            quarantined=dict(sorted(self.quarantined.items())),
            quarantine=tuple(sorted(self.listed, key=lambda entry: entry.offset)),
            formats={source.name: "; ".join([why, *map(_note, sorted(source.notes.items()))])},
            size=source.file.seek(0, 2),
            passed_over=self.passed_over,
            with_reasoning=self.with_reasoning,
            first_answers=self.first_answers,
            unknown_roles=dict(self.roles.most_common()),
        )


def _note(note: tuple[str, int]) -> str:
    what, count = note
    return what if count == 1 else f"{what} ({count:,} times)"


class RowColumns:
    """Where the readable rows of a file stand, and the examples in them: some seventy bytes a row."""

    def __init__(self) -> None:
        self.lines: array[int] = array("I")
        self.offsets: array[int] = array("q")
        self.lengths: array[int] = array("I")
        self.digests: bytearray = bytearray()
        """Of each row's bytes."""
        self.ids: bytearray = bytearray()
        """The digest of each example."""
        self.identities: bytearray = bytearray()
        """For each example, the digest of the bytes by which its rows are known; empty where these are the row's own."""
        self.row_of: array[int] = array("I")
        self.part_of: array[int] = array("H")
        self.turns: array[int] = array("H")

    def place(self, row: Row) -> None:
        """The next readable row."""
        self.lines.append(row.line)
        self.offsets.append(row.offset)
        self.lengths.append(row.length)
        self.digests += raw_digest(row.raw)

    def keep(self, conversation: Conversation, identity: bytes | None, row: int, part: int, tally: Tally) -> None:
        """The next example.

        Args:
            conversation: the example.
            identity: the digest of the bytes by which its row is known; None where these are its own.
            row: the number of its row.
            part: its own number among the examples of the row.
            tally: counts it.
        """
        turns = conversation.messages
        self.ids += hashlib.blake2b(conversation.canonical(), digest_size=DIGEST).digest()
        if identity is not None:
            self.identities += identity
        self.row_of.append(row)
        self.part_of.append(part)
        self.turns.append(min(len(turns), MOST_TURNS))
        tally.examples += 1
        for turn in turns:
            if turn.reasoning is not None:
                tally.with_reasoning += 1
                break
        if turns[0].role in ANSWERS:
            tally.first_answers += turns[0].is_trained and sum(turn.is_trained for turn in turns) == 1
        tally.answered = tally.answered or any(not turn.is_empty for turn in turns if turn.role in ANSWERS)

    def add(self, other: RowColumns) -> None:
        """The next rows, and their examples."""
        before = len(self.lines)
        for name in ("lines", "offsets", "lengths", "digests", "ids", "identities", "part_of", "turns"):
            mine = getattr(self, name)
            mine += getattr(other, name)
        self.row_of.frombytes((np.frombuffer(other.row_of, dtype=np.uint32) + np.uint32(before)).tobytes())

    def leave_out(self, positions: Iterable[int]) -> None:
        """Without the examples at these positions; their rows stay."""
        keep = np.ones(len(self.row_of), dtype=bool)
        keep[list(positions)] = False
        for name in ("row_of", "part_of", "turns"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, np.frombuffer(column, dtype=column.typecode)[keep].tobytes()))
        for name, width in (("ids", DIGEST), ("identities", 8)):
            if column := getattr(self, name):
                setattr(self, name, bytearray(np.frombuffer(column, dtype=f"V{width}")[keep].tobytes()))


@dataclass(frozen=True)
class How:
    """How the rows of a file are read."""

    reader: RowReader
    limits: Limits
    undesirable: str
    """Whether rows marked as not wanted are dropped (drop) or read (keep)."""


@dataclass
class Read:
    """What was read of a file."""

    columns: RowColumns = field(default_factory=RowColumns)
    tally: Tally = field(default_factory=Tally)
    counts: Counter[str] = field(default_factory=Counter)
    """Format → rows that were read in it."""
    notes: Counter[str] = field(default_factory=Counter)
    """What was read in spite of a small fault."""
    conversations: list[Conversation] | None = None
    """Of each example, where the source holds them."""
    end: int = 0
    """The offset behind the rows."""

    def add(self, other: Read) -> None:
        """What was read of the rows that follow."""
        self.tally.add(other.tally, len(self.columns.lines), len(self.columns.row_of))
        self.columns.add(other.columns)
        self.counts += other.counts
        self.notes += other.notes
        self.end = other.end


def readable(rows: Iterable[tuple[Row, Any]], read: Read, name: str) -> Iterator[tuple[Row, dict[str, Any]]]:
    """The rows that are objects, each with its place noted; the others are quarantined under the name of the file."""
    columns, tally = read.columns, read.tally
    for row, value in rows:
        if row.fault is None and not isinstance(value, dict):
            row.fault = RowFault("not_an_object", f"the row is {kind(value)}")
        if row.fault is not None:
            tally.quarantine(name, row, row.fault)
            continue
        columns.place(row)
        yield row, value


def read_rows(rows: Iterable[tuple[Row, Any]], source: Source, how: How) -> Read:
    """The examples of rows that stand for themselves."""
    read = Read(conversations=[] if source.held else None)
    columns, tally = read.columns, read.tally
    marks = tally.marks if how.undesirable == DROP else None
    for number, (row, value) in enumerate(readable(rows, read, source.name)):
        if marks is not None and marks.is_unwanted(value):
            tally.drop(UNWANTED)
            continue
        try:
            form, conversations = how.reader.read(value)
            _check_size(conversations, row, how.limits)
        except RowFault as fault:
            tally.quarantine(source.name, row, fault)
            continue
        except RowDropped as dropped:
            tally.drop(dropped.reason)
            continue
        tally.kept += 1
        read.counts[form.name] += 1
        if marks is not None:
            marks.note(value, conversations, number, range(len(columns.row_of), len(columns.row_of) + len(conversations)))
        identity = None if source.marks is None else raw_digest(source.identity(row.raw))
        for part, conversation in enumerate(conversations):
            columns.keep(conversation, identity, number, part, tally)
        if read.conversations is not None:
            read.conversations += conversations
    return read


def _check_size(conversations: Sequence[Conversation], row: Row, limits: Limits) -> None:
    """Refuse a row that would take memory and time out of all proportion."""
    count = len(conversations)
    turns = len(conversations[0].messages) if count == 1 else max((len(conversation.messages) for conversation in conversations), default=0)
    if turns > limits.max_turns:
        raise RowFault("too_many_turns", f"{turns:,} turns, the limit is {limits.max_turns:,}")
    most = min(limits.max_examples, MOST_PARTS)
    if count > most:
        raise RowFault("too_many_examples", f"{count:,} examples, the limit is {most:,}")
    if count > 1 and count * row.length > limits.max_read_again:
        raise RowFault("too_many_examples", f"{count:,} examples in a row of {row.length:,} bytes")


@dataclass(frozen=True)
class Stretch:
    """Lines of a file that follow each other."""

    data: bytes
    offset: int
    line: int
    """Lines before it."""
    overlong: int = 0
    """The size of a line that is too long to be read; `data` is empty then."""


def stretches(file: BinaryIO, limits: Limits) -> Iterator[Stretch]:
    """A file of lines in stretches of whole lines; of one too long only its size."""
    file.seek(0)
    offset = line = 0
    while data := file.read(STRETCH):
        end = data.rfind(b"\n") + 1
        if end and end < len(data):
            file.seek(end - len(data), io.SEEK_CUR)
            data = data[:end]
        elif not end:
            if (more := limits.max_line_bytes + 2 - len(data)) > 0:
                data += file.readline(more)
            if size := overlong(data, file, limits):
                yield Stretch(b"", offset, line, size)
                offset, line = offset + size, line + 1
                continue
        yield Stretch(data, offset, line)
        offset += len(data)
        line += data.count(b"\n")


def read_stretch(work: tuple[Source, How, Stretch]) -> Read:
    """What a stretch of a file holds: read here or in another process."""
    source, how, stretch = work
    source = source.with_bytes(stretch.data, (stretch.offset, stretch.line))
    rows = source.rows() if not stretch.overlong else iter([(_too_long(stretch, how.limits), None)])
    read = read_rows(rows, source, how)
    read.notes = source.notes
    read.end = stretch.offset + (stretch.overlong or len(stretch.data))
    return read


def _too_long(stretch: Stretch, limits: Limits) -> Row:
    return Row.too_long(stretch.line + 1, stretch.offset, stretch.overlong, limits)


def _size(file: BinaryIO) -> int:
    """Of a file that is read further on where it stands."""
    place = file.tell()
    size = file.seek(0, io.SEEK_END)
    file.seek(place)
    return size


def can_be_sent(reader: RowReader) -> bool:
    """Whether another process can read rows with it: every format is one of this package, with nothing in it that cannot be sent."""
    if not all(type(form).__module__.startswith(OURS) for form in (reader.format, *reader.others)):
        return False
    try:
        pickle.dumps(reader)
    except (pickle.PicklingError, TypeError, AttributeError):
        return False
    return True


def read_beside(source: Source, how: How) -> Iterator[Read] | None:
    """What a large file of lines holds, stretch by stretch, with other processes at work; None for a file that is read by this one alone."""
    by_lines = source.columns is not None or (source.container == "lines" and not source.spread and source.through is None)
    if not by_lines or source.passes is not None or _size(source.file) < LARGE or not can_be_sent(how.reader):
        return None
    sent = source.with_bytes(b"")
    return in_order(read_stretch, ((sent, how, stretch) for stretch in stretches(source.file, how.limits)), alone=0)


__all__ = [
    "DIGEST",
    "DROP",
    "UNWANTED",
    "How",
    "Read",
    "RowColumns",
    "Stretch",
    "Tally",
    "can_be_sent",
    "native",
    "raw_digest",
    "read_beside",
    "read_rows",
    "read_stretch",
    "readable",
    "stretches",
]
