"""Rows of a pool into files, in their original bytes or as messages."""

from __future__ import annotations

import gzip
import re
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from instructsel.artifact import atomic_write
from instructsel.errors import UsageError
from instructsel.pool.columnar import Columns, copy_rows, union_notes
from instructsel.pool.example import Example
from instructsel.pool.json_text import as_bytes
from instructsel.pool.reader import PoolFile
from instructsel.pool.streams import zstd
from instructsel.pool.text_files import DELIMITERS

if TYPE_CHECKING:
    import polars

MESSAGES: Final = "messages"
"""The output format that every pool can be written in."""
EXPECTED: Final[dict[str, tuple[str, ...]]] = {
    "lines": (".jsonl", ".ndjson", ".json"),
    "array": (".json",),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "parquet": (".parquet",),
    "arrow": (".arrow",),
}
"""Container → the endings of its files."""
CALLED: Final = {"lines": "JSON Lines", "array": "a JSON array", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet", "arrow": "Arrow"}
"""Container → what messages call it."""
LINE_BREAKS: Final = re.compile(rb"\n[ \t\r\n]*")
COLUMNAR: Final = ("parquet", "arrow")
"""Containers whose rows are no lines of text."""
MESSAGES_ENDINGS: Final = (".jsonl", ".ndjson")

Place = tuple[int, int]
"""A row: the number of its file in the pool, and its number in the file."""


def write_rows(files: Sequence[PoolFile], places: Sequence[Place], path: str | Path) -> int:
    """Write rows in the format they were read in; the bytes of every line, record or element are those of the input.

    Compression follows the ending (.gz, .zst).

    Returns:
        The number of rows.

    Raises:
        UsageError: the files are of several formats, or the ending is not the format's.
    """
    check_output(files, path, None)
    container = container_of(files)
    if container in COLUMNAR:
        with atomic_write(path) as out:
            copy_rows(_columns(files), _numbered(files, places), out, to=container)
        return len(places)
    with compressed(path) as out:
        return stream_rows(files, places, out)


def check_output(files: Sequence[PoolFile], path: str | Path, to: str | None) -> None:
    """Refuse a name whose ending is not that of the format in which rows would be written there.

    Raises:
        UsageError: the ending is another one's, the files are of several formats or their columns make no one table, or there is no
            such output format.
    """
    name = Path(path).name.lower().removesuffix(".gz").removesuffix(".zst")
    if to == MESSAGES:
        if not name.endswith(MESSAGES_ENDINGS):
            raise UsageError(
                f"Messages are written as JSON lines, and {Path(path).name} is no such name.", fix="Name an output ending in .jsonl."
            )
        return
    if to is not None:
        raise UsageError.named(to, [MESSAGES], noun="output format")
    container = container_of(files)
    if container in COLUMNAR:
        union_notes(_columns(files))
    if not name.endswith(EXPECTED[container]):
        ending = EXPECTED[container][0]
        other = next((CALLED[kind] for kind, endings in EXPECTED.items() if name.endswith(endings)), "no format of a pool")
        if container == "lines":
            fix = f"Name an output ending in {ending}."
        elif name.endswith(MESSAGES_ENDINGS):
            fix = f"Name an output ending in {ending}, or write JSON Lines with --to messages."
        else:
            fix = f"Name an output ending in {ending}, or one ending in .jsonl with --to messages."
        raise UsageError(f"The pool is {CALLED[container]} and {Path(path).name} names {other}.", fix=fix)


def stream_rows(files: Sequence[PoolFile], places: Sequence[Place], out: BinaryIO) -> int:
    """Write rows to an open file, as `write_rows` does; Parquet and Arrow cannot be streamed."""
    container = container_of(files)
    if container in COLUMNAR:
        raise UsageError(f"{CALLED[container]} cannot be streamed.", fix="Name a file with -o, or add --to messages.")
    if container in DELIMITERS and files[0].source.header_raw:
        out.write(_ended(files[0].source.header_raw))
    if container == "array":
        out.write(b"[\n")
    for count, (number, row) in enumerate(places):
        if container == "array":
            out.write((b",\n" if count else b"") + files[number].written(row))
        elif container == "lines":
            out.write(line_of(files[number], row) + b"\n")
        else:
            out.write(_ended(files[number].written(row)))
    if container == "array":
        out.write(b"\n]\n" if places else b"]\n")
    return len(places)


def line_of(file: PoolFile, row: int) -> bytes:
    """A row as one line of JSON, without its end: its own bytes where it is JSON.

    Raises:
        UsageError: it is of Parquet or Arrow and holds bytes, which JSON has no form for.
    """
    if file.source.container in DELIMITERS or file.source.columns is not None:
        return as_bytes(file.plain(row))
    return on_one_line(file.written(row).removesuffix(b"\n"))


def write_messages(out: BinaryIO, examples: Iterable[Example]) -> int:
    """Write examples as JSON lines with `messages`; how many."""
    count = 0
    for example in examples:
        row: dict[str, Any] = {"messages": [turn.as_row() for turn in example.messages]}
        if example.tools is not None:
            row["tools"] = example.tools.as_given
        out.write(as_bytes(row) + b"\n")
        count += 1
    return count


def container_of(files: Sequence[PoolFile]) -> str:
    """The container that all files can be written in together: lines, array, csv, tsv, parquet or arrow.

    Files of one format in several containers are written as JSON lines, those of Parquet and Arrow as Parquet.

    Raises:
        UsageError: they are of several formats.
    """
    formats = {file.format.name for file in files}
    if len(formats) > 1:
        named = ", ".join(sorted({f"{file.source.label} ({file.source.container}, {file.format.name})" for file in files}))
        raise UsageError(f"The files of the pool are of several formats: {named}.", fix="Add --to messages to write them all as messages.")
    kinds = {(file.source.container, file.source.header, file.source.delimiter) for file in files}
    if len(kinds) == 1:
        return next(iter(kinds))[0]
    return "parquet" if all(file.source.columns is not None for file in files) else "lines"


def notes_on_output(files: Sequence[PoolFile]) -> list[str]:
    """What is to be known, before anything is scored, of how the rows of several files are written as one."""
    try:
        container = container_of(files)
        notes = union_notes(_columns(files)) if container in COLUMNAR else []
    except UsageError as error:
        return [f"a selection of these files is written with --to messages only: {error.message}"]
    if len({file.source.container for file in files}) > 1:
        notes.insert(0, f"a selection of these files, which are of several kinds, is written as {CALLED[container]}")
    return notes


def columnar_frame(files: Sequence[PoolFile], places: Sequence[Place]) -> polars.DataFrame:
    """Rows of Parquet and Arrow files with the columns of all of them, in the order of `places`.

    Raises:
        UsageError: the files' columns make no one table.
        PoolError: a file has changed since it was read.
    """
    import polars

    with tempfile.TemporaryFile(prefix="instructsel-") as rows:
        copy_rows(_columns(files), _numbered(files, places), rows, to="arrow")
        rows.seek(0)
        return polars.read_ipc_stream(rows)


def _columns(files: Sequence[PoolFile]) -> list[Columns]:
    return [file.source.columns for file in files if file.source.columns is not None]


def _numbered(files: Sequence[PoolFile], places: Sequence[Place]) -> list[Place]:
    """Places with the numbers that rows have in their files, from 0."""
    return [(number, int(files[number].lines[row]) - 1) for number, row in places]


@contextmanager
def compressed(path: str | Path) -> Iterator[Any]:
    """An atomic file, compressed when its name says so; the same bytes for the same content."""
    suffix = Path(path).suffix.lower()
    with atomic_write(path) as file:
        if suffix == ".gz":
            with gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed:
                yield packed
        elif suffix == ".zst":
            with zstd.ZstdFile(file, mode="w") as packed:
                yield packed
        else:
            yield file


def on_one_line(raw: bytes) -> bytes:
    """The bytes of a JSON row without line breaks, which stand between its values alone; numbers and texts stay as they are."""
    return LINE_BREAKS.sub(b" ", raw) if b"\n" in raw else raw


def _ended(raw: bytes) -> bytes:
    return raw if raw.endswith(b"\n") else raw + b"\n"
