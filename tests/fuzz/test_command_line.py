"""Every command with each of its file arguments replaced by what is no such file: its own short message, its own exit code, no traceback.

Which arguments are files is taken from the commands themselves, so that a new one is tried without being told.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import pytest
import typer
from typer.testing import CliRunner

from instructsel.commands import app
from tests.fuzz import seeds

VALID: Final[Mapping[str, list[str]]] = {
    "score": ["pools/alpaca.jsonl", "--indicators", "mtld", "--no-cache", "-o", "new.scores.parquet"],
    "select": ["scored/pool.scores.parquet", "--rule", "longest", "--n", "4", "-o", "new.jsonl", "--no-cache"],
    "verify": ["--results", "selection=verified/mine.json", "--results", "random=verified/theirs.json", "-o", "new-verified"],
    "judge-app": ["people/judged.csv", "--summary", "--export", "new.jsonl"],
    "report": ["scored/chosen.jsonl", "-o", "new.html"],
    "gate": ["pools/alpaca.jsonl", "--to", "json=new.json", "--findings", "new.parquet", "--fix-out", "new.jsonl"],
    "gate checks": [],
    "gate waive": ["IS010=*", "--reason", "x", "--expires", "2099-01-01", "--config", "new-gate.toml"],
    "gate baseline create": ["pools/alpaca.jsonl", "-o", "new.baseline"],
    "gate baseline update": ["gates/pool.baseline", "pools/alpaca.jsonl", "-o", "new.baseline"],
    "gate baseline show": ["gates/pool.baseline"],
    "gate init": ["pools/alpaca.jsonl", "-o", "new.toml"],
    "gate index": ["pools/alpaca.jsonl", "-o", "new.index"],
    "mix": ["mixtures/recipe.toml", "-o", "new.jsonl"],
    "mix fit": ["study/shares.csv", "--rows", "20", "--available", "forum=20,manual=20,quiz=20,essays=20"],
    "mix check": ["mixtures/mixed.jsonl"],
    "datasets list": [],
    "datasets show": ["dolly"],
    "datasets convert": ["dolly", "pools/dolly.jsonl", "-o", "new.jsonl"],
    "dedup": ["pools/alpaca.jsonl", "-o", "new.jsonl", "--pairs", "new.parquet"],
    "decontaminate": ["pools/alpaca.jsonl", "--against", "pools/dolly.jsonl", "-o", "new.jsonl", "--pairs", "new.parquet"],
    "audit": ["scored/pool.jsonl", "--base", "no-model-here", "-o", "new.json"],
    "explain": ["scored/pool.jsonl:3", "--selection", "scored/chosen.jsonl"],
    "diff": ["scored/chosen.jsonl", "scored/chosen.longest.jsonl"],
    "export": ["scored/chosen.jsonl", "--to", "messages", "-o", "new-messages.jsonl"],
    "status": ["study/s"],
    "rules list": [],
    "rules show": ["scored/mine.toml"],
    "rules fit": ["study/observations.csv", "--bootstrap", "0", "-o", "new.toml"],
    "train": ["scored/chosen.jsonl", "--base", "no-model-here", "-o", "new-model"],
    "study plan": ["scored/pool.jsonl", "--scores", "scored/pool.scores.parquet", "--base", "no-model-here", "--eval", "pools/alpaca.jsonl", "-o", "new-study"],
    "study run": ["study/s"],
    "study status": ["study/s"],
    "study effects": ["study/one-source", "-o", "new.svg"],
    "study size": ["scored/pool.scores.parquet", "--rule", "longest", "--base", "no-model-here", "--search", "pools/alpaca.jsonl", "--report", "pools/dolly.jsonl", "-o", "new-sizes"],
    "doctor": [],
    "schema": ["gate"],
    "skill show": [],
    "skill install": ["--output", "new-skills"],
    "cache show": ["--cache", "last_release/cache"],
    "cache prune": ["--cache", "last_release/cache", "--dry-run", "--all"],
    "demo": ["--output", "new-demo", "--pool", "scored/pool.jsonl"],
}  # fmt: skip
"""A call of every command; positions come first."""
NAMED_FILE: Final = re.compile("FILE|POOL|PATH|SCORES|FOLDER|PLAN|RESULT|SELECTION|STUDY|EXAMPLE")
FILES: Final = {"rule", "pool", "base", "tokenizer", "annotator", "a", "b", "name", "example", "study"}
"""Parameters that may be files and do not say so in their type or their placeholder."""
FORMS: Final[Mapping[str, str]] = {"arm": "x={}", "checkpoint": "x={}", "results": "x={}", "example": "{}:3"}
"""How a parameter holds its file, where that is not all of it."""
ENDINGS: Final[Mapping[str, str]] = {"scores": ".parquet", "rule": ".toml", "name": ".toml", "study": ".csv", "selection": ".toml", "results": ".json", "pilot": ".parquet"}  # fmt: skip
WITH: Final[Mapping[str, list[str]]] = {"import_files": ["--column", "reward"]}
"""Parameter → what must be said beside it."""
HEAVY: Final = ("doctor",)
"""What looks at the whole machine is tried with one kind alone."""
LONGEST: Final = 12
"""Lines of a message on 80 columns."""


def _written(content: bytes) -> Callable[[Path], str]:
    def make(path: Path) -> str:
        path.write_bytes(content)
        path.with_name(path.name + ".json").write_bytes(b'{"kind": 3, "schema": "x", "run": [], "summary": 1, "pool": 7, "subsets": {}}')
        return str(path)

    return make


def _folder(path: Path) -> str:
    path.mkdir()
    return str(path)


def _unreadable(path: Path) -> str:
    path.write_text("{}")
    path.chmod(0)
    return str(path)


def _loop(path: Path) -> str:
    path.symlink_to(path)
    return str(path)


KINDS: Final[Mapping[str, Callable[[Path], str]]] = {
    "absent": str,
    "empty": _written(b""),
    "folder": _folder,
    "binary": _written(bytes(range(256)) * 8),
    "deep": _written(b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
    "deep-list": _written(b"[" * 100_000 + b"]" * 100_000),
    "wrong-types": _written(b'{"kind": "verification", "schema": 2, "verdicts": 7, "graders": [], "arms": "x"}'),
    "unreadable": _unreadable,
    "too-long": lambda path: str(path.with_name("a" * 5_000 + path.suffix)),
    "nul": lambda path: str(path.with_name(f"a\0b{path.suffix}")),
    "loop": _loop,
}


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of the command line by its name."""

    def below(command: Any, names: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        if hasattr(command, "list_commands"):
            for name in command.list_commands(None):
                yield from below(command.get_command(None, name), (*names, name))
            if hasattr(command, "run"):
                yield " ".join(names), command.run
        else:
            yield " ".join(names), command

    yield from below(typer.main.get_command(app), ())


def file_parameters(command: Any) -> list[Any]:
    """The parameters of a command that are files or folders, or may be."""
    return [
        parameter
        for parameter in command.params
        if parameter.type_descriptor.annotation in (Path, list[Path])
        or NAMED_FILE.search(parameter.metavar or "")
        or (parameter.name in FILES and parameter.type_descriptor.annotation in (str, list[str]))
    ]


def calls() -> list[Any]:
    """Command and parameter."""
    return [
        pytest.param(name, parameter, id=f"{name} {parameter.opts[-1]}".replace(" ", "_"))
        for name, command in commands()
        for parameter in file_parameters(command)
    ]


@pytest.fixture(scope="module")
def valid_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeds.make(tmp_path_factory.mktemp("seeds") / "files")


def _arguments(name: str, parameter: Any, value: str) -> list[str]:
    """The valid call of a command with one file in place of another."""
    arguments = [*name.split(), *VALID[name], *WITH.get(parameter.name, [])]
    value = FORMS.get(parameter.name, "{}").format(value)
    if parameter.param_type_name != "argument":
        return [*arguments, max(parameter.opts, key=len), value]
    position = len(name.split()) + (parameter.name in ("b", "new"))
    if position < len(arguments) and not arguments[position].startswith("-"):
        arguments[position] = value
        return arguments
    return [*arguments[:position], value, *arguments[position:]]


def _message(stderr: str) -> list[str]:
    """The lines of the error itself, behind the notes on what was read before."""
    return stderr[max(0, stderr.find("error: ")) :].splitlines()


def test_every_command_has_a_valid_call() -> None:
    assert {name for name, _ in commands()} == set(VALID)


@pytest.mark.parametrize(("name", "parameter"), calls())
def test_what_is_no_file_of_this_kind_is_refused_in_a_few_lines(
    name: str, parameter: Any, valid_files: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "work"
    shutil.copytree(valid_files, place, copy_function=os.link)
    monkeypatch.chdir(place)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    faults = []
    for kind in ("nul",) if name in HEAVY else KINDS:
        hostile = KINDS[kind](tmp_path / f"{kind}{ENDINGS.get(parameter.name, '.jsonl')}")
        done = CliRunner().invoke(app, _arguments(name, parameter, hostile), prog_name="instructsel")
        text = f"{kind}: exit code {done.exit_code}\n{done.stdout}{done.stderr}"[:3_000]
        refused = done.exit_code in (2, 3, 4)
        if (
            (done.exception is not None and not isinstance(done.exception, SystemExit))
            or "fault of instructsel" in text
            or "Traceback" in text
            or done.exit_code not in (0, 1, 2, 3, 4, 5)
            or (refused and "error: " not in done.stderr and "Usage" not in done.stderr)
            or (refused and len(_message(done.stderr)) > LONGEST)
        ):
            faults.append(f"{text}\n{done.exception!r}"[:1_500])
    assert not faults, "\n\n".join(faults)
