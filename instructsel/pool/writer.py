"""Rows of a pool into files, in their original bytes or as messages."""

from __future__ import annotations

import gzip
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final

import orjson

from instructsel.artifact import atomic_write
from instructsel.pool.example import Example
from instructsel.pool.sources import zstd

if TYPE_CHECKING:
    pass

MESSAGES: Final = "messages"


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
