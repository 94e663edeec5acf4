"""The folder of a fine-tune: whose it is, the states to resume from, and the finished checkpoint."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import atomic_write, dump_json
from instructsel.errors import EnvironmentFault, ModelUnavailable, TrainingError
from instructsel.models.load import weights_digest as digest_of_files
from instructsel.models.peft_adapter import digest_of
from instructsel.models.weights import weight_files
from instructsel.protocols import Checkpoint

RECORD: Final = "training.json"
STATE: Final = "state"
OWNER: Final = "owner"
"""Stands in the folder of states from before the first step: whose fine-tune it is."""
COMPLETE: Final = "complete"
"""Written into a state after everything else of it, with the sizes of its files: what was killed half-written has none."""


def claim(folder: Path, key: str) -> None:
    """Take a folder for this fine-tune. Weights of unknown origin are never written over.

    Raises:
        TrainingError: another fine-tune was begun there, or it holds weights of another origin.
        EnvironmentFault: it cannot be made or written to.
    """
    owner = folder / STATE / OWNER
    try:
        former = owner.read_bytes() if owner.is_file() else None
        record = folder / RECORD
        weights = [*folder.glob("*.safetensors"), *folder.glob("adapter/*.safetensors")]
        foreign = former is None and not record.exists() and bool(weights)
        if foreign or former not in (None, key.encode()):
            contents = "weights that are no checkpoint of this fine-tune" if foreign else "another fine-tune, begun and not finished"
            raise TrainingError(f"{folder} holds {contents}.", fix="Choose another folder, or remove this one.")
        owner.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(owner) as file:
            file.write(key.encode())
        # Of weights that are not those it describes.
        record.unlink(missing_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {folder}: {error.strerror or error}.", fix="Choose another folder.") from error


def mark_complete(state: Path, key: str) -> None:
    """Mark a state as whole, when everything else of it is written."""
    mark = dump_json({"key": key, "sizes": _sizes(state)})
    with atomic_write(state / COMPLETE) as file:
        file.write(mark)


def last_state(folder: Path, key: str) -> Path | None:
    """The last state that is whole; those that are not are removed."""
    states: list[tuple[int, Path]] = []
    for path in folder.glob("checkpoint-*"):
        number = path.name.rpartition("-")[2]
        try:
            mark = orjson.loads((path / COMPLETE).read_bytes())
            complete = number.isdigit() and mark == {"key": key, "sizes": _sizes(path)}
        except (OSError, orjson.JSONDecodeError):
            complete = False
        if complete:
            states.append((int(number), path))
        else:
            shutil.rmtree(path, ignore_errors=True)
    return max(states)[1] if states else None


def finished(folder: Path, key: str) -> Checkpoint | None:
    """The checkpoint of this very fine-tune, if it is there and whole.

    Raises:
        TrainingError: the record cannot be read, or is of another fine-tune.
    """
    try:
        record: Any = orjson.loads((folder / RECORD).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, orjson.JSONDecodeError) as error:
        raise TrainingError(f"{folder / RECORD} cannot be read: {error}.", fix="Remove the folder, or choose another.") from error
    if not isinstance(record, dict) or record.get("key") != key:
        raise TrainingError(
            f"{folder} holds another fine-tune: of another base, recipe, pool or seed.", fix="Choose another folder, or remove this one."
        )
    merged = record["trainer"]["merge"] or record["trainer"]["recipe"]["method"] == "full"
    weights = weights_digest(folder if merged else folder / "adapter")
    try:
        digest = weights if merged else digest_of(folder / "adapter", record["trainer"]["base"]["digest"])
    except ModelUnavailable:
        return None
    # Before 0.1 was released, an adapter's digest left out its base.
    if record["digest"] not in (digest, weights):
        # Weights that are not those of the record: trained again.
        return None
    return Checkpoint(folder, digest, record["seed"], record, owned=True)


def weights_digest(folder: Path) -> str:
    """SHA-256 over the weights, as `locate` computes it; of nothing where there are none."""
    return digest_of_files(weight_files(folder, folder.name))


def _sizes(folder: Path) -> dict[str, int]:
    """The bytes of each file of a state."""
    return {path.name: path.stat().st_size for path in folder.iterdir() if path.is_file() and path.name != COMPLETE}


__all__ = ["COMPLETE", "OWNER", "RECORD", "STATE", "claim", "finished", "last_state", "mark_complete", "weights_digest"]
