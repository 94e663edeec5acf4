"""Patterns by which a gate names its files, held against what the repository has and ever had."""

from __future__ import annotations

import glob
import itertools
import os
from collections.abc import Sequence
from pathlib import Path

from instructsel.errors import UsageError
from instructsel.gates.git.repository import DEEPEN, Git
from instructsel.gates.git.rows import is_data
from instructsel.pool.naming import is_pattern, matched, matches_pattern


def without_own_files(patterns: Sequence[str], folder: Path | None = None) -> list[str]:
    """The patterns that are like files and folders of which git has none and would add none: what it ignores, and what submodules hold.

    Args:
        patterns: as they are named; what is no pattern is passed over.
        folder: where relative ones begin; the working folder by default.

    Raises:
        UsageError, EnvironmentFault: as `new_rows`.
    """
    start = (folder or Path.cwd()).resolve()
    places = {name: [Path(os.path.realpath(place)) for place in matched([name], start)] for name in patterns if is_pattern(name, start)}
    if not any(places.values()):
        return []
    git = Git(Path.cwd())
    own = git.known() - set(git.submodules())
    own |= {parent for path in own for parent in path.parents}
    return [name for name, found in places.items() if found and own.isdisjoint(found)]


def never_named(base: str, patterns: Sequence[str], folder: Path | None = None) -> list[str]:
    """The patterns, and folders, that no file answers to of all that ever were in the history of this branch and of another.

    Args:
        base: the other, a branch, tag or commit that is there.
        patterns: as they are named.
        folder: where relative ones begin; the working folder by default.

    Raises:
        UsageError, EnvironmentFault: as `new_rows`.
    """
    start = (folder or Path.cwd()).resolve()
    git = Git(Path.cwd())
    git.merge_base(base)
    ever = git.ever(base, [_fixed(start / pattern) for pattern in patterns])
    return [pattern for pattern in patterns if not any(_answers(path, pattern, start) for path in ever)]


def check_ever_named(base: str, patterns: Sequence[str], folder: Path | None = None, *, where: str = "") -> None:
    """Refuse patterns, and folders, that no file ever answered to: a gate that never looks at a row would pass for ever.

    Args:
        base: as `never_named`.
        patterns: as they are named, those that no file answers to now.
        folder: where relative ones begin; the working folder by default.
        where: what names them, for messages.

    Raises:
        UsageError: there is one, or the history that is here does not say it.
    """
    never = never_named(base, patterns, folder) if patterns else []
    if not never:
        return
    listed = ", ".join(never)
    if Git(Path.cwd()).is_shallow():
        raise UsageError(
            f"No file is like {listed}{where}, and whether one ever was does not stand in this shallow checkout: it may be a typo.",
            fix=DEEPEN,
        )
    raise UsageError(
        f"No file of this branch or of {base} is or ever was like {listed}{where}: no row would ever be looked at.",
        fix="Correct it; where it is right, commit the first file with it.",
    )


def _fixed(pattern: Path) -> Path:
    """The folder in which all files lie that a pattern names."""
    parts = Path(os.path.normpath(pattern)).parts
    fixed = list(itertools.takewhile(lambda part: not glob.has_magic(part), parts))
    return Path(*(fixed if len(fixed) == len(parts) else fixed or parts[:1]))


def _answers(path: Path, pattern: str, folder: Path) -> bool:
    """Whether a pattern names a file, or a folder with this data file in it."""
    if not is_pattern(pattern, folder):
        return is_data(path) and path.is_relative_to(os.path.realpath(folder / pattern))
    if matches_pattern(pattern, path, folder):
        return True
    return is_data(path) and any(matches_pattern(pattern, parent, folder) for parent in path.parents)


__all__ = ["check_ever_named", "never_named", "without_own_files"]
