"""A pool: the examples of one or more files, in the order of their ids.

The order is that of the ids and never that of arrival, so that nothing computed from a pool depends on the order of
files or rows. A pool holds a few dozen bytes per example; texts are read again from the files when they are needed.
"""

from __future__ import annotations

import bisect
import gzip
import hashlib
import itertools
import random
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import atomic_write
from instructsel.errors import PoolError, UnknownExample, UsageError
from instructsel.pool.account import LISTED, Account, Quarantined
from instructsel.pool.example import Conversation, Example
from instructsel.pool.formats import _registry as registry
from instructsel.pool.formats._base import Chain, Fields, Format, TableFormat, kind
from instructsel.pool.formats.mapped import Mapped
from instructsel.pool.lines import Limits, Row, RowDropped, RowFault
from instructsel.pool.sources import DELIMITERS, Source, open_source, parquet_rows, zstd

if TYPE_CHECKING:
    import polars

Rows = Sequence[int] | NDArray[np.integer[Any]]

DIGEST: Final = 16
"""Bytes of an id."""
MESSAGES: Final = "messages"


@dataclass(frozen=True, eq=False)
class _File:
    """A source, its format, and where its rows stand."""

    source: Source
    format: Format
    lines: NDArray[np.uint32]
    offsets: NDArray[np.int64]
    lengths: NDArray[np.int64]
    chains: tuple[Chain, ...] = ()
    """For a table format: the rows of each example."""

    def row(self, number: int) -> Any:
        return self.source.value(int(self.offsets[number]), int(self.lengths[number]))

    def raw(self, number: int) -> bytes:
        return self.source.raw(int(self.offsets[number]), int(self.lengths[number]))

    def rows_of(self, number: int) -> tuple[int, ...]:
        """The rows an example stands in."""
        return self.chains[number].rows if self.chains else (number,)

    def conversation(self, number: int, part: int) -> Conversation:
        if isinstance(self.format, TableFormat):
            return self.format.joined([self.row(row) for row in self.chains[number].rows])
        return self.format.conversations(self.row(number))[part]


