"""instructsel cache: what the cache of model outputs holds, and how to make it smaller."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import orjson
import typer

from instructsel.artifact import running
from instructsel.cache import SEGMENT, Cache, NamespaceUsage, default_folder, parse_size
from instructsel.commands import _options as options
from instructsel.commands._console import display, reported, say, write_json
from instructsel.commands._help import Command, Group
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.models.load import MINILM, MINILM_DIGESTS
from instructsel.scores.progress import RUNS, runs
from instructsel.text import aligned, clean

SERVES: Final = {
    "encoder": "knn_6, other knn_N",
    "RewardModel": "rew",
    "LikelihoodModel": "ppl, ppl_cond, ifd",
    "YesNoModel": "nat, coh, und",
}
"""Kind of a namespace → the indicators whose answers stand on it."""
LONG: Final = 2 << 30
"""Bytes from which on checking every file takes long enough to say so."""

SHOW_EXAMPLES: Final = "Examples:\n  instructsel cache show\n  instructsel cache show --json\n"
PRUNE_EXAMPLES: Final = "Examples:\n  instructsel cache prune --limit 5GB\n  instructsel cache prune --all --dry-run\n"

app: typer.Typer = typer.Typer(cls=Group, help="Show and prune the cache of model outputs.", no_args_is_help=True, rich_markup_mode=None)


@reported
def show(
    cache: options.CacheFolder = None,
    json: options.Json = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Show what the cache holds: one line per namespace, the least recently used first."""
    store, limit = existing(cache), options.cache_limit()
    namespaces = [described(namespace) for namespace in store.usage() if namespace.files]
    held = sum(namespace["bytes"] for namespace in namespaces)
    if json:
        record = {"folder": str(store.folder), "bytes": held, "limit": limit, "namespaces": namespaces}
        write_json(record)
        return
    for text in _table(namespaces):
        display(text)
    display(one_line(f"{size(held)} of at most {size(limit)} in {store.folder}"))


@reported
def prune(
    limit: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Size to keep, e.g. 500MB or 20GiB; INSTRUCTSEL_CACHE_LIMIT or 20 GiB by default.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Remove everything, records of stopped runs included.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print what would be removed, and remove nothing.")] = False,
    cache: options.CacheFolder = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
    show_traceback: options.Traceback = False,
) -> None:
    """Remove damaged files, then the least recently used ones until the cache is within its limit; what a running command uses is kept."""
    if everything and limit is not None:
        raise UsageError("--all and --limit exclude each other.", fix="Leave one out.")
    bound = 0 if everything else parse_size(limit) if limit is not None else options.cache_limit()
    store = existing(cache)
    working = [run for run in runs(store) if run["alive"]]
    if working:
        say(f"note: process {working[0]['process']} is scoring; what it uses is kept.", quiet=quiet)
    # A second earlier: clocks of file systems are coarser than ours.
    since = min((_began(run) - 1 for run in working), default=None)
    damaged = checked(store, quiet=quiet)
    before = store.usage()
    held = sum(namespace.bytes for namespace in before)
    going = _going(before, bound, since, damaged)
    lost = sum(_bytes(path) for path in damaged)
    notes = [path for path in (store.folder / RUNS).glob("*.json") if everything and _stopped(path)]
    freed = lost + sum(namespace.bytes for namespace in going)
    if not dry_run:
        with _removing(store):
            for path in [*damaged, *notes]:
                path.unlink(missing_ok=True)
            freed = lost + store.prune(bound, since=since)
    record = {
        "folder": str(store.folder),
        "dry_run": dry_run,
        "limit": bound,
        "freed": freed,
        "left": held - freed,
        "damaged": [str(path) for path in damaged],
        "namespaces": [described(namespace) for namespace in going],
        "notes_of_runs": len(notes),
    }
    if json:
        write_json(record)
    elif not quiet:
        _print(record)


def _print(record: dict[str, Any]) -> None:
    for path in record["damaged"]:
        display(one_line(f"damaged: {path}"))
    for text in _table(record["namespaces"]):
        display(text)
    if record["notes_of_runs"]:
        display(f"records of stopped runs: {record['notes_of_runs']}")
    display(
        one_line(
            f"{size(record['freed'])} {'would be freed' if record['dry_run'] else 'freed'}, {size(record['left'])} "
            f"{'would be left' if record['dry_run'] else 'left'} of at most {size(record['limit'])} in {record['folder']}"
        )
    )


