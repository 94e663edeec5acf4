"""What a gate prints for people fits a terminal of 80 columns, whatever rows hold."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.text import columns_of

ODD = ["", "\x1b[31mred\x1b[0m ::error::x", "TODO", "我" * 300, "a" * 500, "I'm sorry, but I can't help with that.\u202e", "word " * 400]


@pytest.mark.parametrize("arguments", [[], ["--max-findings", "0"], ["--mode", "nightly", "--fail-on", "warning"]])
def test_every_line_fits_and_none_commands_the_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str]) -> None:
    monkeypatch.chdir(tmp_path)
    name = f"{'long' * 20}.jsonl"
    rows = [{"instruction": f"Say {number}.", "output": text} for number, text in enumerate(ODD * 2)]
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows) + "{broken\n")
    done = CliRunner().invoke(app, ["gate", name, *arguments], env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exit_code == 3, done.output
    assert [line for line in done.stdout.splitlines() if columns_of(line) > 80] == []
    assert "\x1b" not in done.stdout and "\u202e" not in done.stdout
    assert not any(line.lstrip().startswith("::") for line in done.stdout.splitlines())
