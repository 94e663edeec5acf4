"""What no output may be where pools are folders: a file of one, or another file that would be read with it from then on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from instructsel.artifact import same_file
from instructsel.errors import UsageError
from instructsel.paths import resolved
from instructsel.pool.folders import OURS, LocalFolder, family
from instructsel.pool.naming import STDIN, files_of


def check_apart(outputs: Iterable[str | Path], pools: Iterable[str | Path], *, flags: Mapping[Path, str] | None = None) -> None:
    """Refuse outputs that are a file of a pool's folder, under whatever name or link, or that would be one. Called before any work.

    Args:
        outputs: files and folders to be written; `-` is passed over. A file that is no data and one that a folder is read without are
            none of its files: a report, a score table.
        pools: what is named to be read: folders, also with a split behind them; anything else is passed over.
        flags: output → the flag that names it, where that is not -o.

    Raises:
        UsageError: an output is one, or would be.
    """
    folders = [folder for name in map(str, pools) if name != STDIN and (folder := LocalFolder(name).folder) is not None]
    if not folders:
        return
    files = files_of(map(str, folders))
    for target in (Path(name) for name in map(str, outputs) if name != STDIN):
        flag = (flags or {}).get(target, "-o")
        there = next((file for file in files if same_file(target, file)), None) if target.is_file() else None
        if there is not None:
            raise UsageError(f"The output {target} is the input {there}; it would be replaced.", fix=f"Name another file with {flag}.")
        inside = next((folder for folder in folders if _lies_in(target, folder)), None)
        if inside is not None and _is_data(target):
            raise UsageError(
                f"The output {target} lies in the input folder {inside}, and would be read with it from then on.",
                fix=f"Name a place outside of it with {flag}.",
            )


def _is_data(path: Path) -> bool:
    """Whether a folder that holds it is read with it: a folder of its own, or a data file that is not made from a pool."""
    return not path.suffix or path.is_dir() or (family(path.name) is not None and not path.name.endswith(OURS))


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a path leads into a folder, in whatever case and over whatever link it is written."""
    place = resolved(path)
    for parent in place.parents:
        try:
            if os.path.samefile(parent, folder):
                return True
        except OSError:
            continue
    return False


__all__ = ["check_apart"]
