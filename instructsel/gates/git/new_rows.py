"""The rows that a git branch adds: those on added or changed lines of its data files since it left another, rows that only moved left out.

The branch is compared with the merge base, and its files are read as they lie in the working tree. A row is new where it stands on a line that
git shows as added, and no changed data file that is looked at held the very bytes of it once more before. Where git shows no lines of it, as of
compressed files, Parquet and files that Git LFS keeps, the bytes of the rows alone decide.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from instructsel.errors import UsageError
from instructsel.gates.git.repository import Changed, Git
from instructsel.gates.git.rows import Scanned, is_data, rows_before, rows_here
from instructsel.pool.lines import Limits
from instructsel.pool.sources import Source
from instructsel.text import counted, safe_path

MOST_LINE: Final = 64 << 20
"""Bytes of a line by which a file is known."""


@dataclass(frozen=True)
class NewRows:
    """What a branch adds."""

    base: str
    """What it is compared with, as it was named."""
    commit: str
    """The merge base."""
    files: tuple[str, ...] = ()
    """The files that have a new row, by absolute path."""
    offsets: dict[str, frozenset[int]] = field(default_factory=dict, repr=False)
    """File → where its new rows begin."""
    unread: tuple[str, ...] = ()
    """The changed files of which no row can be told from another, by absolute path: reading them says why."""
    moved: int = 0
    """Rows on added lines whose bytes stood elsewhere in the files that are looked at."""
    renamed: int = 0
    """Data files that are gone, and half of whose rows or more stand in one that is new."""
    deleted: int = 0
    """Other data files that are gone."""
    notes: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """All new rows."""
        return sum(map(len, self.offsets.values()))

    def only(self, source: Source) -> Source:
        """A source of which the new rows alone are read; see `Pool.read`."""
        if source.name in self.unread:
            return source
        offsets = self.offsets[source.name]
        return replace(source, passes=lambda row: row.offset in offsets)

    def statement(self) -> str:
        """In a sentence."""
        moved = f", {counted(self.moved, 'row')} moved" if self.moved else ""
        gone = "".join(
            f", {counted(count, 'data file')} {word}" for count, word in ((self.renamed, "renamed"), (self.deleted, "deleted")) if count
        )
        where = counted(len(self.files), "file")
        return f"Since {self.base} (merge base {self.commit[:12]}): {counted(self.rows, 'new row')} in {where}{moved}{gone}."


def new_rows(
    base: str,
    names: Sequence[str] | None = None,
    *,
    limits: Limits | None = None,
    folder: Path | None = None,
    is_named: Callable[[Path], bool] | None = None,
    beside: Collection[Path] = (),
) -> NewRows:
    """The rows that the working tree adds to a commit's side of the merge base.

    Args:
        base: a branch, tag or commit.
        names: files and folders that are looked at, files among them that git does not track yet, or ignores; every changed data file by
            default. A row that comes from another file has not moved: it is new.
        limits: how rows are read.
        folder: inside of the repository; the working folder by default.
        is_named: whether a file that is gone is one of those that `names` is the rest of, as where a pattern named it.
        beside: what the rows are judged by, the configuration and the baseline; said where the branch changes it.

    Raises:
        UsageError: there is no repository, no such commit, or no history that both have.
        EnvironmentFault: git is missing, or cannot read the repository.
    """
    git = Git(folder or Path.cwd())
    commit = git.merge_base(base)
    places = [Path(os.path.realpath(name)) for name in names or ()]
    unknown = [Changed(path, None, True) for path in git.untracked() if is_data(path) or path in places]
    ignored = git.ignored(places)
    # A pattern goes through what git ignores; a file that is named by itself is meant.
    passed = [path for path in ignored if is_named is not None and is_named(path)]
    unknown += [Changed(path, None, True) for path in ignored if path not in passed]
    differing = git.changed(commit)
    # A file that is named by itself is looked at whatever its ending is.
    changed = [file for file in differing if is_data(file.path) or file.path in places or (is_named is not None and is_named(file.path))]
    everything = _looked_at(changed, None, git)
    if names is not None:
        changed += unknown
    looked_at = _looked_at(changed, names, git, is_named)
    if names is not None:
        changed = [
            file
            for file in changed
            if any(file.path.is_relative_to(place) for place in places)
            or (is_named is not None and not file.is_here and any(map(is_named, (file.path, *file.path.parents))))
        ]
    _check_whole([file.path for file in changed if file.is_left_out])
    bounds = limits or Limits()
    gone: dict[Path, Counter[bytes]] = {}
    before, notes = rows_before(git, changed, bounds, gone)
    judges = {Path(os.path.realpath(path)) for path in beside}
    notes += [
        f"This branch changes {safe_path(os.path.relpath(file.path))}, by which its own rows are judged."
        for file in differing
        if file.path in judges
    ]
    left = sorted(everything - {str(file.path) for file in changed})
    if left:
        are = "is" if len(left) == 1 else "are"
        notes.append(f"Changed, and not looked at: {counted(len(left), 'data file')} that {are} not named {_first(left)}.")
    if names is None and unknown:
        notes.append(
            f"Not tracked by git, and not looked at: {counted(len(unknown), 'data file')} {_first([file.path for file in unknown])}. "
            "Run git add FILE first, or name the file."
        )
    links = git.changed_links(commit)
    notes += _not_followed(git.changed_submodules(commit), links, passed, None if names is None else places, is_named)
    scans, empty, unread = rows_here(git, commit, changed, bounds)
    # Rows that stay take their own bytes first, so that of two copies the one on the added line is new.
    before.subtract(row.digest for scanned in scans.values() for row in scanned if not row.added)
    if empty:
        notes.append(f"Without a row: {', '.join(empty[:3])}{', …' if len(empty) > 3 else ''}.")
    moved = 0
    offsets: dict[str, frozenset[int]] = {}
    for name, scanned in scans.items():
        fresh = []
        for row in scanned:
            if not row.added:
                continue
            if not row.linked and before[row.digest] > 0:
                before[row.digest] -= 1
                moved += not row.by_bytes
            else:
                fresh.append(row.offset)
        if fresh and name in looked_at:
            offsets[name] = frozenset(fresh)
    renamed = _renamed(gone, [scans[str(file.path)] for file in changed if file.is_here and file.blob is None])
    deleted = sum(not file.is_here and file.path not in links for file in changed) - renamed
    return NewRows(
        base, commit, tuple(offsets), offsets, tuple(name for name in unread if name in looked_at), moved, renamed, deleted, tuple(notes)
    )


def _not_followed(
    submodules: Sequence[Path],
    links: Sequence[Path],
    ignored: Sequence[Path],
    places: Sequence[Path] | None,
    is_named: Callable[[Path], bool] | None,
) -> list[str]:
    """What is said of what a gate does not go into.

    Args:
        submodules: those that changed.
        links: those that changed.
        ignored: files that git ignores and a pattern is like.
        places: what is looked at; all by default.
        is_named: as `new_rows`.
    """
    if places is not None:
        submodules = [place for place in submodules if any(place.is_relative_to(named) or named.is_relative_to(place) for named in places)]
        links = [
            place for place in links if any(place.is_relative_to(named) for named in places) or (is_named is not None and is_named(place))
        ]
    entries = (
        ("Changed", submodules, "submodule", "Run gate --diff in it, with a commit of its own."),
        ("Changed", [place for place in links if is_data(place)], "link", "Name the file that it leads to."),
        ("Ignored by git", ignored, "file", "Name it without a pattern, or without --diff."),
    )
    return [f"{why}, and not looked at: {counted(len(left), noun)} {_first(left)}. {fix}" for why, left, noun, fix in entries if left]


def _first(places: Sequence[Path | str]) -> str:
    """The first of some files in parentheses, from the working folder."""
    return f"({safe_path(os.path.relpath(places[0]))}{', …' if len(places) > 1 else ''})"


def _check_whole(lacking: Sequence[Path]) -> None:
    """Refuse a checkout without files that the branch changes: nobody would look at a row of them.

    Raises:
        UsageError: there are such files.
    """
    if lacking:
        raise UsageError(
            f"This checkout is sparse, and lacks {counted(len(lacking), 'data file')} that the branch changes {_first(lacking)}.",
            fix="Check them out: git sparse-checkout add FOLDER; in GitHub Actions: sparse-checkout in actions/checkout",
        )


def _renamed(gone: dict[Path, Counter[bytes]], arrived: Sequence[Sequence[Scanned]]) -> int:
    """How many files that are gone have another name now: half of their rows or more stand in one of the new files, which is one file's alone."""
    left = [Counter(row.digest for row in scanned) for scanned in arrived]
    count = 0
    for rows in gone.values():
        shares = [(rows & file).total() for file in left]
        if rows and shares and 2 * max(shares) >= rows.total():
            left.pop(shares.index(max(shares)))
            count += 1
    return count


