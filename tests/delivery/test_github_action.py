"""The composite action: its steps as GitHub's runner would run them."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import ROOT
from tests.delivery.runner import Run, our_program, play, program
from tests.gates.outputs.hostile import HOSTILE

ACTION = ROOT / ".github" / "actions" / "gate" / "action.yml"
GOOD = {"instruction": "Name a color of the sky at noon.", "output": "It is blue, as the air scatters short waves most."}
BAD = {"instruction": "Name a color of the grass.", "output": ""}


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    place = tmp_path / "workspace"
    place.mkdir()
    our_program(tmp_path / "bin")
    return place


def write(path: Path, *rows: dict[str, str]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def action(workspace: Path, environment: dict[str, str] | None = None, **inputs: str) -> Run:
    settings = {"version": "installed", "upload-sarif": "false", **{name.replace("_", "-"): value for name, value in inputs.items()}}
    temporary = workspace.parent / "temporary"
    return play(ACTION, workspace, temporary, inputs=settings, environment=environment or {}, path=workspace.parent / "bin")


def test_the_file_fits_githubs_schema_and_calls_no_action_of_others() -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("check_jsonschema")
    vendored = resources.files("check_jsonschema").joinpath("builtin_schemas/vendor/github-actions.json")
    content = yaml.safe_load(ACTION.read_text(encoding="utf-8"))
    jsonschema.validate(content, json.loads(vendored.read_text(encoding="utf-8")))
    assert not [step for step in content["runs"]["steps"] if "uses" in step]


def test_rows_that_may_join_pass_with_a_summary_and_every_output(workspace: Path) -> None:
    write(workspace / "new.jsonl", GOOD)
    run = action(workspace, files="new.jsonl")
    assert run.code == 0, run.log
    assert run.outputs["passed"] == "true" and run.outputs["failed_checks"] == "" and run.outputs["exit_code"] == "0"
    assert {path.name for path in Path(run.outputs["report"]).iterdir()} >= {
        "gate.md",
        "gate.json",
        "gate.sarif",
        "gate.xml",
        "findings.parquet",
    }
    assert "instructsel gate: passed" in run.summary


def test_rows_that_may_not_join_fail_the_last_step_with_annotations(workspace: Path) -> None:
    write(workspace / "new.jsonl", GOOD, BAD)
    run = action(workspace, files="\n  \nnew.jsonl\n")
    assert run.code == 1 and run.steps[-1] == "Outcome", run.log
    assert run.outputs["passed"] == "false" and "IS010 empty-response" in run.outputs["failed_checks"]
    assert "instructsel gate: failed" in run.summary
    annotation = next(command for command in run.obeyed if command.name == "error")
    assert dict(annotation.properties)["file"] == "new.jsonl" and dict(annotation.properties)["line"] == "2"
    assert action(workspace, files="new.jsonl", fail_on="never").code == 0


def test_a_configuration_a_mode_and_a_folder_reach_the_gate(workspace: Path) -> None:
    (workspace / "inner").mkdir()
    write(workspace / "inner" / "new.jsonl", GOOD, BAD)
    (workspace / "inner" / "mine.toml").write_text(
        'schema = 1\n[data]\nnew = ["new.jsonl"]\n[[check]]\nkind = "empty-response"\nmax_rate = 0.4\n'
    )
    assert action(workspace, working_directory="inner", config="mine.toml", mode="pull-request").code == 0
    assert action(workspace, working_directory="inner", config="mine.toml", mode="nightly").code == 1
    assert action(workspace, working_directory="inner", config="none.toml").code == 2


@pytest.mark.parametrize("name", ["files", "config", "extras"])
def test_no_input_is_run_or_taken_for_an_option(workspace: Path, name: str) -> None:
    write(workspace / "new.jsonl", GOOD)
    text = "--to=json=owned $(touch owned) `touch owned`; touch owned; \" && touch owned && \" ' ; touch owned ; '"
    run = action(workspace, **{"files": "new.jsonl", "version": "", name: text} if name == "extras" else {"files": "new.jsonl", name: text})
    assert not list(workspace.rglob("owned*")) and run.code in (2, 3), run.log


def test_no_row_and_no_name_of_a_file_commands_the_runner(workspace: Path) -> None:
    name = "::error::x ##[add-path]y,line=1.jsonl"
    rows = [{"instruction": text, "output": text} for text in HOSTILE if max(text, default="") < "\ud800"]
    write(workspace / name, *rows, {"instruction": "x", "output": "::set-output name=passed::true"})
    run = action(workspace, files=name)
    assert run.code == 1
    assert {command.name for command in run.obeyed} <= {"error", "warning", "notice"}
    assert run.outputs["passed"] == "false"


def test_a_branch_without_new_rows_passes_and_says_so(workspace: Path) -> None:
    def git(*arguments: str) -> None:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", *identity, *arguments], cwd=workspace, check=True, capture_output=True)

    write(workspace / "new.jsonl", GOOD)
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "x")
    git("update-ref", "refs/remotes/origin/main", "main")
    run = action(workspace, {"GITHUB_BASE_REF": "main"}, diff_base="auto")
    assert run.code == 0 and run.outputs["passed"] == "true" and run.outputs["exit_code"] == "5", run.log
    assert any("No row of training data" in command.data for command in run.obeyed)
    write(workspace / "new.jsonl", GOOD, BAD)
    assert action(workspace, {"GITHUB_BASE_REF": "main"}, diff_base="auto").code in (1, 3)
    run = action(workspace, diff_base="nowhere")
    (annotation,) = [command for command in run.obeyed if command.name == "error"]
    assert run.code == 2 and "ended with 2. error: There is no commit nowhere in this checkout." in annotation.data, run.log
    assert "There is no commit nowhere" in run.summary
    run = action(workspace, files="nwe*.jsonl", diff_base="origin/main")
    assert run.code == 2 and run.outputs["passed"] == "false" and "or ever was like nwe*.jsonl" in run.summary, run.log
    assert action(workspace, files="new*.jsonl", diff_base="origin/main").code in (1, 3)


def test_the_base_of_a_merge_queue_is_that_of_its_group_and_elsewhere_there_is_none(workspace: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        return subprocess.run(["git", *identity, *arguments], cwd=workspace, check=True, capture_output=True, text=True).stdout.strip()

    write(workspace / "old.jsonl", BAD)
    (workspace / "gate.toml").write_text('[data]\nnew = ["*.jsonl"]\n')
    git("init", "-q", "-b", "main")
    git("add", "-A")
    git("commit", "-qm", "x")
    (workspace.parent / "event.json").write_text(json.dumps({"merge_group": {"base_sha": git("rev-parse", "HEAD")}}))
    write(workspace / "new.jsonl", GOOD)
    git("add", "-A")
    git("commit", "-qm", "y")
    group = {"GITHUB_EVENT_NAME": "merge_group", "GITHUB_EVENT_PATH": str(workspace.parent / "event.json")}
    assert action(workspace, group, diff_base="auto").code == 0
    run = action(workspace, {"GITHUB_EVENT_NAME": "push"}, diff_base="auto")
    assert run.code == 1 and any("names no base" in command.data for command in run.obeyed if command.name == "notice")


def test_a_gate_without_a_verdict_says_why_in_one_line_that_commands_nothing(workspace: Path) -> None:
    (workspace / "gate.toml").write_text('[data]\nnew = ["a%0A::warning::x\\n::error::y"]\n')
    run = action(workspace)
    assert run.code == 2 and [command.name for command in run.obeyed] == ["error"], run.log
    assert run.summary.count("\n") == 3 and "    error: gate.toml names" in run.summary


@pytest.mark.parametrize(
    ("version", "extras", "wanted"),
    [("", "", str(ROOT)), ("1.2.3", "gate,knn", "instructsel[gate,knn]==1.2.3"), ("", "gate", f"{ROOT}[gate]")],
)
def test_the_release_and_extras_that_are_named_are_installed(workspace: Path, version: str, extras: str, wanted: str) -> None:
    write(workspace / "new.jsonl", GOOD)
    program(workspace.parent / "bin", "python3", '#!/bin/sh\nif [ "$1" = -m ]; then mkdir -p "$3/bin"; cp "$(dirname "$0")/pip" "$3/bin/python"; '
            'cp "$(dirname "$0")/instructsel" "$3/bin"; else exec /usr/bin/env -S PATH=/usr/bin:/bin python3 "$@"; fi\n')  # fmt: skip
    program(workspace.parent / "bin", "pip", f'#!/bin/sh\necho "$@" > "{workspace.parent}/pip.log"\n')
    run = action(workspace, files="new.jsonl", version=version, extras=extras)
    assert run.code == 0, run.log
    assert (workspace.parent / "pip.log").read_text().split()[-1] == wanted


def test_a_failed_installation_fails_the_step(workspace: Path) -> None:
    program(workspace.parent / "bin", "python3", "#!/bin/sh\nexit 7\n")
    run = action(workspace, files="new.jsonl", version="1.0")
    assert run.code == 7 and run.steps == ["Install instructsel"]


@pytest.fixture
def host() -> Iterator[dict[str, Any]]:
    """GitHub's interface of code scanning; `status` is its answer."""
    record: dict[str, Any] = {"status": 202}

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            record["path"], record["authorization"] = self.path, self.headers["Authorization"]
            record["body"] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(record["status"])
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    record["address"] = f"http://127.0.0.1:{server.server_port}"
    yield record
    server.shutdown()
    server.server_close()


def test_findings_go_to_code_scanning_where_the_token_may(workspace: Path, host: dict[str, Any]) -> None:
    write(workspace / "new.jsonl", GOOD, BAD)
    environment = {
        "GITHUB_API_URL": host["address"],
        "GITHUB_REPOSITORY": "o/r",
        "GITHUB_SHA": "c" * 40,
        "GITHUB_REF": "refs/pull/1/merge",
        "no_proxy": "*",
    }
    run = action(workspace, environment, files="new.jsonl", upload_sarif="auto")
    assert run.code == 1 and host["path"] == "/repos/o/r/code-scanning/sarifs" and host["authorization"] == "Bearer the-token"
    assert host["body"]["commit_sha"] == "c" * 40 and host["body"]["ref"] == "refs/pull/1/merge"
    assert json.loads(gzip.decompress(base64.b64decode(host["body"]["sarif"])))["version"] == "2.1.0"
    host["status"] = 403
    run = action(workspace, environment, files="new.jsonl", upload_sarif="auto", fail_on="never")
    assert run.code == 0 and any("security-events: write" in command.data for command in run.obeyed if command.name == "notice")
    assert "the-token" not in run.log
    assert action(workspace, environment, files="new.jsonl", upload_sarif="true", fail_on="never").code == 4
