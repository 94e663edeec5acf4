"""Parquet with one explicit schema, whatever rows hold: for readers of tables."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from instructsel.adapters.exports.base import Export, ExportSettings
from instructsel.adapters.exports.contents import Exported
from instructsel.pool.tables import row_of, schema

if TYPE_CHECKING:
    import polars


class Parquet(Export):
    """`id`, `source`, `messages` (a list of structures, calls as JSON text) and `tools` (JSON text)."""

    name: ClassVar[str] = "parquet"
    title: ClassVar[str] = "readers of Parquet"
    source: ClassVar[str] = "Apache Parquet; the columns of Pool.to_polars"
    endings: ClassVar[tuple[str, ...]] = (".parquet",)
    cuts: ClassVar[bool] = False
    left_out: ClassVar[frozenset[str]] = frozenset()
    altered: ClassVar[Mapping[str, str]] = {
        "parts": "they are joined by a line break",
        "structured_results": "they are written as JSON text",
    }
    noted: ClassVar[Mapping[str, str]] = {"calls": "they stand as JSON text in `tool_calls`", "tools": "they stand as JSON text in `tools`"}
    rules: ClassVar[tuple[str, ...]] = (
        "the format leaves masks and truncation to its reader; `weight` 0 marks a turn that is not to be trained on",
    )

    def row(self, exported: Exported, settings: ExportSettings) -> dict[str, Any]:
        """The columns of an example."""
        return row_of(exported.example)

    def frame(self, rows: Sequence[Mapping[str, Any]], contents: frozenset[str]) -> polars.DataFrame:
        """All columns, always."""
        import polars

        return polars.DataFrame(list(rows), schema=schema(), orient="row")

    def next_command(self, data: Path) -> str:
        """Read it back."""
        return f"instructsel audit {shlex.quote(str(data))} --base MODEL"
