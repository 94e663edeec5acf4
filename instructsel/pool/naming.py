"""What users name as a pool, as files; and the labels by which their examples are counted."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath

from instructsel.artifact import check_name
from instructsel.errors import UsageError
from instructsel.paths import resolved
from instructsel.pool import hub
from instructsel.pool.folders import Entry, LocalFolder, Named, family, shell_expression
from instructsel.pool.sources import label_of

STDIN = "-"


def matched(names: Iterable[str], folder: Path | None = None) -> list[str]:
    """Names, those that are patterns of a shell and no files as the files that they match; ** goes through folders.

    Args:
        names: files, folders, addresses, patterns.
        folder: where relative patterns begin, which stands in front of what they match; the working folder by default.
    """
    files: list[str] = []
    for name in names:
        if not is_pattern(name, folder):
            files.append(name)
            continue
        # The name of the folder is no pattern, whatever signs it has.
        places = sorted(glob.glob(name, root_dir=folder, recursive=True))
        places = places if folder is None else [str(folder / place) for place in places]
        # Of a folder that is not there, folder/** is said to match the folder itself.
        places = [place for place in places if os.path.lexists(place)]
        files += [place for place in places if place not in files]
    return files


def unmatched(names: Iterable[str], folder: Path | None = None) -> list[str]:
    """Those among names that are patterns of a shell and like no file, or folders without a data file."""
    places = {name: str((folder or Path()) / name) for name in names}
    return [name for name, place in places.items() if (not matched([name], folder) if is_pattern(name, folder) else _is_empty(place))]


def _is_empty(place: str) -> bool:
    return Path(place).is_dir() and all(family(name) is None for _, _, files in os.walk(place) for name in files)


def is_pattern(name: str, folder: Path | None = None) -> bool:
    """Whether a name is a pattern of a shell, and no file or address."""
    return "://" not in name and glob.has_magic(name) and not is_here(str((folder or Path()) / name))


def matches_pattern(name: str, path: Path, folder: Path | None = None) -> bool:
    """Whether a file, which need not be there, is one that a pattern names."""
    name = os.path.normpath(name)
    start = (folder or Path.cwd()).resolve()
    while name.startswith(f"..{os.sep}"):
        start, name = start.parent, name[len(os.pardir) + 1 :]
    before = re.escape(os.path.join(start, "")) if not os.path.isabs(name) else ""
    return re.fullmatch(before + shell_expression(name), str(path)) is not None


def expanded(path: str | Path) -> Named:
    """The files of what a user names: a file, a folder (with :SPLIT), hf://OWNER/NAME, or - for standard input.

    Raises:
        UsageError, PoolError, ModelUnavailable: a folder or data set is no pool; see `folders.take` and `hub.named`.
    """
    name = str(path)
    if name.startswith(hub.HUB):
        return hub.named(name)
    if name == STDIN:
        return Named((Entry(name, name, "stdin"),), (name,))
    folder = LocalFolder(name)
    return folder.named if folder.folder is not None else Named((Entry(name, name),), (str(resolved(path)),))


def is_here(name: str) -> bool:
    """Whether a name is a file or folder of this machine, also with a configuration or a split behind it."""
    return Path(name).exists() or LocalFolder(name).folder is not None


def files_of(names: Iterable[str]) -> list[str]:
    """The files of this machine that are named, folders as their files: what no output may replace. What cannot be read stays as it is."""
    files: list[str] = []
    for name in names:
        folder = LocalFolder(name) if name != STDIN and not name.startswith(hub.HUB) else None
        if folder is None or folder.folder is None:
            files.append(name)
        else:
            files += [os.path.join(parent, file) for parent, _, inner in os.walk(folder.folder) for file in inner]
    return files


def check_once(entries: Sequence[Entry]) -> None:
    """Refuse a file that is named twice, and one that no record can name.

    Raises:
        UsageError: one is.
    """
    known: set[str] = set()
    for entry in entries:
        check_name(entry.path)
        path = entry.path if entry.path == STDIN else str(resolved(entry.path))
        if path in known:
            raise UsageError(f"{path} is named twice: every one of its examples would be a duplicate.", fix="Name it once.")
        known.add(path)


def labels_of(entries: Sequence[Entry]) -> list[str]:
    """A label for each file, different ones: its name without endings; with as many folders before it, or with its endings, as tell it apart.

    >>> labels_of([Entry("a/x.jsonl", "a/x.jsonl"), Entry("b/x.jsonl", "b/x.jsonl"), Entry("b/y.jsonl", "b/y.jsonl")])
    ['a/x', 'b/x', 'y']
    """
    labels = [entry.label or label_of(entry.name) for entry in entries]
    numbers: dict[str, list[int]] = {}
    for number, label in enumerate(labels):
        numbers.setdefault(label, []).append(number)
    for alike in numbers.values():
        if len(alike) > 1:
            paths = [PurePath(resolved(entries[number].path)) for number in alike]
            for number, label in zip(alike, _told_apart([labels[number] for number in alike], paths), strict=True):
                labels[number] = label
    return labels


def _told_apart(labels: Sequence[str], paths: Sequence[PurePath]) -> list[str]:
    most = max(len(path.parts) for path in paths)
    for endings in (False, True):
        for depth in range(0 if endings else 1, most):
            # The root itself is no part of a label.
            folders = [path.parts[1:-1][-depth:] if depth else () for path in paths]
            names = ["/".join([*parts, path.name if endings else label]) for parts, path, label in zip(folders, paths, labels, strict=True)]
            if len(set(names)) == len(names):
                return names
    return [str(path) for path in paths]


__all__ = ["check_once", "expanded", "files_of", "is_here", "is_pattern", "labels_of", "matched", "matches_pattern", "unmatched"]
