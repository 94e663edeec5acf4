"""A gate's verdict from its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import polars

from instructsel.artifact import checked_version
from instructsel.errors import ScoresError
from instructsel.gates.shape import GateRecord
from instructsel.kinds import GATE
from instructsel.shapes import Misfit, checked
from instructsel.structured import Refusal, read_json
from instructsel.tables import SUFFIXES, TEXT_OR_NULL, checked_columns, read_frame

AGAIN: Final = "Write it again with: instructsel gate NEW --to json=gate.json"


def read_gate(path: str | Path) -> Mapping[str, Any]:
    """A verdict as plain data: of the JSON of `gate --to json`, or of the table of `gate --findings`, whose manifest has all but the findings.

    Raises:
        ScoresError: missing, damaged, no verdict, or of a newer release.
    """
    target = Path(path)
    refusal = Refusal(ScoresError, AGAIN, noun="a gate's verdict")
    record: dict[str, Any]
    if target.suffix in SUFFIXES:
        _, record = read_frame(target, kind=GATE, noun="a gate's verdict")
    else:
        record = checked_version(read_json(target, dict[str, Any], refusal), target)
    try:
        content: dict[str, Any] = checked({key: value for key, value in record.items() if key != "instructsel"}, GateRecord)
    except Misfit as misfit:
        raise refusal.of(target, str(misfit)) from misfit
    return content


def read_findings(path: str | Path) -> list[dict[str, Any]]:
    """The findings of a verdict, of either of its files.

    Raises:
        ScoresError: missing, damaged, no verdict, or of a newer release.
    """
    record = read_gate(path)
    if Path(path).suffix not in SUFFIXES:
        findings: list[dict[str, Any]] = list(record.get("findings", ()))
        return findings
    frame, _ = read_frame(path, kind=GATE, noun="a gate's verdict")
    refusal = Refusal(ScoresError, AGAIN)
    columns: dict[str, Any] = dict.fromkeys(("check", "kind", "name", "row", "file", "line", "fingerprint"), TEXT_OR_NULL)
    # A CSV has texts alone.
    lines = [frame["line"].cast(polars.String)] if "line" in frame.columns and not frame["line"].dtype.is_nested() else []
    return checked_columns(frame.with_columns(lines), columns, path, refusal).to_dicts()


__all__ = ["read_findings", "read_gate"]
