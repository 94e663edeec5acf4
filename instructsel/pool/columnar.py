"""Parquet files as rows of JSON lines; what is read stays beside them for exports."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import orjson

from instructsel.artifact import full, spool
from instructsel.errors import EnvironmentFault, PoolError
from instructsel.pool.lines import CHUNK

if TYPE_CHECKING:
    import polars


@dataclass(frozen=True)
class Spooled:
    """The rows of a columnar file."""

    rows: BinaryIO
    """As JSON lines, in an unnamed temporary file."""
    original: Path
    """The file that rows are copied from on export."""
    keep: object
    """What must live as long: a temporary file."""


def spool_rows(file: BinaryIO, name: str, path: Path | None, *, keep: object = None) -> Spooled:
    """The rows of a Parquet file.

    Args:
        file: its bytes.
        name: for messages.
        path: where it lies; None for a stream, which is copied to a temporary file.
        keep: what must live as long.

    Raises:
        PoolError: it cannot be read.
    """
    import polars

    try:
        file.seek(0)
        spooled = None
        if path is None:
            # polars reads Parquet by path only where it can map it; a copy under a name serves both.
            handle, temporary = spool()
            spooled = Temporary(Path(temporary))
            with os.fdopen(handle, "wb") as copy:
                while chunk := file.read(CHUNK):
                    try:
                        copy.write(chunk)
                    except OSError as error:
                        raise full(error) from error
        original = path or (spooled.path if spooled else Path())
        frame = polars.scan_parquet(original)
        rows = tempfile.TemporaryFile(prefix="instructsel-")  # noqa: SIM115 - the source owns it
        height = frame.select(polars.len()).collect().item()
        for start in range(0, height, 4096):
            for record in frame.slice(start, 4096).collect().iter_rows(named=True):
                line = orjson.dumps(_without_nulls(record), default=_text_of, option=orjson.OPT_NON_STR_KEYS) + b"\n"
                try:
                    rows.write(line)
                except OSError as error:
                    raise full(error) from error
        try:
            rows.flush()
        except OSError as error:
            raise full(error) from error
    except EnvironmentFault:
        raise
    except (polars.exceptions.PolarsError, polars.exceptions.PanicException, OSError, orjson.JSONEncodeError) as error:
        raise PoolError(f"{name}: the Parquet file cannot be read ({str(error).splitlines()[0][:200]}).", fix="Write it again.") from error
    return Spooled(rows, original, spooled or keep)


@dataclass(frozen=True)
class Temporary:
    """A named temporary file that goes when nobody holds it any more."""

    path: Path

    def __del__(self) -> None:
        self.path.unlink(missing_ok=True)


def _without_nulls(value: Any) -> Any:
    """A Parquet struct has every key of its column in every row; the ones that are null were not there."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_without_nulls(item) for item in value]
    return value


def _text_of(value: Any) -> str:
    return value.hex() if isinstance(value, bytes) else str(value)


def parquet_rows(path: Path, numbers: list[int]) -> polars.DataFrame:
    """The named rows (0-based) of a Parquet file, in the order given."""
    import polars

    return polars.read_parquet(path)[numbers]


__all__ = ["Spooled", "Temporary", "parquet_rows", "spool_rows"]