@dataclass(frozen=True, eq=False)
class Pool:
    """Instruction–response examples with exact provenance. Make one with Pool.read."""

    files: tuple[_File, ...]
    account: Account
    """What reading kept, dropped and quarantined; of the whole reading, also for a part of a pool."""
    digests: NDArray[np.uint64]
    """(n, 2), the big-endian halves of each example's digest, ascending."""
    occurrences: NDArray[np.uint32]
    """(n,), 0 for the first of equal examples."""
    file_of: NDArray[np.uint16]
    row_of: NDArray[np.uint32]
    part_of: NDArray[np.uint16]
    raw_digests: NDArray[np.uint64]
    """(n,), a digest of the bytes of the rows each example stands in."""
    turns: NDArray[np.uint16]
    """(n,), turns of each conversation."""

    @classmethod
    def read(
        cls,
        *paths: str | Path,
        format: str | Format = "auto",  # noqa: A002 - the command line's word
        columns: Sequence[str] | None = None,
        oasst: str = "best-path",
        limits: Limits | None = None,
    ) -> Self:
        """Read pool files.

        Args:
            paths: .jsonl, .json, .csv, .tsv, .parquet, each also .gz or .zst; `-` for standard input; hf://OWNER/NAME.
            format: a format's name, a Mapped, or "auto": told from the first rows of each file.
            columns: column names for CSV or TSV files that have no header.
            oasst: which paths of OpenAssistant trees become examples, best-path or all-paths.
            limits: how much of a stranger's file is read before it is refused.

        Raises:
            PoolError: a file cannot be read as a pool; its account says what had been seen.
            UsageError: no path, a path given twice, an unknown format.

        >>> pool = Pool.read("examples/pool.jsonl")  # doctest: +SKIP
        """
        if not paths:
            raise UsageError("No pool is named.", fix="For example: instructsel score pool.jsonl")
        names = [str(path) if str(path) == "-" or str(path).startswith("hf://") else str(Path(path).resolve()) for path in paths]
        for name, count in Counter(names).items():
            if count > 1:
                raise UsageError(f"{name} is named twice: every one of its examples would be a duplicate.", fix="Name it once.")
        chosen = registry.make(format, oasst=oasst) if isinstance(format, str) and format != "auto" else format
        reading = _Reading(limits or Limits(), oasst)
        for path in paths:
            reading.add(open_source(path, reading.limits, columns=tuple(columns) if columns else None), chosen)
        return cls(**reading.finish())

    def __len__(self) -> int:
        return len(self.occurrences)

    @cached_property
    def ids(self) -> list[str]:
        """The ids, in order."""
        hexes = self.digests.astype(">u8").tobytes().hex()
        return [hexes[32 * i : 32 * i + 32] + (f".{n}" if n else "") for i, n in enumerate(self.occurrences.tolist())]

    @cached_property
    def sources(self) -> list[str]:
        """The source label of each example."""
        labels = [file.source.label for file in self.files]
        return [labels[number] for number in self.file_of.tolist()]

    @cached_property
    def fingerprint(self) -> str:
        """blake2b-128 over every example's id, source and original bytes."""
        found = hashlib.blake2b(digest_size=DIGEST)
        for name, source, raw in zip(self.ids, self.sources, self.raw_digests.tolist(), strict=True):
            found.update(f"{name}\t{source}\t{raw:016x}\n".encode())
        return found.hexdigest()

    @cached_property
    def index(self) -> polars.DataFrame:
        """id, source, n_turns, file, line: one row an example."""
        import polars

        where = [self.locate(position) for position in range(len(self))]
        return polars.DataFrame(
            {
                "id": self.ids,
                "source": self.sources,
                "n_turns": polars.Series(self.turns.astype(np.int64)),
                "file": [name for name, _ in where],
                "line": [lines[0] for _, lines in where],
            }
        )

    def position(self, name: str) -> int:
        """The position of an id, of an unambiguous beginning of one (8 characters or more), or of `line:N` or `FILE:N`.

        Raises:
            UnknownExample: no example, or more than one, answers to it.
        """
        # The ids are in order, and those that begin with a name follow it.
        first = bisect.bisect_left(self.ids, name)
        if first < len(self) and self.ids[first] == name:
            return first
        place, colon, number = name.rpartition(":")
        if colon and number.isdigit():
            return self._at_line(place, int(number))
        found = sum(1 for _ in itertools.takewhile(lambda whole: whole.startswith(name), itertools.islice(self.ids, first, None)))
        if found == 1 and len(name) >= 8:
            return first
        many = f"{found} examples begin with '{name}'" if found and len(name) >= 8 else f"No example has the id '{name}'"
        raise UnknownExample(f"{many}.", fix="Give more of the id, or FILE:LINE.")

    def _at_line(self, place: str, line: int) -> int:
        numbers = {
            n for n, file in enumerate(self.files) if place in ("line", file.source.name, file.source.label, Path(file.source.name).name)
        }
        found = [i for i in range(len(self)) if int(self.file_of[i]) in numbers and line in self.locate(i)[1]]
        if not found:
            raise UnknownExample(
                f"No example stands in line {line} of {place}.", fix="Lines count from 1; the row may have been dropped or quarantined."
            )
        return found[0]

    def locate(self, position: int) -> tuple[str, tuple[int, ...]]:
        """The file and the lines (1-based) an example stands in."""
        file = self.files[int(self.file_of[position])]
        return file.source.name, tuple(int(file.lines[row]) for row in file.rows_of(int(self.row_of[position])))

    def examples(self, rows: Rows | None = None) -> Iterator[Example]:
        """The examples at these positions, in the order asked; all of them in order by default."""
        for position in range(len(self)) if rows is None else rows:
            file = self.files[int(self.file_of[position])]
            try:
                found = file.conversation(int(self.row_of[position]), int(self.part_of[position]))
            except (RowFault, RowDropped, UnicodeDecodeError, StopIteration, ValueError, IndexError) as error:
                raise PoolError(f"{file.source.name} has changed since it was read.", fix="Run the command again.") from error
            yield Example(self.ids[position], file.source.label, found.messages, found.tools)

    def batches(self, size: int = 1024) -> Iterator[polars.DataFrame]:
        """Frames of `size` examples: id, source, messages, instruction, response."""
        import polars

        for batch in _batched(self.examples(), size):
            yield polars.DataFrame(
                {
                    "id": [example.id for example in batch],
                    "source": [example.source for example in batch],
                    "messages": [[{"role": turn.role, "content": turn.content} for turn in example.messages] for example in batch],
                    "instruction": [example.instruction for example in batch],
                    "response": [example.response for example in batch],
                }
            )

    def take(self, ids: Iterable[str]) -> Pool:
        """The part of the pool with these ids. Order and ids stay the pool's."""
        return self._part(np.unique(np.array([self.position(name) for name in ids], dtype=np.int64)))

    def sample(self, n: int, seed: int) -> Pool:
        """n examples drawn without replacement, the same for the same pool and seed."""
        if not 0 <= n <= len(self):
            raise UsageError(f"A sample of {n} cannot be drawn from {len(self)} examples.", fix="Ask for fewer.")
        return self._part(np.array(sorted(random.Random(seed).sample(range(len(self)), n)), dtype=np.int64))

    def _part(self, rows: NDArray[np.int64]) -> Pool:
        columns = ("digests", "occurrences", "file_of", "row_of", "part_of", "raw_digests", "turns")
        return replace(self, **{name: getattr(self, name)[rows] for name in columns})

    def write(self, path: str | Path, rows: Rows, *, to: str | None = None) -> int:
        """Write the examples at these positions, in this order, in the format they were read in.

        The bytes of every line, record or array element are those of the input; a row that holds several of the examples
        is written once. Compression follows the extension (.gz, .zst).

        Args:
            path: where to; `-` is not known here, give a file.
            rows: positions.
            to: "messages" writes JSON lines with `messages` instead, for pools of several formats.

        Returns:
            The number of rows written.

        Raises:
            UsageError: the files are of several formats, or the extension is not the format's.
        """
        name = Path(path).name.lower().removesuffix(".gz").removesuffix(".zst")
        if to == MESSAGES:
            with _compressed(path) as out:
                return _write_messages(out, self.examples(rows))
        if to is not None:
            raise UsageError.named(to, [MESSAGES], noun="output format")
        container = self._one_container()
        expected = {
            "lines": (".jsonl", ".ndjson", ".json"),
            "array": (".json",),
            "csv": (".csv",),
            "tsv": (".tsv",),
            "parquet": (".parquet",),
        }[container]
        if not name.endswith(expected):
            raise UsageError(
                f"The pool is {container} and the output {Path(path).name} is not.",
                fix=f"End it in {expected[0]}, or add --to messages for JSON lines.",
            )
        places = self._places(rows)
        if container == "parquet":
            return self._write_parquet(path, places)
        with _compressed(path) as out:
            return self._write_raw(out, container, places)

    def stream(self, out: BinaryIO, rows: Rows, *, to: str | None = None) -> int:
        """Write the examples at these positions to an open file, as `write` does; Parquet cannot be streamed."""
        if to == MESSAGES:
            return _write_messages(out, self.examples(rows))
        container = self._one_container()
        if container == "parquet":
            raise UsageError("Parquet cannot be streamed.", fix="Name a file with -o, or add --to messages.")
        return self._write_raw(out, container, self._places(rows))

    def _one_container(self) -> str:
        kinds = {(file.source.container, file.format.name, file.source.header) for file in self.files}
        if len(kinds) == 1:
            return next(iter(kinds))[0]
        # A JSON array's elements are rows as good as lines; only the format must be one.
        if len({file.format.name for file in self.files}) == 1 and all(file.source.container in ("lines", "array") for file in self.files):
            return "lines"
        named = ", ".join(sorted({f"{file.source.label} ({file.source.container}, {file.format.name})" for file in self.files}))
        raise UsageError(f"The files of the pool are of several formats: {named}.", fix="Add --to messages to write them all as messages.")

    def _places(self, rows: Rows) -> list[tuple[int, int]]:
        found: dict[tuple[int, int], None] = {}
        for position in rows:
            number = int(self.file_of[position])
            for row in self.files[number].rows_of(int(self.row_of[position])):
                found[number, row] = None
        return list(found)

    def _write_raw(self, out: BinaryIO, container: str, places: Sequence[tuple[int, int]]) -> int:
        if container in DELIMITERS and self.files[0].source.header_raw:
            out.write(_ended(self.files[0].source.header_raw))
        if container == "array":
            out.write(b"[\n")
        for count, (number, row) in enumerate(places):
            raw = self.files[number].raw(row)
            if container == "array":
                out.write((b",\n" if count else b"") + raw)
            elif container == "lines" and self.files[number].source.container == "array":
                out.write(orjson.dumps(orjson.loads(raw)) + b"\n" if b"\n" in raw else raw + b"\n")
            else:
                out.write(_ended(raw))
        if container == "array":
            out.write(b"\n]\n" if places else b"]\n")
        return len(places)

    def _write_parquet(self, path: str | Path, places: Sequence[tuple[int, int]]) -> int:
        import polars

        frames: dict[int, polars.DataFrame] = {}
        for number in sorted({number for number, _ in places}):
            file = self.files[number]
            wanted = [row for other, row in places if other == number]
            original = file.source.original
            if original is None:
                raise PoolError(f"{file.source.name} is gone.", fix="Read the pool again.")
            frames[number] = parquet_rows(original, [int(file.lines[row]) - 1 for row in wanted])
        whole = polars.concat(list(frames.values()), how="vertical")
        starts = dict(zip(frames, itertools.accumulate((frame.height for frame in frames.values()), initial=0), strict=False))
        seen: Counter[int] = Counter()
        order = []
        for number, _ in places:
            order.append(starts[number] + seen[number])
            seen[number] += 1
        with atomic_write(path) as out:
            whole[order].write_parquet(out)
        return len(places)


