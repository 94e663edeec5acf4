"""Frames on disk: Parquet or CSV with a manifest, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import io
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import orjson
import polars as pl

from instructsel.artifact import atomic_write, checked_version, dump_json, manifest_path, read_manifest, stamped, write_manifest
from instructsel.errors import ScoresError, UsageError

KEY: Final = "instructsel"
"""The key of the manifest in a Parquet file's metadata."""

DIGEST: Final = "instructsel.digest"
"""The key of the file's own digest in a Parquet file's metadata."""

SEAL: Final = b"instructsel:blake2b:"
SEALED: Final = 32
"""Hexadecimal digits after the seal. The digest is that of the whole file with zeros in their place."""

SUFFIXES: Final = (".parquet", ".csv")

MADE_BY: Final = {
    "scores": "instructsel score POOL",
    "selection": "instructsel select SCORES",
    "study": "instructsel study run FOLDER",
    "verification": "instructsel verify SELECTION",
}
"""Kind of a table → the command that writes one."""
AGAIN: Final = "Score the pool again, or name another file."


def release() -> str:
    """The version of the installed package, or "unknown" in a checkout that was never installed."""
    try:
        return version("instructsel")
    except PackageNotFoundError:
        return "unknown"


def write_frame(path: str | Path, frame: pl.DataFrame, manifest: dict[str, Any], *, run: dict[str, Any] | None = None) -> None:
    """Write a frame with its manifest; the suffix says how.

    Parquet carries the manifest in its metadata; CSV has it only in the JSON file beside, which both get. In CSV a text cell
    that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line break) gets a ' in front;
    `read_frame` takes it off again.

    Raises:
        UsageError: the suffix is neither .parquet nor .csv.
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    target = checked_suffix(path)
    # A crash between the two files must leave no manifest rather than the one of the file that stood here before.
    if target.parent.is_dir():
        manifest_path(target).unlink(missing_ok=True)
    with atomic_write(target) as file:
        if target.suffix == ".parquet":
            metadata = {KEY: dump_json(stamped(manifest)).decode(), DIGEST: SEAL.decode() + "0" * SEALED}
            memory = io.BytesIO()
            frame.write_parquet(memory, compression="zstd", row_group_size=1 << 18, statistics=False, metadata=metadata)
            data = memory.getvalue()
            position, seal = _seal(data)
            # Around the place of the seal, not into a copy: a sidecar of a million rows is tens of megabytes.
            file.write(memoryview(data)[:position])
            file.write(seal)
            file.write(memoryview(data)[position + SEALED :])
        else:
            text = [name for name, kind in frame.schema.items() if kind == pl.String]
            guarded = pl.col(text).str.replace(r"^('*[=+\-@\t\r\n])", "'$1")
            (frame.with_columns(guarded) if text else frame).write_csv(file)
    write_manifest(target, manifest, run=run or {})


def read_frame(path: str | Path, *, kind: str, noun: str) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A frame and its manifest, as `write_frame` wrote them; columns of a CSV come back as text.

    Args:
        path: a .parquet or .csv file.
        kind: the manifest's `kind`; another one is refused. A CSV may lack its manifest, which is then empty.
        noun: what the file should hold, for the messages.

    Raises:
        ScoresError: the file is missing, damaged, of another kind, or of a newer release.
        UsageError: the suffix is neither .parquet nor .csv.
    """
    target = checked_suffix(path)
    manifest: Any
    try:
        if target.suffix == ".parquet":
            # As bytes: a path would be expanded as a pattern ("scores[1].parquet").
            data = target.read_bytes()
            # Before polars sees them: pages carry no checksum, so that a flipped bit would be ranked, and a damaged footer
            # can end the process in an allocation of petabytes.
            position, seal = _seal(data)
            if data[position : position + SEALED] != seal:
                raise ScoresError(f"{target} is damaged, or is not {noun} of instructsel.", fix=AGAIN)
            manifest = checked_version(orjson.loads(pl.read_parquet_metadata(data)[KEY]), target)
            frame = pl.read_parquet(data)
        else:
            manifest = read_manifest(target) or {}
            frame = pl.read_csv(target.read_bytes(), infer_schema=False, encoding="utf8")
            frame = frame.with_columns(pl.all().str.replace(r"^'('*[=+\-@\t\r\n])", "$1"))
    except FileNotFoundError as error:
        command = MADE_BY.get(kind)
        raise ScoresError(f"There is no file {target}.", fix=f"Make one with: {command}" if command else None) from error
    except (OSError, orjson.JSONDecodeError, pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
        raise ScoresError(f"{target} cannot be read: {_first_line(error)}", fix=AGAIN) from error
    stated_kind = manifest.get("kind")
    if stated_kind != kind and manifest:
        raise ScoresError(
            f"{target} holds {stated_kind or 'something else'}, not {noun}.",
            fix=f"Name a file that was written by: {MADE_BY[kind]}" if kind in MADE_BY else None,
        )
    return frame, {key: value for key, value in manifest.items() if key != "run"}


def kind_inside(path: str | Path) -> str | None:
    """The `kind` that a .parquet of `write_frame` carries in itself; None where it is damaged or carries none."""
    try:
        data = Path(path).read_bytes()
        offset, seal = _seal(data)
        # Unsealed files are not opened: a damaged footer can end the process.
        manifest = orjson.loads(pl.read_parquet_metadata(data)[KEY]) if data[offset : offset + SEALED] == seal else {}
    except (OSError, KeyError, orjson.JSONDecodeError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    kind = manifest.get("kind") if isinstance(manifest, dict) else None
    return kind if isinstance(kind, str) else None


def _seal(data: bytes) -> tuple[int, bytes]:
    """Where a Parquet file carries its own digest, and what it should read; without a place for one, what cannot stand there."""
    position = data.rfind(SEAL) + len(SEAL)
    if position < len(SEAL):
        return 0, b"-" * (SEALED + 1)
    digest = hashlib.blake2b(memoryview(data)[:position], digest_size=SEALED // 2)
    digest.update(b"0" * SEALED)
    digest.update(memoryview(data)[position + SEALED :])
    return position, digest.hexdigest().encode()


def checked_suffix(path: str | Path) -> Path:
    """The path, if it ends in .parquet or .csv.

    Raises:
        UsageError: it does not.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise UsageError(f"{target} ends in neither .parquet nor .csv.", fix="Give the file one of these endings.")
    return target


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return f"{lines[0][:200]}." if lines else f"{type(error).__name__}."
