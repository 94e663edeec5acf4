"""The weight files of a model's folder: which of them a loader reads, and what their headers say is in them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.errors import ModelRefused, UntrustedModel
from instructsel.models.json_files import read_json
from instructsel.paths import resolved

SUFFIX: Final = ".safetensors"
WHOLE: Final = "model.safetensors"
INDEX: Final = "model.safetensors.index.json"
"""Says which shards the weights are in, where they are not all in one file."""
MAX_HEADER: Final = 100_000_000
"""Bytes of a header, as the safetensors library limits them."""
FETCH: Final = "Fetch the model again."


@dataclass(frozen=True)
class Tensors:
    """What the headers of some weight files say."""

    shapes: dict[str, tuple[int, ...]]
    """By the name of the tensor."""

    @property
    def numbers(self) -> int:
        """Of all tensors together."""
        return sum(map(math.prod, self.shapes.values()))

    @property
    def widest(self) -> int:
        """The largest dimension."""
        return max((dimension for shape in self.shapes.values() for dimension in shape), default=0)


def weight_files(folder: Path, name: str) -> tuple[Path, ...]:
    """The files that a loader reads weights from, by name: model.safetensors, else the shards of the index, else all *.safetensors.

    transformers takes the first two; others read every file of a folder that has neither, such as an adapter's.

    Args:
        folder: the model's.
        name: of the model, for messages.

    Raises:
        UntrustedModel: the index names a file that is no *.safetensors of this folder, or a file is a link out of it.
        ModelUnavailable: the index cannot be read.
        ModelRefused: a shard is missing, or the index names none.
    """
    if (folder / WHOLE).is_file():
        files = [folder / WHOLE]
    elif (folder / INDEX).is_file():
        files = [folder / shard for shard in _shards(folder, name)]
    else:
        files = sorted(path for path in folder.glob(f"*{SUFFIX}") if path.is_file())
    for path in files:
        check_inside(path, folder, name)
    return tuple(files)


def _shards(folder: Path, name: str) -> list[str]:
    """The shards that an index names."""
    check_inside(folder / INDEX, folder, name)
    index = read_json(folder / INDEX)
    places = index.get("weight_map")
    if not isinstance(places, dict) or not places or not all(isinstance(place, str) for place in places.values()):
        raise ModelRefused(f"{INDEX} of {name} has no weight_map from tensors to files.", fix=FETCH)
    if not isinstance(index.get("metadata", {}), dict):
        raise ModelRefused(f"The metadata of {INDEX} of {name} is no object.", fix=FETCH)
    shards = sorted(set(places.values()))
    for shard in shards:
        if not is_plain(shard) or not shard.endswith(SUFFIX):
            raise UntrustedModel(
                f"{INDEX} of {name} names {shard[:100]!r}, which is no {SUFFIX} file of this folder: other weights would be read than those of {name}.",
                fix=FETCH,
            )
        if not (folder / shard).is_file():
            raise ModelRefused(f"{name} has no {shard}, which {INDEX} names.", fix="Fetch the whole model.")
    return shards


def is_plain(file: str) -> bool:
    """Whether a name is that of a file in a folder, and of nothing anywhere else."""
    return file not in ("", ".", "..") and not any(mark in file for mark in "/\\\0:") and file.isprintable()


def check_inside(path: Path, folder: Path, name: str) -> None:
    """Refuse a file that is a link out of its model's folder; the hub's cache links into the `blobs` beside its snapshots.

    Raises:
        UntrustedModel: it lies elsewhere.
    """
    target, root = resolved(path), resolved(folder)
    roots = [root]
    for parent in (root, *root.parents):
        if parent.parent.name == "snapshots":
            roots.append(parent.parent.parent / "blobs")
    if not any(target.is_relative_to(place) for place in roots):
        raise UntrustedModel(
            f"{path.name} of {name} is a link to {target}, outside the model's folder.", fix="Put the file itself into the folder."
        )


def read_tensors(files: Iterable[Path], name: str) -> Tensors:
    """The shapes in the headers of some weight files.

    Raises:
        ModelRefused: a header is not what safetensors writes, or two files hold the same tensor.
    """
    shapes: dict[str, tuple[int, ...]] = {}
    for path in files:
        for tensor, shape in _header(path, name).items():
            if tensor in shapes:
                raise ModelRefused(f"{name} has the tensor {tensor[:100]} in two files: which of them counts is unknown.", fix=FETCH)
            shapes[tensor] = shape
    return Tensors(shapes)


def _header(path: Path, name: str) -> dict[str, tuple[int, ...]]:
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or not 2 <= length <= min(size - 8, MAX_HEADER):
            raise ModelRefused(f"{path.name} of {name} is damaged: its header is said to have {length:,} bytes.", fix=FETCH)
        content = file.read(length)
    try:
        entries = orjson.loads(content)
        return {tensor: _shape(entry) for tensor, entry in entries.items() if tensor != "__metadata__"}
    except (orjson.JSONDecodeError, AttributeError, TypeError, KeyError, ValueError) as error:
        raise ModelRefused(f"{path.name} of {name} is damaged: its header is no list of tensors.", fix=FETCH) from error


def _shape(entry: Any) -> tuple[int, ...]:
    """The shape of one tensor of a header.

    Raises:
        ValueError: it is no list of whole numbers.
    """
    shape = entry["shape"]
    if not isinstance(shape, list) or not all(type(dimension) is int and dimension >= 0 for dimension in shape):
        raise ValueError("a shape is a list of whole numbers")
    return tuple(shape)


__all__ = ["INDEX", "SUFFIX", "WHOLE", "Tensors", "check_inside", "is_plain", "read_tensors", "weight_files"]