show.__doc__ = f"{show.__doc__}\n\n\b\n{SHOW_EXAMPLES}"
prune.__doc__ = f"{prune.__doc__}\n\n\b\n{PRUNE_EXAMPLES}"
app.command("show", cls=Command)(show)
app.command("prune", cls=Command)(prune)


def existing(folder: Path | None) -> Cache:
    """The cache in this folder, or an empty one where there is no folder: whoever only looks makes none.

    Raises:
        EnvironmentFault: it is no folder, or others could write into it.
    """
    place = folder if folder is not None else default_folder()
    return Cache.open(place, to_write=False) if os.path.exists(place) else Cache(place)


def checked(store: Cache, *, quiet: bool) -> list[Path]:
    """The damaged files of a cache; every file is read."""
    held = sum(namespace.bytes for namespace in store.usage())
    say(f"The digests of {size(held)} of cache are checked.", quiet=quiet or held < LONG)
    return store.damaged()


def described(namespace: NamespaceUsage) -> dict[str, Any]:
    """A namespace as plain data."""
    description = namespace.description
    digest = str(description.get("digest", ""))
    known = MINILM if digest == MINILM_DIGESTS["model.safetensors"] else f"weights {digest[:12]}" if digest else "unknown"
    return {
        "name": namespace.folder.name,
        "for": SERVES.get(str(description.get("kind")), str(description.get("kind", "unknown"))),
        "model": str(description.get("model") or known),
        "precision": str(description.get("precision", "")),
        "device": str(description.get("device", "")),
        "files": namespace.files,
        "bytes": namespace.bytes,
        "used": moment(namespace.used),
    }


def size(number: int) -> str:
    """Bytes for people.

    >>> size(20 << 30)
    '21.5 GB'
    """
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if number >= factor:
            return f"{number / factor:,.1f} {unit}"
    return f"{number} bytes"


def moment(seconds: Any) -> str | None:
    """Seconds since 1970 as ISO 8601 in UTC; None for what is no time."""
    try:
        return datetime.fromtimestamp(float(seconds), UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def one_line(text: str) -> str:
    """A text on one safe line: a file's name may hold line breaks too."""
    return clean(text.replace("\n", "\\n"))


def _table(namespaces: list[dict[str, Any]]) -> list[str]:
    rows = [
        [
            namespace["for"],
            namespace["model"],
            f"{namespace['precision']} {namespace['device']}",
            f"{namespace['files']:,}",
            size(namespace["bytes"]),
            (namespace["used"] or "")[:16].replace("T", " "),
        ]
        for namespace in namespaces
    ]
    lines = aligned(rows, header=["for", "model", "computed in", "files", "size", "last used (UTC)"], right=(3, 4)) if rows else []
    return [one_line(text) for text in lines]


def _going(namespaces: list[NamespaceUsage], limit: int, since: float | None, damaged: list[Path]) -> list[NamespaceUsage]:
    """What of each namespace Cache.prune removes once the damaged files are gone; in its order."""
    removable = []
    gone = set(damaged)
    sizes = [{path: _bytes(path) for path in namespace.folder.glob(f"*{SEGMENT}") if path not in gone} for namespace in namespaces]
    left = sum(sum(sizes_of_one.values()) for sizes_of_one in sizes)
    for namespace, files in zip(namespaces, sizes, strict=True):
        if since is not None and namespace.used >= since:
            continue
        removed = []
        for path in sorted(files, key=lambda path: (path.stat().st_mtime, path.name)):
            if left <= limit:
                break
            removed.append(files[path])
            left -= files[path]
        if removed:
            removable.append(NamespaceUsage(namespace.folder, namespace.description, len(removed), sum(removed), namespace.used))
    return removable


def _stopped(path: Path) -> bool:
    """Whether this note tells of a run whose process is gone."""
    try:
        record = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError):
        return True
    return not (isinstance(record, dict) and isinstance(record.get("process"), int) and running(record["process"]))


def _began(run: dict[str, Any]) -> float:
    started = run.get("started")
    return float(started) if isinstance(started, int | float) else 0.0


def _bytes(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def _removing(store: Cache) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EnvironmentFault(
            f"The cache {store.folder} cannot be pruned: {error.strerror or error}.", fix="Make its files yours, or remove the folder."
        ) from error
