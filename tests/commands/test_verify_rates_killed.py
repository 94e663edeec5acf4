"""verify --learning-rates, killed by SIGKILL between its runs: the same command goes on, to the results of a run that nobody killed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from tests import tiny
from tests.commands.test_verify_command import rows
from tests.grading.test_judge import Server, asked_text, longest, said

pytestmark = pytest.mark.usefixtures("trainer_loaded")

KILLED = """
import os, signal, sys
from pathlib import Path
from instructsel.commands import app
real, count = os.replace, 0
def replace(source, target, **more):
    global count
    real(source, target, **more)
    if Path(target).parent.name == "runs":
        count += 1
        if count == int(sys.argv[1]):
            os.kill(os.getpid(), signal.SIGKILL)
os.replace = replace
app(sys.argv[2:])
"""


def test_a_killed_verification_at_two_rates_with_a_judge_goes_on_to_equal_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.causal(tmp_path / "base", "llama")
    for name, start in (("chosen", 0), ("other", 100)):
        rows(tmp_path / f"{name}.jsonl", start)
    rows(tmp_path / "held.jsonl", 900, 6, asked="Name")
    rows(tmp_path / "asked.jsonl", 950, 4, asked="List")
    server = Server(lambda request: said(longest(asked_text(request))))
    command = [
        *("verify", "chosen.jsonl", "--arm", "random=other.jsonl", "--base", "base", "--preset", "tiny", "--steps", "1", "--device", "cpu"),
        *(
            "--seeds",
            "1",
            "--generalize-to",
            "items",
            "--eval",
            "held.jsonl",
            "--learning-rates",
            "1,0.33",
            "--instructions",
            "asked.jsonl",
        ),
        *("--max-new-tokens", "4", "--judge", "fake", "--judge-url", server.url, "--judge-revision", "1"),
    ]

    def finish(folder: str) -> dict[str, Any]:
        done = CliRunner().invoke(app, [*command, "-o", folder, "--json"])
        assert done.exit_code == 0, done.output
        verdict: dict[str, Any] = json.loads((tmp_path / folder / "verdict.json").read_text())
        return verdict

    try:
        killed = subprocess.run(
            [sys.executable, "-c", KILLED, "3", *command, "-o", "killed"], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        finished = {path.name: path.read_bytes() for path in (tmp_path / "killed" / "runs").glob("*.json")}
        assert len(finished) == 3 and not (tmp_path / "killed" / "verdict.json").exists()
        resumed, whole = finish("killed"), finish("whole")
    finally:
        server.close()
    # What was finished before the signal is not made again.
    assert {name: (tmp_path / "killed" / "runs" / name).read_bytes() for name in finished} == finished
    assert resumed["learning_rates"]["dependence"] == whole["learning_rates"]["dependence"] and len(whole["learning_rates"]["rates"]) == 2
    for key in ("outcome", "verdicts", "win_rates", "trainer", "recipe", "contamination"):
        assert resumed[key] == whole[key], key
    assert {"loss on held", "win rate"} <= set(whole["graders"])
    assert [rate["outcome"] for rate in resumed["learning_rates"]["rates"]] == [
        rate["outcome"] for rate in whole["learning_rates"]["rates"]
    ]
