"""Which examples a baseline has and where they stand: digests of contents and of rows, files, lines, sources, turns."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Final, Required, Self, TypedDict

import numpy as np
from numpy.typing import NDArray

from instructsel.gates.baseline.base import Order
from instructsel.pool.formats._base import TableFormat
from instructsel.pool.lines import read_lines
from instructsel.pool.sources import label_of
from instructsel.pool.stretches import UNWANTED
from instructsel.shapes import Count

if TYPE_CHECKING:
    from instructsel.pool.pool import Pool
    from instructsel.pool.reader import PoolFile

Digests = NDArray[np.uint64]
"""(n, 2): the big-endian halves of blake2b-128."""
WIDTH: Final = 16
EXAMPLES: Final = ("content", "raw", "file", "line", "part", "source", "turns")
"""Arrays of one line an example."""
ROWS: Final = ("row_raw", "row_file", "row_line")
"""Arrays of one line a row of the files, those among them that became no example."""


class FileShape(TypedDict, total=False):
    """A file of a baseline."""

    name: Required[str]
    digest: Required[str | None]
    by_line: Required[bool]


class IdentitiesShape(TypedDict, total=False):
    """What the manifest says of them."""

    files: Required[list[FileShape]]
    sources: Required[list[str]]
    source_field: Required[str | None]
    n_examples: Required[Count]
    n_rows: Required[Count]


@dataclass(frozen=True)
class BaselineFile:
    """A file of the pool that a baseline was made of."""

    name: str
    """From the working folder where it lies in it; else its last folder and its name."""
    digest: str | None
    """blake2b-128 of its bytes; None where they cannot be read again."""
    by_line: bool
    """Whether each line is a row by itself, so that lines that are known need not be parsed."""


@dataclass(frozen=True, eq=False)
class Identities:
    """The examples of a baseline in its order: by the digest of the content, then of the row, then by file and line.

    The order depends on neither the order of files nor that of rows of another content.
    """

    files: tuple[BaselineFile, ...]
    """By name."""
    sources: tuple[str, ...]
    """Labels, in order."""
    source_field: str | None
    """The field that they come from; None where they are the files."""
    content: Digests
    """What the ids are made of."""
    raw: Digests
    """Of the bytes of the row, or rows, that each example stands in."""
    file: NDArray[np.uint32]
    line: NDArray[np.uint32]
    """The first line, from 1."""
    part: NDArray[np.uint16]
    """Which example of its row."""
    source: NDArray[np.uint32]
    turns: NDArray[np.uint16]
    row_raw: Digests
    """Of every row of the files, by file, then digest, then line."""
    row_file: NDArray[np.uint32]
    row_line: NDArray[np.uint32]

    def __len__(self) -> int:
        return len(self.content)

    @classmethod
    def of(cls, pool: Pool) -> tuple[Self, NDArray[np.int64]]:
        """Those of a pool, and the positions of its examples in the order of the baseline."""
        names = names_of([file.source.name for file in pool.files])
        rank = np.argsort(np.argsort(np.array(names))) if names else np.zeros(0, dtype=np.int64)
        by_line = UNWANTED not in pool.report.dropped
        rows = [_rows_of(file, by_line=by_line and is_by_line(file)) for file in pool.files]
        raw = np.zeros((len(pool), 2), dtype=np.uint64)
        for number, file in enumerate(pool.files):
            positions = np.flatnonzero(pool.file_of == number)
            raw[positions] = _example_digests(file, pool.row_of[positions], rows[number])
        labels = pool.sources if pool.spec.reading.source_field is not None else []
        sources = tuple(sorted(set(labels))) if labels else ()
        codes = {label: code for code, label in enumerate(sources)}
        of_file = rank[pool.file_of.astype(np.int64)].astype(np.uint32)
        unordered = cls(
            tuple(
                sorted(
                    (
                        BaselineFile(name, file_digest(file.source.name), by_line and is_by_line(file))
                        for name, file in zip(names, pool.files, strict=True)
                    ),
                    key=lambda entry: entry.name,
                )
            ),
            sources,
            pool.spec.reading.source_field,
            pool.digests,
            raw,
            of_file,
            pool.lines.astype(np.uint32),
            pool.part_of,
            np.array([codes[label] for label in labels], dtype=np.uint32) if labels else of_file,
            pool.turns,
            np.concatenate([digests for digests, _ in rows]) if rows else np.zeros((0, 2), dtype=np.uint64),
            np.repeat(rank, [len(lines) for _, lines in rows]).astype(np.uint32) if rows else np.zeros(0, dtype=np.uint32),
            np.concatenate([lines for _, lines in rows]) if rows else np.zeros(0, dtype=np.uint32),
        )
        return unordered._ordered()

    def _ordered(self) -> tuple[Self, NDArray[np.int64]]:
        """The same in order, and where each example stood."""
        index = np.lexsort(
            (self.part, self.line, self.file, self.raw[:, 1], self.raw[:, 0], self.content[:, 1], self.content[:, 0])
        ).astype(np.int64)
        of_rows = np.lexsort((self.row_line, self.row_raw[:, 1], self.row_raw[:, 0], self.row_file))
        arrays = {name: getattr(self, name)[index] for name in EXAMPLES} | {name: getattr(self, name)[of_rows] for name in ROWS}
        ordered = replace(self, **arrays)
        return (ordered if self.source_field is not None else replace(ordered, sources=labels_of_files(self.files))), index

    def merged(self, other: Self) -> tuple[Self, Order]:
        """These with those of another, whose files take the place of files of the same name."""
        replaced = {file.name for file in other.files}
        files = tuple(sorted([file for file in self.files if file.name not in replaced] + list(other.files), key=lambda file: file.name))
        number = {file.name: code for code, file in enumerate(files)}
        sources = tuple(sorted(set(self._held(replaced)) | set(other.sources)))
        of_source = {label: code for code, label in enumerate(sources)}
        sides = []
        for side, gone in ((self, replaced), (other, set[str]())):
            moved = np.array([0 if file.name in gone else number[file.name] for file in side.files], dtype=np.uint32)
            recoded = np.array([of_source.get(label, 0) for label in side.sources], dtype=np.uint32)
            held = np.array([file.name not in gone for file in side.files], dtype=bool)
            examples, rows = np.flatnonzero(held[side.file]), np.flatnonzero(held[side.row_file])
            arrays = {name: getattr(side, name)[examples] for name in EXAMPLES} | {name: getattr(side, name)[rows] for name in ROWS}
            arrays["file"], arrays["row_file"] = moved[arrays["file"]], moved[arrays["row_file"]]
            arrays["source"] = recoded[arrays["source"]] if self.source_field is not None else arrays["file"]
            sides.append((examples, arrays))
        both = {name: np.concatenate([sides[0][1][name], sides[1][1][name]]) for name in EXAMPLES + ROWS}
        ordered, index = type(self)(files, sources, self.source_field, **both)._ordered()
        stood = np.concatenate([sides[0][0], len(self) + sides[1][0]])
        return ordered, Order(stood[index], len(self), len(other))

    def _held(self, replaced: set[str]) -> list[str]:
        """The sources of the examples of files that are not replaced."""
        stays = np.array([file.name not in replaced for file in self.files], dtype=bool)
        return [self.sources[code] for code in np.unique(self.source[stays[self.file]]).tolist()]

    @property
    def arrays(self) -> dict[str, NDArray[Any]]:
        """All of them by name."""
        return {name: getattr(self, name) for name in EXAMPLES + ROWS}

    @property
    def about(self) -> dict[str, Any]:
        """The rest, as plain data of IdentitiesShape."""
        return {
            "files": [{"name": file.name, "digest": file.digest, "by_line": file.by_line} for file in self.files],
            "sources": list(self.sources),
            "source_field": self.source_field,
            "n_examples": len(self),
            "n_rows": len(self.row_raw),
        }

    @classmethod
    def stored(cls, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> Self:
        """From `about` and `arrays`.

        Raises:
            ValueError: they do not belong together; says why.
        """
        n, m = about["n_examples"], about["n_rows"]
        shapes = dict.fromkeys(EXAMPLES, (n,)) | dict.fromkeys(ROWS, (m,)) | {"content": (n, 2), "raw": (n, 2), "row_raw": (m, 2)}
        kinds = {"content": "<u8", "raw": "<u8", "row_raw": "<u8", "part": "<u2", "turns": "<u2"}
        for name, shape in shapes.items():
            if arrays[name].shape != shape or arrays[name].dtype.str != kinds.get(name, "<u4"):
                raise ValueError(f"the array {name} is of another shape")
        for name, labels in (("file", about["files"]), ("row_file", about["files"]), ("source", about["sources"])):
            if len(arrays[name]) and int(arrays[name].max()) >= len(labels):
                raise ValueError(f"the array {name} names what there is not")
        files = tuple(BaselineFile(file["name"], file["digest"], file["by_line"]) for file in about["files"])
        return cls(files, tuple(about["sources"]), about["source_field"], **arrays)

    def file_called(self, path: str) -> int | None:
        """The number of the file that a path is one of: that of the very name, else the one whose folders agree the furthest.

        The last parts of both must be the same, so that a checkout in another folder is known. Where no folder agrees, or the path lies deeper, and the
        baseline's file is here as well, by its own name, it is another file, and may be a copy of that. See `is_likely` for what only may be the same.
        """
        parts = PurePath(relative(path)).parts
        agreeing = [(_agreeing(PurePath(file.name).parts, parts), -number) for number, file in enumerate(self.files)]
        length, number = max(agreeing, default=(0, 0))
        name = self.files[-number].name
        is_apart = length == 1 or len(PurePath(name).parts) == length < len(parts)
        if not length or (is_apart and _stands_beside(name, path)):
            return None
        return -number

    def is_likely(self, path: str, number: int) -> bool:
        """Whether a path is called as a file of the baseline, from the folder of one of the two on; else they have little more than the name in common."""
        one, other = PurePath(self.files[number].name).parts, PurePath(relative(path)).parts
        return one == other or _agreeing(one, other) >= max(2, min(len(one), len(other)))

    def files_called(self, paths: Sequence[str]) -> dict[str, int]:
        """Path → the number of the file that it is one of; a file is that of one path, of the one whose folders agree the furthest."""
        numbers = {path: number for path in paths if (number := self.file_called(path)) is not None}
        best: dict[int, tuple[int, str]] = {}
        for path, number in numbers.items():
            agreeing = _agreeing(PurePath(self.files[number].name).parts, PurePath(relative(path)).parts)
            best[number] = max(best.get(number, (0, "")), (agreeing, path))
        return {path: number for path, number in numbers.items() if best[number][1] == path}

    def place(self, position: int) -> tuple[str, int]:
        """The file and the line of an example."""
        return self.files[int(self.file[position])].name, int(self.line[position])

    @cached_property
    def labels(self) -> list[str]:
        """The source of each example."""
        return [self.sources[code] for code in self.source.tolist()]

    def find(self, content: Digests) -> NDArray[np.int64]:
        """The position of the first example of each content; -1 where there is none.

        Args:
            content: (k, 2), digests as `Pool.digests` has them.
        """
        return first_of(self.content, content)


def first_of(ordered: Digests, searched: Digests) -> NDArray[np.int64]:
    """The first position of each digest among ordered ones; -1 where there is none."""
    keys, wanted = as_keys(ordered), as_keys(searched)
    positions = np.searchsorted(keys, wanted).astype(np.int64)
    inside = positions < len(keys)
    positions[~inside] = -1
    positions[inside] = np.where(keys[positions[inside]] == wanted[inside], positions[inside], -1)
    return positions


def as_keys(digests: Digests) -> NDArray[Any]:
    """Digests as one value each that sorts as they do."""
    keys: NDArray[Any] = np.ascontiguousarray(digests.astype(">u8")).view(f"V{WIDTH}").reshape(-1)
    return keys


def row_digest(raw: bytes) -> bytes:
    """The digest of a row's bytes: blake2b-128. The pool's own has 64 bits, for which a row that passes as another could be made."""
    return hashlib.blake2b(raw, digest_size=WIDTH).digest()


def as_digests(digests: bytes | bytearray) -> Digests:
    """Digests one behind the other as (n, 2)."""
    halves: Digests = np.frombuffer(bytes(digests), dtype=">u8").reshape(-1, 2).astype(np.uint64)
    return halves


def is_by_line(file: PoolFile) -> bool:
    """Whether each line of a file is a row by itself."""
    source = file.source
    lines = source.container == "lines" and not source.spread and source.columns is None and source.marks is None
    return lines and not isinstance(file.format, TableFormat)


def _rows_of(file: PoolFile, *, by_line: bool) -> tuple[Digests, NDArray[np.uint32]]:
    """The digest and the line of every row: of files by line all of them, those that cannot be read as well."""
    digests = bytearray()
    if by_line:
        lines = []
        for row in read_lines(file.source.file, file.source.limits):
            if row.fault is None:
                digests += row_digest(row.raw)
                lines.append(row.line)
        return as_digests(digests), np.array(lines, dtype=np.uint32)
    for number in range(len(file.lines)):
        digests += row_digest(file.source.identity(file.raw(number)))
    return as_digests(digests), file.lines


def _example_digests(file: PoolFile, rows: NDArray[np.uint32], of_rows: tuple[Digests, NDArray[np.uint32]]) -> Digests:
    """The digest of the row, or the rows, of each example."""
    if file.chains:
        digests = bytearray()
        for row in rows.tolist():
            digests += row_digest(b"\n".join(file.source.identity(file.raw(number)) for number in file.chains[row].rows))
        return as_digests(digests)
    digests_of_rows, lines = of_rows
    where: Digests = digests_of_rows[np.searchsorted(lines, file.lines[rows])] if len(lines) != len(file.lines) else digests_of_rows[rows]
    return where


def file_digest(path: str) -> str | None:
    """blake2b-128 of a file's bytes; None where it is none of this machine."""
    with suppress(OSError, ValueError):
        if Path(path).is_file():
            with open(path, "rb") as file:
                return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=WIDTH)).hexdigest()
    return None