def _looked_at(
    changed: Sequence[Changed], names: Sequence[str] | None, git: Git, is_named: Callable[[Path], bool] | None = None
) -> set[str]:
    if names is None:
        # A configuration or a package's manifest in JSON is no pool, which is a list of rows, or a row a line.
        return {str(file.path) for file in changed if file.is_here and (file.path.suffix.lower() != ".json" or _has_rows(file.path))}
    top, places = git.top, []
    submodules = git.submodules() if names else []
    for name in names:
        if name == "-" or "://" in name:
            raise UsageError(f"--diff looks at files of the repository; {name} is none.", fix="Name files or folders, or leave them out.")
        place = Path(os.path.realpath(name))
        if not place.exists() and not any(file.path == place for file in changed):
            raise UsageError(f"There is no file {name}.", fix="Name a file or folder of the repository, or leave it out.")
        if not place.is_relative_to(top):
            raise UsageError(f"{name} is no file of the repository {top}.", fix="Name its files, or check the others without --diff.")
        submodule = next((folder for folder in submodules if place.is_relative_to(folder)), None)
        if submodule is not None and is_named is not None and is_named(place):
            # A pattern goes through everything; that the submodule changed is said.
            continue
        if submodule is not None:
            # git has none of its lines, and no row of it would be looked at.
            shown = safe_path(os.path.relpath(submodule))
            raise UsageError(
                f"{name} is of the submodule {shown}, whose lines this repository does not have.",
                fix=f"Run it in {shown}, with a commit of the submodule, or name the file without --diff.",
            )
        places.append(place)
    return {str(file.path) for file in changed if file.is_here and any(file.path.is_relative_to(place) for place in places)}


def _has_rows(path: Path) -> bool:
    with open(path, "rb") as file:
        first = file.readline(MOST_LINE).lstrip(b"\xef\xbb\xbf \t\r\n") or file.read(64).lstrip()
        # An object on one line with another one on the next.
        is_row = first.startswith(b"{") and first.rstrip().endswith(b"}")
        return first.startswith(b"[") or (is_row and file.read(64).lstrip().startswith(b"{"))


__all__ = ["NewRows", "new_rows"]
