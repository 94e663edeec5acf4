"""The rows of data files, by their bytes: as they lie here, and as they were before."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from instructsel.errors import EmptyFile, PoolError
from instructsel.gates.git.repository import Changed, Git
from instructsel.pool.lines import Limits, Row, RowFault, read_lines
from instructsel.pool.sources import Source, open_source
from instructsel.text import safe_path

ENDINGS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
PACKED: Final = (".gz", ".zst")
POINTER: Final = b"version https://git-lfs.github.com/spec/"
MOST_POINTER: Final = 1024
"""Bytes of a pointer, by its specification."""
OBJECT: Final = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
"""What a pointer leads to."""
LINKED: Final = (b'"parent_id"', b'"message_id"')
"""Fields of rows that are turns of one conversation: one of them alone is no example."""


def is_data(path: Path) -> bool:
    """Whether a name ends as data files do, packed or not."""
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return name.endswith(ENDINGS)


@dataclass(frozen=True, slots=True)
class Scanned:
    """A row of a changed file."""

    offset: int
    digest: bytes
    added: bool
    """Whether it stands on an added line, or nobody knows its lines."""
    by_bytes: bool
    """Whether nobody does."""
    linked: bool
    """Whether it is a turn of a conversation over several rows: with a changed one all are read again, and none is left out."""


def rows_here(git: Git, commit: str, changed: Sequence[Changed], limits: Limits) -> tuple[dict[str, list[Scanned]], list[str], list[str]]:
    """The rows of each file that is here; the files without a row, for people; and those that cannot be read."""
    scans: dict[str, list[Scanned]] = {}
    empty: list[str] = []
    unread: list[str] = []
    for file in changed:
        if not file.is_here:
            continue
        name = str(file.path)
        scans[name] = []
        try:
            has_lines = file.blob is None or not git.is_filtered(file.path)
            added = git.added(commit, file.path) if file.blob and has_lines else None
            scans[name] = list(_scanned(name, limits, added, has_lines=has_lines))
        except EmptyFile:
            empty.append(safe_path(os.path.relpath(file.path)))
        except (PoolError, RowFault):
            unread.append(name)
    return scans, empty, unread


def rows_before(git: Git, changed: Sequence[Changed], limits: Limits, gone: dict[Path, Counter[bytes]]) -> tuple[Counter[bytes], list[str]]:
    """How often each row stood in the changed files before, and what could not be read of them; into `gone` those of each file that is gone."""
    rows: Counter[bytes] = Counter()
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="instructsel-gate-") as place:
        for number, file in enumerate(changed):
            if file.blob is None:
                continue
            # The endings say how a file is read; the name itself is somebody's.
            target = Path(place) / f"{number}{''.join(file.path.suffixes[-2:])}"
            git.write(file.blob, target)
            shown = safe_path(file.path.name)
            if not _is_content(target, git):
                notes.append(
                    f"{shown}: what it was before is a pointer of Git LFS, so every row of it is new. Fetch it: git lfs fetch --all"
                )
                continue
            try:
                with _opened(target, limits) as source:
                    of_file = Counter(_digest(source, row) for row in _rows(source))
                rows.update(of_file)
                if not file.is_here:
                    gone[file.path] = of_file
            except EmptyFile:
                continue
            except (PoolError, RowFault) as error:
                reason = error.message if isinstance(error, PoolError) else f"{error.detail}."
                notes.append(f"{shown}: what it was before cannot be read, so its rows are new: {reason.replace(str(target), shown)}")
    return rows, notes


def _scanned(name: str, limits: Limits, added: Sequence[range] | None, *, has_lines: bool) -> Iterator[Scanned]:
    """The rows of a file.

    Args:
        name: the file.
        limits: how it is read.
        added: its added lines; None where all of it is new, or nobody knows them.
        has_lines: whether git compares the lines that lie here.
    """
    with _opened(name, limits) as source:
        lines_count = has_lines and source.columns is None and not _is_packed(name)
        linked = source.container == "lines" and _is_linked(source)
        ranges = iter(added or ())
        current = next(ranges, None)
        for row in _rows(source):
            last = row.line + row.raw.count(b"\n")
            while current is not None and current.stop <= row.line:
                current = next(ranges, None)
            on_added = added is None or not lines_count or (current is not None and current.start <= last)
            yield Scanned(row.offset, _digest(source, row), linked or on_added, not lines_count, linked)


@contextmanager
def _opened(name: str | Path, limits: Limits) -> Iterator[Source]:
    """A source that is closed behind the block."""
    source = open_source(name, limits)
    try:
        yield source
    finally:
        source.file.close()


def _rows(source: Source) -> Iterator[Row]:
    """The rows of a source as reading sees them; lines before they are parsed."""
    if source.container == "lines" and not source.spread:
        yield from read_lines(source.file, source.limits)
    else:
        yield from (row for row, _ in source.rows())


def _is_linked(source: Source) -> bool:
    source.file.seek(0)
    start = source.file.read(1 << 16)
    return all(mark in start.partition(b"\n")[0] for mark in LINKED)


def _is_packed(name: str) -> bool:
    with open(name, "rb") as file:
        return file.read(4)[:2] == b"\x1f\x8b" or name.lower().endswith(PACKED)


def _digest(source: Source, row: Row) -> bytes:
    """Of a row's bytes, of a table's with its header: another header makes other rows of them."""
    return hashlib.blake2b(source.header_raw.strip() + b"\n" + row.raw.strip(b" \t\r\n"), digest_size=16).digest()


def _is_content(target: Path, git: Git) -> bool:
    """Whether a file's content is here; in place of a pointer of Git LFS comes what it leads to, where that was fetched."""
    with open(target, "rb") as content:
        start = content.read(MOST_POINTER)
    if not start.startswith(POINTER):
        return True
    name = OBJECT.search(start)
    place = None if name is None else git.stored(name[1].decode("ascii"))
    if place is None:
        return False
    shutil.copyfile(place, target)
    return True


__all__ = ["Scanned", "is_data", "rows_before", "rows_here"]
