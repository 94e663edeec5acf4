"""docs/how-to/gate-in-ci.md: every snippet is parsed or run."""

from __future__ import annotations

import json
import re
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.delivery.runner import our_program

pytest_plugins = ["pytester"]
PAGE = (ROOT / "docs" / "how-to" / "gate-in-ci.md").read_text(encoding="utf-8")
GOOD = json.dumps({"instruction": "Name a color of the sky at noon.", "output": "It is blue, as the air scatters short waves most."})
BAD = json.dumps({"instruction": "Name a color of the grass.", "output": ""})


def snippets(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, flags=re.DOTALL)


def schema(name: str) -> Any:
    pytest.importorskip("check_jsonschema")
    vendored = resources.files("check_jsonschema").joinpath(f"builtin_schemas/vendor/{name}.json")
    return json.loads(vendored.read_text(encoding="utf-8"))


def test_the_workflow_fits_githubs_schema_and_calls_the_action_with_its_inputs() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    workflow = yaml.safe_load(snippets("yaml")[0].replace("on: pull_request", '"on": pull_request'))
    jsonschema.validate(workflow, schema("github-workflows"))
    action = yaml.safe_load((ROOT / ".github" / "actions" / "gate" / "action.yml").read_text(encoding="utf-8"))
    step = next(step for step in workflow["jobs"]["gate"]["steps"] if step.get("id") == "gate")
    assert step["uses"].startswith("instructsel/instructsel/.github/actions/gate@") and set(step["with"]) <= set(action["inputs"])
    tables = PAGE.partition("| input |")[2].partition("| output |")
    assert re.findall(r"^\| `([\w-]+)` \|", tables[0], flags=re.MULTILINE) == list(action["inputs"])
    assert re.findall(r"^\| `([\w-]+)` \|", tables[2].partition("##")[0], flags=re.MULTILINE) == list(action["outputs"])


def test_the_pipeline_fits_gitlabs_schema() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pipeline = yaml.safe_load(snippets("yaml")[1])
    jsonschema.Draft7Validator(schema("gitlab-ci")).validate(pipeline)


def test_the_hook_of_the_page_is_the_one_that_there_is() -> None:
    (repository,) = yaml.safe_load(snippets("yaml")[2])["repos"]
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))
    assert [entry["id"] for entry in repository["hooks"]] == [hook["id"]]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A branch of a clone: `origin/main` is what it left, and incoming/new.jsonl what it brings."""
    place = tmp_path / "checkout"
    (place / "incoming").mkdir(parents=True)
    monkeypatch.chdir(place)
    git("init", "-q", "-b", "main")
    (place / "incoming" / "new.jsonl").write_text(f"{GOOD}\n")
    git("add", "-A")
    git("commit", "-qm", "x")
    git("update-ref", "refs/remotes/origin/main", "main")
    git("update-ref", "FETCH_HEAD", "main")
    our_program(tmp_path / "bin")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"), prepend=":")
    return place


def git(*arguments: str) -> None:
    subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments], check=True, capture_output=True)


def shell(line: str) -> int:
    return subprocess.run(["bash", "-c", line], stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode


def test_the_lines_for_a_shell_and_gitlab_pass_without_new_rows_and_fail_with_bad_ones(checkout: Path) -> None:
    by_branch, by_name = snippets("bash")
    in_gitlab = next(line for line in yaml.safe_load(snippets("yaml")[1])["gate"]["script"] if line.startswith("instructsel"))
    assert shell(by_branch) == 0 and Path("gate.xml").is_file()
    Path("incoming/new.jsonl").write_text(f"{GOOD}\n{GOOD.replace('noon', 'dawn')}\n{BAD}\n")
    assert shell(by_branch) == shell(in_gitlab) == 1
    assert json.loads(Path("gate.gitlab.json").read_text())[0]["location"]["path"] == "incoming/new.jsonl"
    assert shell(by_name) == 0 and Path("passing.jsonl").read_text().count("\n") == 2


def test_the_test_of_the_page_runs(pytester: pytest.Pytester) -> None:
    (pytester.path / "incoming").mkdir()
    (pytester.path / "incoming" / "new.jsonl").write_text(f"{GOOD}\n")
    (pytester.path / "gate.toml").write_text('schema = 1\n[[check]]\nkind = "empty-response"\n')
    pytester.makeini(snippets("ini")[0])
    pytester.makepyfile(snippets("python")[0])
    plugin = ("-p", "no:instructsel", "-p", "instructsel.pytest_plugin", "-p", "no:cacheprovider")
    pytester.runpytest_inprocess(*plugin).assert_outcomes(passed=1)
