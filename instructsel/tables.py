"""Frames on disk: Parquet or CSV with a manifest, the same bytes for the same content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

import polars as pl
from polars.io.plugins import register_io_source

from instructsel.artifact import atomic_write, checked_version, dump_json, manifest_path, read_manifest, stamped, write_manifest
from instructsel.columns import Columns
from instructsel.errors import ScoresError, UsageError
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, first_line, parse_json, read_bytes
from instructsel.text import excerpt

KEY: Final = "instructsel"
"""The key of the manifest in a Parquet file's metadata."""

DIGEST: Final = "instructsel.digest"
"""The key of the file's own digest in a Parquet file's metadata."""

SEAL: Final = b"instructsel:blake2b:"
SEALED: Final = 32
"""Hexadecimal digits after the seal. The digest is that of the whole file with zeros in their place."""
SEEKING: Final = 1 << 20
"""Bytes of a file that are looked at together."""

SUFFIXES: Final = (".parquet", ".csv", ".tsv")
SEPARATORS: Final = {".csv": ",", ".tsv": "\t"}

MADE_BY: Final = {
    "scores": "instructsel score POOL",
    "selection": "instructsel select SCORES",
    "study": "instructsel study run FOLDER",
    "verification": "instructsel verify SELECTION",
}
"""Kind of a table → the command that writes one."""
AGAIN: Final = "Score the pool again, or name another file."


@dataclass(frozen=True)
class Column:
    """What a column of a table that was read may hold."""

    kind: Literal["text", "whole", "number", "flag"]
    """Text, whole numbers of 64 bits, finite numbers, or true and false."""
    nullable: bool = False
    """Whether a row may have none."""


TEXT: Final = Column("text")
TEXT_OR_NULL: Final = Column("text", nullable=True)
WHOLE: Final = Column("whole")
WHOLE_OR_NULL: Final = Column("whole", nullable=True)
NUMBER: Final = Column("number")
NUMBER_OR_NULL: Final = Column("number", nullable=True)
FLAG: Final = Column("flag")
NOUNS: Final = {"text": "text", "whole": "whole numbers", "number": "finite numbers", "flag": "true or false"}


def checked_columns(frame: pl.DataFrame, columns: Mapping[str, Column], where: object, refusal: Refusal) -> pl.DataFrame:
    """The frame with these columns as String, Int64, Float64 and Boolean; other columns stay as they are.

    Args:
        frame: as it was read.
        columns: name → what the column may hold.
        where: it was read, for the message.
        refusal: how it is refused.

    Raises:
        InstructselError: of the refusal's class: a column is missing, of another type, or holds nulls or numbers that are not finite.
    """
    typed = []
    for name, column in columns.items():
        if name not in frame.columns:
            raise refusal.of(where, f"it has no column {excerpt(name)}")
        series = frame[name]
        expected = f"its column {excerpt(name)} should hold {NOUNS[column.kind]}"
        if not (_is_of(series.dtype, column.kind) or series.null_count() == len(series)):
            raise refusal.of(where, f"{expected}; found {excerpt(str(series.dtype), 60)}")
        if series.null_count() and not column.nullable:
            raise refusal.of(where, f"{expected}; found {series.null_count():,} nulls")
        try:
            series = series.cast(TYPES[column.kind], strict=True)
        except pl.exceptions.PolarsError as error:
            raise refusal.of(where, f"{expected} of 64 bits") from error
        if column.kind == "number" and not series.is_finite().all():
            raise refusal.of(where, f"{expected}; found NaN or infinity")
        typed.append(series)
    return frame.with_columns(typed)


TYPES: Final[Mapping[str, Any]] = {"text": pl.String, "whole": pl.Int64, "number": pl.Float64, "flag": pl.Boolean}


def _is_of(dtype: pl.DataType, kind: str) -> bool:
    if kind == "whole":
        return dtype.is_integer()
    if kind == "number":
        return dtype.is_integer() or dtype.is_float()
    return bool(dtype == TYPES[kind])


def parsed_parquet(data: bytes, where: object, refusal: Refusal) -> pl.DataFrame:
    """The frame in the bytes of a Parquet file.

    Raises:
        InstructselError: of the refusal's class: they are none, or damaged.
    """
    try:
        return pl.read_parquet(data)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, ValueError) as error:
        raise refusal.of(where, first_line(error)) from error


def write_frame(path: str | Path, frame: pl.DataFrame | Columns, manifest: dict[str, Any], *, run: dict[str, Any] | None = None) -> None:
    """Write a frame with its manifest; the suffix says how. Of columns no frame is made: the same bytes are written piece by piece.

    Parquet carries the manifest in its metadata; CSV and TSV have it only in the JSON file beside, which all get. In these a text cell
    that a spreadsheet would take for a formula (it begins with = + - @, a tab or a line break) gets a ' in front;
    `read_frame` takes it off again.

    Raises:
        UsageError: another suffix than .parquet, .csv or .tsv.
        EnvironmentFault: the folder is missing or not writable, or the disk is full.
    """
    target = checked_suffix(path)
    # A crash between the two files must leave no manifest rather than the one of the file that stood here before.
    if target.parent.is_dir():
        manifest_path(target).unlink(missing_ok=True)
    with atomic_write(target) as file:
        if target.suffix == ".parquet":
            metadata = {KEY: dump_json(stamped(manifest)).decode(), DIGEST: SEAL.decode() + "0" * SEALED}
            if isinstance(frame, Columns):
                lazy = register_io_source(lambda *_: frame.pieces(), schema=frame.rows(slice(0, 0)).schema)
                lazy.sink_parquet(file, engine="streaming", compression="zstd", row_group_size=1 << 18, statistics=False, metadata=metadata)
            else:
                frame.write_parquet(file, compression="zstd", row_group_size=1 << 18, statistics=False, metadata=metadata)
            _write_seal(file)
        else:
            for number, piece in enumerate(Columns.of(frame).pieces()):
                text = [name for name, kind in piece.schema.items() if kind == pl.String]
                guarded = pl.col(text).str.replace(r"^('*[=+\-@\t\r\n])", "'$1")
                (piece.with_columns(guarded) if text else piece).write_csv(
                    file, separator=SEPARATORS[target.suffix], include_header=not number
                )
    write_manifest(target, manifest, run=run or {})


