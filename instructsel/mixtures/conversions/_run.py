"""Files of an original through a conversion: every row kept, dropped or quarantined; the lines in the order of their ids."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import atomic_write
from instructsel.errors import PoolError, UsageError
from instructsel.mixtures.conversions._base import Conversion, Converted, InputRow, digest
from instructsel.mixtures.conversions._registry import make
from instructsel.pool.lines import Limits, Row, RowDropped, RowFault
from instructsel.pool.naming import check_once, expanded, labels_of
from instructsel.pool.sources import Source, open_source
from instructsel.pool.stretches import Read, Tally, readable
from instructsel.read_report import ReadReport
from instructsel.text import counted

LIMITS: Final = Limits(max_line_bytes=64 << 20)
"""A task of SuperNI has up to some tens of megabytes."""
NOT_SAMPLED: Final = "not_sampled"


class Group(NamedTuple):
    """A group of rows of which a sample is taken."""

    rows: int
    """That there are."""
    quota: int
    """That may be taken."""
    taken: int
    """The smaller of both."""


@dataclass(frozen=True, slots=True)
class _Line:
    """A line of the output that is not in its place yet."""

    id: str
    content: bytes
    """A digest of the turns: the order of lines of one id."""
    offset: int
    length: int


@dataclass
class Result:
    """The conversations of files."""

    conversion: Conversion
    """How they were made."""
    report: ReadReport
    """read = kept + dropped + quarantined, in rows of the files; examples are the conversations."""
    parts: dict[str, int]
    """What became of parts of rows: instances, pieces, messages."""
    groups: dict[str, Group]
    """Of a sample, its groups: those without a row as well."""
    _turns: BinaryIO = field(repr=False)
    _lines: list[_Line] = field(repr=False)

    @property
    def key(self) -> str:
        """The dataset's."""
        return self.conversion.name

    def __len__(self) -> int:
        return len(self._lines)

    def lines(self) -> Iterator[bytes]:
        """One JSON object a conversation, each with a line feed; the same for the same rows, whatever their order and that of the files."""
        earlier = ""
        count = 0
        for line in self._lines:
            count = count + 1 if line.id == earlier else 0
            earlier = line.id
            name = f"{self.key}_{line.id}" + (f".{count}" if count else "")
            self._turns.seek(line.offset)
            head = orjson.dumps({"dataset": self.key, "id": name})
            yield b"".join([head[:-1], b',"messages":', self._turns.read(line.length), b"}\n"])

    def rows(self) -> Iterator[dict[str, Any]]:
        """The same as plain data: `dataset`, `id` and `messages`."""
        return map(orjson.loads, self.lines())

    @property
    def digest(self) -> str:
        """SHA-256 of the lines, in hexadecimal."""
        sha = hashlib.sha256()
        for line in self.lines():
            sha.update(line)
        return sha.hexdigest()

    def write(self, path: str | Path) -> str:
        """Write the lines to a file, which appears when they are all there.

        Returns:
            SHA-256 of the file, in hexadecimal.

        Raises:
            EnvironmentFault: it cannot be written.
        """
        sha = hashlib.sha256()
        with atomic_write(path) as file:
            for line in self.lines():
                file.write(line)
                sha.update(line)
        return sha.hexdigest()

    def sentence(self) -> str:
        """The account in a sentence."""
        return self.report.sentence()


def convert(
    conversion: str | Conversion,
    files: Sequence[str | Path],
    *,
    columns: Sequence[str] | None = None,
    delimiter: str | None = None,
    limits: Limits = LIMITS,
    **settings: Any,
) -> Result:
    """The conversations of the files of an original.

    Args:
        conversion: the key of a dataset, or a conversion with its settings.
        files: files, folders, or hf://OWNER/NAME, as pools are named.
        columns: the names of columns of a CSV or TSV file without a header.
        delimiter: between two fields of one; told from the file by default.
        limits: how much of a file is read before it is refused.
        settings: fields of the conversion, where its key is named.

    Raises:
        UsageError: no such conversion or setting; a file that is named twice, or is none that is sampled.
        PoolError: a file cannot be read, or no row of it becomes a conversation.
    """
    if isinstance(conversion, str):
        conversion = make(conversion, **settings)
    elif settings:
        raise UsageError("Settings go with the key of a dataset; a conversion has its own.", fix="Leave them out.")
    named = [expanded(file) for file in files]
    entries = [entry for name in named for entry in name.entries]
    if not entries:
        raise UsageError("No file is named.", fix="Name the files of the original.")
    check_once(entries)
    with contextlib.ExitStack() as stack:
        sources: list[Source] = []
        for entry, label in zip(entries, labels_of(entries), strict=True):
            source = open_source(
                entry.path, limits, columns=None if columns is None else tuple(columns), delimiter=delimiter, name=entry.name, label=label
            )
            stack.callback(source.file.close)
            sources.append(source)
        return _Run(conversion).result(sources)


