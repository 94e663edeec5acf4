"""git, asked without a shell about one repository.

Of what a checkout configures it runs the filters alone by which it keeps files in another form, as Git LFS has them: no external diff, no textconv, no
monitor of files.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from instructsel.errors import EnvironmentFault, UsageError

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
FILE: Final = b"100"
"""How the mode of a regular file begins; links and submodules are no data."""
LINK: Final = b"120000"
"""The mode of a link."""
SUBMODULE: Final = b"160000"
"""The mode of a submodule, whose files are another repository's."""
DEEPEN: Final = (
    "Fetch its history: git fetch --unshallow origin; in GitHub Actions: fetch-depth: 0 in actions/checkout; in GitLab: GIT_DEPTH: 0"
)


@dataclass(frozen=True)
class Changed:
    """A data file of the difference."""

    path: Path
    blob: str | None
    """Of its content before; None where it is new."""
    is_here: bool
    """Whether it is there now."""
    is_left_out: bool = False
    """Whether the branch has it, and this checkout does not."""


class Git:
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

    def changed(self, commit: str) -> list[Changed]:
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
                files.append(Changed(place, old.decode("ascii") if was else None, is_here, is_left_out=stays and not is_here))
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


__all__ = ["DEEPEN", "Changed", "Git"]
