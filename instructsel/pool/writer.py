"""Rows of a pool into files, in their original bytes or as messages."""

from __future__ import annotations

import gzip
import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from instructsel.artifact import atomic_write
from instructsel.errors import PoolError, UsageError
from instructsel.pool.columnar import parquet_rows
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
}
"""Container → the endings of its files."""
CALLED: Final = {"lines": "JSON Lines", "array": "a JSON array", "csv": "CSV", "tsv": "TSV", "parquet": "Parquet"}
"""Container → what messages call it."""
LINE_BREAKS: Final = re.compile(rb"\n[ \t\r\n]*")
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
    if container == "parquet":
        with atomic_write(path) as out:
            parquet_frame(files, places).write_parquet(out)
        return len(places)
    with compressed(path) as out:
        return stream_rows(files, places, out)


def check_output(files: Sequence[PoolFile], path: str | Path, to: str | None) -> None:
    """Refuse a name whose ending is not that of the format in which rows would be written there.

    Raises:
        UsageError: the ending is another one's, the files are of several formats, or there is no such output format.
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
    """Write rows to an open file, as `write_rows` does; Parquet cannot be streamed."""
    container = container_of(files)
    if container == "parquet":
        raise UsageError("Parquet cannot be streamed.", fix="Name a file with -o, or add --to messages.")
    if container in DELIMITERS and files[0].source.header_raw:
        out.write(_ended(files[0].source.header_raw))
    if container == "array":
        out.write(b"[\n")
    for count, (number, row) in enumerate(places):
        raw = files[number].written(row)
        if container == "array":
            out.write((b",\n" if count else b"") + raw)
        elif container == "lines":
            out.write(on_one_line(raw) + b"\n")
        else:
            out.write(_ended(raw))
    if container == "array":
        out.write(b"\n]\n" if places else b"]\n")
    return len(places)


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
    """The container that all files can be written in together: lines, array, csv, tsv or parquet.

    Raises:
        UsageError: they are of several formats.
    """
    kinds = {(file.source.container, file.format.name, file.source.header, file.source.delimiter) for file in files}
    if len(kinds) == 1:
        return next(iter(kinds))[0]
    # A JSON array's elements are rows as good as lines; only the format must be one.
    if len({file.format.name for file in files}) == 1 and all(file.source.container in ("lines", "array") for file in files):
        return "lines"
    named = ", ".join(sorted({f"{file.source.label} ({file.source.container}, {file.format.name})" for file in files}))
    raise UsageError(f"The files of the pool are of several formats: {named}.", fix="Add --to messages to write them all as messages.")


def parquet_frame(files: Sequence[PoolFile], places: Sequence[Place]) -> polars.DataFrame:
    """Rows of Parquet files with all their columns, in the order of `places`.

    Raises:
        PoolError: a file is gone.
    """
    import polars

    frames: dict[int, polars.DataFrame] = {}
    for number in sorted({number for number, _ in places}):
        file = files[number]
        rows = [row for other, row in places if other == number]
        if file.source.original is None:
            raise PoolError(f"{file.source.name} is gone.", fix="Read the pool again.")
        frames[number] = parquet_rows(file.source.original, [int(file.lines[row]) - 1 for row in rows])
    if not frames:
        return polars.DataFrame()
    starts = dict(zip(frames, itertools.accumulate((frame.height for frame in frames.values()), initial=0), strict=False))
    seen: Counter[int] = Counter()
    order = []
    for number, _ in places:
        order.append(starts[number] + seen[number])
        seen[number] += 1
    return polars.concat(list(frames.values()), how="vertical")[order]


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
