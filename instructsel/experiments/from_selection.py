"""The arms of a selection: its rows, its baselines, and what choosing them cost."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from instructsel.artifact import read_manifest
from instructsel.errors import InstructselError, ScoresError, UsageError
from instructsel.selection.selection_set import sidecar_of

SELECTION: Final = "selection"


RANDOM: Final = "random"


WHOLE_POOL: Final = "whole-pool"


BASE: Final = "base"


COMPUTED: Final = 0.8
"""The share of a pool's rows that a model must have been asked for its seconds to be those of scoring the pool: some rows are equal."""


SEEDED: Final = re.compile(r"(.+)-seed(\d+)")


NEEDS: Final[Mapping[str, tuple[str, ...]]] = {
    RANDOM: (),
    WHOLE_POOL: (),
    "longest": ("len",),
    "length-matched": ("len",),
    "reward-only": ("rew",),
    "rds+": (),
}
"""Which indicators a baseline is ranked by; of others nobody knows what choosing them took."""


def found_beside(selection: Path) -> dict[str, list[str]]:
    """The baselines that select wrote beside a selection: name → files, a file a draw.

    Raises:
        UsageError: one that is of another pool, rule or setting, left there by an earlier selection.
    """
    packed = next((ending for ending in (".gz", ".zst") if selection.name.endswith(ending)), "")
    plain = Path(selection.name.removesuffix(packed))
    found: dict[str, list[tuple[int, str]]] = {}
    own = _origin(selection)
    for path in sorted(selection.parent.glob(f"{glob.escape(plain.stem)}.*{glob.escape(plain.suffix + packed)}")):
        name = path.name.removesuffix(packed).removesuffix(plain.suffix)[len(plain.stem) + 1 :]
        # Every selection has an account beside it; another file that begins alike has none.
        if not name or not path.with_name(f"{plain.stem}.{name}.selection.parquet").exists():
            continue
        if own is not None and _origin(path) != own:
            raise UsageError(
                f"{path.name} was not selected with {selection.name}: its pool, rule or settings are others.",
                fix="Select again into an empty folder, or leave it out with --no-beside.",
            )
        seeded = SEEDED.fullmatch(name)
        arm, draw = (seeded[1], int(seeded[2])) if seeded else (name, 0)
        found.setdefault(arm, []).append((draw, str(path)))
    return {arm: [path for _, path in sorted(draws)] for arm, draws in sorted(found.items())}


def _origin(path: Path) -> tuple[Any, ...] | None:
    """The pool, rule and settings a file was selected with, by the account beside it; None without one."""
    try:
        manifest = read_manifest(sidecar_of(path)) or {}
    except InstructselError:
        return None
    found = (manifest.get("pool") or {}).get("fingerprint"), manifest.get("rule"), manifest.get("settings")
    return None if found == (None, None, None) else found


def selection_seconds(path: str, arm: str) -> float | None:
    """What choosing a file's rows took: its indicators and its ranking; None where nobody wrote it down, or the cache had the scores."""
    try:
        manifest = read_manifest(sidecar_of(Path(path))) or {}
        table = (manifest.get("run") or {}).get("scores")
        scores = (read_manifest(table) if isinstance(table, str) else None) or {}
    except InstructselError:
        return None
    needed = NEEDS.get(arm, tuple(manifest.get("indicators") or ()) if arm == SELECTION else None)
    if not manifest or needed is None:
        return None
    seconds = (scores.get("run") or {}).get("seconds") or {}
    ranking = (manifest.get("run") or {}).get("seconds")
    computed, rows = (scores.get("run") or {}).get("computed") or {}, (scores.get("pool") or {}).get("examples") or 0
    if any(computed.get(symbol, rows) < COMPUTED * rows for symbol in needed):
        return None
    if any(symbol not in seconds for symbol in needed) or not isinstance(ranking, int | float):
        return None
    return float(ranking) + float(sum(seconds[symbol] for symbol in needed))


def ranked_with(path: str) -> frozenset[str]:
    """Digests of the models that ranked a file's rows, by the account beside it: a judge or reward model among them is circular."""
    try:
        manifest = read_manifest(sidecar_of(Path(path))) or {}
    except ScoresError:
        return frozenset()
    return frozenset(_digests(manifest.get("indicators")))


def _digests(told: Any) -> Iterator[str]:
    if isinstance(told, Mapping):
        for key, value in told.items():
            if key == "digest" and isinstance(value, str):
                yield value
            yield from _digests(value)
