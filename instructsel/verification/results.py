"""What a verification left on disk, by its path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from instructsel.artifact import atomic_write, checked_version, dump_json, fingerprint, kind_beside, read_manifest
from instructsel.errors import ScoresError, UsageError
from instructsel.experiments.plan import PLAN
from instructsel.kinds import EXPERIMENT, POWER, VERIFICATION
from instructsel.structured import Refusal, read_json
from instructsel.verification.planned import PLANNED, TABLE
from instructsel.verification.schema import AGAIN, as_record
from instructsel.verification.verification import Verification

VERDICT: Final = "verdict.json"
"""Beside it: the verdicts, runs and plans, and under `run` what was measured with a clock."""


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
    record = checked_version(read_json(target, dict[str, Any], Refusal(ScoresError, AGAIN)), target)
    run = record.pop("run", None)
    if "digest" in record and record.pop("digest") != fingerprint(record):
        raise ScoresError(f"{target} is not what verify wrote: it was changed or damaged.", fix=AGAIN)
    return as_record(_with_times(record, run), target)


def write_verdict(path: str | Path, verdict: Mapping[str, Any]) -> None:
    """verdict.json: the same bytes for equal runs, but for the key `run`, which holds costs and seconds; the digest is of the rest.

    Args:
        path: of the file.
        verdict: as `read_verdict` gives it: `costs` by arm, and `seconds` in each of `trained`.

    Raises:
        EnvironmentFault: it cannot be written.
    """
    run = {"costs": verdict["costs"], "seconds": [training["seconds"] for training in verdict["trained"]]}
    trained = [{key: value for key, value in training.items() if key != "seconds"} for training in verdict["trained"]]
    rest = {key: value for key, value in verdict.items() if key != "costs"}
    record = orjson.loads(dump_json({**rest, "trained": trained}))
    with atomic_write(path) as file:
        file.write(dump_json({**record, "digest": fingerprint(record), "run": run}, indent=True) + b"\n")


def check_results_replaced(folder: Path) -> None:
    """Refuse a folder in which another's file stands where a verification would write; what is damaged and ours may be replaced.

    Raises:
        UsageError: a plan, verdict, table or statement of power that instructsel verify did not write.
    """
    marks = {
        PLAN: (f'kind = "{EXPERIMENT}"',),
        VERDICT: (f'"kind": "{VERIFICATION}"',),
        # That of earlier releases names no kind.
        PLANNED: (f'"kind": "{POWER}"', '"power": ['),
    }
    ours = {name: _holds(folder / name, texts) for name, texts in marks.items()}
    # Between the table and its manifest a run may have been killed.
    kind = kind_beside(folder / TABLE)
    ours[TABLE] = _holds(folder / TABLE, ()) or kind == VERIFICATION or (kind is None and (folder / PLAN).exists() and ours[PLAN])
    for name, is_ours in ours.items():
        if not is_ours:
            raise UsageError(f"{folder / name} exists and was not written by instructsel verify.", fix="Choose another folder with -o.")


def _holds(path: Path, texts: Iterable[str]) -> bool:
    """Whether a file holds one of these texts; also where there is none, or it is empty."""
    content = path.read_bytes() if path.is_file() else b""
    return not content or any(text.encode() in content for text in texts)


def _with_times(record: dict[str, Any], run: Any) -> dict[str, Any]:
    """A record with its times where readers look for them. Earlier releases wrote them there, and no `run`."""
    if not isinstance(run, Mapping):
        return record
    trained, seconds = record.get("trained") or [], run.get("seconds") or []
    if isinstance(trained, list) and isinstance(seconds, list) and len(seconds) == len(trained):
        pairs = zip(trained, seconds, strict=True)
        trained = [{**training, "seconds": time} if isinstance(training, dict) else training for training, time in pairs]
    return {**record, "trained": trained, "costs": run.get("costs") or {}}


def _verdict_of(folder: Path) -> Mapping[str, Any] | None:
    """The verdict in a folder, where it is whole and of the grades that stand beside it."""
    try:
        verdict = read_verdict(folder / VERDICT)
        digest = (read_manifest(folder / TABLE) or {}).get("sha256")
    except ScoresError:
        return None
    return verdict if digest is not None and verdict.get("table") == digest else None


__all__ = ["TABLE", "VERDICT", "check_results_replaced", "read_verdict", "read_verification", "write_verdict"]
