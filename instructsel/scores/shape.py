"""The shape of a score table's manifest. The data may come from anybody."""

from __future__ import annotations

from typing import Any, Required, TypedDict

from instructsel.pool.spec import PoolRun
from instructsel.shapes import Count, Seconds


class ModelRecord(TypedDict, total=False):
    """A model or tokenizer."""

    name: str | None
    digest: str | None
    revision: str | None
    precision: str | None
    device: str | None


class ImportedFile(TypedDict, total=False):
    """A file of scores."""

    name: str
    sha256: str
    rows: Count


class ImportRecord(TypedDict, total=False):
    """Where the values of a column came from, if not from an indicator of ours."""

    column: str
    direction: str | None
    files: list[ImportedFile]
    joined_by: str
    matched: Count
    unused_rows: Count
    repeated_rows: Count
    booleans: Count


class IndicatorRecord(TypedDict, total=False):
    """What an indicator was computed with."""

    name: str | None
    version: int | None
    unit: str | None
    truncated: Count | None
    model: ModelRecord | None
    tokenizer: ModelRecord | None
    parameters: dict[str, Any] | None
    nulls: dict[str, Count] | None
    imported: ImportRecord | None


Indicators = dict[str, IndicatorRecord | None]
"""Symbol → what it was computed with."""


class ReadRecord(TypedDict, total=False):
    """What became of a pool's rows."""

    read: Required[Count]
    examples: Required[Count]
    kept: Count | None
    quarantined: dict[str, Count] | None
    dropped: dict[str, Count] | None
    passed_over: Count | None


class PoolRecord(TypedDict, total=False):
    """Which pool was scored."""

    fingerprint: str | None
    examples: Count | None
    sources: dict[str, Count] | None
    account: ReadRecord | None


class WithPool(TypedDict, total=False):
    """A manifest, of which only the place of the pool is needed."""

    run: PoolRun | None


class ModelsRun(TypedDict, total=False):
    """Where the models were found, by symbol."""

    models: dict[str, str | None] | None


class WithModels(TypedDict, total=False):
    """A manifest, of which only the places of models are needed."""

    run: ModelsRun | None


class ScoresRun(PoolRun, total=False):
    """What differs from run to run."""

    seconds: dict[str, Seconds | None] | None
    computed: dict[str, Count | None] | None
    finished_at: str | None


class ScoresManifest(TypedDict, total=False):
    """The manifest of a score table."""

    instructsel: str
    pool: PoolRecord | None
    indicators: Indicators | None
    run: ScoresRun | None


__all__ = ["Indicators", "ScoresManifest", "WithModels", "WithPool"]
