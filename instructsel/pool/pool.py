"""A pool: the examples of one or more files, in the order of their ids.

The order is that of the ids and never that of arrival, so that nothing computed from a pool depends on the order of
files or rows. A pool holds a few dozen bytes per example; texts are read again from the files when they are needed.
"""

from __future__ import annotations

import bisect
import hashlib
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import numpy as np
from numpy.typing import NDArray

from instructsel.artifact import check_name, same_file
from instructsel.errors import EmptyFile, InstructselError, PoolError, UnknownExample, UsageError
from instructsel.pool import open_files
from instructsel.pool.columnar import rest
from instructsel.pool.example import Conversation, Example
from instructsel.pool.formats import _registry as registry
from instructsel.pool.formats._base import Format
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.ids import MISSING, Ids
from instructsel.pool.lines import Limits
from instructsel.pool.naming import check_once, expanded, labels_of
from instructsel.pool.opaque import as_text
from instructsel.pool.reader import FAULTS, PoolFile, PoolReader, ReadProgress, Rows, changed, unchanged
from instructsel.pool.row_sources import labels_by_field, recorded_source_field
from instructsel.pool.sources import Source, memory_source, open_source
from instructsel.pool.spec import MEMORY, REASONING, STDIN, PoolSpec, Reading
from instructsel.pool.streams import is_pipe
from instructsel.pool.stretches import DIGEST
from instructsel.pool.writer import MESSAGES, check_output, compressed, stream_rows, write_messages, write_rows
from instructsel.read_report import ReadReport
from instructsel.text import counted, excerpt, html_table

if TYPE_CHECKING:
    import polars

PIECE: Final = 65_536
"""Examples that are looked at together."""
LISTED: Final = 20
"""Empty files that are named."""
SHOWN: Final = 5
"""Files that a display of a pool names."""


