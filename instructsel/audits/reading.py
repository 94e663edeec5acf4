"""An audit from its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import checked_version
from instructsel.audits.shape import AuditRecord
from instructsel.errors import ScoresError
from instructsel.kinds import AUDIT
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, read_json
from instructsel.tables import read_frame

AGAIN: Final = "Audit the pool again, or name another file."


def read_audit(path: str | Path) -> Mapping[str, Any]:
    """An audit as plain data: of audit.json, or of the manifest of its rows as .parquet or .csv.

    Raises:
        ScoresError: missing, damaged, no audit, or of a newer release.
    """
    target = Path(path)
    if target.suffix != ".json":
        _, manifest = read_frame(target, kind=AUDIT, noun="an audit")
        try:
            content: dict[str, Any] = checked(manifest, AuditRecord)
        except Misfit as misfit:
            raise ScoresError(f"{target} is not an audit: in its manifest, {misfit}.", fix=AGAIN) from misfit
        return content
    refusal = Refusal(ScoresError, AGAIN, noun="an audit")
    record: dict[str, Any] = checked_version(read_json(target, dict[str, Any], refusal), target)
    try:
        content = checked(record, AuditRecord)
    except Misfit as misfit:
        raise refusal.of(target, str(misfit)) from misfit
    return content


__all__ = ["read_audit"]