class _Run:
    """Rows on their way through a conversion."""

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.turns: BinaryIO = tempfile.TemporaryFile()  # noqa: SIM115
        self.size = 0
        self.lines: list[_Line] = []
        self.parts: Counter[str] = Counter()
        self.alike: Counter[bytes] = Counter()

    def result(self, sources: Sequence[Source]) -> Result:
        """The conversations of the files."""
        sample = _Sample(self.conversion)
        sample.read(sources)
        chosen = sample.chosen()
        report = ReadReport()
        before = 0
        for source in sources:
            tally = Tally()
            read = Read(tally=tally)
            for number, (row, value) in enumerate(readable(source.rows(), read, source.name), before):
                self._row(row, InputRow(value, source.label), source.name, tally, chosen is None or bool(chosen[number]))
            before += len(read.columns.lines)
            report += tally.report(source, f"the original of {self.conversion.name}")
        if not report.kept:
            raise PoolError(_nothing(report, self.conversion.name), fix=_FIX.format(key=self.conversion.name), report=report)
        self.lines.sort(key=lambda line: (line.id, line.content))
        return Result(self.conversion, report, dict(sorted(self.parts.items())), sample.groups, self.turns, self.lines)

    def _row(self, row: Row, record: InputRow, file: str, tally: Tally, is_chosen: bool) -> None:
        try:
            content = self.conversion.content(record)
            if not is_chosen:
                raise RowDropped(NOT_SAMPLED)
            outcome = self.conversion.convert(record, self.alike[content])
        except RowFault as fault:
            tally.quarantine(file, row, fault)
            return
        except RowDropped as dropped:
            tally.drop(dropped.reason)
            return
        self.alike[content] += 1
        self.parts += outcome.parts
        tally.kept += 1
        tally.examples += len(outcome.conversations)
        for conversation in outcome.conversations:
            self._keep(conversation)

    def _keep(self, conversation: Converted) -> None:
        turns = [{"role": turn.role, "content": turn.content} for turn in conversation.messages]
        data = orjson.dumps(turns)
        self.turns.write(data)
        self.lines.append(_Line(conversation.id, digest(turns), self.size, len(data)))
        self.size += len(data)


class _Sample:
    """Which rows are taken of groups that are larger than their quotas: those of the smallest digests, keyed by the seed."""

    def __init__(self, conversion: Conversion) -> None:
        self.conversion = conversion
        self.group_of: dict[str, int] = {}
        self.digests = array("Q")
        self.numbers = array("H")
        self.groups: dict[str, Group] = {}

    def read(self, sources: Sequence[Source]) -> None:
        """Note the content of each row that is sampled; nothing where the conversion samples none."""
        if type(self.conversion).group is Conversion.group:
            return
        for source in sources:
            for _, value in readable(source.rows(), Read(), source.name):
                row = InputRow(value, source.label)
                group = self.conversion.group(row)
                if group is None:
                    return
                try:
                    content = self.conversion.draw("row", self.conversion.content(row))
                except RowFault:
                    # Of a group of its own: it is quarantined when it is converted.
                    group, content = "", 0
                self.digests.append(content)
                self.numbers.append(self.group_of.setdefault(group, len(self.group_of)))

    def chosen(self) -> NDArray[np.bool_] | None:
        """Of each row, whether it is taken; None where all are."""
        if not self.group_of:
            return None
        numbers = np.frombuffer(self.numbers, dtype=np.uint16)
        ranks = self._ranks(np.frombuffer(self.digests, dtype=np.uint64))
        sizes = {group: int((numbers == number).sum()) for group, number in self.group_of.items() if group}
        quotas = self.conversion.quotas(sizes)
        chosen = np.ones(len(numbers), dtype=bool)
        for group, size in sorted(sizes.items()):
            quota = quotas.get(group, size)
            places = np.flatnonzero(numbers == self.group_of[group])
            if quota < size:
                chosen[places[np.argsort(ranks[places], kind="stable")[quota:]]] = False
            self.groups[group] = Group(size, quota, min(size, quota))
        for group, quota in quotas.items():
            self.groups.setdefault(group, Group(0, quota, 0))
        return chosen

    def _ranks(self, digests: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """The digests; those of equal rows after the first are drawn again, so that equal rows are not taken together."""
        order = np.argsort(digests, kind="stable")
        in_order = digests[order]
        starts = np.flatnonzero(np.r_[True, in_order[1:] != in_order[:-1]])
        occurrences = np.arange(len(digests)) - np.repeat(starts, np.diff(np.r_[starts, len(digests)]))
        ranks = digests.copy()
        for place in np.flatnonzero(occurrences):
            ranks[order[place]] = self.conversion.draw("again", int(in_order[place]), int(occurrences[place]))
        return ranks


_FIX: Final = "Name the files of the original; instructsel datasets show {key} says which they are and which fields are read."


def _nothing(report: ReadReport, key: str) -> str:
    """Why no row became a conversation."""
    first = next(iter(report.quarantine), None)
    reasons = ", ".join(f"{reason} {count:,}" for reason, count in {**report.dropped, **report.quarantined}.items()) or "there are none"
    where = f"{os.path.basename(first.file)}, line {first.line}: {first.reason} ({first.detail}). " if first else ""
    return f"{where}None of {counted(report.read, 'row')} is a conversation of {key}: {reasons}."


__all__ = ["LIMITS", "Group", "Result", "convert"]
