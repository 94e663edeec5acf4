"""cache show, cache prune and status: what is kept, what goes, and which runs have not ended."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from instructsel.artifact import dump_json, machine
from instructsel.cache import NAMESPACES, Cache, keys_of
from instructsel.commands import cache, status
from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, TrainingSettings
from instructsel.pool.pool import Pool
from instructsel.scores.progress import RUNS, Run
from instructsel.study.folder import StudyFolder
from instructsel.study.study import plan_study
from tests.study import job

app = typer.Typer(rich_markup_mode=None)
app.command("status")(status.command)
app.add_typer(cache.app, name="cache")

NOW = 1_800_000_000


@pytest.fixture
def store(tmp_path: Path) -> Cache:
    return Cache.open(tmp_path / "cache")


def fill(store: Cache, kind: str, rows: int, *, used: float, **more: Any) -> Path:
    """A namespace of one file; 16 + 8 bytes a row."""
    namespace = store.namespace({"kind": kind, "digest": "ab" * 32, "precision": "fp32", "device": "cpu", **more}, width=1, dtype="<f8")
    namespace.put(keys_of([f"{kind} {number}" for number in range(rows)]), np.arange(rows, dtype=np.float64))
    namespace.flush()
    os.utime(namespace.folder / "fingerprint.json", (used, used))
    (file,) = namespace.folder.glob("*.values")
    return file


def damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content))


def run(*arguments: str | Path, code: int = 0) -> Any:
    done = CliRunner().invoke(app, [str(each) for each in arguments])
    assert done.exit_code == code, done.output
    return done


def plain(*arguments: str | Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run(*arguments, "--json").stdout)
    return found


def dead_process() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def note(store: Cache, *, process: int | None = None, **more: Any) -> Run:
    """An unfinished run of 3 of 4 and 1 of 3 examples, and one indicator that has not begun."""
    about = {"pools": ["pool.jsonl"], "target": "pool.scores.parquet", "indicators": ["len", "mtld", "rew"], "folder": str(Path.cwd())}
    found = Run.start(store, {**about, "command": "instructsel score pool.jsonl", **more})
    found.tell("len", 3, 4)
    found.tell("mtld", 1, 3)
    if process is not None:
        found.path.write_bytes(dump_json({**found.record, "process": process}))
    return found


def test_show_says_what_each_namespace_is_for_and_how_much_of_the_limit_is_held(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    rew, knn = fill(store, "RewardModel", 10, used=NOW), fill(store, "encoder", 20, used=NOW - 9)
    monkeypatch.setenv("INSTRUCTSEL_CACHE_LIMIT", "5MB")
    found = plain("cache", "show", "--cache", store.folder)
    assert [(namespace["for"], namespace["files"], namespace["used"]) for namespace in found["namespaces"]] == [
        ("knn_6, other knn_N", 1, "2027-01-15T07:59:51+00:00"),
        ("rew", 1, "2027-01-15T08:00:00+00:00"),
    ]
    assert found["bytes"] == rew.stat().st_size + knn.stat().st_size and found["limit"] == 5_000_000
    text = run("cache", "show", "--cache", store.folder).stdout
    assert "abababababab" in text and "of at most 5.0 MB" in text


def test_a_namespace_whose_model_the_cache_names_is_shown_by_that_name(store: Cache) -> None:
    fill(store, "RewardModel", 10, used=NOW, model="owner/\x1b[31mred\nmodel")
    text = run("cache", "show", "--cache", store.folder).stdout
    assert "owner/\\u001b[31mred\\nmodel" in text and "\x1b" not in text


def test_whoever_only_looks_makes_no_cache(tmp_path: Path) -> None:
    for command in (["cache", "show"], ["cache", "prune"], ["status"]):
        run(*command, "--cache", tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_prune_frees_the_least_recently_used_first_down_to_the_limit(store: Cache) -> None:
    old, middle, new = (fill(store, f"kind{age}", 100, used=NOW - age) for age in (30, 20, 10))
    size = new.stat().st_size
    found = plain("cache", "prune", "--limit", str(2 * size), "--cache", store.folder)
    assert not old.exists() and middle.exists() and new.exists()
    assert found["freed"] == size and found["left"] == 2 * size
    assert [namespace["for"] for namespace in found["namespaces"]] == ["kind30"]
    run("cache", "prune", "--limit", str(2 * size - 1), "--cache", store.folder)
    assert not middle.exists() and new.exists()


def test_prune_removes_damaged_files_and_nothing_else_below_the_limit(store: Cache) -> None:
    sound, broken = fill(store, "encoder", 50, used=NOW - 9), fill(store, "RewardModel", 50, used=NOW)
    damage(broken)
    size = broken.stat().st_size
    found = plain("cache", "prune", "--cache", store.folder)
    assert found["damaged"] == [str(broken)] and found["freed"] == size and found["namespaces"] == []
    assert not broken.exists() and sound.exists() and store.damaged() == []


def test_what_a_damaged_file_frees_is_not_freed_once_more(store: Cache) -> None:
    sound, broken = fill(store, "encoder", 50, used=NOW - 9), fill(store, "RewardModel", 50, used=NOW)
    damage(broken)
    found = plain("cache", "prune", "--limit", str(sound.stat().st_size), "--cache", store.folder)
    assert not broken.exists() and sound.exists()
    assert found["left"] == sound.stat().st_size


@pytest.mark.parametrize("bound", [["--limit", "3kB"], ["--all"], []], ids=["limit", "all", "default"])
def test_a_dry_run_removes_nothing_and_says_what_the_real_one_then_does(store: Cache, bound: list[str]) -> None:
    files = [fill(store, f"kind{age}", 100, used=NOW - age) for age in (30, 20, 10)]
    damage(files[1])
    predicted = plain("cache", "prune", *bound, "--dry-run", "--cache", store.folder)
    assert all(file.exists() for file in files)
    assert "would be freed" in run("cache", "prune", *bound, "--dry-run", "--cache", store.folder).stdout
    done = plain("cache", "prune", *bound, "--cache", store.folder)
    assert {**predicted, "dry_run": False} == done
    assert sum(file.stat().st_size for file in files if file.exists()) == done["left"]


def test_prune_all_leaves_neither_values_nor_notes_of_stopped_runs(store: Cache) -> None:
    fill(store, "encoder", 10, used=NOW)
    note(store, process=dead_process())
    assert plain("cache", "prune", "--all", "--cache", store.folder)["notes_of_runs"] == 1
    assert list((store.folder / NAMESPACES).iterdir()) == [] and list((store.folder / RUNS).iterdir()) == []


def test_prune_leaves_what_a_run_at_work_uses(store: Cache) -> None:
    before = fill(store, "encoder", 10, used=NOW - 10**8)
    here = note(store)
    used = fill(store, "RewardModel", 10, used=time.time())
    done = run("cache", "prune", "--all", "--cache", store.folder)
    assert f"process {os.getpid()}" in done.stderr
    assert not before.exists() and used.exists() and here.path.exists()


@pytest.mark.parametrize("size", ["much", "-5MB", ""])
def test_a_size_that_is_none_ends_with_2(store: Cache, size: str) -> None:
    file = fill(store, "encoder", 10, used=NOW)
    done = run("cache", "prune", f"--limit={size}", "--cache", store.folder, code=2)
    assert "no size" in done.stderr and "500MB" in done.stderr and file.exists()
    run("cache", "prune", "--all", "--limit", "5MB", "--cache", store.folder, code=2)


def test_a_limit_from_the_environment_that_is_no_size_ends_with_2(store: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INSTRUCTSEL_CACHE_LIMIT", "a lot")
    for verb in ("show", "prune"):
        run("cache", verb, "--cache", store.folder, code=2)


def test_an_unfinished_run_is_shown_with_how_far_each_indicator_is(store: Cache) -> None:
    note(store)
    (found,) = plain("status", "--cache", store.folder)["runs"]
    assert found["state"] == "working" and found["next"] is None
    assert [(each["symbol"], each["done"], each["total"], each["percent"]) for each in found["indicators"]] == [
        ("len", 3, 4, 75),
        ("mtld", 1, 3, 33),
        ("rew", 0, None, 0),
    ]
    text = run("status", "--cache", store.folder).stdout
    for part in ("pool.jsonl → pool.scores.parquet: working", "3 of 4", "75%", "not started"):
        assert part in text


def test_a_run_whose_process_is_gone_is_shown_as_stopped_with_the_command_that_goes_on(store: Cache) -> None:
    note(store, process=dead_process(), folder="/some where")
    (found,) = plain("status", "--cache", store.folder)["runs"]
    assert found["state"] == "stopped" and found["next"] == "cd '/some where' && instructsel score pool.jsonl"
    text = run("status", "--cache", store.folder).stdout
    assert "stopped (process" in text and "go on with: cd '/some where' && instructsel score pool.jsonl" in text


def test_a_run_that_ended_is_not_shown(store: Cache) -> None:
    note(store).end()
    assert plain("status", "--cache", store.folder)["runs"] == []
    assert run("status", "--cache", store.folder).stdout.startswith("no unfinished scoring")


def test_a_note_of_a_run_cannot_write_to_the_terminal_and_may_hold_anything(store: Cache) -> None:
    odd = {"pools": ["\x1b[2Jpool\nforged line"], "command": ["no text"], "target": None, "indicators": 7, "started": "never"}
    note(store).path.write_bytes(dump_json({**odd, "process": dead_process(), "machine": machine(), "progress": {"\x1b[31mlen": ["x", 0]}}))
    text = run("status", "--cache", store.folder).stdout
    assert "\x1b" not in text and "\nforged line" not in text
    assert "Run the same command again." in text and "not started" in text


def test_a_stopped_run_says_what_is_in_the_cache_and_what_starts_again(store: Cache) -> None:
    stopped = note(store, process=dead_process())
    stopped.tell("rew", 2, 4)
    stopped.path.write_bytes(dump_json({**stopped.record, "process": dead_process()}))
    text = run("status", "--cache", store.folder).stdout
    rows = {line.split()[0]: line for line in text.splitlines() if line.startswith("  ") and line.split()[0] in ("len", "mtld", "rew")}
    assert "starts again" in rows["len"] and "starts again" in rows["mtld"] and "in the cache" in rows["rew"]
    (record,) = plain("status", "--cache", store.folder)["runs"]
    assert [indicator["resumes"] for indicator in record["indicators"]] == [False, False, True]


def test_status_shows_verifications_that_have_not_ended(store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runs = tmp_path / "verified" / "runs"
    runs.mkdir(parents=True)
    assert plain("status", "--cache", store.folder)["experiments"] == []
    for name in ("selection-draw0-seed0.loss.json", "selection-draw0-seed0.judge.json", "random-draw0-seed0.failed.json"):
        (runs / name).write_text("{}")
    (record,) = plain("status", "--cache", store.folder)["experiments"]
    assert (record["kind"], record["state"], record["finished"], record["failed"]) == ("verification", "stopped", 1, 1)
    assert "verification verified: stopped" in run("status", "--cache", store.folder).stdout
    # Its plan says how many models there will be: one selection and two random subsets, twice each, and the base.
    arms = (
        PlannedArm("selection", rows=(("s.jsonl",),)),
        PlannedArm("random", pool=("p.jsonl",), random_subsets=2),
        PlannedArm("base", base_model=True),
    )
    Experiment(arms, seeds=2, training=TrainingSettings(base="b")).write(tmp_path / "verified" / "plan.toml")
    text = run("status", "--cache", store.folder).stdout
    assert "1 of 7 runs finished" in text and "go on with: instructsel verify verified/plan.toml -o verified" in text
    # What the plan of others may not do by itself is repeated by whoever goes on.
    unsafe = GradingSettings(allow_unsafe_code=True)
    Experiment(arms, seeds=2, training=TrainingSettings(base="b"), grading=unsafe).write(tmp_path / "verified" / "plan.toml")
    (record,) = plain("status", "--cache", store.folder)["experiments"]
    assert record["next"] == "instructsel verify verified/plan.toml -o verified --allow-unsafe-code"
    # The table is written after every call: a verification is finished when each of its models is graded.
    (tmp_path / "verified" / "verification.parquet").write_bytes(b"")
    assert plain("status", "--cache", store.folder)["experiments"][0]["state"] == "stopped"
    (runs / "random-draw0-seed0.failed.json").unlink()
    for name in ("selection-draw0-seed1", *(f"random-draw{n // 2}-seed{n % 2}" for n in range(4)), "base-draw0-seed0"):
        (runs / f"{name}.loss.json").write_text("{}")
    (tmp_path / "verified" / "verdict.json").write_text('{"pending": ["base seed 0"]}')
    assert plain("status", "--cache", store.folder)["experiments"][0]["state"] == "stopped"
    (tmp_path / "verified" / "verdict.json").write_text('{"pending": []}')
    assert plain("status", "--cache", store.folder)["experiments"] == []
    assert plain("status", tmp_path / "verified", "--cache", store.folder)["experiments"][0]["state"] == "finished"
    run("status", tmp_path, "--cache", store.folder, code=2)


def test_status_shows_studies_that_have_not_ended(store: Cache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pool = Pool.read(*job.write_pool(tmp_path))
    trainer, grader = job.FakeTrainer(tmp_path / "checkpoints"), job.FakeGrader(job.numbers(pool))
    plan = plan_study(pool, job.scored(pool), job.DESIGN, trainer=trainer, grader=grader, folder=tmp_path / "study")
    (record,) = plain("status", "--cache", store.folder)["experiments"]
    assert (record["state"], record["finished"], record["total"]) == ("stopped", 0, 4)
    text = run("status", "--cache", store.folder).stdout
    assert "0 of 4 runs finished" in text and "go on with: instructsel study run study" in text
    study = StudyFolder(tmp_path / "study")
    with study.store.lease(plan.leases[plan.runs[0]].name):
        (record,) = plain("status", "--cache", store.folder)["experiments"]
    assert record["state"] == "working" and record["running"] == [plan.runs[0].name] and record["next"] is None
    (tmp_path / "study" / "plan.json").write_text("{")
    (record,) = plain("status", "--cache", store.folder)["experiments"]
    assert record["state"] == "damaged" and "plan.json" in record["message"]
    assert "cannot be read" in run("status", "--cache", store.folder).stdout