def relative(path: str) -> str:
    """A file from the working folder where it lies in it; else its last folder and its name."""
    with suppress(ValueError, OSError):
        absolute = Path(path).absolute()
        try:
            return absolute.relative_to(Path.cwd()).as_posix()
        except ValueError:
            return PurePath(*absolute.parts[-2:]).as_posix()
    return path


def names_of(paths: Sequence[str]) -> list[str]:
    """What a baseline calls some files: `relative`, with as many folders more as tell them apart."""
    names = [relative(path) for path in paths]
    depth = 2
    while len(set(names)) < len(names) and depth < 32:
        depth += 1
        names = [
            PurePath(*Path(path).absolute().parts[-depth:]).as_posix() if names.count(name) > 1 else name
            for path, name in zip(paths, names, strict=True)
        ]
    return names


def labels_of_files(files: Sequence[BaselineFile]) -> tuple[str, ...]:
    """The labels of sources that are files: the name without folder and endings, with them where several would be called alike."""
    labels = [label_of(file.name) for file in files]
    return tuple(label if labels.count(label) == 1 else file.name for label, file in zip(labels, files, strict=True))


def _stands_beside(name: str, path: str) -> bool:
    """Whether the name that a baseline has for a file leads from here to another file than a path does."""
    with suppress(OSError, ValueError):
        return name != relative(path) and Path(name).is_file() and not Path(name).samefile(path)
    return False


def _agreeing(one: tuple[str, ...], other: tuple[str, ...]) -> int:
    """How many of the last parts are the same; one more where all are."""
    length = 0
    while length < min(len(one), len(other)) and one[-1 - length] == other[-1 - length]:
        length += 1
    return length + (one == other)


__all__ = ["BaselineFile", "Digests", "Identities", "IdentitiesShape", "as_keys", "first_of", "names_of", "relative", "row_digest"]
