"""A small player of GitHub's runner: the steps of a composite action, their variables, files and outputs, and what the runner would obey."""

from __future__ import annotations

import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from tests.gates.outputs.referees import WorkflowCommand, workflow_commands

EXPRESSION = re.compile(r"\$\{\{\s*([^}]+?)\s*\}\}")


def program(folder: Path, name: str, text: str) -> None:
    """An executable script."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    (folder / name).chmod(stat.S_IRWXU)


def our_program(folder: Path) -> None:
    """`instructsel` of this checkout."""
    program(folder, "instructsel", f'#!/bin/sh\nexec "{sys.executable}" -m instructsel "$@"\n')


@dataclass
class Run:
    """What became of an action."""

    code: int = 0
    log: str = ""
    summary: str = ""
    outputs: dict[str, str] = field(default_factory=dict)
    steps: list[str] = field(default_factory=list)

    @property
    def obeyed(self) -> list[WorkflowCommand]:
        """The commands that the runner would obey: none between `::stop-commands::TOKEN` and `::TOKEN::`."""
        token = None
        result = []
        for line in self.log.splitlines():
            if token is not None:
                token = None if line.strip() == f"::{token}::" else token
                continue
            for command in workflow_commands(line):
                if command.name == "stop-commands":
                    token = command.data
                else:
                    result.append(command)
        assert token is None, "commands stay stopped"
        return result


def read_pairs(path: Path) -> dict[str, str]:
    """A file of NAME=VALUE, and NAME<<END … END."""
    result = {}
    lines = iter(path.read_text(encoding="utf-8").splitlines()) if path.exists() else iter(())
    for line in lines:
        if match := re.fullmatch(r"([\w-]+)<<(.+)", line):
            value = []
            for inner in lines:
                if inner == match[2]:
                    break
                value.append(inner)
            result[match[1]] = "\n".join(value)
        else:
            name, equals, value_text = line.partition("=")
            assert equals, line
            result[name] = value_text
    return result


def play(action: Path, workspace: Path, temporary: Path, *, inputs: dict[str, str], environment: dict[str, str], path: Path) -> Run:
    """Run a composite action as a job's step does."""
    content = yaml.safe_load(action.read_text(encoding="utf-8"))
    assert content["runs"]["using"] == "composite" and set(inputs) <= set(content["inputs"])
    context = {"github.action_path": str(action.parent), "github.token": "the-token"}
    for name, entry in content["inputs"].items():
        context[f"inputs.{name}"] = inputs.get(name, _evaluated(str(entry.get("default", "")), context))
    paths = [str(path)]
    run = Run()
    temporary.mkdir(exist_ok=True)
    for number, step in enumerate(content["runs"]["steps"]):
        assert set(step) <= {"name", "id", "shell", "env", "run"} and step["shell"] == "bash", "run steps only"
        assert "${{" not in step["run"], "an input never stands in a script"
        files = {name: temporary / f"{name}-{number}" for name in ("GITHUB_OUTPUT", "GITHUB_PATH", "GITHUB_ENV", "GITHUB_STEP_SUMMARY")}
        for file in files.values():
            file.touch()
        script = temporary / f"step-{number}.sh"
        script.write_text(step["run"], encoding="utf-8")
        variables = {name: _evaluated(str(value), context) for name, value in step.get("env", {}).items()}
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-e", "-o", "pipefail", str(script)],
            cwd=workspace,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith(("GITHUB_", "INSTRUCTSEL_"))},
                "PATH": os.pathsep.join([*reversed(paths), os.environ["PATH"]]),
                "RUNNER_TEMP": str(temporary),
                **environment,
                **{name: str(file) for name, file in files.items()},
                **variables,
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        run.steps.append(step["name"])
        run.log += done.stdout.decode("utf-8", "replace")
        run.summary += files["GITHUB_STEP_SUMMARY"].read_text(encoding="utf-8")
        paths += files["GITHUB_PATH"].read_text().split()
        for name, value in read_pairs(files["GITHUB_OUTPUT"]).items():
            context[f"steps.{step.get('id')}.outputs.{name}"] = value
        if done.returncode:
            run.code = done.returncode
            break
    run.outputs = {name: _evaluated(entry["value"], context) for name, entry in content["outputs"].items()}
    return run


def _evaluated(text: str, context: dict[str, Any]) -> str:
    return EXPRESSION.sub(lambda match: str(context.get(match[1], "")), text)
