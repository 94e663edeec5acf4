"""The files of a selection: rows, sidecar, and the pool they come from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from instructsel.artifact import manifest_path, read_manifest
from instructsel.cache import Cache
from instructsel.errors import UsageError
from instructsel.pool import spec
from instructsel.pool.pool import Pool
from instructsel.scores.neighborhood import Neighborhood, Watch, unwatched
from instructsel.scores.table import ScoreTable
from instructsel.selection.selection import Selection


def find_pool(scores: Path, named: list[str] | None, *, message: Callable[[str], None] | None = None) -> Pool:
    """The pool a score table was made from: the files of its manifest, or those named, read as they were then.

    Raises:
        UsageError: the manifest leads nowhere.
    """
    manifest = read_manifest(scores) or {}
    run = manifest.get("run") or {}
    paths = named or run.get("pools") or []
    if not paths:
        raise UsageError(f"{manifest_path(scores).name} does not say where the pool is.", fix="Name its files with --pool.")
    if paths == ["-"] and not named:
        raise UsageError("The pool was read from standard input and is gone.", fix="Name its files with --pool.")
    if not named and (gone := [name for name in paths if not name.startswith("hf://") and not Path(name).exists()]):
        raise UsageError(f"{gone[0]}, which the scores were made from, is gone.", fix="Name the pool's files with --pool.")
    pool = spec.Reading.of(run.get("reading")).read(list(paths), message=message)
    limit = run.get("limit")
    return pool.take(pool.ids[:limit]) if isinstance(limit, int) and limit < len(pool) else pool


def neighborhood(
    pool: Pool,
    table: ScoreTable,
    cache: Cache | None,
    *,
    watch: Watch = unwatched,
    scores: Path | None = None,
) -> Neighborhood:
    """The neighbor search of a pool, with progress; the encoder is where the scores' manifest found it."""
    run = (read_manifest(scores) or {}).get("run") or {} if scores else {}
    found = [name for symbol, name in (run.get("models") or {}).items() if symbol.startswith("knn_")]
    return Neighborhood(pool, table, model=found[0] if found else None, cache=cache, watch=watch)


def default_output(pool: Pool, to: str | None) -> Path:
    """In the working directory, named after the pool's first source."""
    label = pool.files[0].source.label if len(pool.files) == 1 else "pool"
    kind = "lines" if to else pool.files[0].source.container
    ending = {"lines": ".jsonl", "array": ".json"}.get(kind, f".{kind}")
    return Path(f"{label}.selected{ending}")


def sidecar(target: Path) -> Path:
    """Where the account of a selection stands: `chosen.jsonl` → `chosen.selection.parquet`."""
    return target.with_name(_stem(target.name)[0] + ".selection.parquet")


def write(pool: Pool, selection: Selection, target: Path, *, to: str | None, scores: Path, seconds: float | None = None) -> dict[str, Any]:
    """Write the rows and the sidecar, with the seconds the ranking took; where they went."""
    rows = pool.write(target, _positions(pool, selection), to=to)
    selection.write_sidecar(sidecar(target), run={"output": str(target.resolve()), "scores": str(scores.resolve()), "seconds": seconds})
    return {"output": str(target), "sidecar": str(sidecar(target)), "rows_written": rows}


def _positions(pool: Pool, selection: Selection) -> list[int]:
    return [pool.position(name) for name in selection.kept_ids]


def _stem(name: str) -> tuple[str, str]:
    packed = next((ending for ending in (".gz", ".zst") if name.endswith(ending)), "")
    path = Path(name.removesuffix(packed))
    return path.stem, path.suffix + packed


def _beside(target: Path, selection: Selection, chosen: Selection) -> Path:
    if selection is chosen:
        return target
    stem, ending = _stem(target.name)
    return target.with_name(f"{stem}.{selection.name}{ending}")
