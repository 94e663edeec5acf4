"""The folder of a fine-tune: whose it is, the states to resume from, and the finished checkpoint."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, Required, TypedDict

from instructsel.artifact import atomic_write, dump_json
from instructsel.errors import EnvironmentFault, ModelUnavailable, TrainingError
from instructsel.experiments.leases import Leases
from instructsel.models.load import weights_digest as digest_of_files
from instructsel.models.peft_adapter import digest_of
from instructsel.models.weights import weight_files
from instructsel.protocols import Checkpoint
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, read_json

RECORD: Final = "training.json"
STATE: Final = "state"
OWNER: Final = "owner"
"""Stands in the folder of states from before the first step: whose fine-tune it is."""
TRAINING: Final = "training"
"""The lease of the process that is at work in the folder."""
COMPLETE: Final = "complete"
"""Written into a state after everything else of it, with the sizes of its files: what was killed half-written has none."""


@contextmanager
def claimed(folder: Path, key: str) -> Iterator[Checkpoint | None]:
    """A block in which a folder is this fine-tune's alone. Weights of unknown origin are never written over.

    What another process has begun there counts while it lives, or where it left something to go on from: a whole state, or weights.
    A fine-tune that ends before either leaves nothing behind.

    Yields:
        The checkpoint, where another process has finished it since it was last looked for.

    Raises:
        TrainingError: another process is at work there, another fine-tune was begun there, or it holds weights of another origin.
        EnvironmentFault: it cannot be made or written to.
    """
    with _explained(folder):
        _check_free(folder, key)
        folder.mkdir(parents=True, exist_ok=True)
    try:
        with Leases(folder).hold(TRAINING) as held:
            if not held:
                raise TrainingError(f"Another process is training into {folder}.", fix="Wait until it has ended, or choose another folder.")
            done = finished(folder, key)
            if done is not None:
                yield done
                return
            with _explained(folder):
                # Between the first look and the lease another process may have come and gone.
                _check_free(folder, key)
                (folder / STATE).mkdir(exist_ok=True)
                with atomic_write(folder / STATE / OWNER) as file:
                    file.write(key.encode())
                # Of weights that are not those it describes.
                (folder / RECORD).unlink(missing_ok=True)
            try:
                yield None
            except BaseException:
                if not _weights(folder) and not _whole_states(folder / STATE, key):
                    shutil.rmtree(folder / STATE, ignore_errors=True)
                raise
    finally:
        # Only where there is nothing in it.
        with suppress(OSError):
            folder.rmdir()


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(f"Cannot make {folder}: {error.strerror or error}.", fix="Choose another folder.") from error


def _check_free(folder: Path, key: str) -> None:
    """Refuse a folder in which another fine-tune left something to go on from, or which holds weights of another origin.

    Raises:
        TrainingError: it does.
    """
    owner, weights = folder / STATE / OWNER, _weights(folder)
    former = owner.read_bytes().decode(errors="replace") if owner.is_file() else None
    foreign = former is None and bool(weights) and not (folder / RECORD).exists()
    begun = former not in (None, key) and (bool(weights) or bool(_whole_states(folder / STATE, former)))
    if foreign or begun:
        contents = "weights that are no checkpoint of this fine-tune" if foreign else "another fine-tune, begun and not finished"
        raise TrainingError(f"{folder} holds {contents}.", fix="Choose another folder, or remove this one.")


def _weights(folder: Path) -> list[Path]:
    return [*folder.glob("*.safetensors"), *folder.glob("adapter/*.safetensors")]


def mark_complete(state: Path, key: str) -> None:
    """Mark a state as whole, when everything else of it is written."""
    mark = dump_json({"key": key, "sizes": _sizes(state)})
    with atomic_write(state / COMPLETE) as file:
        file.write(mark)


def last_state(folder: Path, key: str) -> Path | None:
    """The last state that is whole; those that are not are removed."""
    states = _whole_states(folder, key)
    for path in set(folder.glob("checkpoint-*")) - set(states.values()):
        shutil.rmtree(path, ignore_errors=True)
    return states[max(states)] if states else None


def _whole_states(folder: Path, key: str | None) -> dict[int, Path]:
    """Step → the state of a fine-tune that is whole."""
    states: dict[int, Path] = {}
    for path in folder.glob("checkpoint-*"):
        number = path.name.rpartition("-")[2]
        try:
            mark = read_json(path / COMPLETE, Any, Refusal(TrainingError))
            if number.isascii() and number.isdecimal() and mark == {"key": key, "sizes": _sizes(path)}:
                states[int(number)] = path
        except (OSError, TrainingError):
            continue
    return states


class KeyRecord(TypedDict, total=False):
    """The record of a fine-tune, whichever it is."""

    key: str


class MethodRecord(TypedDict, total=False):
    """How it was trained."""

    method: Required[str]


class BaseRecord(TypedDict, total=False):
    """What it was trained from."""

    digest: str


class TrainerRecord(TypedDict, total=False):
    """What trained it."""

    merge: Required[bool]
    recipe: Required[MethodRecord]
    base: BaseRecord


class TrainingRecord(TypedDict, total=False):
    """The record of this fine-tune."""

    digest: Required[str]
    seed: Required[int]
    trainer: Required[TrainerRecord]


def finished(folder: Path, key: str) -> Checkpoint | None:
    """The checkpoint of this very fine-tune, if it is there and whole.

    Raises:
        TrainingError: the record cannot be read, or is of another fine-tune.
    """
    refusal = Refusal(TrainingError, "Remove the folder, or choose another.")
    record: Any = read_json(folder / RECORD, KeyRecord, refusal, missing=None)
    if record is None:
        return None
    if record.get("key") != key:
        raise TrainingError(
            f"{folder} holds another fine-tune: of another base, recipe, pool or seed.", fix="Choose another folder, or remove this one."
        )
    try:
        checked(record, TrainingRecord)
    except Misfit as misfit:
        raise refusal.of(folder / RECORD, str(misfit)) from misfit
    merged = record["trainer"]["merge"] or record["trainer"]["recipe"]["method"] == "full"
    try:
        weights = weights_digest(folder if merged else folder / "adapter")
        digest = weights if merged else digest_of(folder / "adapter", record["trainer"].get("base", {}).get("digest", ""))
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


__all__ = ["COMPLETE", "OWNER", "RECORD", "STATE", "claimed", "finished", "last_state", "mark_complete", "weights_digest"]
