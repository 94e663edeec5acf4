"""What every check of an audit must hold, whoever wrote it: a new file is under contract by itself."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from instructsel.audits import checks as folder
from instructsel.audits.checks.base import Check, PoolCheck, RowCheck, TemplateCheck
from instructsel.audits.checks.registry import FRAMEWORK, checked_conditions, checks, kinds
from instructsel.audits.finding import SEVERITIES
from instructsel.errors import UsageError
from tests.test_docs import _builder


def test_each_file_of_the_folder_holds_one_check_of_its_name() -> None:
    files = {path.stem for path in Path(folder.__path__[0]).glob("*.py")} - FRAMEWORK - {"__init__"}
    assert {kind.replace("-", "_") for kind in kinds()} == files
    assert len(kinds()) == len(set(kinds())) >= 20


@pytest.mark.parametrize("check", checks(), ids=kinds())
def test_a_check_says_what_it_is_how_bad_and_what_to_do(check: Check) -> None:
    assert isinstance(check, RowCheck | TemplateCheck | PoolCheck)
    assert re.fullmatch(r"[a-z]+(-[a-z]+)*", check.kind)
    assert check.severity in SEVERITIES
    assert check.unit in ("row", "template", "tokenizer", "base")
    for text in (check.cause, check.fix):
        assert text[0].isupper() or text.startswith("--")
        assert text.endswith(".") and "\n" not in text and len(text) <= 320
    assert check.__doc__ and check.__doc__.strip().endswith(".")


def test_every_check_has_its_row_in_the_documents() -> None:
    builder = _builder("build_audit")
    assert builder.PAGE.read_text(encoding="utf-8") == builder.page(), "run: python docs/build_audit.py"
    assert all(f"| `{kind}` |" in builder.page() for kind in kinds())


def test_a_condition_is_a_kind_a_severity_or_any_and_others_are_refused_with_a_suggestion() -> None:
    assert checked_conditions(["any", "error", "lost-end-mark", "any"]) == ("any", "error", "lost-end-mark")
    with pytest.raises(UsageError, match="no kind of finding 'lost-end-marks'") as raised:
        checked_conditions(["lost-end-marks"])
    assert raised.value.fix is not None and "'lost-end-mark'" in raised.value.fix
