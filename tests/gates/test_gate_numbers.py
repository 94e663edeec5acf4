"""The numbers of checks: configurations, waivers and alerts name them, so that none is ever given twice."""

from __future__ import annotations

import re
import tomllib
from importlib.resources import files

from instructsel.gates.checks.registry import checks

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
        assert check.fix.endswith(".") or ": instructsel " in check.fix, check.number
        assert check.severity in ("error", "warning", "info"), check.number
