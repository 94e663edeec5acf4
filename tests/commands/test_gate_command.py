"""instructsel gate: what it prints, writes and ends with."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import polars as pl
import pytest
from typer.testing import CliRunner

from instructsel.commands import _gate_group, app
from instructsel.commands._help import first_sentence
from instructsel.commands._lazy import command_of
from instructsel.errors import MissingExtra, PoolError, UsageError
from instructsel.gates.change import Change
from instructsel.gates.checks import registry
from instructsel.gates.checks.base import Check, Hit, NotEnough, RowCheck
from instructsel.text import columns_of

GOOD = b'{"instruction": "Name a river.", "output": "The Loire."}\n'
EMPTY = b'{"instruction": "Name a lake.",   "output": ""}\n'
ROW_CHECKS = '[[check]]\nkind = "unreadable-row"\n[[check]]\nkind = "empty-response"\n'
BROKEN = b'{"instruction": "Name a sea."\n'


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def written(folder: Path, *rows: bytes, name: str = "new.jsonl") -> str:
    (folder / name).write_bytes(b"".join(rows))
    return name


def run(*arguments: str) -> Any:
    done = CliRunner().invoke(app, ["gate", *arguments], env={"COLUMNS": "80"}, prog_name="instructsel")
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    return done


def test_rows_without_a_finding_pass_and_the_last_line_says_so(folder: Path) -> None:
    done = run(written(folder, GOOD))
    assert done.exit_code == 0, done.output
    assert re.search(r"PASSED: \d+ checks run, none failed; .* Exit 0: the rows may join\.$", " ".join(done.stdout.split()))


def test_a_finding_names_file_line_and_fix_and_the_gate_ends_with_1(folder: Path) -> None:
    done = run(written(folder, GOOD, EMPTY))
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0].startswith("FAILED  IS010 empty-response: 1 of 2 rows")
    assert any("new.jsonl:2 The response is empty." in line for line in lines) and any("Fix: Fill in" in line for line in lines)
    assert [line for line in lines if columns_of(line) > 80] == []


def test_an_unreadable_row_is_a_finding_and_the_gate_ends_with_3(folder: Path) -> None:
    done = run(written(folder, GOOD, BROKEN, EMPTY))
    assert done.exit_code == 3 and "new.jsonl:2" in done.stdout and "new.jsonl:3" in done.stdout
    (folder / "gate.toml").write_text("[limits]\nmax_bad_rows = 1\n")
    assert run("new.jsonl").exit_code == 1


def test_a_change_whose_only_response_is_empty_fails_at_its_row_and_is_not_unreadable(folder: Path) -> None:
    done = run(written(folder, EMPTY))
    assert done.exit_code == 1 and done.stdout.startswith("FAILED  IS010 empty-response: 1 of 1 row")


def test_an_empty_file_leaves_nothing_to_check(folder: Path) -> None:
    assert run(written(folder)).exit_code == 5
    (folder / "gate.toml").write_text('[data]\nnew = ["incoming/*.jsonl"]\n')
    assert run().exit_code == 5


def test_a_file_that_is_no_pool_ends_with_3(folder: Path) -> None:
    done = run("absent.jsonl")
    assert done.exit_code == 3 and not done.stdout and "absent.jsonl: No such file" in done.stderr
    assert run(written(folder, BROKEN * 3)).exit_code == 3


def test_files_that_are_no_pool_keep_no_other_from_being_looked_at_and_are_named_in_every_form(folder: Path) -> None:
    (folder / "gate.toml").write_text('[data]\nnew = ["data/*"]\n' + ROW_CHECKS)
    data = folder / "data"
    (data / "none").mkdir(parents=True)
    contents = {
        "a.jsonl": GOOD + EMPTY,
        "broken.jsonl": BROKEN,
        "cut.jsonl.gz": b"\x1f\x8b\x08\x00cut",
        "empty.jsonl": b"",
        "notes.json": b'{"title": "x"}',
        "x.parquet": b"PAR0",
    }
    for name, content in contents.items():
        (data / name).write_bytes(content)
    forms = ("markdown", "junit", "sarif", "gitlab", "json", "github=gate.txt")
    done = run(*[f"--to={form}" for form in forms], "--fix-out", "clean.jsonl")
    said = " ".join(done.stdout.split())
    assert done.exit_code == 3 and "data/a.jsonl:2 The response is empty." in said, done.output
    assert "IS010 empty-response: 1 of 2 rows;" in said and "IS001 unreadable-row: 1 of 4 rows;" in said, "of those that it was asked about"
    unread = ["data/broken.jsonl", "data/cut.jsonl.gz", "data/none", "data/notes.json", "data/x.parquet"]
    assert all(f"BROKEN {name}" in said for name in unread) and "5 files cannot be read. Exit 3" in said
    assert [line for line in done.stdout.splitlines() if columns_of(line) > 80] == []
    verdict = json.loads((folder / "gate.json").read_text())
    assert (verdict["outcome"], verdict["exit_code"]) == ("failed", 3)
    assert verdict["rows"] == {"read": 4, "in_baseline": 0, "kept": 2, "dropped": {"refused": 1}, "quarantined": {"truncated": 1}}
    for file in ("gate.md", "gate.junit.xml", "gate.sarif", "gate.json"):
        text = (folder / file).read_text().replace("\\", "")
        assert all(name in text for name in unread), file
    assert all(f"::error file={name},line=1,title=cannot be read::" in (folder / "gate.txt").read_text() for name in unread)
    report = json.loads((folder / "gate.gitlab.json").read_text())
    assert sorted(entry["location"]["path"] for entry in report if entry["check_name"] == "cannot be read") == unread
    assert len({entry["fingerprint"] for entry in report}) == len(report)
    assert (folder / "clean.jsonl").read_bytes() == GOOD
    assert "4 rows read = 1 written + 1 with a finding + 2 that are no example; 5 files that cannot be read left out" in " ".join(
        done.stderr.split()
    )
    (data / "a.jsonl").write_bytes(GOOD)
    again = run(*[f"--to={form}" for form in forms], "--fail-on", "never")
    assert again.exit_code == 3 and "INCOMPLETE: " in again.stdout, "a file that nobody looked at is no pass, and the forms are ours"


def test_of_many_files_that_are_no_pool_the_first_are_listed_and_the_others_counted(folder: Path) -> None:
    (folder / "gate.toml").write_text(ROW_CHECKS)
    names = [written(folder, b'{"title": "x"}', name=f"{number:02}.json") for number in range(25)]
    done = run(*names, written(folder, GOOD))
    assert done.exit_code == 3 and done.stdout.count("BROKEN") == 21 and "… and 5 more; all of them with --to json" in done.stdout


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["new.jsonl", "--mode", "weekly"],
        ["new.jsonl", "--fail-on", "always"],
        ["new.jsonl", "--to", "pdf"],
        ["new.jsonl", "--to", "json="],
        ["new.jsonl", "--to", "json=-", "--to", "sarif=-"],
        ["new.jsonl", "--config", "absent.toml"],
        ["new.jsonl", "--baseline", "absent.isb"],
        ["new.jsonl", "--findings", "x.txt"],
        ["new.jsonl", "--fix-out", "x.parquet"],
    ],
)
def test_what_cannot_be_asked_ends_with_2_before_anything_is_written(folder: Path, arguments: list[str]) -> None:
    written(folder, GOOD)
    done = run(*arguments)
    assert done.exit_code == 2 and done.stderr.count("error: ") == 1 and "fix:" in done.stderr
    assert [path.name for path in folder.iterdir()] == ["new.jsonl"]


def test_subcommands_are_told_from_files_and_a_file_of_such_a_name_is_reached_by_its_folder(folder: Path) -> None:
    written(folder, GOOD, name="checks")
    (folder / "checks").rename(folder / "checks.jsonl")
    (folder / "checks").mkdir()
    (folder / "checks.jsonl").rename(folder / "checks" / "a.jsonl")
    assert "IS010" in run("checks").stdout
    assert run("./checks").exit_code == 0
    assert run("run", "./checks").exit_code == 0
    assert run("-q", "./checks").exit_code == 0


def test_the_lines_of_subcommands_are_the_first_sentences_of_their_help() -> None:
    from importlib import import_module

    for name, line in _gate_group.subcommands().items():
        command = command_of(import_module(f"instructsel.commands._gate_{name}"), name)
        assert first_sentence(command.help or "") == line, name


def test_help_imports_neither_polars_nor_orjson() -> None:
    code = (
        "import sys\nfrom instructsel.commands import main\n"
        "for words in sys.argv[1:]:\n    sys.argv = ['instructsel', *words.split(), '--help']\n"
        "    try:\n        main()\n    except SystemExit:\n        pass\n"
        "    assert not {'polars', 'numpy', 'orjson'} & set(sys.modules), words\n"
    )
    groups = ["gate", *(f"gate {name}" for name in _gate_group.subcommands()), "gate baseline create", "dedup", "decontaminate"]
    done = subprocess.run([sys.executable, "-c", code, *groups], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Commands:" in done.stdout and "--fix-out" in done.stdout and "--cosine" in done.stdout


def test_the_defaults_that_help_shows_are_those_that_are_computed_with() -> None:
    from instructsel.gates import defaults
    from instructsel.neighbors import duplicates

    assert defaults.LOWEST == duplicates.LOWEST


def test_the_configuration_is_that_of_the_folder_and_the_output_says_which(folder: Path) -> None:
    name = written(folder, GOOD, EMPTY)
    assert "the default ones" in run(name).stderr
    (folder / "pyproject.toml").write_text('[tool.instructsel.gate]\n[[tool.instructsel.gate.check]]\nkind = "unreadable-row"\n')
    done = run(name)
    assert done.exit_code == 0 and "Checks: pyproject.toml" in done.stderr
    (folder / "gate.toml").write_text('[data]\nnew = ["*.jsonl"]\n[[check]]\nkind = "IS010"\nseverity = "warning"\n')
    done = run()
    assert done.exit_code == 0 and "Checks: gate.toml" in done.stderr and done.stdout.startswith("warning ")
    assert run("--fail-on", "warning").exit_code == 1
    (folder / "other.yaml").write_text("check:\n  - kind: empty-response\n    max_rate: 0.9\n")
    assert run("--config", "other.yaml", name).exit_code == 0


def test_the_settings_file_may_set_options_of_the_gate_and_of_its_subcommands(folder: Path) -> None:
    name = written(folder, EMPTY, GOOD)
    (folder / "instructsel.toml").write_text('[gate]\nfail-on = "never"\n[gate.checks]\njson = true\n')
    assert run(name).exit_code == 0
    assert json.loads(run("checks").stdout)[0]["number"] == "IS001"
    (folder / "instructsel.toml").write_text('[gate]\nto = "json=../out.json"\n')
    assert run(name).exit_code == 2
    (folder / "instructsel.toml").write_text("[gate]\nfail-no = 1\n")
    assert "fail-on" in run(name).stderr


def test_a_rate_is_judged_by_its_interval_in_a_pull_request_and_by_itself_at_night(folder: Path) -> None:
    name = written(folder, GOOD * 18, EMPTY * 2)
    (folder / "gate.toml").write_text('[[check]]\nkind = "empty-response"\nmax_rate = 0.05\n')
    done = run(name)
    assert done.exit_code == 0 and "the lower bound counts" in " ".join(done.stdout.split()) and "as in a pull request" in done.stdout
    done = run(name, "--mode", "nightly")
    assert done.exit_code == 1 and "the share counts" in " ".join(done.stdout.split()) and "as nightly" in done.stdout


def test_the_rows_that_pass_keep_their_bytes_and_their_order_and_pass_the_gate(folder: Path) -> None:
    (folder / "gate.toml").write_text(ROW_CHECKS)
    odd = b'{ "output" :  "Lough Neagh." , "instruction": "Name\\u0020a lake."}\n'
    name = written(folder, odd, EMPTY, GOOD, BROKEN, GOOD)
    done = run(name, "--fix-out", "clean.jsonl")
    assert done.exit_code == 3
    assert (folder / "clean.jsonl").read_bytes() == odd + GOOD + GOOD
    assert "5 rows read = 3 written + 1 with a finding + 1 that is no example" in " ".join(done.stderr.split())
    assert run("clean.jsonl").exit_code == 0
    assert run(name, "--fix-out", "clean.jsonl").exit_code == 2
    assert run(name, "--fix-out", "clean.jsonl", "--force").exit_code == 3


def test_where_no_row_is_read_or_none_is_new_no_row_is_written_and_the_gate_says_so(folder: Path) -> None:
    done = run(written(folder, BROKEN * 3), "--fix-out", "clean.jsonl", "--to", "json")
    assert done.exit_code == 3 and not (folder / "clean.jsonl").exists() and "nothing is written to clean.jsonl" in done.stderr
    assert json.loads((folder / "gate.json").read_text())["troubles"]
    name = written(folder, GOOD, EMPTY, name="pool.jsonl")
    assert run("baseline", "create", name, "-o", "pool.baseline").exit_code == 0
    done = run(name, "--baseline", "pool.baseline", "--fix-out", "clean.jsonl")
    assert done.exit_code == 0 and "2 rows of the baseline not written" in " ".join(done.stderr.split())
    written(folder, GOOD, EMPTY, GOOD, name="pool.jsonl")
    (folder / "gate.toml").write_text(ROW_CHECKS)
    done = run(name, "--baseline", "pool.baseline", "--fix-out", "clean.jsonl")
    assert done.exit_code == 0 and (folder / "clean.jsonl").read_bytes() == GOOD, done.output


@pytest.mark.parametrize(
    ("entry", "code", "reason"),
    [
        ('kind = "no-loss-token"', 4, "It needs the tokenizer"),
        ('kind = "indicator-limit"\nindicator = "rew"\nmax = 1', 4, "Score the new rows"),
        ('kind = "contamination"\nsets = ["missing.jsonl"]', 3, "missing.jsonl"),
    ],
)
def test_no_row_is_written_as_one_that_passes_where_a_check_that_had_to_be_asked_could_not_be(
    folder: Path, entry: str, code: int, reason: str
) -> None:
    (folder / "gate.toml").write_text(f'[[check]]\nkind = "empty-response"\n[[check]]\n{entry}\n')
    done = run(written(folder, GOOD, GOOD), "--fix-out", "clean.jsonl", "--fail-on", "never")
    said = " ".join(done.stderr.split())
    assert done.exit_code == code and not (folder / "clean.jsonl").exists(), done.output
    assert "nothing is written to clean.jsonl: not every check that had to run could" in said and reason in said
    (folder / "clean.jsonl").write_bytes(GOOD)
    run(written(folder, EMPTY), "--fix-out", "clean.jsonl", "--force")
    assert (folder / "clean.jsonl").read_bytes() == GOOD, "what stood there is not touched"


def test_no_row_is_written_where_the_baseline_cannot_be_read(folder: Path) -> None:
    (folder / "pool.baseline").write_text("{}")
    done = run(written(folder, GOOD), "--baseline", "pool.baseline", "--fix-out", "clean.jsonl")
    assert done.exit_code == 3 and not (folder / "clean.jsonl").exists() and "nothing is written to clean.jsonl" in done.stderr


def test_every_finding_is_in_the_table_and_a_cell_is_no_formula(folder: Path) -> None:
    (folder / "gate.toml").write_text(ROW_CHECKS)
    name = written(folder, GOOD, EMPTY * 30, name="=new.jsonl")
    assert run(name, "--findings", "findings.parquet", "--max-findings", "2").exit_code == 1
    frame = pl.read_parquet(folder / "findings.parquet")
    assert frame.height == 30 and frame["line"].to_list() == list(range(2, 32)) and frame["fingerprint"].n_unique() == 30
    assert run(name, "--findings", "findings.csv").exit_code == 1
    assert "'=new.jsonl" in (folder / "findings.csv").read_text()


def test_several_forms_are_written_at_once_and_again_over_their_own_files(folder: Path) -> None:
    name = written(folder, GOOD, EMPTY)
    forms = [argument for form in ("markdown", "junit", "sarif", "gitlab", "json") for argument in ("--to", form)]
    for _ in range(2):
        done = run(name, *forms, "--to", "github")
        assert done.exit_code == 1 and "::error file=new.jsonl,line=2," in done.stdout, done.output
    assert {path.name for path in folder.iterdir()} == {name, "gate.md", "gate.junit.xml", "gate.sarif", "gate.gitlab.json", "gate.json"}
    assert json.loads((folder / "gate.json").read_text())["outcome"] == "failed"
    (folder / "gate.md").write_text("somebody's")
    assert run(name, "--to", "markdown").exit_code == 2
    assert json.loads(run(name, "--to", "json=-").stdout)["exit_code"] == 1
    assert json.loads(run(name, "--json").stdout)["findings"][0]["line"] == 2


@dataclass(frozen=True)
class Planted(RowCheck):
    """A check that does what a test says."""

    number: ClassVar[str] = "IS999"
    kind: ClassVar[str] = "planted"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "a test"
    fix: ClassVar[str] = "None."
    deed: str = ""

    def locked(self, change: Change) -> str | None:
        return "It needs a moon. Wait for one." if self.deed == "locked" else None

    def hits(self, change: Change) -> Sequence[Hit]:  # type: ignore[override]
        deeds: dict[str, BaseException] = {
            "crash": ZeroDivisionError("divided sk-abcdefghijklmnop1234"),
            "extra": MissingExtra("It needs 'moon'.", fix="pip install moon"),
            "usage": UsageError("There is no file moon.txt."),
            "unreadable": PoolError("moon.jsonl cannot be read."),
            "few": NotEnough("Too few rows: 2 of 200."),
        }
        if self.deed in deeds:
            raise deeds[self.deed]
        return [Hit(0, "It is so.")] if self.deed == "fail" else []


@pytest.mark.parametrize(
    ("deeds", "code"),
    [
        ([], 0),
        (["fail"], 1),
        (["crash"], 4),
        (["locked"], 4),
        (["extra"], 4),
        (["few"], 0),
        (["usage"], 2),
        (["unreadable"], 3),
        (["fail", "few"], 1),
        (["fail", "unreadable"], 3),
        (["fail", "unreadable", "crash"], 4),
        (["fail", "unreadable", "crash", "usage"], 2),
    ],
)
def test_of_several_exit_codes_the_first_of_2_4_3_1_5_0_wins_and_every_check_reports(
    folder: Path, monkeypatch: pytest.MonkeyPatch, deeds: list[str], code: int
) -> None:
    known: dict[str, type[Check]] = {**registry.checks(), "planted": Planted}
    monkeypatch.setattr(registry, "checks", lambda: known)
    entries = "".join(f'[[check]]\nkind = "planted"\nname = "{deed}"\ndeed = "{deed}"\n' for deed in deeds)
    (folder / "gate.toml").write_text(f'{entries}[[check]]\nkind = "empty-response"\n')
    done = run(written(folder, GOOD, GOOD), "--to", "json=out.json", "--to", "junit=out.xml", "--to", "sarif=out.sarif")
    assert done.exit_code == code, done.output
    verdict = json.loads((folder / "out.json").read_text())
    states = {check["name"]: check["state"] for check in verdict["checks"]}
    assert states["empty-response"] == "passed" and len(states) == len(deeds) + 1 and verdict["exit_code"] == code
    assert "sk-abc" not in done.output + (folder / "out.json").read_text() + (folder / "out.xml").read_text()
    if "crash" in deeds:
        assert "CRASHED" in done.stdout and "ZeroDivisionError" in done.stdout
    assert ("BROKEN" in done.stdout) == bool({"usage", "unreadable"} & set(deeds))


def test_a_finding_is_waived_by_its_place_and_the_next_gate_says_who_took_it(folder: Path) -> None:
    name = written(folder, GOOD, EMPTY, EMPTY)
    assert run(name, "--findings", "findings.parquet").exit_code == 1
    arguments = ["waive", "new.jsonl:2", "--check", "IS010", "--reason", "on purpose", "--expires", "2099-12-31"]
    assert run(*arguments).exit_code == 0 and "on purpose" in (folder / "gate.toml").read_text()
    done = run(name)
    assert done.exit_code == 1 and "1 of 3 rows" in done.stdout
    assert "waived" in done.stdout and "1 finding, until 2099-12-31 (on purpose)" in " ".join(done.stdout.split())
    assert run(*arguments).exit_code == 0 and (folder / "gate.toml").read_text().count("[[waiver]]") == 1
    assert run("waive", "new.jsonl:3", "--reason", "x", "--expires", "2001-01-01").exit_code == 2
    assert run("waive", "new.jsonl:3", "--reason", "x", "--expires", "soon").exit_code == 2
    assert run("waive", "new.jsonl:1", "--reason", "x", "--expires", "2099-01-01").exit_code == 2


def test_a_gate_that_ends_with_2_3_or_4_says_why_on_stderr_also_when_it_is_quiet(folder: Path) -> None:
    done = run(written(folder, GOOD, BROKEN), "-q")
    assert done.exit_code == 3 and done.stdout == "" and done.stderr.startswith("error: FAILED: ")


def test_a_waiver_is_not_written_into_a_configuration_that_the_verdicts_gate_did_not_read(folder: Path) -> None:
    (folder / "other.toml").write_text('[[check]]\nkind = "empty-response"\n')
    run(written(folder, GOOD, EMPTY), "--config", "other.toml", "--to", "json")
    arguments = ["waive", "new.jsonl:2", "--reason", "on purpose", "--expires", "2099-12-31"]
    done = run(*arguments)
    assert done.exit_code == 2 and "--config other.toml" in done.output and not (folder / "gate.toml").exists()
    assert run(*arguments, "--config", "other.toml").exit_code == 0 and "[[waiver]]" in (folder / "other.toml").read_text()


def test_of_a_response_that_is_cut_off_its_end_is_shown(folder: Path) -> None:
    row = json.dumps(
        {"instruction": "Tell me of the lake.", "output": "The lake is deep and old and cold. " * 5 + "And then the wind from the"}
    )
    done = run(written(folder, GOOD, row.encode()))
    assert "And then the wind from the\n" in done.stdout


def test_without_findings_to_list_all_of_them_are_counted(folder: Path) -> None:
    done = run(written(folder, GOOD, EMPTY, EMPTY), "--max-findings", "0")
    assert "    2 findings; all of them with --findings" in done.stdout and "more;" not in done.stdout


def test_a_set_without_a_configuration_is_named_beneath_the_defaults_and_all_checks_are_asked(folder: Path) -> None:
    name = written(folder, GOOD, GOOD)
    assert "under [defaults]: sets" in " ".join(run(name).stdout.split())
    (folder / "set.jsonl").write_text('{"question": "How many legs has a spider that lost two of them in a fight?", "answer": "6"}\n')
    (folder / "gate.toml").write_text('[defaults]\nsets = ["set.jsonl"]\n')
    done = run(name)
    assert "IS040 contamination" in done.stdout.split("passed", 1)[1] and "IS010" in done.stdout


def test_of_a_secret_what_stands_around_its_mask_is_shown(folder: Path) -> None:
    token = "ghp_" + "aB3dE6gH9jK2mN5pQ8sT1vW4xY7zA0cD3fG6"
    row = json.dumps(
        {"instruction": "How do I call it?", "output": f"{'You send it with the header of the call. ' * 4} It is {token} for now."}
    )
    done = run(written(folder, GOOD, row.encode()))
    assert "It is [masked] for now." in done.stdout and token[:12] not in done.output


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("options", [[], ["--json"], ["--to", "markdown=-"]])
def test_a_gate_that_says_no_says_so_to_whom_reads_nothing(tmp_path: Path, options: list[str], both: bool) -> None:
    path = tmp_path / "new.jsonl"
    path.write_text("".join(f'{{"instruction": "Name the number {n}.", "output": ""}}\n' for n in range(2_000)), encoding="utf-8")
    command = [sys.executable, "-m", "instructsel", "gate", str(path), "--max-findings", "2000", *options]
    reads, writes = os.pipe()
    os.close(reads)
    try:
        ended = subprocess.run(command, stdout=writes, stderr=writes if both else subprocess.PIPE, cwd=tmp_path, check=False)
    finally:
        os.close(writes)
    assert ended.returncode == 1
    assert both or b"BrokenPipe" not in ended.stderr
