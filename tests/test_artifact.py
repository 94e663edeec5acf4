"""Outputs: checked before any work, never an input, and never in place of somebody else's file."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from instructsel import artifact
from instructsel.artifact import atomic_write, check_outputs, check_replaced
from instructsel.errors import EnvironmentFault, UsageError
from instructsel.tables import write_frame


@pytest.fixture
def pool(tmp_path: Path) -> Path:
    path = tmp_path / "pool.jsonl"
    path.write_text("{}\n")
    return path


def test_an_output_that_is_an_input_under_any_name_is_refused(pool: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link.jsonl").symlink_to(pool)
    os.link(pool, tmp_path / "hard.jsonl")
    monkeypatch.chdir(tmp_path)
    for name in (pool, "pool.jsonl", "./pool.jsonl", tmp_path / "x" / ".." / "pool.jsonl", "link.jsonl", "hard.jsonl"):
        with pytest.raises(UsageError, match="is the input"):
            check_outputs([name], [pool])
    with pytest.raises(UsageError, match="is the input"):
        check_outputs(["fine.parquet", "pool.jsonl"], ["-", "hf://a/b", pool])
    check_outputs(["-", "fine.parquet"], ["-", pool])


def test_two_outputs_are_two_files_and_none_is_a_folder(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one file"):
        check_outputs([tmp_path / "a", tmp_path / "." / "a"], [])
    with pytest.raises(UsageError, match="is a folder"):
        check_outputs([tmp_path], [])


def test_a_folder_that_is_missing_or_cannot_be_written_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EnvironmentFault, match="no folder"):
        check_outputs([tmp_path / "none" / "a"], [])

    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(EnvironmentFault, match=r"Cannot write .*a: Permission denied"):
        check_outputs([tmp_path / "a"], [])


def test_only_a_result_of_the_same_kind_is_replaced_without_force(pool: Path, tmp_path: Path) -> None:
    check_replaced(tmp_path / "new.parquet", "scores", "a score table", force=False)
    with pytest.raises(UsageError, match="exists and is not a score table"):
        check_replaced(pool, "scores", "a score table", force=False)
    check_replaced(pool, "scores", "a score table", force=True)
    (tmp_path / "pool.jsonl.json").write_text('{"kind": "selection"}')
    with pytest.raises(UsageError):
        check_replaced(pool, "scores", "a score table", force=False)
    (tmp_path / "pool.jsonl.json").write_text('{"kind": "scores"}')
    check_replaced(pool, "scores", "a score table", force=False)


def test_a_table_that_a_killed_run_left_without_its_manifest_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "chosen.selection.parquet"
    write_frame(path, pl.DataFrame({"id": ["a"]}), {"kind": "selection"})
    (tmp_path / "chosen.selection.parquet.json").unlink()
    check_replaced(path, "selection", "a sidecar", force=False)
    with pytest.raises(UsageError):
        check_replaced(path, "scores", "a score table", force=False)
    pl.DataFrame({"id": ["a"]}).write_parquet(path)
    with pytest.raises(UsageError):
        check_replaced(path, "selection", "a sidecar", force=False)
    path.write_bytes(b"PAR1" + bytes([255, 255, 255, 127]) + b"PAR1")
    with pytest.raises(UsageError):
        check_replaced(path, "selection", "a sidecar", force=False)


def test_space_is_asked_for_on_a_full_disk_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, frees in ((errno.EACCES, False), (errno.ENOSPC, True)):

        def refused(*_: object, number: int = number, **__: object) -> None:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr("instructsel.artifact.os.replace", refused)
        with pytest.raises(EnvironmentFault) as fault, atomic_write(tmp_path / "out.jsonl") as file:
            file.write(b"{}")
        assert ("Free some space" in str(fault.value)) is frees and "another place with -o" in str(fault.value)


@pytest.mark.skipif(os.name != "posix", reason="limits of a process are POSIX's")
def test_a_table_that_a_full_disk_cuts_off_is_a_fault_of_the_disk(tmp_path: Path) -> None:
    # A limit on the size of files is what a full disk is, but for the number of the error.
    script = """
import resource, sys
import polars as pl
from instructsel.columns import Columns
from instructsel.errors import EnvironmentFault
from instructsel.tables import write_frame
frame = pl.DataFrame({"id": [f"{n * 2654435761 % 2**32:08x}" for n in range(20_000)]})
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
for name in ("whole.parquet", "pieces.parquet", "whole.csv"):
    try:
        write_frame(f"{sys.argv[1]}/{name}", Columns.of(frame) if name[0] == "p" else frame, {"kind": "scores"})
    except EnvironmentFault as fault:
        print(str(fault))
"""
    ended = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
    said = f"{os.strerror(errno.EFBIG)}. Free some space, or choose another place with -o."
    assert [line.rpartition(": ")[2] for line in ended.stdout.splitlines()] == [said] * 3
    assert list(tmp_path.iterdir()) == []


def test_only_temporary_files_with_a_writer_s_mark_are_swept(tmp_path: Path) -> None:
    gone = f"{artifact.machine()}-{2**22 + 1}"
    foreign = [tmp_path / name for name in (".out.x.tmp", ".out.notes.tmp", ".out.00000000-a-abc.tmp", ".outer.txt.tmp", ".out.tmp")]
    left = tmp_path / f".out.{gone}-abcdefgh.tmp"
    link = tmp_path / f".out.{gone}-abcdefgi.tmp"
    for path in (*foreign, left):
        path.write_text("x")
        os.utime(path, (0, 0))
    link.symlink_to(foreign[0])
    artifact.sweep(tmp_path, name="out")
    artifact.sweep(tmp_path)
    assert all(path.exists() for path in foreign) and link.is_symlink() and not left.exists()
