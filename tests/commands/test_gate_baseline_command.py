"""instructsel gate baseline and gate init: what they write, print and end with, and a gate that is asked with both."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from instructsel.commands import app
from instructsel.gates.baseline.baseline import Baseline
from instructsel.gates.config import GateConfig
from tests.gates.baseline.test_baseline import rows, written


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    written(Path("pool.jsonl"), rows(60))
    return tmp_path


def run(*arguments: str, code: int = 0) -> Result:
    done = CliRunner().invoke(app, ["gate", *arguments], env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == code, done.output
    return done


def test_an_update_in_place_is_the_same_file_as_all_at_once(folder: Path) -> None:
    written(Path("more.jsonl"), rows(20, 2))
    run("baseline", "create", "pool.jsonl", "more.jsonl", "-o", "both.baseline")
    run("baseline", "create", "pool.jsonl", "-o", "pool.baseline")
    done = run("baseline", "update", "pool.baseline", "more.jsonl")
    assert Path("pool.baseline").read_bytes() == Path("both.baseline").read_bytes()
    assert "80 examples of 2 files" in done.stderr
    again = run("baseline", "update", "pool.baseline", "more.jsonl", "-o", "again.baseline")
    assert "more.jsonl takes the place" in again.stderr
    assert Path("again.baseline").read_bytes() == Path("both.baseline").read_bytes()


def test_an_update_of_what_is_no_baseline_says_to_make_one_and_not_to_replace_it(folder: Path) -> None:
    Path("notes.baseline").write_text("mine")
    done = run("baseline", "update", "notes.baseline", "pool.jsonl", code=3)
    assert "Make it again" in done.stderr and "--force" not in done.stderr
    assert "Check the path" in run("baseline", "update", "none.baseline", "pool.jsonl", code=3).stderr


def test_show_names_files_parts_and_the_address(folder: Path) -> None:
    run("baseline", "create", "pool.jsonl", "-o", "pool.baseline", "--source-field", "topic")
    address = Baseline.read("pool.baseline").fingerprint
    text = run("baseline", "show", "pool.baseline").stdout
    for part in ("60 examples", "pool.jsonl", "source (topic)", "measures", address):
        assert part in text
    assert max(map(len, text.splitlines())) <= 80
    record = json.loads(run("baseline", "show", "pool.baseline", "--json").stdout)
    assert record["kind"] == "baseline"
    assert record["fingerprint"] == address
    assert record["bytes"]["measures"] > 0


def test_a_file_that_is_no_baseline_is_not_replaced(folder: Path) -> None:
    Path("notes.txt").write_text("mine")
    done = run("baseline", "create", "pool.jsonl", "-o", "notes.txt", code=2)
    assert "--force" in done.stderr
    assert Path("notes.txt").read_text() == "mine"
    run("baseline", "create", "pool.jsonl", "-o", "notes.txt", "--force")
    run("baseline", "create", "pool.jsonl", "-o", "notes.txt")
    run("baseline", "create", "pool.jsonl", "-o", "pool.jsonl", code=2)


def test_a_broken_baseline_ends_with_3_and_the_other_checks_still_report(folder: Path) -> None:
    run("baseline", "create", "pool.jsonl", "-o", "pool.baseline")
    data = Path("pool.baseline").read_bytes()
    Path("pool.baseline").write_bytes(data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    assert "error: " in run("baseline", "show", "pool.baseline", "--json", code=3).stderr
    written(Path("new.jsonl"), [{"instruction": "Say one.", "output": ""}, *rows(3, 5)])
    Path("pool.baseline").write_bytes(b"broken")
    done = run("new.jsonl", "--baseline", "pool.baseline", code=3)
    assert "IS010" in done.stdout
    assert "pool.baseline is not a baseline" in " ".join((done.stdout + done.stderr).split())


def test_an_unchanged_pull_request_passes_and_says_how_many_rows_there_are(folder: Path) -> None:
    run("baseline", "create", "pool.jsonl", "-o", "pool.baseline")
    done = run("pool.jsonl", "--baseline", "pool.baseline")
    assert "60 rows are in the baseline already." in done.stderr


def test_a_configuration_of_init_is_read_and_the_pool_passes_it(folder: Path) -> None:
    written(Path("pool.jsonl"), rows(420))
    run("baseline", "create", "pool.jsonl", "-o", "pool.baseline")
    run("init", "pool.jsonl", "--baseline", "pool.baseline")
    config = GateConfig.read("gate.toml")
    assert {"drift", "quota", "indicator-limit", "empty-response"} <= {entry.check.kind for entry in config.checks}
    text = Path("gate.toml").read_text()
    assert text.count("[[check]]") == len(config.checks)
    assert all(block.count("\n# ") for block in text.split("[[check]]")[1:])
    run("pool.jsonl")
    shutil.copy("pool.jsonl", "copy.jsonl")
    alone = Path("gate.toml").read_text().replace('[baseline]\npath = "pool.baseline"\n', "")
    Path("alone.toml").write_text("\n\n".join(block for block in alone.split("\n\n") if 'kind = "drift"' not in block))
    run("copy.jsonl", "--config", "alone.toml")


def test_init_writes_to_stdout_and_replaces_nothing(folder: Path) -> None:
    shown = run("init", "pool.jsonl", "-o", "-").stdout
    run("init", "pool.jsonl", "-o", "same.toml")
    assert shown.startswith("schema = 1\n") and shown == Path("same.toml").read_text()
    Path("gate.toml").write_text("mine")
    run("init", "pool.jsonl", code=2)
    assert Path("gate.toml").read_text() == "mine"
    run("init", "pool.jsonl", "--force")
    record = json.loads(run("init", "pool.jsonl", "-o", "-", "--json").stdout)
    assert all(check["reason"] for check in record["checks"])


def test_a_row_that_is_worse_than_the_pool_fails_what_init_proposed(folder: Path) -> None:
    run("init", "pool.jsonl")
    written(Path("new.jsonl"), [{"instruction": f"Question {n}?", "output": "word " * 400} for n in range(200)])
    done = run("new.jsonl", code=1)
    assert "len-p99" in done.stdout or "characters-p99" in done.stdout
