"""The hook of .pre-commit-hooks.yaml, run by pre-commit itself in the environment at hand."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.conftest import ROOT
from tests.delivery.runner import our_program

HOOKS = ROOT / ".pre-commit-hooks.yaml"
GOOD = json.dumps({"instruction": "Name a color of the sky at noon.", "output": "It is blue, as the air scatters short waves most."})
BAD = json.dumps({"instruction": "Name a color of the grass.", "output": ""})


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always"]
    return subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose configuration takes the hook from another one, with what is installed here in place of a new environment."""
    pytest.importorskip("pre_commit")
    hooks, place = tmp_path / "hooks", tmp_path / "repository"
    for folder in (hooks, place):
        folder.mkdir()
        git(folder, "init", "-q", "-b", "main")
    shutil.copy(HOOKS, hooks)
    git(hooks, "add", "-A")
    git(hooks, "commit", "-qm", "x")
    config = {
        "repos": [{"repo": str(hooks), "rev": git(hooks, "rev-parse", "HEAD"), "hooks": [{"id": "instructsel-gate", "language": "system"}]}]
    }
    (place / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    our_program(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "home"))
    return place


def pre_commit(place: Path) -> tuple[int, str]:
    git(place, "add", "-A")
    done = subprocess.run(
        [sys.executable, "-m", "pre_commit", "run", "--color=never"], cwd=place, capture_output=True, text=True, check=False
    )
    return done.returncode, done.stdout + done.stderr


def test_whole_rows_pass_and_what_is_no_pool_is_left_alone(repository: Path) -> None:
    (repository / "data.jsonl").write_text(GOOD + "\n")
    (repository / "two  blanks.csv").write_text("instruction,output\nName a color of the sky.,It is blue at noon.\n")
    (repository / "package.json").write_text('{"name": "x"}')
    (repository / "README.md").write_text("no rows")
    code, text = pre_commit(repository)
    assert code == 0 and "Passed" in text, text


def test_a_broken_row_keeps_the_commit_back_with_file_and_line(repository: Path) -> None:
    (repository / "gate.toml").write_text("schema = 7\n")
    (repository / "data.jsonl").write_text(f"{GOOD}\n{BAD}\n")
    code, text = pre_commit(repository)
    assert code == 1 and "data.jsonl:2" in text and "empty-response" in text, text
    (repository / "data.jsonl").write_text(f'{GOOD}\n{{"instruction"\n')
    code, text = pre_commit(repository)
    assert code == 1 and "data.jsonl:2" in text and "unreadable-row" in text, text


def test_the_hook_needs_the_plain_package_alone_and_loads_nothing_that_is_slow() -> None:
    (hook,) = yaml.safe_load(HOOKS.read_text(encoding="utf-8"))
    assert "additional_dependencies" not in hook
    code = (
        "import sys\nfrom instructsel.gates.config import GateConfig\nfrom instructsel.gates.gate import gate\nfrom instructsel.pool.pool import Pool\n"
        "pool = Pool.of([{'instruction': 'a', 'output': 'b'}, {'instruction': 'c', 'output': ''}])\n"
        "verdict = gate(pool, GateConfig.read('@structure'))\nassert verdict.findings\n"
        "slow = {'torch', 'transformers', 'faiss', 'datasets', 'pyarrow', 'scipy', 'instructsel.audits', 'instructsel.grading'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_structural_check_that_is_named_is_there() -> None:
    from instructsel.gates.checks.registry import checks
    from instructsel.gates.config import STRUCTURAL, GateConfig

    asked = {configured.check.kind for configured in GateConfig.read("@structure").checks}
    assert asked <= set(checks()) and len(asked) == len(STRUCTURAL)
