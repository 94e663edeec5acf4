"""Heads of real pools, for tests of the audit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from instructsel.pool.lines import Limits
from instructsel.pool.sources import open_source


def head(shared_data: Path, name: str, count: int) -> list[dict[str, Any]]:
    """The first rows of a real pool, parsed."""
    rows: list[dict[str, Any]] = []
    for _, value in open_source(shared_data / "pools" / f"{name}.jsonl.zst", Limits()).rows():
        rows.append(value)
        if len(rows) == count:
            break
    return rows


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path