def read_frame(path: str | Path, *, kind: str, noun: str, shape: Any = dict[str, Any]) -> tuple[pl.DataFrame, dict[str, Any]]:
    """A frame and its manifest, as `write_frame` wrote them; columns of a CSV come back as text.

    Args:
        path: a .parquet, .csv or .tsv file.
        kind: the manifest's `kind`; another one is refused. A CSV may lack its manifest, which is then empty.
        noun: what the file should hold, for the messages.
        shape: of the manifest, a type hint as `shapes.checked` takes it.

    Raises:
        ScoresError: the file is missing, damaged, of another kind or shape, or of a newer release.
        UsageError: another suffix than .parquet, .csv or .tsv.
    """
    target = checked_suffix(path)
    refusal = Refusal(ScoresError, AGAIN)
    command = MADE_BY.get(kind)
    missing = Refusal(ScoresError, f"Make one with: {command}" if command else None)
    manifest: dict[str, Any]
    # As bytes: a path would be expanded as a pattern ("scores[1].parquet").
    data = read_bytes(target, missing if not os.path.exists(target) else refusal)
    if target.suffix == ".parquet":
        # Before polars sees them: pages carry no checksum, so that a flipped bit would be ranked, and a damaged footer
        # can end the process in an allocation of petabytes.
        position, seal = _seal(data)
        if data[position : position + SEALED] != seal:
            raise ScoresError(f"{target} is damaged, or is not {noun} of instructsel.", fix=AGAIN)
        manifest = checked_version(_inside(data, target, refusal), target)
        frame = parsed_parquet(data, target, refusal)
    else:
        manifest = read_manifest(target) or {}
        try:
            frame = pl.read_csv(data, separator=SEPARATORS[target.suffix], infer_schema=False, encoding="utf8")
            frame = frame.with_columns(pl.all().str.replace(r"^'('*[=+\-@\t\r\n])", "$1"))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException) as error:
            raise refusal.of(target, first_line(error)) from error
    stated_kind = manifest.get("kind")
    if stated_kind != kind and manifest:
        raise ScoresError(
            f"{target} holds {excerpt(str(stated_kind)) if stated_kind else 'something else'}, not {noun}.",
            fix=f"Name a file that was written by: {MADE_BY[kind]}" if kind in MADE_BY else None,
        )
    try:
        # What differs from run to run is of no shape here: whoever wrote the table may have put anything there.
        content = {key: value for key, value in manifest.items() if key != "run"}
        checked(content, shape) if content else None
    except Misfit as misfit:
        raise ScoresError(f"{target} is not {noun}: in its manifest, {misfit}.", fix=AGAIN) from misfit
    return frame, content


def _inside(data: bytes, where: object, refusal: Refusal) -> dict[str, Any]:
    """The manifest in a Parquet file's metadata."""
    try:
        text = pl.read_parquet_metadata(data)[KEY]
    except (KeyError, pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as error:
        raise refusal.of(where, "it carries no manifest") from error
    manifest: dict[str, Any] = parse_json(text, dict[str, Any], where, refusal)
    return manifest


def kind_inside(path: str | Path) -> str | None:
    """The `kind` that a .parquet of `write_frame` carries in itself; None where it is damaged or carries none."""
    refusal = Refusal(ScoresError)
    try:
        data = read_bytes(path, refusal)
        offset, seal = _seal(data)
        # Unsealed files are not opened: a damaged footer can end the process.
        kind = _inside(data, path, refusal).get("kind") if data[offset : offset + SEALED] == seal else None
    except ScoresError:
        return None
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


def _write_seal(file: BinaryIO) -> None:
    """Put the digest of a Parquet file into the place that it has for it.

    In the file, not in memory: a table of ten million rows is hundreds of megabytes.
    """
    size = file.seek(0, os.SEEK_END)
    begin, tail = size, b""
    while SEAL not in tail and begin:
        # The metadata stand at the end.
        begin = max(0, begin - SEEKING)
        file.seek(begin)
        tail = file.read(size - begin)
    position = begin + tail.rfind(SEAL) + len(SEAL)
    digest = hashlib.blake2b(digest_size=SEALED // 2)
    file.seek(0)
    while block := file.read(SEEKING):
        digest.update(block)
    file.seek(position)
    file.write(digest.hexdigest().encode())


def checked_suffix(path: str | Path) -> Path:
    """The path, if it ends in .parquet, .csv or .tsv.

    Raises:
        UsageError: it does not.
    """
    target = Path(path)
    if target.suffix not in SUFFIXES:
        raise UsageError(f"{target} ends in neither .parquet nor .csv nor .tsv.", fix="Give the file one of these endings.")
    return target
