"""The folder of a fine-tune: one process at a time, and nothing of one that is gone stands in the way of the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from instructsel.adapters.checkpoint_folder import OWNER, RECORD, STATE, TRAINING, claimed, last_state, mark_complete
from instructsel.errors import EnvironmentFault, TrainingError, UsageError
from instructsel.experiments.leases import LEASE

JOB = """
import sys
from pathlib import Path
from instructsel.adapters.checkpoint_folder import claimed
with claimed(Path(sys.argv[1]), "other"):
    print("claimed", flush=True)
    sys.stdin.read()
"""


def state(folder: Path, key: str, step: int = 7) -> Path:
    """A state that is whole."""
    place = folder / STATE / f"checkpoint-{step}"
    place.mkdir(parents=True)
    (place / "model.safetensors").write_bytes(b"weights")
    mark_complete(place, key)
    return place


def claim(folder: Path, key: str) -> None:
    with claimed(folder, key):
        assert (folder / STATE / OWNER).read_text() == key


def owned(folder: Path, key: str) -> None:
    """As a fine-tune that was killed leaves it."""
    (folder / STATE).mkdir(parents=True, exist_ok=True)
    (folder / STATE / OWNER).write_text(key)


def fail(folder: Path, error: BaseException, leave: Callable[[Path], object]) -> None:
    """A fine-tune that leaves something and fails."""
    with claimed(folder, "one"):
        leave(folder)
        raise error


def worker(folder: Path) -> subprocess.Popen[str]:
    """A process that has claimed a folder, and holds it until it is ended."""
    process = subprocess.Popen(
        [sys.executable, "-c", JOB, str(folder)],
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "claimed\n"
    return process


@pytest.mark.parametrize(
    "error", [TrainingError("refused"), UsageError("refused"), MemoryError(), KeyboardInterrupt(), OSError(28, "full")]
)
def test_a_fine_tune_that_fails_before_its_first_state_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    folder = tmp_path / "run"
    with pytest.raises(type(error)) as raised:
        fail(folder, error, lambda folder: (folder / STATE / "checkpoint-3").mkdir())
    assert raised.value is error and not folder.exists()
    claim(folder, "another")


@pytest.mark.parametrize("leave", [lambda folder: state(folder, "one"), lambda folder: (folder / "model.safetensors").write_bytes(b"w")])
def test_what_a_failed_fine_tune_can_go_on_from_stays_its_own(tmp_path: Path, leave: Callable[[Path], object]) -> None:
    folder = tmp_path / "run"
    with pytest.raises(MemoryError):
        fail(folder, MemoryError(), leave)
    before = sorted(path for path in folder.rglob("*") if path.is_file())
    with pytest.raises(TrainingError, match="another fine-tune, begun and not finished"):
        claim(folder, "another")
    assert sorted(path for path in folder.rglob("*") if path.is_file()) == before
    claim(folder, "one")


def test_a_claim_of_a_fine_tune_that_was_killed_before_its_first_state_is_nobody_s(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    owned(folder, "one")
    # Half a state is none, and one of a third fine-tune is not the owner's.
    (folder / STATE / "checkpoint-3").mkdir()
    state(folder, "third")
    claim(folder, "another")
    assert last_state(folder / STATE, "another") is None


def test_a_state_of_the_former_owner_is_respected(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    owned(folder, "one")
    former = state(folder, "one")
    with pytest.raises(TrainingError, match="begun and not finished"):
        claim(folder, "another")
    with claimed(folder, "one"):
        assert last_state(folder / STATE, "one") == former


def test_weights_of_another_origin_are_refused_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"mine")
    with pytest.raises(TrainingError, match="weights that are no checkpoint"):
        claim(tmp_path, "one")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


@pytest.mark.parametrize("key", ["other", "another"])
def test_a_folder_that_a_living_process_trains_into_is_refused_whoever_asks_and_free_when_it_is_killed(tmp_path: Path, key: str) -> None:
    folder = tmp_path / "run"
    process = worker(folder)
    try:
        with pytest.raises(TrainingError, match="Another process is training into"):
            claim(folder, key)
        assert (folder / STATE / OWNER).read_text() == "other"
    finally:
        os.kill(process.pid, signal.SIGKILL)
        process.communicate()
    assert (folder / f"{TRAINING}{LEASE}").exists()
    claim(folder, key)
    assert not list(folder.glob(f"*{LEASE}*"))


def test_a_process_that_ends_by_itself_leaves_no_lease(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    process = worker(folder)
    process.communicate()
    assert process.returncode == 0 and not list(folder.glob(f"*{LEASE}*"))


@pytest.mark.parametrize(
    "record", ['{"key": "one"}', '{"key": "one", "trainer": []}', '{"key": "one", "trainer": {"merge": true}}', "[]", "{"]
)
def test_a_record_that_is_none_of_a_fine_tune_is_refused(tmp_path: Path, record: str) -> None:
    (tmp_path / RECORD).write_text(record)
    with pytest.raises(TrainingError):
        claim(tmp_path, "one")


def test_a_folder_that_cannot_be_made_is_the_machine_s_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="Cannot make"):
        claim(tmp_path / "file" / "run", "one")
