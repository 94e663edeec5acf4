"""The command line called from tests: in this process, or in one of its own where that is what is tested."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.commands import app

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    folder.chmod(0o700)
    return folder


@pytest.fixture(scope="module")
def trainer_loaded() -> Iterator[None]:
    """What a fine-tune imports, kept from the collector: each fine-tune collects garbage, among all those objects."""
    from trl.trainer.sft_trainer import SFTTrainer

    assert SFTTrainer
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


def in_this_process(
    folder: Path, arguments: tuple[str | Path, ...], *, stdin: bytes | None = None, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Call the command line in a working folder: Python and torch start once for all tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name, value in environment.items():
            patch.setenv(name, value)
        done = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin, prog_name="instructsel")
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return subprocess.CompletedProcess(arguments, done.exit_code, done.stdout, done.stderr)


def in_a_process(
    folder: Path, arguments: tuple[str | Path, ...], *, stdin: bytes | None = None, environment: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    """Start `python -m instructsel` in a working folder."""
    done = subprocess.run(
        [sys.executable, "-m", "instructsel", *map(str, arguments)],
        cwd=folder,
        input=stdin,
        capture_output=True,
        env={**os.environ, **environment},
        check=False,
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


@pytest.fixture
def run(tmp_path: Path, cache: Path) -> Run:
    """The command line in the test's folder, in this process."""

    def command(*arguments: str | Path, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return in_this_process(tmp_path, arguments, stdin=stdin, environment=_environment(cache, environment))

    return command


@pytest.fixture
def run_alone(tmp_path: Path, cache: Path) -> Run:
    """The command line in the test's folder, in a process of its own: streams, exit codes and hash seeds are the real ones."""

    def command(*arguments: str | Path, stdin: bytes | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
        return in_a_process(tmp_path, arguments, stdin=stdin, environment=_environment(cache, environment))

    return command


def _environment(cache: Path, more: dict[str, str]) -> dict[str, str]:
    return {"INSTRUCTSEL_CACHE": str(cache), "HF_HUB_OFFLINE": "1", "NO_COLOR": "1", **more}
