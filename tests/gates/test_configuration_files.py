"""Configurations of a gate: where they are looked for, and what is refused with the name that was meant."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from instructsel import GateConfig
from instructsel.errors import UsageError


def read(text: str, folder: Path, name: str = "gate.toml") -> GateConfig:
    (folder / name).write_text(text)
    return GateConfig.read(folder / name)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("chekc = []", "Did you mean 'check'"),
        ('[data]\nnwe = ["x"]', "Did you mean 'new'"),
        ("[baseline]\npaht = 'x'", "Did you mean 'path'"),
        ("[limits]\nmax_bad_row = 1", "Did you mean 'max_bad_rows'"),
        ("[limits]\nmax_bad_rows = -1", "limits.max_bad_rows is -1"),
        ("[defaults]\ntokeniser = 'x'", "Did you mean 'tokenizer'"),
        ("[[check]]\nkind = 'empty-respons'", "Did you mean 'empty-response'"),
        ("[[check]]\nkind = 'IS010'\nmax_row = 1", "Did you mean 'max_rows'"),
        ("[[check]]\nkind = 'IS010'\nmax_rows = '1'", "max_rows should be a whole number"),
        ("[[check]]\nkind = 'IS010'\nmax_rate = 2", "max_rate is 2; 1 or less"),
        ("[[check]]\nkind = 'IS010'\nseverity = 'eror'", "Did you mean 'error'"),
        ("[[check]]\nkind = 'IS010'\nname = 'a b'", "Use letters, figures and hyphens"),
        ("[[check]]\nmax_rows = 1", "has no kind"),
        ("[[check]]\nkind = 'IS010'\n[[check]]\nkind = 'empty-response'", "Two checks"),
        ("mode = 'weekly'", "mode should be"),
        ("schema = 2", "this release reads 1"),
        ("check = 3", "check should be"),
        ("[data]\nnew = ['hf://owner/name']", "lies on this machine"),
        ("a = [", "is not a configuration of a gate"),
    ],
)
def test_what_cannot_be_is_refused_with_what_was_meant(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("[", r"\[").replace("(", r"\(")):
        read(text, tmp_path)


def test_a_misspelled_configuration_of_the_package_is_refused_with_the_one_that_is_meant() -> None:
    with pytest.raises(UsageError) as caught:
        GateConfig.read("@structur")
    assert caught.value.line == "There is no configuration '@structur'. Did you mean '@structure'?"


def test_a_folder_s_own_file_comes_before_its_project_s(tmp_path: Path) -> None:
    assert GateConfig.near(tmp_path).where == ""
    read('[tool.instructsel.gate]\nmode = "nightly"', tmp_path, "pyproject.toml")
    assert GateConfig.near(tmp_path).nightly
    read("schema = 1", tmp_path)
    assert not GateConfig.near(tmp_path).nightly and Path(GateConfig.near(tmp_path).where).name == "gate.toml"
    (tmp_path / "gate.toml").unlink()
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "instructsel-user"')
    assert GateConfig.near(tmp_path).where == ""
    with pytest.raises(UsageError, match="has no table"):
        GateConfig.read(tmp_path / "pyproject.toml")


def test_yaml_holds_the_same_and_an_alias_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("yaml")
    text = "check:\n- {kind: IS010, max_rate: 0.5, name: empty}\nwaiver:\n- {check: empty, row: '*', reason: x, expires: 2099-01-01}\n"
    toml = "[[check]]\nkind = 'IS010'\nmax_rate = 0.5\nname = 'empty'\n[[waiver]]\ncheck = 'empty'\nrow = '*'\nreason = 'x'\nexpires = 2099-01-01"
    one, other = read(text, tmp_path, "gate.yaml"), read(toml, tmp_path)
    assert (one.checks, one.waivers) == (other.checks, other.waivers)
    for broken in ("a: &a [1]\nb: *a", "- 1", "a: [", "3: x"):
        with pytest.raises(UsageError):
            read(broken, tmp_path, "gate.yaml")


def test_patterns_are_those_of_the_configuration_s_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "in").mkdir()
    for name in ("b.jsonl", "a.jsonl", "c.txt"):
        (tmp_path / "in" / name).write_text("")
    monkeypatch.chdir(tmp_path / "in")
    config = read('[data]\nnew = ["in/*.jsonl", "in/a.jsonl", "none/*.jsonl"]', tmp_path)
    assert [Path(name).name for name in config.files()] == ["a.jsonl", "b.jsonl"]
    with pytest.raises(UsageError, match="no such file"):
        read('[data]\nnew = ["in/d.jsonl"]', tmp_path).files()


def test_a_folder_whose_name_has_signs_of_patterns_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "run[1]"
    folder.mkdir()
    (folder / "a.jsonl").write_text("")
    assert [Path(name).name for name in read('[data]\nnew = ["*.jsonl"]', folder).files()] == ["a.jsonl"]


@pytest.mark.parametrize("text", ["check = []", "[[check]]\nkind = 'IS010'\nseverity = 'off'"])
def test_a_configuration_that_asks_nothing_passes_nothing(tmp_path: Path, text: str) -> None:
    with pytest.raises(UsageError, match="names no check"):
        read(text, tmp_path)


@pytest.mark.parametrize(
    ("text", "kind"), [("[check.echo]\nmin_share = 0.9", "echo"), ("[check]\nkind = 'echo'", "refusal"), ("[check]", "refusal")]
)
def test_checks_that_are_no_list_are_refused_with_how_one_is_written(tmp_path: Path, text: str, kind: str) -> None:
    with pytest.raises(UsageError, match="one table") as caught:
        read(text, tmp_path)
    assert caught.value.fix is not None and f'kind = "{kind}"' in caught.value.fix


@pytest.mark.parametrize(
    ("extra", "most"), [("", 2), ("[[check]]\nkind = 'empty-response'", 2), ("[[check]]\nkind = 'IS001'\nmax_rows = 7", 7)]
)
def test_the_limit_of_unreadable_rows_is_that_of_its_check_unless_it_sets_its_own(tmp_path: Path, extra: str, most: int) -> None:
    config = read(f"[limits]\nmax_bad_rows = 2\n{extra}", tmp_path)
    checks: list[Any] = [entry.check for entry in config.checks if entry.check.kind == "unreadable-row"]
    assert [check.max_rows for check in checks] == [most]


def test_a_check_is_switched_off_and_one_that_is_named_must_be_asked(tmp_path: Path) -> None:
    config = read("[[check]]\nkind = 'IS010'\nseverity = 'off'\n[[check]]\nkind = 'IS001'", tmp_path)
    assert [entry.check.kind for entry in config.checks] == ["unreadable-row"] and config.checks[0].named
    assert not any(entry.named for entry in read("schema = 1", tmp_path).checks)


@pytest.mark.parametrize("page", ["how-to/gate.md", "how-to/dedup-and-decontaminate.md", "reference/checks.md"])
def test_the_configurations_of_the_documentation_are_read(tmp_path: Path, page: str) -> None:
    text = (Path(__file__).parents[2] / "docs" / page).read_text()
    blocks = [block for block in re.findall(r"```(?:toml)?\n(.*?)```", text, flags=re.DOTALL) if "[[check]]" in block]
    assert blocks and all(read(block, tmp_path).checks for block in blocks)
