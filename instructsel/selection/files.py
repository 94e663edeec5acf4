"""Where a selection finds its pool and its embeddings, and where its rows go by default."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from instructsel.artifact import manifest_path, read_manifest
from instructsel.cache import Cache
from instructsel.errors import UnknownExample, UsageError
from instructsel.pool.pool import Pool
from instructsel.pool.spec import PoolSpec
from instructsel.pool.writer import container_of
from instructsel.scores.neighborhood import Neighborhood, Watch, unwatched
from instructsel.scores.shape import WithModels, WithPool
from instructsel.scores.table import ScoreTable


def find_pool(
    scores: Path, paths: list[str] | None = None, *, source_field: str | None = None, message: Callable[[str], None] | None = None
) -> Pool:
    """The pool a score table was made from: the files of its manifest, or those named, read as they were then.

    Args:
        scores: the table's file.
        paths: where the pool's files are now.
        source_field: the field that is a row's source, if it is another one than then.
        message: gets a line on each file.

    Raises:
        UsageError: the manifest leads nowhere, or a file is gone.
        ScoresError: the manifest is damaged.
    """
    spec = PoolSpec.of((read_manifest(scores, WithPool) or {}).get("run") or {})
    if spec is None:
        if not paths:
            raise UsageError(f"{manifest_path(scores).name} does not say where the pool is.", fix="Name its files with --pool.")
        spec = PoolSpec(tuple(paths))
    if source_field is not None:
        spec = replace(spec, reading=replace(spec.reading, source_field=source_field))
    pool = spec.read(paths, message=message)
    if not spec.part:
        return pool
    try:
        return pool.take(ScoreTable.read(scores).ids)
    except UnknownExample as error:
        raise UsageError(
            "The scores are of another pool, or the pool has changed since it was scored.", fix="Score the pool again."
        ) from error


def neighborhood(
    pool: Pool,
    table: ScoreTable,
    cache: Cache | None,
    *,
    watch: Watch = unwatched,
    scores: Path | None = None,
) -> Neighborhood:
    """The neighbor search of a pool, with progress; the encoder is where the scores' manifest found it."""
    run = (read_manifest(scores, WithModels) or {}).get("run") or {} if scores else {}
    models = [name for symbol, name in (run.get("models") or {}).items() if name and symbol.startswith("knn_")]
    return Neighborhood(pool, table, model=models[0] if models else None, cache=cache, watch=watch)


def default_output(pool: Pool, to: str | None) -> Path:
    """In the working directory, named after the pool's first source."""
    label = Path(pool.files[0].source.label).name if len(pool.files) == 1 else "pool"
    kind = "lines" if to else container_of(pool.files)
    ending = {"lines": ".jsonl", "array": ".json"}.get(kind, f".{kind}")
    return Path(f"{label}.selected{ending}")


__all__ = ["default_output", "find_pool", "neighborhood"]
