"""Arrays in one file of the safetensors layout: the length of a JSON header, the header, the arrays one behind the other.

Anybody's safetensors reader opens it; nothing in it is run. An array is read when it is asked for, and its digest is compared then.

Source: https://github.com/huggingface/safetensors, format 0.4.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Final, Required, Self, TypedDict

import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel.artifact import dump_json
from instructsel.errors import InstructselError
from instructsel.shapes import Count, Misfit, checked
from instructsel.structured import Refusal

Array = NDArray[Any]
TYPES: Final[Mapping[str, str]] = {
    "U8": "<u1",
    "I8": "<i1",
    "U16": "<u2",
    "I16": "<i2",
    "F16": "<f2",
    "U32": "<u4",
    "I32": "<i4",
    "F32": "<f4",
    "U64": "<u8",
    "I64": "<i8",
    "F64": "<f8",
}
NAMES: Final[Mapping[str, str]] = {kind: name for name, kind in TYPES.items()}
MOST_HEADER: Final = 64 << 20
"""Bytes of a header."""
METADATA: Final = "__metadata__"
DIGEST: Final = 16
"""Bytes of a digest."""
PIECE: Final = 1 << 20
"""Bytes of an array that are looked at together."""
DIGESTS: Final = "digests"
"""Of the arrays, by their names, in the metadata."""


class Entry(TypedDict, total=False):
    """An array in the header."""

    dtype: Required[str]
    shape: Required[list[Count]]
    data_offsets: Required[tuple[Count, Count]]


def digest_of(data: bytes | memoryview) -> str:
    """blake2b-128, in hexadecimal."""
    return hashlib.blake2b(data, digest_size=DIGEST).hexdigest()


def write_tensors(file: BinaryIO, arrays: Mapping[str, Array], metadata: Mapping[str, str]) -> None:
    """Write arrays in the order of their item's size and name, so that each stands where its items may stand; the same in, the same bytes.

    Args:
        file: open for writing.
        arrays: by their names, of the types of TYPES.
        metadata: texts by their names; the digests are put to them.
    """
    contiguous = {name: np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")) for name, array in arrays.items()}
    names = sorted(contiguous, key=lambda name: (-contiguous[name].dtype.itemsize, name))
    header: dict[str, Any] = {}
    digests: dict[str, str] = {}
    end = 0
    for name in names:
        array = contiguous[name]
        begin, end = end, end + array.nbytes
        header[name] = {"dtype": NAMES[array.dtype.str.replace("|", "<")], "shape": list(array.shape), "data_offsets": [begin, end]}
        digests[name] = digest_of(_bytes(array))
    header[METADATA] = {**metadata, DIGESTS: dump_json(digests).decode()}
    text = dump_json(header)
    text += b" " * (-len(text) % 8)
    file.write(len(text).to_bytes(8, "little") + text)
    for name in names:
        file.write(_bytes(contiguous[name]))


def _bytes(array: Array) -> memoryview:
    return array.reshape(-1).view(np.uint8).data if array.size else memoryview(b"")


@dataclass(frozen=True, eq=False)
class TensorFile:
    """A file whose header was read. Make one with `open`."""

    path: Path
    entries: Mapping[str, Entry]
    metadata: Mapping[str, str]
    digests: Mapping[str, str]
    start: int
    """Where the arrays begin."""
    refusal: Refusal
    _arrays: dict[str, Array] = field(default_factory=dict, repr=False)

    @classmethod
    def open(cls, path: str | Path, refusal: Refusal) -> Self:
        """Read the header of a file.

        Raises:
            InstructselError: of the refusal's class: it is missing, is no such file, or says what cannot be.
        """
        try:
            with open(path, "rb") as file:
                size = os.fstat(file.fileno()).st_size
                length = int.from_bytes(file.read(8), "little")
                if size < 8 or not 2 <= length <= min(MOST_HEADER, size - 8):
                    raise refusal.of(path, "it does not begin as a file of arrays does, or it is cut off")
                text = file.read(length)
        except InstructselError:
            raise
        except FileNotFoundError as error:
            raise refusal.error(
                f"There is no file {path}.", fix=(refusal.fix or "").replace("Make it again:", "Check the path, or make it:")
            ) from error
        except OSError as error:
            raise refusal.of(path, error.strerror or str(error)) from error
        except ValueError as error:
            raise refusal.of(repr(str(path)), str(error)) from error
        try:
            header = orjson.loads(text)
            checked(header, dict[str, Any])
            metadata = checked(header.pop(METADATA, {}), dict[str, str], METADATA)
            entries = checked(header, dict[str, Entry])
            digests = checked(orjson.loads(metadata.get(DIGESTS, "{}")), dict[str, str], DIGESTS)
        except (orjson.JSONDecodeError, Misfit) as error:
            raise refusal.of(path, f"its header cannot be read: {error}") from error
        opened = cls(Path(path), entries, metadata, digests, 8 + length, refusal)
        opened._check(size - opened.start)
        return opened

    def _check(self, size: int) -> None:
        """Refuse arrays that overlap, leave gaps, end elsewhere than the file, or have no digest."""
        end = 0
        for name, entry in sorted(self.entries.items(), key=lambda item: (item[1]["data_offsets"][0], item[1]["data_offsets"][1])):
            begin, stop = entry["data_offsets"]
            kind = TYPES.get(entry["dtype"])
            if kind is None:
                raise self.refusal.of(self.path, f"the array {name[:60]!r} is of the type {entry['dtype'][:20]!r}")
            if begin != end or stop - begin != math.prod(entry["shape"]) * np.dtype(kind).itemsize:
                raise self.refusal.of(self.path, f"the array {name[:60]!r} is not as long as it says")
            if name not in self.digests:
                raise self.refusal.of(self.path, f"the array {name[:60]!r} has no digest")
            end = stop
        if end != size:
            raise self.refusal.of(self.path, f"{size:,} bytes follow its header, which says {end:,}: it was cut off, or added to")

    def array(self, name: str) -> Array:
        """An array, not to be written to.

        Raises:
            InstructselError: of the refusal's class: there is none, it cannot be read, or its digest is another.
        """
        if name not in self._arrays:
            entry = self.entries.get(name)
            if entry is None:
                raise self.refusal.of(self.path, f"it has no array {name!r}")
            begin, end = entry["data_offsets"]
            try:
                with open(self.path, "rb") as file:
                    file.seek(self.start + begin)
                    data = file.read(end - begin)
            except OSError as error:
                raise self.refusal.of(self.path, error.strerror or str(error)) from error
            if digest_of(data) != self.digests[name]:
                raise self.refusal.of(self.path, f"the array {name!r} is damaged: its digest is another")
            self._arrays[name] = np.frombuffer(data, dtype=TYPES[entry["dtype"]]).reshape(entry["shape"])
        return self._arrays[name]

    def check_all(self) -> None:
        """Compare every array with its digest, those that nobody asked for too, a piece at a time.

        Raises:
            InstructselError: of the refusal's class: one cannot be read, or its digest is another.
        """
        try:
            with open(self.path, "rb") as file:
                for name, entry in self.entries.items():
                    if name in self._arrays:
                        continue
                    begin, end = entry["data_offsets"]
                    file.seek(self.start + begin)
                    content = hashlib.blake2b(digest_size=DIGEST)
                    while begin < end and (piece := file.read(min(PIECE, end - begin))):
                        content.update(piece)
                        begin += len(piece)
                    if content.hexdigest() != self.digests[name]:
                        raise self.refusal.of(self.path, f"the array {name!r} is damaged: its digest is another")
        except OSError as error:
            raise self.refusal.of(self.path, error.strerror or str(error)) from error


__all__ = ["Array", "TensorFile", "digest_of", "write_tensors"]
