"""The rows that a git branch adds: those on added or changed lines of its data files since it left another, rows that only moved left out.

The branch is compared with the merge base, and its files are read as they lie in the working tree. A row is new where it stands on a line that
git shows as added, and no changed data file that is looked at held the very bytes of it once more before. Where git shows no lines of it, as of
compressed files, Parquet and files that Git LFS keeps, the bytes of the rows alone decide.

git is called without a shell. Of what a checkout configures it runs the filters alone by which it keeps files in another form, as Git LFS has them: no
external diff, no textconv, no monitor of files.
"""

from __future__ import annotations

import glob
import hashlib
import itertools
import os
import re
import shutil
import subprocess
import tempfile
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from instructsel.errors import EmptyFile, EnvironmentFault, PoolError, UsageError
from instructsel.pool.lines import Limits, Row, RowFault, read_lines
from instructsel.pool.naming import is_pattern, matched, matches_pattern
from instructsel.pool.sources import Source, open_source
from instructsel.text import counted, safe_path

ENDINGS: Final = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow")
PACKED: Final = (".gz", ".zst")
SAFE: Final = (
    *("-c", "core.quotepath=off", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null", "-c", "diff.external="),
    *(
        "-c",
        "color.ui=false",
        "-c",
        "diff.relative=false",
        "-c",
        "log.follow=false",
        "-c",
        "log.showRoot=true",
        "--no-pager",
        "--literal-pathspecs",
    ),
)
DIFF: Final = ("--no-ext-diff", "--no-textconv", "--no-color", "--no-renames", "--ignore-submodules=all")
VARIABLES: Final = {
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_LITERAL_PATHSPECS": "1",
    "LC_ALL": "C",
}
LEFT_OUT: Final = frozenset({"GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS", "GIT_PAGER", "GIT_TRACE", "GIT_CONFIG_PARAMETERS"})
"""Variables that git does not get: they name programs, or write among its answers."""
HUNK: Final = re.compile(rb"@@ -\d+(?:,\d+)? \+(\d+)(?:,(\d+))? @@")
NAME: Final = re.compile(r"(?!-)[^\x00-\x20\x7f:?*\[\\]+")
"""Of a commit; `main~3` is one, too."""
DIGEST: Final = re.compile(r"[0-9a-f]{7,64}")
"""A commit by its digest."""
OF_ANOTHER: Final = re.compile(r"^(?:\w+_)?HEAD\b|^@|[~^]|@\{")
"""A commit by another one: no branch to fetch."""
POINTER: Final = b"version https://git-lfs.github.com/spec/"
MOST_POINTER: Final = 1024
"""Bytes of a pointer, by its specification."""
OBJECT: Final = re.compile(rb"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
"""What a pointer leads to."""
FILE: Final = b"100"
"""How the mode of a regular file begins; links and submodules are no data."""
LINK: Final = b"120000"
"""The mode of a link."""
SUBMODULE: Final = b"160000"
"""The mode of a submodule, whose files are another repository's."""
MOST_LINE: Final = 64 << 20
"""Bytes of a line by which a file is known."""
LINKED: Final = (b'"parent_id"', b'"message_id"')
"""Fields of rows that are turns of one conversation: one of them alone is no example."""
DEEPEN: Final = (
    "Fetch its history: git fetch --unshallow origin; in GitHub Actions: fetch-depth: 0 in actions/checkout; in GitLab: GIT_DEPTH: 0"
)


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


@dataclass(frozen=True)
class _Changed:
    """A data file of the difference."""

    path: Path
    blob: str | None
    """Of its content before; None where it is new."""
    is_here: bool
    """Whether it is there now."""
    is_left_out: bool = False
    """Whether the branch has it, and this checkout does not."""


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
    git = _Git(folder or Path.cwd())
    commit = git.merge_base(base)
    places = [Path(os.path.realpath(name)) for name in names or ()]
    unknown = [_Changed(path, None, True) for path in git.untracked() if _is_data(path) or path in places]
    ignored = git.ignored(places)
    # A pattern goes through what git ignores; a file that is named by itself is meant.
    passed = [path for path in ignored if is_named is not None and is_named(path)]
    unknown += [_Changed(path, None, True) for path in ignored if path not in passed]
    differing = git.changed(commit)
    # A file that is named by itself is looked at whatever its ending is.
    changed = [file for file in differing if _is_data(file.path) or file.path in places or (is_named is not None and is_named(file.path))]
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
    before, notes = _before(git, changed, bounds, gone)
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
    scans, empty, unread = _scans(git, commit, changed, bounds)
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
        ("Changed", [place for place in links if _is_data(place)], "link", "Name the file that it leads to."),
        ("Ignored by git", ignored, "file", "Name it without a pattern, or without --diff."),
    )
    return [f"{why}, and not looked at: {counted(len(left), noun)} {_first(left)}. {fix}" for why, left, noun, fix in entries if left]


def _scans(git: _Git, commit: str, changed: Sequence[_Changed], limits: Limits) -> tuple[dict[str, list[_Scanned]], list[str], list[str]]:
    """The rows of each file that is here; the files without a row, for people; and those that cannot be read."""
    scans: dict[str, list[_Scanned]] = {}
    empty: list[str] = []
    unread: list[str] = []
    for file in changed:
        if not file.is_here:
            continue
        name = str(file.path)
        scans[name] = []
        try:
            has_lines = file.blob is None or not git.is_filtered(file.path)
            added = git.added(commit, file.path) if file.blob and has_lines else None
            scans[name] = list(_scanned(name, limits, added, has_lines=has_lines))
        except EmptyFile:
            empty.append(safe_path(os.path.relpath(file.path)))
        except (PoolError, RowFault):
            unread.append(name)
    return scans, empty, unread


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
    git = _Git(Path.cwd())
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
    git = _Git(Path.cwd())
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
    if _Git(Path.cwd()).is_shallow():
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
        return _is_data(path) and path.is_relative_to(os.path.realpath(folder / pattern))
    if matches_pattern(pattern, path, folder):
        return True
    return _is_data(path) and any(matches_pattern(pattern, parent, folder) for parent in path.parents)


def _renamed(gone: dict[Path, Counter[bytes]], arrived: Sequence[Sequence[_Scanned]]) -> int:
    """How many files that are gone have another name now: half of their rows or more stand in one of the new files, which is one file's alone."""
    left = [Counter(row.digest for row in scanned) for scanned in arrived]
    count = 0
    for rows in gone.values():
        shares = [(rows & file).total() for file in left]
        if rows and shares and 2 * max(shares) >= rows.total():
            left.pop(shares.index(max(shares)))
            count += 1
    return count


def _is_data(path: Path) -> bool:
    name = path.name.lower()
    for ending in PACKED:
        name = name.removesuffix(ending)
    return name.endswith(ENDINGS)


def _looked_at(
    changed: Sequence[_Changed], names: Sequence[str] | None, git: _Git, is_named: Callable[[Path], bool] | None = None
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


@dataclass(frozen=True, slots=True)
class _Scanned:
    """A row of a changed file."""

    offset: int
    digest: bytes
    added: bool
    """Whether it stands on an added line, or nobody knows its lines."""
    by_bytes: bool
    """Whether nobody does."""
    linked: bool
    """Whether it is a turn of a conversation over several rows: with a changed one all are read again, and none is left out."""


def _scanned(name: str, limits: Limits, added: Sequence[range] | None, *, has_lines: bool) -> Iterator[_Scanned]:
    """The rows of a file.

    Args:
        name: the file.
        limits: how it is read.
        added: its added lines; None where all of it is new, or nobody knows them.
        has_lines: whether git compares the lines that lie here.
    """
    with _opened(name, limits) as source:
        lines_count = has_lines and source.columns is None and not _is_packed(name)
        linked = source.container == "lines" and _is_linked(source)
        ranges = iter(added or ())
        current = next(ranges, None)
        for row in _rows(source):
            last = row.line + row.raw.count(b"\n")
            while current is not None and current.stop <= row.line:
                current = next(ranges, None)
            on_added = added is None or not lines_count or (current is not None and current.start <= last)
            yield _Scanned(row.offset, _digest(source, row), linked or on_added, not lines_count, linked)


@contextmanager
def _opened(name: str | Path, limits: Limits) -> Iterator[Source]:
    """A source that is closed behind the block."""
    source = open_source(name, limits)
    try:
        yield source
    finally:
        source.file.close()


def _rows(source: Source) -> Iterator[Row]:
    """The rows of a source as reading sees them; lines before they are parsed."""
    if source.container == "lines" and not source.spread:
        yield from read_lines(source.file, source.limits)
    else:
        yield from (row for row, _ in source.rows())


def _is_linked(source: Source) -> bool:
    source.file.seek(0)
    start = source.file.read(1 << 16)
    return all(mark in start.partition(b"\n")[0] for mark in LINKED)


def _is_packed(name: str) -> bool:
    with open(name, "rb") as file:
        return file.read(4)[:2] == b"\x1f\x8b" or name.lower().endswith(PACKED)


def _digest(source: Source, row: Row) -> bytes:
    """Of a row's bytes, of a table's with its header: another header makes other rows of them."""
    return hashlib.blake2b(source.header_raw.strip() + b"\n" + row.raw.strip(b" \t\r\n"), digest_size=16).digest()


def _before(git: _Git, changed: Sequence[_Changed], limits: Limits, gone: dict[Path, Counter[bytes]]) -> tuple[Counter[bytes], list[str]]:
    """How often each row stood in the changed files before, and what could not be read of them; into `gone` those of each file that is gone."""
    rows: Counter[bytes] = Counter()
    notes: list[str] = []
    with tempfile.TemporaryDirectory(prefix="instructsel-gate-") as place:
        for number, file in enumerate(changed):
            if file.blob is None:
                continue
            # The endings say how a file is read; the name itself is somebody's.
            target = Path(place) / f"{number}{''.join(file.path.suffixes[-2:])}"
            git.write(file.blob, target)
            shown = safe_path(file.path.name)
            if not _is_content(target, git):
                notes.append(
                    f"{shown}: what it was before is a pointer of Git LFS, so every row of it is new. Fetch it: git lfs fetch --all"
                )
                continue
            try:
                with _opened(target, limits) as source:
                    of_file = Counter(_digest(source, row) for row in _rows(source))
                rows.update(of_file)
                if not file.is_here:
                    gone[file.path] = of_file
            except EmptyFile:
                continue
            except (PoolError, RowFault) as error:
                reason = error.message if isinstance(error, PoolError) else f"{error.detail}."
                notes.append(f"{shown}: what it was before cannot be read, so its rows are new: {reason.replace(str(target), shown)}")
    return rows, notes


def _is_content(target: Path, git: _Git) -> bool:
    """Whether a file's content is here; in place of a pointer of Git LFS comes what it leads to, where that was fetched."""
    with open(target, "rb") as content:
        start = content.read(MOST_POINTER)
    if not start.startswith(POINTER):
        return True
    name = OBJECT.search(start)
    place = None if name is None else git.stored(name[1].decode("ascii"))
    if place is None:
        return False
    shutil.copyfile(place, target)
    return True


class _Git:
    """git in a folder, asked without a shell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = shutil.which("git")
        if program is None:
            raise EnvironmentFault("--diff needs git, which is not installed.", fix="Install git, or name the files of new rows alone.")
        self.program = program
        done = self._run("rev-parse", "--show-toplevel")
        if done.returncode:
            text = _first_line(done.stderr)
            if "dubious ownership" in text:
                raise EnvironmentFault(f"git does not trust this checkout: {text}", fix="Run: git config --global --add safe.directory '*'")
            raise UsageError(
                f"--diff needs a git repository: {text}", fix="Run it inside of a checkout, or name the files of new rows alone."
            )
        # What git lists from here is all of it, and not what a folder has.
        self.folder = self.top = Path(os.fsdecode(done.stdout.rstrip(b"\n")))

    def _run(self, *arguments: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[bytes]:
        environment = {name: value for name, value in os.environ.items() if name not in LEFT_OUT} | VARIABLES
        return subprocess.run(
            [self.program, *SAFE, *arguments],
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            check=False,
        )

    def _answer(self, *arguments: str) -> bytes:
        done = self._run(*arguments)
        if done.returncode:
            raise EnvironmentFault(f"git {arguments[0]} failed: {_first_line(done.stderr)}", fix="Run git fsck, or fetch what is missing.")
        return done.stdout

    def merge_base(self, base: str) -> str:
        """The commit at which the branch left another.

        Raises:
            UsageError: there is no such commit, or none that both have.
        """
        if not NAME.fullmatch(base) or ".." in base:
            raise UsageError(f"--diff takes one branch, tag or commit; {base!r} is none.", fix="For example: --diff origin/main")
        done = self._run("rev-parse", "--verify", "--quiet", f"{base}^{{commit}}")
        if done.returncode:
            raise self._no_commit(base)
        commit = done.stdout.decode("ascii").strip()
        done = self._run("merge-base", commit, "HEAD")
        if done.returncode:
            if self.is_shallow():
                raise UsageError(f"This checkout is shallow, and does not reach the commit at which it left {base}.", fix=DEEPEN)
            raise UsageError(f"This branch and {base} have no commit in common.", fix="Name the branch that it was made from.")
        return done.stdout.decode("ascii").split()[0]

    def _no_commit(self, base: str) -> UsageError:
        """That a name leads to no commit, and what may be the reason."""
        if not base.strip("0"):
            return UsageError(
                f"{base[:12]}… is what hosts give in place of a commit, as for a branch that is new.",
                fix="Name the branch that this one will join, e.g. --diff origin/main",
            )
        if self._run("rev-parse", "--verify", "--quiet", "HEAD^{commit}").returncode:
            return UsageError("This repository has no commit yet.", fix="Name the files of new rows without --diff.")
        shallow = f" {DEEPEN}" if self.is_shallow() else ""
        cause = f"There is no commit {base} in this checkout."
        if DIGEST.fullmatch(base):
            cause = f"There is no commit {base[:12]} in this checkout; a force-push may have taken it out of its branch."
            return UsageError(cause, fix=f"Fetch it: git fetch origin {base}, or name a branch, e.g. --diff origin/main.{shallow}")
        if OF_ANOTHER.search(base):
            return UsageError(cause, fix=f"Name a commit that is there, or the files of new rows without --diff.{shallow}")
        # A checkout of one branch does not keep what another is by itself.
        branch = base.removeprefix("origin/")
        named = "" if branch != base else f", and name origin/{branch}"
        return UsageError(cause, fix=f"Fetch it: git fetch origin {branch}:refs/remotes/origin/{branch}{named}.{shallow}")

    def is_shallow(self) -> bool:
        """Whether the history that is here has an end that is not its beginning."""
        return self._run("rev-parse", "--is-shallow-repository").stdout.strip() == b"true"

    def changed(self, commit: str) -> list[_Changed]:
        """The regular files that differ from a commit, by path."""
        parts = self._answer("diff", *DIFF, "--raw", "-z", "--no-abbrev", commit, "--").split(b"\0")
        files = []
        # :100644 100644 BLOB BLOB M NUL PATH NUL
        for entry, path in zip(parts[::2], parts[1::2], strict=False):
            old_mode, new_mode, old, _, status = entry.lstrip(b":").split(b" ")
            was, stays = old_mode.startswith(FILE), new_mode.startswith(FILE) and status != b"D"
            place = self.top / os.fsdecode(path)
            if was or stays:
                is_here = stays and place.is_file() and not place.is_symlink()
                files.append(_Changed(place, old.decode("ascii") if was else None, is_here, is_left_out=stays and not is_here))
        return sorted(files, key=lambda file: os.fsencode(file.path))

    def changed_links(self, commit: str) -> list[Path]:
        """The links that differ from a commit."""
        parts = self._answer("diff", *DIFF, "--raw", "-z", "--no-abbrev", commit, "--").split(b"\0")
        entries = zip(parts[::2], parts[1::2], strict=False)
        return [self.top / os.fsdecode(path) for entry, path in entries if entry.split(b" ")[1] == LINK]

    def submodules(self) -> list[Path]:
        """The folders of submodules."""
        entries = self._answer("ls-files", "--stage", "-z").split(b"\0")
        return [self.top / os.fsdecode(entry.partition(b"\t")[2]) for entry in entries if entry.startswith(SUBMODULE)]

    def changed_submodules(self, commit: str) -> list[Path]:
        """Those of which another commit is checked out than the commit names."""
        options = [option for option in DIFF if not option.startswith("--ignore-submodules")]
        parts = self._answer("diff", *options, "--ignore-submodules=dirty", "--raw", "-z", "--no-abbrev", commit, "--").split(b"\0")
        entries = zip(parts[::2], parts[1::2], strict=False)
        return [self.top / os.fsdecode(path) for entry, path in entries if SUBMODULE in entry.lstrip(b":").split(b" ")[:2]]

    def added(self, commit: str, path: Path) -> list[range]:
        """The lines of a file that a commit's version does not have; an empty range where lines were taken out, at the line behind them.

        A row on several lines is another one where one of them is gone.
        """
        arguments = ("diff", *DIFF, "--text", "--unified=0", "--inter-hunk-context=0", commit, "--", str(path))
        hunks = (HUNK.match(line) for line in self._answer(*arguments).split(b"\n") if line.startswith(b"@@ "))
        ranges = []
        for hunk in hunks:
            if hunk is not None:
                line, size = int(hunk[1]), int(hunk[2] or 1)
                # Of lines that are gone git names the one in front of them.
                start = line if size else line + 1
                ranges.append(range(start, start + size))
        return ranges

    def is_filtered(self, path: Path) -> bool:
        """Whether git keeps a file in another form than it lies here, as Git LFS does: what it compares are no lines of it."""
        *_, value, _ = self._answer("check-attr", "-z", "filter", "--", str(path.relative_to(self.top))).split(b"\0")
        return value not in (b"unspecified", b"unset")

    def stored(self, digest: str) -> Path | None:
        """Where Git LFS has an object; None where it was not fetched."""
        common = os.fsdecode(self._answer("rev-parse", "--git-common-dir").rstrip(b"\n"))
        place = self.top / common / "lfs" / "objects" / digest[:2] / digest[2:4] / digest
        return place if place.is_file() else None

    def ever(self, base: str, places: Sequence[Path]) -> list[Path]:
        """The files at or beneath these places that a commit of this branch or of another has added."""
        inside = [str(place) for place in places if place.is_relative_to(self.top)]
        if not inside:
            return []
        history = ("log", "--format=", "--name-only", "--diff-filter=A", "--no-show-signature", *DIFF, "-z", base, "HEAD", "--", *inside)
        return [self.top / os.fsdecode(name) for name in dict.fromkeys(self._answer(*history).strip(b"\0").split(b"\0")) if name]

    def untracked(self) -> list[Path]:
        """The files of the checkout that git neither has nor ignores."""
        names = self._answer("ls-files", "--others", "--exclude-standard", "-z").split(b"\0")
        places = (self.top / os.fsdecode(name) for name in names if name)
        return sorted(place for place in places if place.is_file() and not place.is_symlink())

    def known(self) -> set[Path]:
        """The files and submodules that git has or would add."""
        names = self._answer("ls-files", "--cached", "--others", "--exclude-standard", "-z").split(b"\0")
        return {self.top / os.fsdecode(name) for name in names if name}

    def ignored(self, places: Sequence[Path]) -> list[Path]:
        """Those of some files of the checkout that git neither has nor lists as untracked; none of a submodule."""
        inside = [place for place in dict.fromkeys(places) if place.is_relative_to(self.top) and place.is_file()]
        if not inside:
            return []
        known, submodules = self.known(), self.submodules()
        return [place for place in inside if place not in known and not any(place.is_relative_to(folder) for folder in submodules)]

    def write(self, blob: str, target: Path) -> None:
        """Write the bytes of a blob."""
        with open(target, "wb") as file:
            done = self._run("cat-file", "blob", blob, stdout=file.fileno())
        if done.returncode:
            raise EnvironmentFault(f"git cat-file failed: {_first_line(done.stderr)}", fix=DEEPEN)


def _first_line(text: bytes) -> str:
    return next(iter(text.decode("utf-8", "replace").strip().splitlines()), "no message").removeprefix("fatal: ")


__all__ = ["NewRows", "check_ever_named", "never_named", "new_rows", "without_own_files"]
