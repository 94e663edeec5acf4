"""Whoever reads what a command prints may leave, or never be there: what is written and the exit code are the same for every command."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from instructsel.commands import _streams, app
from tests.fuzz import seeds
from tests.fuzz.test_command_line import VALID

APART = ("cache prune", "cache show", "doctor", "gate waive")
"""Show the machine or this day, which is another in each call."""
NEGATIVE: Mapping[str, list[str]] = {
    "gate": ["gate", "pools/twice.jsonl", "--fail-on", "warning"],
    "verify": ["verify", "--results", "selection=verified/mine.json", "--results", "random=verified/theirs.json", "-o", "w", "--require", "better"],
    "dedup": ["dedup", "pools/twice.jsonl", "-o", "new.jsonl", "--pairs", "new.parquet"],
}  # fmt: skip
"""Calls beside those of the fuzzer that print on stdout before they have written, or end with a verdict."""
CALLS = {**{name: [*name.split(), *arguments] for name, arguments in VALID.items() if name not in APART}, **{f"{name} again": call for name, call in NEGATIVE.items()}}  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = seeds.make(tmp_path_factory.mktemp("seeds") / "seeds")
    row = b'{"instruction": "Name three rivers of Europe that flow north.", "output": "The Rhine, the Elbe and the Weser flow north."}\n'
    (folder / "pools" / "twice.jsonl").write_bytes(row * 2 + b'{"instruction": "Name a river.", "output": ""}\n')
    return folder


def ended(files: Path, place: Path, call: list[str]) -> tuple[int, set[str]]:
    """The exit code of a call in a copy of the files, and the files that it has written."""
    shutil.copytree(files, place)
    os.chdir(place)
    os.environ["INSTRUCTSEL_CACHE"] = str(place / "cache")
    before = {path for path in place.rglob("*") if path.is_file()}
    try:
        app(call, prog_name="instructsel")
        code: Any = 0
    except SystemExit as end:
        code = end.code
    written = {str(path.relative_to(place)) for path in place.rglob("*") if path.is_file() and path not in before}
    return int(code or 0), {name for name in written if not name.startswith(("cache", "."))}


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Both streams as pipes whose reader has gone."""
    reads, writes = os.pipe()
    os.close(reads)
    with os.fdopen(os.dup(writes), "w", encoding="utf-8") as stdout, os.fdopen(writes, "w", encoding="utf-8") as stderr:
        monkeypatch.setattr(sys, "stdout", stdout)
        monkeypatch.setattr(sys, "stderr", stderr)
        _streams.guard()
        yield
        for stream in (sys.stdout, sys.stderr):
            stream.flush()


@pytest.mark.parametrize("name", sorted(CALLS))
def test_a_reader_that_has_gone_changes_neither_the_files_nor_the_exit_code(
    name: str, files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path))
    expected = ended(files, tmp_path / "read", CALLS[name])
    request.getfixturevalue("nobody")
    assert ended(files, tmp_path / "left", CALLS[name]) == expected
    if name.endswith("again") and name != "dedup again":
        assert expected[0] == 1, "a verdict that nobody reads is still a verdict"
    if name == "dedup again":
        assert {"new.jsonl", "new.parquet"} <= expected[1]


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_process_whose_reader_has_gone_ends_with_its_own_code(unbuffered: str, files: Path) -> None:
    reads, writes = os.pipe()
    os.close(reads)
    try:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            [sys.executable, "-m", "instructsel", *NEGATIVE["gate"]], cwd=files, stdout=writes, stderr=writes, env=environment, check=False
        )
    finally:
        os.close(writes)
    assert done.returncode == 1


@pytest.mark.parametrize(
    "call", [["rules", "list"], ["rules", "list", "--json"], ["rules", "--help"], ["--version"], ["gate", "pools/twice.jsonl"]]
)
def test_a_result_that_no_disk_holds_ends_with_4_and_says_so(call: list[str], files: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("a system without /dev/full")
    with open("/dev/full", "wb") as full:
        done = subprocess.run([sys.executable, "-m", "instructsel", *call], cwd=files, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 4
    assert done.stderr.decode().endswith(
        "error: Cannot write: No space left on device.\nfix:   Free some space, or write to another disk.\n"
    )


@pytest.mark.skipif(sys.platform == "win32", reason="a shell of POSIX closes streams")
@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_stream_that_the_shell_closed_is_nobodys(closed: str, files: Path, tmp_path: Path) -> None:
    place = tmp_path / "closed"
    shutil.copytree(files, place)
    call = f"{sys.executable} -m instructsel score pools/alpaca.jsonl --indicators len_in,mtld --no-cache -o new.scores.parquet {closed}"
    done = subprocess.run(call, shell=True, cwd=place, capture_output=True, check=False)
    assert done.returncode == 0 and (place / "new.scores.parquet").read_bytes()[:4] == b"PAR1"
    assert b"Traceback" not in done.stderr
