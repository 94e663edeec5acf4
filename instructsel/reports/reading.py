"""Any result of instructsel by its path: what it is, its kind says, and what reads it, the table of kinds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from instructsel.artifact import kind_beside
from instructsel.errors import InstructselError, ScoresError
from instructsel.kinds import KINDS, SELECTION_SET, kind_of, reader_of
from instructsel.structured import Refusal, read_json
from instructsel.tables import kind_inside

TABLES: Final = (".parquet", ".csv")
AGAIN: Final = (
    "Give what select wrote (chosen.jsonl), a .scores.parquet, study.parquet, verification.parquet, audit.json or gate.json, or the folder of "
    "a study, a size search, a verification or an audit."
)


def read_artifact(path: str | Path) -> Any:
    """The result in a file or folder, made by the reader of its kind.

    Args:
        path: a file; the manifest beside it; the rows that `select` wrote; or the folder of a study, a size search or a verification.

    Returns:
        ScoreTable, Selection, SelectionSet, Study, Observations, Verification, or plain data of a verdict, a size search, an audit or a gate.

    Raises:
        ScoresError: there is no file, or it is damaged, of no known kind, or of a newer release.
        StudyError: a study or a verification that is damaged.
    """
    kind, target = artifact_kind(path)
    reader = reader_of(kind)
    if reader is not None:
        return reader(target)
    return read_json(target, dict[str, Any], Refusal(ScoresError, AGAIN))


def artifact_kind(path: str | Path) -> tuple[str, Path]:
    """The kind of the result at a path, and the path its reader takes.

    Raises:
        ScoresError: as of `read_artifact`.
    """
    target = Path(path)
    if target.is_dir():
        return _in_folder(target)
    if not target.is_file():
        raise ScoresError(f"There is no file {target}.", fix=AGAIN)
    behind = behind_manifest(target)
    if behind != target:
        return artifact_kind(behind)
    if target.suffix == ".json":
        return _in_json(target), target
    if target.suffix in TABLES:
        kind = kind_inside(target) if target.suffix == ".parquet" else None
        kind = kind or kind_beside(target)
        if kind is not None:
            return kind_of({"kind": kind}, target), target
    # Chosen rows are in the pool's own format, which may be a table, too.
    try:
        reader_of(SELECTION_SET)(target)
    except InstructselError as error:
        if target.suffix in TABLES:
            raise ScoresError(
                f"{target} carries no kind, and has no manifest beside it.", fix="Keep a result and its .json file together."
            ) from error
        raise ScoresError(f"{target} is no result of instructsel.", fix=AGAIN) from error
    return SELECTION_SET, target


def behind_manifest(path: Path) -> Path:
    """The result that a manifest stands beside; else the file itself."""
    result = path.with_suffix("")
    return result if path.suffix == ".json" and result.suffix in TABLES and result.is_file() else path


def _in_folder(folder: Path) -> tuple[str, Path]:
    """A folder is of the kind whose file stands in it."""
    for name, kind in KINDS.items():
        if kind.file and (folder / kind.file).exists():
            return name, folder / kind.file if name != "verification" else folder
    raise ScoresError(f"{folder} is the folder of no study, size search, verification or audit.", fix=AGAIN)


def _in_json(target: Path) -> str:
    return kind_of(read_json(target, Any, Refusal(ScoresError, AGAIN)), target)


__all__ = ["artifact_kind", "behind_manifest", "read_artifact"]
