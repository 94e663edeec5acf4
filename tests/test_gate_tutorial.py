"""The tutorial of the gate: its commands are run, and print what it says."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.commands import app

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tutorial-gate.md"


def steps() -> list[tuple[str, list[str]]]:
    """Each command of the page with the lines that it prints; what a here-document holds belongs to its command."""
    commands: list[tuple[str, list[str]]] = []
    for block in re.findall(r"^```console\n(.*?)^```$", PAGE.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
        is_inside = False
        for line in block.splitlines():
            if line.startswith("$ ") and not is_inside:
                commands.append((line[2:], []))
                is_inside = "<<'END'" in line
            elif is_inside:
                command, printed = commands[-1]
                commands[-1] = f"{command}\n{line}", printed
                is_inside = line != "END"
            else:
                commands[-1][1].append(line)
    return commands


def test_the_commands_of_the_tutorial_print_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    status = 0
    for command, expected in steps():
        if command == "echo $?":
            printed = f"{status}\n"
        elif command.startswith("instructsel "):
            done = CliRunner().invoke(app, shlex.split(command)[1:], env={"COLUMNS": "80"}, prog_name="instructsel")
            printed, status = done.stdout, done.exit_code
        else:
            printed = subprocess.run(["bash", "-c", command], check=True, capture_output=True, text=True).stdout
        pattern = ".*".join(re.escape(part) for part in "\n".join(expected).split("…"))
        assert not expected or re.fullmatch(f"{pattern}\\s*", printed, re.DOTALL), (command, printed)
    assert status == 0