@dataclass(frozen=True, eq=False, repr=False)
class Pool:
    """Instruction–response examples with exact provenance. Make one with Pool.read, or of rows in memory with Pool.of."""

    files: tuple[PoolFile, ...]
    report: ReadReport
    """What reading kept, dropped and quarantined; of the whole reading, also for a part of a pool."""
    digests: NDArray[np.uint64]
    """(n, 2), the big-endian halves of each example's digest, ascending."""
    occurrences: NDArray[np.uint32]
    """(n,), 0 for the first of equal examples."""
    file_of: NDArray[np.uint16]
    row_of: NDArray[np.uint32]
    part_of: NDArray[np.uint16]
    identities: NDArray[np.uint64] | None
    """(n,), a digest of the bytes by which the rows of each example are known; None where these are the rows' own, which `files` hold."""
    turns: NDArray[np.uint16]
    """(n,), turns of each conversation."""
    spec: PoolSpec
    """Where it came from and how it was read."""
    held: tuple[Conversation, ...] | None = None
    """Its conversations, where they stayed in memory; see `Source.held`."""

    @classmethod
    def read(
        cls,
        *paths: str | Path,
        format: str | Format = "auto",  # noqa: A002 - the command line's word
        columns: Sequence[str] | None = None,
        oasst: str = "best-path",
        limits: Limits | None = None,
        roles: Sequence[str] = (),
        reasoning: str = "out",
        undesirable: str = "drop",
        source_field: str | None = None,
        delimiter: str | None = None,
        progress: Callable[[int, int], None] | None = None,
        through: Callable[[Source], Source] | None = None,
        refused: Callable[[str, PoolError, int], None] | None = None,
    ) -> Self:
        """Read pool files.

        Args:
            paths: .jsonl, .json, .csv, .tsv, .parquet, .arrow, each also .gz or .zst; a folder of them or one that `save_to_disk` wrote, with
                :SPLIT for another than train; `-` for standard input; hf://OWNER/NAME[/CONFIG][:SPLIT][@REVISION].
            format: a format's name, a Mapped, or "auto": told from the first rows of each file.
            columns: column names for CSV or TSV files that have no header.
            oasst: which paths of OpenAssistant trees become examples, best-path or all-paths.
            limits: how much of a stranger's file is read before it is refused.
            roles: what odd spellings of roles mean, e.g. ["AI=assistant"].
            reasoning: whether indicators read the reasoning of turns: in, or out.
            undesirable: what becomes of rows that a field marks as not wanted, as KTO's `label`: drop, or keep.
            source_field: the field of a row that is its source, for quotas, studies and reports; by default its file, or what the manifest of a
                mixture says.
            delimiter: between two fields of a CSV or TSV file; told from its header by default.
            progress: called every 1,024 rows, or every megabyte of a large file, with how many bytes of how many are read.
            through: called with each file that was opened; what it returns is read. It may pass lines over; see `Source.through`.
            refused: called with each file that cannot be read as a pool, why, and how many rows of it were seen; the others are read all the same.
                By default the first such file ends the reading.

        Raises:
            PoolError: a file cannot be read as a pool, or with `refused` none can; its report says what had been seen.
            UsageError: no path, a path given twice, an unknown format.
            EnvironmentFault: more files than this process may have open.

        >>> pool = Pool.read("examples/pool.jsonl")  # doctest: +SKIP
        """
        if not paths:
            raise UsageError("No pool is named.", fix="For example: instructsel score pool.jsonl")
        for path in paths:
            if not isinstance(path, str | Path):
                raise UsageError(f"Pool.read takes the paths of files, not {type(path).__name__}.", fix="For rows in memory: Pool.of(rows)")
        for path in paths:
            check_name(str(path))
        source_field = source_field or recorded_source_field(paths)
        everything = [expanded(path) for path in paths]
        entries = [entry for named in everything for entry in named.entries]
        check_once(entries)
        chosen = registry.make(format, oasst=oasst) if isinstance(format, str) and format != "auto" else format
        open_files.allow(len(entries))
        sizes = [Path(entry.path).stat().st_size if Path(entry.path).is_file() else 0 for entry in entries]
        reading = PoolReader(
            limits or Limits(), oasst, ReadProgress(progress, sizes) if progress else None, roles, undesirable, source_field
        )
        empty: list[str] = []
        fault: PoolError | None = None
        header = tuple(columns) if columns else None
        for entry, label in zip(entries, labels_of(entries), strict=True):
            try:
                source = open_source(entry.path, reading.limits, columns=header, name=entry.name, label=label, delimiter=delimiter)
                reading.add(source if through is None else through(source), chosen)
            except EmptyFile:
                if len(entries) == 1:
                    raise
                empty.append(entry.name)
            except PoolError as error:
                if refused is None:
                    raise
                fault, before = fault or error, reading.report.read
                reading.report = error.report or reading.report
                refused(entry.name, error, reading.report.read - before)
        if fault is not None and not reading.files:
            fault.report = reading.report
            raise fault
        if len(empty) == len(entries):
            raise EmptyFile(f"All of these files are empty: {_listed(empty)}.", fix="Name a file with rows.")
        notes = [named.note for named in everything if named.note] + ([f"without a row: {_listed(empty)}"] if empty else [])
        reading.report = replace(reading.report, notes=tuple(notes))
        rest()
        # What a pipe gave is gone, as what standard input gave.
        recorded = tuple(STDIN if is_pipe(name) else name for named in everything for name in named.recorded)
        return cls(**reading.finish(), spec=PoolSpec(recorded, _recorded(format, columns, reading, reasoning, source_field, delimiter)))

    @classmethod
    def of(
        cls,
        rows: Any,
        *,
        name: str = "memory",
        format: str | Format = "auto",  # noqa: A002 - the command line's word
        oasst: str = "best-path",
        limits: Limits | None = None,
        roles: Sequence[str] = (),
        reasoning: str = "out",
        undesirable: str = "drop",
        source_field: str | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """A pool of rows in memory.

        The rows are spooled as JSON lines to an unnamed temporary file, a row at a time, and read as a .jsonl of them would be: ids, formats and the
        account are the same. What JSON has no form for (dates, decimal numbers, bytes) is refused where a format reads it and is of no
        matter elsewhere; NaN is null. In frames and tables, what is null inside a structure was not there.

        The pool cannot be read again from a record of it: `pool.write("pool.jsonl")` makes a file of it, with the same ids and fingerprint.

        Args:
            rows: a list or any iterator of dicts, of `Example`s, or of lists of `Message`s; a `datasets.Dataset` or `IterableDataset`; a
                polars DataFrame or LazyFrame; a pandas DataFrame; a pyarrow Table, RecordBatch or RecordBatchReader.
            name: what the rows are called: the label of their source, and in places such as `memory:17`.
            format: a format's name, a Mapped, or "auto": told from the first rows.
            oasst: which paths of OpenAssistant trees become examples, best-path or all-paths.
            limits: how large and how deep the rows may be.
            roles: what odd spellings of roles mean, e.g. ["AI=assistant"].
            reasoning: whether indicators read the reasoning of turns: in, or out.
            undesirable: what becomes of rows that a field marks as not wanted, as KTO's `label`: drop, or keep.
            source_field: the field of a row that is its source, for quotas, studies and reports; its file by default.
            progress: called every 1,024 rows, or every megabyte of a large file, with how many bytes of how many are read.

        Raises:
            PoolError: the rows make no pool; its report says what had been seen.
            UsageError: it is nothing that has rows, or an unknown format.

        >>> Pool.of([{"instruction": "Say one.", "output": "One."}])
        Pool(1 example from memory; 1 row read, 0 dropped, 0 quarantined)
        """
        if isinstance(rows, Pool):
            raise UsageError("This is a pool already.", fix="Use it as it is.")
        chosen = registry.make(format, oasst=oasst) if isinstance(format, str) and format != "auto" else format
        reading = PoolReader(limits or Limits(), oasst, ReadProgress(progress, [0]) if progress else None, roles, undesirable, source_field)
        reading.add(memory_source(rows, name, reading.limits), chosen)
        return cls(**reading.finish(), spec=PoolSpec((MEMORY + name,), _recorded(format, None, reading, reasoning, source_field)))

    def __len__(self) -> int:
        return len(self.occurrences)

    def __repr__(self) -> str:
        """One line: the examples, their sources, and the rows that are none.

        >>> Pool.read("examples/pool.jsonl")  # doctest: +SKIP
        Pool(400 examples from pool; 400 rows read, 0 dropped, 0 quarantined)
        """
        labels = [file.source.label for file in self.files]
        named = ", ".join(excerpt(label, 40) for label in labels[:SHOWN]) + (
            f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
        )
        report = self.report
        return (
            f"Pool({counted(len(self), 'example')} from {named}; {counted(report.read, 'row')} read, {report.n_dropped:,} dropped, "
            f"{report.n_quarantined:,} quarantined)"
        )

    def _repr_html_(self) -> str:
        """What a notebook shows: a row a file, the first SHOWN of them."""
        counts = np.bincount(self.file_of, minlength=len(self.files)).tolist()
        rows = [(name, f"{count:,}", file.format.name) for name, count, file in zip(self.file_names, counts, self.files, strict=True)]
        return html_table(repr(self), ("file", "examples", "format"), rows[:SHOWN])

    @property
    def with_reasoning(self) -> bool:
        """Whether indicators read the reasoning of turns."""
        return self.spec.reading.reasoning == "in"

    @cached_property
    def ids(self) -> Ids:
        """The ids, in order: a sequence of texts, each made when it is asked for."""
        return Ids(self.digests, self.occurrences)

    @cached_property
    def source_codes(self) -> tuple[NDArray[np.unsignedinteger[Any]], tuple[str, ...]]:
        """(n,), the number of each example's source, and the labels that they number; several may be the same."""
        if self.spec.reading.source_field is None:
            return self.file_of, tuple(file.source.label for file in self.files)
        labels = {label: number for number, label in enumerate(dict.fromkeys(self.sources))}
        codes = np.fromiter(map(labels.__getitem__, self.sources), dtype=np.uint32, count=len(self))
        return codes, tuple(labels)

    @property
    def sources(self) -> list[str]:
        """The source label of each example: of the field that was named as the source, or else its file."""
        return self._labels[0]

    @cached_property
    def source_counts(self) -> dict[str, int]:
        """Source label → its examples, by label."""
        if self.spec.reading.source_field is not None:
            return dict(sorted(Counter(self.sources).items()))
        counts: Counter[str] = Counter()
        for file, count in zip(self.files, np.bincount(self.file_of, minlength=len(self.files)).tolist(), strict=True):
            counts[file.source.label] += count
        return dict(sorted((+counts).items()))

    @property
    def without_source(self) -> int:
        """Examples without the field that was named as the source; their file stands for it."""
        return self._labels[1]

    @cached_property
    def _labels(self) -> tuple[list[str], int]:
        name = self.spec.reading.source_field
        return (self._file_labels, 0) if name is None else labels_by_field(self, name)

    @property
    def _file_labels(self) -> list[str]:
        labels = [file.source.label for file in self.files]
        return [labels[number] for number in self.file_of.tolist()]

    @cached_property
    def fingerprint(self) -> str:
        """blake2b-128 over every example's id and original bytes: the same for the same examples, whatever their files are called."""
        digest = hashlib.blake2b(digest_size=DIGEST)
        if self.with_reasoning and self.report.with_reasoning:
            # Other values: a score table with reasoning is no table of the pool without.
            digest.update(b"with reasoning\n")
        for start in range(0, len(self), PIECE):
            piece = slice(start, start + PIECE)
            for name, raw in zip(self.ids[piece], self._raw_digests(piece).tolist(), strict=True):
                digest.update(f"{name}\t{raw:016x}\n".encode())
        return digest.hexdigest()

    def _raw_digests(self, rows: slice) -> NDArray[np.uint64]:
        """Those rows of `raw_digests`."""
        if self.identities is not None:
            return self.identities[rows]
        file_of, row_of = self.file_of[rows], self.row_of[rows]
        digests = np.zeros(len(file_of), dtype=np.uint64)
        for number in np.unique(file_of).tolist():
            of_file = file_of == number
            digests[of_file] = self.files[number].digests[row_of[of_file]]
        return digests

    @property
    def raw_digests(self) -> NDArray[np.uint64]:
        """(n,), a digest of the bytes of the rows each example stands in."""
        return self._raw_digests(slice(None))

    def has_fingerprint(self, fingerprint: str) -> bool:
        """Whether this pool has a recorded fingerprint. The last release put the names of the files into it, which is known, too."""
        if fingerprint == self.fingerprint:
            return True
        digest = hashlib.blake2b(digest_size=DIGEST)
        for name, source, raw in zip(self.ids, self._file_labels, self.raw_digests.tolist(), strict=True):
            digest.update(f"{name}\t{source}\t{raw:016x}\n".encode())
        return digest.hexdigest() == fingerprint

    @cached_property
    def file_names(self) -> tuple[str, ...]:
        """The files as tables name them: the name, with as many folders before it as tell it from the other files."""
        paths = [Path(file.source.name).parts for file in self.files]
        for depth in range(1, max((len(parts) for parts in paths), default=0) + 1):
            names = tuple("/".join(parts[-depth:]) for parts in paths)
            if len(set(names)) == len(names):
                return names
        return tuple(file.source.name for file in self.files)

    @property
    def lines(self) -> NDArray[np.int64]:
        """(n,), the line that each example stands in, from 1; the first of an example of several rows."""
        return self.line_of.astype(np.int64)

    @cached_property
    def line_of(self) -> NDArray[np.uint32]:
        """`lines`, in four bytes each."""
        lines = np.zeros(len(self), dtype=np.uint32)
        for number, file in enumerate(self.files):
            positions = np.flatnonzero(self.file_of == number)
            rows = self.row_of[positions]
            lines[positions] = file.lines[np.array([file.chains[row].rows[0] for row in rows], dtype=np.int64) if file.chains else rows]
        return lines

    @cached_property
    def places(self) -> polars.DataFrame:
        """file (`file_names`) and line: where each example stands. The line is the first of an example of several rows, from 1."""
        import polars

        names = polars.Series("names", self.file_names, dtype=polars.String)
        return polars.DataFrame({"file": names[self.file_of.astype(np.int64)].alias("file"), "line": self.lines})

    @cached_property
    def index(self) -> polars.DataFrame:
        """id, source, n_turns, file, line: one row an example."""
        import polars

        return polars.DataFrame(
            {"id": self.ids.series(), "source": self.sources, "n_turns": self.turns.astype(np.int64), **self.places.to_dict()}
        )

    def position(self, name: str) -> int:
        """The position of an id, of an unambiguous beginning of one (8 characters or more), or of `line:N` or `FILE:N`.

        Raises:
            UnknownExample: no example, or more than one, answers to it.
        """
        # The ids are in order, and those that begin with a name follow it.
        ids = self.ids
        first = bisect.bisect_left(ids, name)
        if first < len(ids) and ids[first] == name:
            return first
        place, colon, number = name.rpartition(":")
        if colon and number.isdigit():
            return self._position_of_line(place, int(number))
        if colon and (place == "line" or self._files_called(place)):
            raise UnknownExample(f"A line is a number from 1; found '{number}'.", fix=f"For example: {place}:17")
        if colon and "." in place:
            raise self._no_file(place)
        if self._files_called(name):
            raise UnknownExample(f"{name} is a file of the pool, not an example.", fix=f"Name a line of it, for example: {name}:17")
        count = sum(1 for _ in itertools.takewhile(lambda full: full.startswith(name), map(ids.__getitem__, range(first, len(ids)))))
        if count == 1 and len(name) >= 8:
            return first
        many = f"{count} examples begin with '{name}'" if count and len(name) >= 8 else f"No example has the id '{name}'"
        raise UnknownExample(f"{many}.", fix="Give more of the id, or FILE:LINE.")

    def positions(self, names: Iterable[str]) -> NDArray[np.int64]:
        """The position of each of these names, (n,); what a name may be, `position` says.

        Raises:
            UnknownExample: no example, or more than one, answers to one of them.
        """
        mine, theirs = itertools.tee(names)
        positions = (
            known if known != MISSING else self.position(name) for name, known in zip(mine, self.ids.positions(theirs), strict=True)
        )
        return np.fromiter(positions, dtype=np.int64)

    def _position_of_line(self, place: str, line: int) -> int:
        numbers = set(range(len(self.files))) if place == "line" else self._files_called(place)
        if not numbers:
            raise self._no_file(place)
        positions = {
            int(self.file_of[i]): i for i in reversed(range(len(self))) if int(self.file_of[i]) in numbers and line in self.locate(i)[1]
        }
        if not positions:
            raise UnknownExample(
                f"No example stands in line {line} of {place}.", fix="Lines count from 1; the row may have been dropped or quarantined."
            )
        if len(positions) > 1:
            named = [f"{self.file_names[number]}:{line}" for number in sorted(positions)]
            raise UnknownExample(f"{place}:{line} may be any of {_listed(named)}.", fix=f"Name one, e.g. {named[0]}")
        return next(iter(positions.values()))

    def _files_called(self, place: str) -> set[int]:
        """The numbers of the files that a label, a name, or a path or the end of one leads to."""
        parts = Path(place).parts
        return {
            number
            for number, file in enumerate(self.files)
            if place in (file.source.name, file.source.label, self.file_names[number])
            or (parts and Path(file.source.name).parts[-len(parts) :] == parts)
            or (Path(place).name == Path(file.source.name).name and same_file(place, file.source.name))
        }

    def _no_file(self, place: str) -> UnknownExample:
        names = self.file_names
        shown = ", ".join(names[:SHOWN]) + (f" and {len(names) - SHOWN} more" if len(names) > SHOWN else "")
        are = "its file is" if len(names) == 1 else "its files are"
        return UnknownExample(f"{place} is no file of this pool: {are} {shown}.", fix=f"For example: {names[0]}:17" if names else None)

    def locate(self, position: int) -> tuple[str, tuple[int, ...]]:
        """The file and the lines (1-based) an example stands in."""
        file = self.files[int(self.file_of[position])]
        return file.source.name, tuple(int(file.lines[row]) for row in file.rows_of(int(self.row_of[position])))

    def row(self, name: str | int) -> dict[str, Any]:
        """The whole row that an example stands in, with the fields that no format reads.

        Dates and decimal numbers of Parquet and of rows from memory are texts, bytes and other objects are `Opaque`.

        Of an example whose turns stand in several rows it is the last: that of the response.

        Args:
            name: an id, `FILE:LINE`, or a position.

        Raises:
            UnknownExample: no example, or more than one, answers to it.
            PoolError: the file has changed since it was read.

        >>> Pool.of([{"instruction": "Say one.", "output": "One.", "licence": "CC0"}]).row(0)["licence"]
        'CC0'
        """
        file, rows = self._rows(name)
        with unchanged(file):
            row: dict[str, Any] = as_text(file.row(rows[-1]))
        return row

    def raw(self, name: str | int) -> bytes:
        """The bytes of the row that an example stands in, as they lie in the file; of several rows all of them, a line each.

        A row of Parquet, or from memory, is a line of JSON.

        Args:
            name: an id, `FILE:LINE`, or a position.

        Raises:
            UnknownExample: no example, or more than one, answers to it.
            PoolError: the file has changed since it was read.
        """
        file, rows = self._rows(name)
        with unchanged(file):
            return b"\n".join(file.written(row) for row in rows)

    def _rows(self, name: str | int) -> tuple[PoolFile, tuple[int, ...]]:
        position = self.position(name) if isinstance(name, str) else range(len(self))[name] if -len(self) <= name < len(self) else None
        if position is None:
            raise UnknownExample(f"The pool has no position {name}: it has {counted(len(self), 'example')}.", fix="Positions count from 0.")
        file = self.files[int(self.file_of[position])]
        return file, file.rows_of(int(self.row_of[position]))

    def examples(self, rows: Rows | None = None) -> Iterator[Example]:
        """The examples at these positions, in the order asked; all of them in order by default."""
        if self.held is not None:
            sources, with_reasoning = self.sources, self.with_reasoning
            for position in range(len(self)) if rows is None else rows:
                conversation = self.held[position]
                yield Example(self.ids[position], sources[position], conversation.messages, conversation.tools, with_reasoning)
            return
        for position in range(len(self)) if rows is None else rows:
            file = self.files[int(self.file_of[position])]
            try:
                conversation = file.conversation(int(self.row_of[position]), int(self.part_of[position]))
            except InstructselError:
                raise
            except FAULTS as error:
                raise changed(file) from error
            source = file.source.label if self.spec.reading.source_field is None else self.sources[position]
            yield Example(self.ids[position], source, conversation.messages, conversation.tools, self.with_reasoning)

    def batches(self, size: int = 1024) -> Iterator[polars.DataFrame]:
        """Frames of `size` examples: id, source, messages, instruction, response."""
        import polars

        for batch in _batched(self.examples(), size):
            yield polars.DataFrame(
                {
                    "id": [example.id for example in batch],
                    "source": [example.source for example in batch],
                    "messages": [[{"role": turn.role, "content": turn.text} for turn in example.messages] for example in batch],
                    "instruction": [example.instruction for example in batch],
                    "response": [example.response for example in batch],
                }
            )

    def to_polars(self) -> polars.DataFrame:
        """The examples as a frame: id, source, messages (structures; calls as JSON text) and tools (JSON text, or null).

        A turn has role, content, reasoning_content, tool_calls, tool_call_id, name and weight, null where the row says nothing; the
        schema is the same whatever rows hold. Text parts are joined by a line break.
        """
        from instructsel.pool.tables import to_polars

        return to_polars(self.examples())

    def to_arrow(self) -> Any:
        """The same as a `pyarrow.Table`.

        Raises:
            MissingExtra: pyarrow is not installed.
        """
        from instructsel.pool.tables import to_arrow

        return to_arrow(self.examples())

    def to_hf(self) -> Any:
        """The examples as a `datasets.Dataset`: id, source, messages and tools as the rows have them.

        Messages are of the feature Json, so that no turn gets the keys of others and no call their arguments, as null.

        Raises:
            MissingExtra: `datasets` is not installed.
        """
        from instructsel.pool.tables import to_hf

        return to_hf(self.examples())

    def take(self, ids: Iterable[str]) -> Pool:
        """The part of the pool with these ids. Order and ids stay the pool's."""
        return self._part(np.unique(self.positions(ids)))

    def at(self, positions: Rows) -> Pool:
        """The part of the pool at these ascending positions."""
        return self._part(np.asarray(positions, dtype=np.int64))

    def sample(self, n: int, seed: int) -> Pool:
        """n examples drawn without replacement, the same for the same pool and seed."""
        if not 0 <= n <= len(self):
            raise UsageError(f"A sample of {n} cannot be drawn from {counted(len(self), 'example')}.", fix="Ask for fewer.")
        return self._part(np.array(sorted(random.Random(seed).sample(range(len(self)), n)), dtype=np.int64))

    def _part(self, rows: NDArray[np.int64]) -> Pool:
        columns = ("digests", "occurrences", "file_of", "row_of", "part_of", "turns", *(() if self.identities is None else ("identities",)))
        spec = self.spec if len(rows) == len(self) else replace(self.spec, part=True)
        held = None if self.held is None else tuple(self.held[row] for row in rows.tolist())
        part = replace(self, spec=spec, held=held, **{name: getattr(self, name)[rows] for name in columns})
        if self.spec.reading.source_field is not None:
            # Not read again: a part may be of rows none of which has the field.
            vars(part)["_labels"] = ([self.sources[row] for row in rows.tolist()], 0)
        return part

    def write(self, path: str | Path, rows: Rows | None = None, *, to: str | None = None) -> int:
        """Write the examples at these positions, in this order, in the format they were read in; rows from memory as JSON lines.

        The bytes of every line, record or array element are those of the input; a row that holds several of the examples
        is written once. Compression follows the extension (.gz, .zst).

        Args:
            path: where to; `-` is not known here, give a file.
            rows: positions; all by default.
            to: "messages" writes JSON lines with `messages` instead, for pools of several formats.

        Returns:
            The number of rows written.

        Raises:
            UsageError: the files are of several formats, the extension is not the format's, or the path is that of a file of the pool.
        """
        check_output(self.files, path, to)
        if any(same_file(path, place) for place in self.spec.paths):
            raise UsageError(f"{Path(path).name} is a file of the pool, which would be replaced.", fix="Name another output.")
        rows = range(len(self)) if rows is None else rows
        if to == MESSAGES:
            with compressed(path) as out:
                return write_messages(out, self.examples(rows))
        return write_rows(self.files, self.rows_of(rows), path)

    def stream(self, out: BinaryIO, rows: Rows, *, to: str | None = None) -> int:
        """Write the examples at these positions to an open file, as `write` does; Parquet cannot be streamed."""
        if to == MESSAGES:
            return write_messages(out, self.examples(rows))
        return stream_rows(self.files, self.rows_of(rows), out)

    def rows_of(self, positions: Rows) -> list[tuple[int, int]]:
        """The rows that the examples at these positions stand in, each once, as (file, row) in the order of the positions."""
        places: dict[tuple[int, int], None] = {}
        for position in positions:
            number = int(self.file_of[position])
            for row in self.files[number].rows_of(int(self.row_of[position])):
                places[number, row] = None
        return list(places)


def check_pool(pool: object, verb: str) -> None:
    """Refuse what is no pool.

    Raises:
        UsageError: it is something else; says how it becomes one.
    """
    if not isinstance(pool, Pool):
        fix = f"To read a file: Pool.read({str(pool)[:60]!r})" if isinstance(pool, str | Path) else "For rows in memory: Pool.of(rows)"
        raise UsageError(f"{verb} takes a Pool, not {type(pool).__name__}.", fix=fix)


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:LISTED]) + (f" and {len(names) - LISTED:,} more" if len(names) > LISTED else "")


def _recorded(
    chosen: str | Format,
    columns: Sequence[str] | None,
    reading: PoolReader,
    reasoning: str,
    source_field: str | None,
    delimiter: str | None = None,
) -> Reading:
    """The options of a reading, as another command takes them."""
    mapping = ",".join(f"{part}={field}" for part, field in chosen.columns) if isinstance(chosen, Mapped) else None
    form = chosen if isinstance(chosen, str) else "auto" if mapping else chosen.name
    if reasoning not in REASONING:
        raise UsageError.named(reasoning, REASONING, noun="place of the reasoning")
    return Reading(
        form,
        mapping,
        ",".join(columns) if columns else None,
        reading.oasst,
        reading.limits.duplicate_key,
        roles=reading.role_names,
        reasoning=reasoning,
        undesirable=reading.undesirable,
        source_field=source_field,
        delimiter=delimiter,
    )


def _batched(items: Iterable[Example], size: int) -> Iterator[tuple[Example, ...]]:
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch
