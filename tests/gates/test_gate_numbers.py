"""The numbers of checks: configurations, waivers and alerts name them, so that none is ever given twice."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from importlib.resources import files

from instructsel.gates.checks.registry import checks, kinds, modules

NUMBERS = tomllib.loads((files("instructsel.gates") / "numbers.toml").read_text(encoding="utf-8"))


def test_every_check_has_the_number_that_was_given_to_its_kind() -> None:
    for check in checks().values():
        assert NUMBERS.get(check.number) == check.kind, f"{check.number} of {check.kind}: write it into instructsel/gates/numbers.toml"


def test_no_number_and_no_kind_is_given_twice() -> None:
    # A key that stands twice is no TOML.
    assert len(set(NUMBERS.values())) == len(NUMBERS)
    assert all(re.fullmatch(r"IS\d{3}", number) for number in NUMBERS) and list(NUMBERS) == sorted(NUMBERS)
    assert all(re.fullmatch(r"[a-z]+(-[a-z]+)*", kind) for kind in NUMBERS.values())


def test_every_check_says_what_it_is_about_where_it_comes_from_and_what_to_do() -> None:
    for check in checks().values():
        assert check.title().endswith(".") and check.source, check.number
        assert check.fix, check.number
        assert check.severity in ("error", "warning", "info"), check.number


def test_a_configuration_of_a_few_checks_imports_those_alone() -> None:
    code = (
        "import sys; from pathlib import Path; from instructsel import GateConfig; GateConfig.of({'check': [{'kind': 'IS010'}], 'waiver': [{'check': "
        "'refusal', 'row': '*', 'reason': 'x', 'expires': '2099-01-01'}]}, Path(), where='x'); "
        "print([name for name in sys.modules if name.startswith('instructsel.gates.checks.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    names = {name.rpartition(".")[2] for name in ast.literal_eval(done.stdout)}
    assert names == {"base", "registry", "empty_response", "unreadable_row"}


def test_every_file_of_the_folder_is_called_as_its_kind() -> None:
    assert kinds() == {check.kind: check.number for check in checks().values()}
    assert {kind.replace("-", "_") for kind in kinds()} == modules()