def _batched(items: Iterable[Example], size: int) -> Iterator[tuple[Example, ...]]:
    iterator = iter(items)
    while batch := tuple(itertools.islice(iterator, size)):
        yield batch


def _ended(raw: bytes) -> bytes:
    return raw if raw.endswith(b"\n") else raw + b"\n"


class _compressed:
    """An atomic file, compressed when its name says so; the same bytes for the same content."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.plain = atomic_write(path)

    def __enter__(self) -> Any:
        self.file = self.plain.__enter__()
        suffix = self.path.suffix.lower()
        self.packed: Any = None
        if suffix == ".gz":
            self.packed = gzip.GzipFile(filename="", mode="wb", fileobj=self.file, mtime=0)
        elif suffix == ".zst":
            self.packed = zstd.ZstdFile(self.file, mode="w")
        return self.packed or self.file

    def __exit__(self, *error: Any) -> None:
        if self.packed is not None:
            self.packed.close()
        self.plain.__exit__(*error)


def _write_messages(out: BinaryIO, examples: Iterable[Example]) -> int:
    count = 0
    for example in examples:
        row: dict[str, Any] = {"messages": [{"role": turn.role, "content": turn.content} for turn in example.messages]}
        if example.tools is not None:
            row["tools"] = example.tools
        out.write(orjson.dumps(row) + b"\n")
        count += 1
    return count


class _Reading:
    """Reads files one after the other and sorts what it found by id at the end."""

    def __init__(self, limits: Limits, oasst: str) -> None:
        self.limits = limits
        self.oasst = oasst
        self.account = Account()
        self.files: list[_File] = []
        self.high, self.low, self.raw = array("Q"), array("Q"), array("Q")
        self.file_of, self.row_of, self.part_of, self.turns = array("H"), array("L"), array("H"), array("H")

    def add(self, source: Source, chosen: str | Format) -> None:
        """Read one file, or refuse it with its account."""
        rows = source.rows()
        try:
            sample = list(itertools.islice(rows, registry.SAMPLE))
            tally = _Tally(source)
            everything = itertools.chain(sample, rows)
            if isinstance(chosen, str):
                detected = registry.detect([value for _, value in sample], oasst=self.oasst)
                chosen_format, why = detected.format, detected.why
                if chosen_format is None:
                    self._refuse(source, everything, tally, detected.why, detected.fix)
            else:
                chosen_format, why = chosen, "as --map says" if isinstance(chosen, Mapped) else "as --format says"
            assert chosen_format is not None
            file = self._read(source, chosen_format, everything, tally)
        except RowFault as fault:
            raise PoolError(f"{source.name}: {fault.detail}.", fix="Check the file's quoting.") from fault
        account = tally.account(f"{chosen_format.name}: {why}")
        if not account.kept:
            worst = max({**account.dropped, **account.quarantined}.items(), key=lambda item: item[1], default=("no rows", 0))
            first = next(iter(tally.listed), None)
            where = f", line {first.line}: {first.reason} ({first.detail})" if first else f", line 1: {worst[0]}"
            raise PoolError(
                f"{source.name}{where}. None of its {account.read:,} rows is an example (read as {chosen_format.name}).",
                fix="Check --format, or name the fields with --map instruction=FIELD,response=FIELD",
                account=self.account + account,
            )
        if not tally.answered:
            raise PoolError(
                f"{source.name}, line 1: none of its {account.read:,} rows has an answer: every response is empty.",
                fix="A pool needs responses; if another field holds them, name it with --map instruction=FIELD,response=FIELD",
                account=self.account
                + replace(
                    account,
                    kept=0,
                    examples=0,
                    dropped={**account.dropped, "no_answer": account.dropped.get("no_answer", 0) + account.kept},
                ),
            )
        self.account += account
        self.files.append(file)

    def _refuse(self, source: Source, rows: Iterable[tuple[Row, Any]], tally: _Tally, why: str, fix: str) -> None:
        line = 1
        for row, _ in rows:
            if row.fault is not None:
                tally.quarantine(row, row.fault)
            else:
                line = line if tally.dropped else row.line
                tally.drop("refused")
        if source.header_raw and "no known format" in why:
            fix += "; if the file has no header row, name its columns with --columns a,b,c as well."
        raise PoolError(f"{source.name}, line {line}: {why}.", fix=fix, account=self.account + tally.account("refused: " + why))

    def _read(self, source: Source, chosen: Format, rows: Iterable[tuple[Row, Any]], tally: _Tally) -> _File:
        lines, offsets, lengths = array("L"), array("q"), array("q")

        def readable() -> Iterator[tuple[Row, Fields]]:
            for row, value in rows:
                if row.fault is None and not isinstance(value, dict):
                    row.fault = RowFault("not_an_object", f"the row is {kind(value)}")
                if row.fault is not None:
                    tally.quarantine(row, row.fault)
                    continue
                lines.append(row.line)
                offsets.append(row.offset)
                lengths.append(row.length)
                yield row, value

        chains: list[Chain] = []
        if isinstance(chosen, TableFormat):
            chains = self._link(source, chosen, readable(), tally, lines, offsets)
            file = self._file(source, chosen, lines, offsets, lengths, tuple(chains))
            for number, chain in enumerate(chains):
                found = file.conversation(number, 0)
                tally.examples += 1
                self._keep(found, b"\n".join(file.raw(row) for row in chain.rows), number, 0, tally)
            tally.kept += len({row for chain in chains for row in chain.rows})
            return file
        for number, (row, value) in enumerate(readable()):
            try:
                conversations = chosen.conversations(value)
            except RowFault as fault:
                tally.quarantine(row, fault)
                continue
            except RowDropped as dropped:
                tally.drop(dropped.reason)
                continue
            tally.kept += 1
            for part, found in enumerate(conversations):
                tally.examples += 1
                self._keep(found, row.raw, number, part, tally)
        return self._file(source, chosen, lines, offsets, lengths, ())

    def _link(
        self, source: Source, chosen: TableFormat, rows: Iterable[tuple[Row, Fields]], tally: _Tally, lines: array[int], offsets: array[int]
    ) -> list[Chain]:
        chains, dropped, faults = chosen.link(value for _, value in rows)
        for number, fault in sorted(faults.items()):
            tally.quarantine(Row(lines[number], offsets[number], b"", 0), fault)
        for reason in dropped.values():
            tally.drop(reason)
        return chains

    def _keep(self, found: Conversation, raw: bytes, number: int, part: int, tally: _Tally) -> None:
        digest = hashlib.blake2b(found.canonical(), digest_size=DIGEST).digest()
        self.high.append(int.from_bytes(digest[:8], "big"))
        self.low.append(int.from_bytes(digest[8:], "big"))
        self.raw.append(int.from_bytes(hashlib.blake2b(raw, digest_size=8).digest(), "big"))
        self.file_of.append(len(self.files))
        self.row_of.append(number)
        self.part_of.append(part)
        self.turns.append(min(len(found.messages), 65_535))
        tally.answered = tally.answered or any(
            turn.content.strip() for turn in found.messages if turn.role in ("assistant", "function_call")
        )

    @staticmethod
    def _file(
        source: Source, chosen: Format, lines: array[int], offsets: array[int], lengths: array[int], chains: tuple[Chain, ...]
    ) -> _File:
        return _File(
            source, chosen, np.array(lines, dtype=np.uint32), np.array(offsets, dtype=np.int64), np.array(lengths, dtype=np.int64), chains
        )

    def finish(self) -> dict[str, Any]:
        """The columns of the pool, in the order of ids."""
        digests = np.stack([np.array(self.high, dtype=np.uint64), np.array(self.low, dtype=np.uint64)], axis=1)
        raw, file_of, row_of = (
            np.array(self.raw, dtype=np.uint64),
            np.array(self.file_of, dtype=np.uint16),
            np.array(self.row_of, dtype=np.uint32),
        )
        order = np.lexsort((digests[:, 1], digests[:, 0]))
        digests = digests[order]
        starts = np.flatnonzero(np.r_[True, (digests[1:] != digests[:-1]).any(axis=1)]) if len(order) else np.zeros(0, dtype=np.int64)
        occurrences = np.arange(len(order), dtype=np.int64) - np.repeat(starts, np.diff(np.r_[starts, len(order)]))
        for start in starts[np.diff(np.r_[starts, len(order)]) > 1].tolist():
            end = start + 1
            while end < len(order) and (digests[end] == digests[start]).all():
                end += 1
            # Equal examples are told apart by what their rows hold, then by where they came from; never by arrival.
            ranked = sorted(order[start:end].tolist(), key=lambda i: self._tie(int(file_of[i]), int(row_of[i])))
            # Ids sort as text everywhere else, where ".10" stands before ".2".
            numbers = sorted(range(end - start), key=lambda n: f".{n}" if n else "")
            occurrences[start:end] = numbers
            order[start:end] = [ranked[n] for n in numbers]
        part_of, turns = np.array(self.part_of, dtype=np.uint16), np.array(self.turns, dtype=np.uint16)
        return {
            "files": tuple(self.files),
            "account": self.account,
            "digests": digests,
            "occurrences": occurrences.astype(np.uint32),
            "file_of": file_of[order],
            "row_of": row_of[order],
            "part_of": part_of[order],
            "raw_digests": raw[order],
            "turns": turns[order],
        }

    def _tie(self, number: int, row: int) -> tuple[bytes, str]:
        file = self.files[number]
        return b"\n".join(file.raw(each) for each in file.rows_of(row)), file.source.label


class _Tally:
    """Counts the rows of one file."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.kept = self.examples = 0
        self.dropped: Counter[str] = Counter()
        self.quarantined: Counter[str] = Counter()
        self.listed: list[Quarantined] = []
        self.answered = False

    def quarantine(self, row: Row, fault: RowFault) -> None:
        self.quarantined[fault.code] += 1
        if len(self.listed) < LISTED:
            self.listed.append(Quarantined(self.source.name, row.line, row.offset, fault.code, fault.detail))

    def drop(self, reason: str) -> None:
        self.dropped[reason] += 1

    def account(self, why: str) -> Account:
        read = self.kept + self.dropped.total() + self.quarantined.total()
        return Account(
            read=read,
            kept=self.kept,
            examples=self.examples,
            dropped=dict(sorted(self.dropped.items())),
            quarantined=dict(sorted(self.quarantined.items())),
            quarantine=tuple(sorted(self.listed, key=lambda entry: entry.offset)),
            formats={self.source.name: why},
        )
