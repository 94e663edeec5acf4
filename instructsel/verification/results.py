"""What a verification left on disk, by its path."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import checked_version, fingerprint, read_manifest
from instructsel.errors import ScoresError
from instructsel.verification.schema import upgraded
from instructsel.verification.verification import Verification

TABLE: Final = "verification.parquet"
"""In the folder of a verification: every grade of every item."""
VERDICT: Final = "verdict.json"
"""Beside it: the verdicts, costs, runs and plans."""


def read_verification(path: str | Path) -> Verification | Mapping[str, Any]:
    """The verdict that `verify` wrote, under today's keys, or the grades where there is none.

    Args:
        path: verdict.json, or verification.parquet. A folder gives its verdict where that is whole and of the grades beside it.

    Raises:
        ScoresError: the verdict was changed or damaged, or is of a newer release.
        StudyError: the same of the grades.
    """
    target = Path(path)
    if target.is_dir():
        return _verdict_of(target) or Verification.read(target / TABLE)
    return Verification.read(target) if target.suffix == ".parquet" else read_verdict(target)


def read_verdict(path: str | Path) -> Mapping[str, Any]:
    """verdict.json under today's keys.

    Raises:
        ScoresError: it is not readable, was changed after it was written, or is of a newer release.
    """
    target = Path(path)
    try:
        record = orjson.loads(target.read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise ScoresError(f"{target} is not readable JSON: {error}.", fix="Verify again; finished runs are not made anew.") from error
    record = checked_version(record, target)
    if "digest" in record and record.pop("digest") != fingerprint(record):
        raise ScoresError(
            f"{target} is not what verify wrote: it was changed or damaged.", fix="Verify again; finished runs are not made anew."
        )
    return upgraded(record)


def _verdict_of(folder: Path) -> Mapping[str, Any] | None:
    """The verdict in a folder, where it is whole and of the grades that stand beside it."""
    try:
        verdict = read_verdict(folder / VERDICT)
        digest = (read_manifest(folder / TABLE) or {}).get("sha256")
    except ScoresError:
        return None
    return verdict if digest is not None and verdict.get("table") == digest else None


__all__ = ["TABLE", "VERDICT", "read_verdict", "read_verification"]
