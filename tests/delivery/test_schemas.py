"""Every JSON that a command prints or writes fits the schema that `instructsel schema` prints of it; the skill and llms.txt say what is so."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from instructsel.commands import SECTIONS, app
from instructsel.commands._schemas import SCHEMAS, described
from instructsel.commands.skill import page
from tests.conftest import ROOT
from tests.fuzz import seeds
from tests.fuzz.test_command_line import VALID
from tests.fuzz.test_command_line import commands as called

PRINTED: Mapping[str, str] = {
    "gate": "gate", "gate checks": "gate-checks", "gate init": "gate-init", "gate baseline create": "gate-baseline", "gate baseline show": "gate-baseline",
    "judge-app": "judge-app", "score": "score", "select": "select", "verify": "verdict", "explain": "explain", "diff": "diff", "export": "export", "status": "status",
    "rules list": "rules-list", "rules show": "rule", "rules fit": "fit", "study status": "study-status", "study effects": "effects", "doctor": "doctor",
    "gate index": "gate-index", "dedup": "dedup", "mix": "mix", "mix check": "mix-check", "mix fit": "mix-fit", "decontaminate": "decontaminate", "cache show": "cache", "cache prune": "cache-prune", "audit": "audit",
    "report": "report", "gate baseline update": "gate-baseline",
}  # fmt: skip
"""Command → the schema of what it prints with --json."""
WRITTEN: Mapping[str, str] = {
    "scored/pool.scores.parquet.json": "scores", "scored/chosen.selection.parquet.json": "selection", "scored/chosen.selection-set.json": "selection-set",
    "verified/verdict.json": "verdict", "verified/v/verdict.json": "verdict", "verified/v/verification.parquet.json": "verification",
    "mixtures/mixed.jsonl.json": "mix", "study/s/plan.json": "study-plan", "study/s/study.parquet.json": "study", "audits/audit.json": "audit", "audits/toy.json": "audit",
}  # fmt: skip
"""File → the schema of it."""


def check(name: str, value: Any) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    errors = list(jsonschema.Draft202012Validator(described(name).schema(name)).iter_errors(value))
    assert not errors, (name, [(list(error.absolute_path), error.message[:300]) for error in errors[:4]])


@pytest.fixture(scope="module")
def valid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return seeds.make(tmp_path_factory.mktemp("schemas") / "seeds")


def run(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments), prog_name="instructsel")


@pytest.mark.parametrize("name", list(SCHEMAS))
def test_every_schema_is_one_and_is_printed(name: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    schema = json.loads(run("schema", name).stdout)
    jsonschema.Draft202012Validator.check_schema(schema)
    assert (schema["title"] == f"instructsel {name}" and schema.get("$ref")) or schema.get("type")


def test_a_schema_that_there_is_not_is_refused_with_the_name_that_was_meant() -> None:
    done = run("schema", "gates")
    assert done.exit_code == 2 and "gate" in done.stderr
    assert set(json.loads(run("schema", "--json").stdout)) == set(SCHEMAS)


@pytest.mark.parametrize("command", [name for name in PRINTED if name != "audit"])
def test_what_a_command_prints_fits_its_schema(command: str, valid: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if command not in VALID:
        pytest.fail(f"{command} is no command any more")
    place = tmp_path / "work"
    shutil.copytree(valid, place)
    monkeypatch.chdir(place)
    monkeypatch.setenv("INSTRUCTSEL_CACHE", str(tmp_path / "cache"))
    done = run(*command.split(), *VALID[command], "--json")
    assert done.stdout, (done.exit_code, done.stderr)
    value = json.loads(done.stdout)
    check(PRINTED[command], value)
    if isinstance(value, dict) and command not in ("select", "rules show"):
        named = set(_properties(described(PRINTED[command]).schema("x")))
        assert named & set(value), "a schema that names none of the keys says nothing"


@pytest.mark.parametrize(
    ("name", "call"),
    [
        ("score-estimate", ["score", "pools/alpaca.jsonl", "--indicators", "len_in,mtld", "--no-cache", "--dry-run"]),
        ("audit-by-rules", ["audit", "pools/alpaca.jsonl", "--to", "messages"]),
    ],
)
def test_what_another_form_of_a_command_prints_fits_its_schema(
    name: str, call: list[str], valid: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(valid)
    done = run(*call, "--json")
    assert done.exit_code == 0, done.stderr
    check(name, json.loads(done.stdout))


def test_every_command_that_prints_json_has_a_schema_that_says_so() -> None:
    texts = " ".join(entry.text for entry in SCHEMAS.values())
    without = [
        name
        for name, command in called()
        if any("--json" in parameter.opts for parameter in command.params) and not re.search(rf"\b{name} (\S+ )*?--json", texts)
    ]
    # Its own list is of names and texts alone.
    assert without == ["schema"]


def _properties(schema: dict[str, Any]) -> dict[str, Any]:
    key = schema.get("$ref", "").rpartition("/")[2]
    properties: dict[str, Any] = schema["$defs"][key]["properties"] if key else schema.get("properties", {})
    return properties


def test_files_that_commands_write_fit_their_schemas(valid: Path) -> None:
    tried = set()
    for file, name in WRITTEN.items():
        if (valid / file).is_file():
            check(name, json.loads((valid / file).read_text(encoding="utf-8")))
            tried.add(name)
    assert tried >= {"scores", "selection", "selection-set", "study-plan", "audit"}


def test_other_values_do_not_fit() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    for name in ("gate", "gate-checks", "cache", "gate-config"):
        validator = jsonschema.Draft202012Validator(described(name).schema(name))
        assert not validator.is_valid("text") and not validator.is_valid(7)
    gate = jsonschema.Draft202012Validator(described("gate").schema("gate"))
    assert not gate.is_valid({"kind": "gate"}), "what a verdict always has is required"


def test_configurations_of_a_gate_fit_their_schema() -> None:
    listed = re.findall(r"```toml\n(.*?)```", (ROOT / "docs" / "how-to" / "gate.md").read_text(encoding="utf-8"), flags=re.DOTALL)
    tables = [table for table in map(tomllib.loads, listed) if "tool" not in table]
    assert tables
    for table in tables:
        check("gate-config", json.loads(json.dumps(table, default=str)))


def commands() -> set[str]:
    names = set()
    for name in (name for part in SECTIONS.values() for name in part):
        command: Any = typer.main.get_command(app)
        command = command.commands[name]
        names |= {name, *(f"{name} {inner}" for inner in getattr(command, "commands", {}))}
    return names


def test_the_skill_names_commands_keys_and_exit_codes_that_there_are() -> None:
    text = page()
    assert text.startswith("---\nname: instructsel\ndescription: ")
    known = commands()
    for call in re.findall(r"`instructsel ([a-z-]+(?: [a-z]+)?)", text):
        assert call in known or call.partition(" ")[0] in known, call
    keys = _properties(described("gate").schema("gate"))
    assert {"outcome", "exit_code", "checks", "findings", "troubles"} <= set(keys)
    for code in ("0 done", "1 the gate", "2 usage", "3 input", "4 environment", "5 nothing", "130 interrupted"):
        assert code in text


def test_the_skill_is_installed_replaced_and_never_over_anothers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run("skill", "install").exit_code == 0
    target = tmp_path / ".agents" / "skills" / "instructsel" / "SKILL.md"
    assert target.read_text(encoding="utf-8") == page() and run("skill", "show").stdout == page()
    target.write_text("---\nname: instructsel\nold", encoding="utf-8")
    assert run("skill", "install", "--to", ".agents/skills").exit_code == 0 and target.read_text(encoding="utf-8") == page()
    target.write_text("somebody's own", encoding="utf-8")
    assert run("skill", "install").exit_code == 2 and target.read_text(encoding="utf-8") == "somebody's own"
    assert run("skill", "install", "--force").exit_code == 0 and target.read_text(encoding="utf-8") == page()


def test_llms_txt_is_what_the_script_writes() -> None:
    spec = importlib.util.spec_from_file_location("build_llms", ROOT / "docs" / "build_llms.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert (ROOT / "docs" / "llms.txt").read_text(encoding="utf-8") == module.page(), "run: python docs/build_llms.py"
    for file in re.findall(r"\]\(([^)]+)\)", module.page()):
        assert (ROOT / "docs" / file).is_file()
