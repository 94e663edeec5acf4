"""Reports of gates: from what `gate` wrote, whatever its form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel import Pool, Verdict, gate, report
from instructsel.commands import app
from instructsel.errors import ScoresError
from instructsel.gates.record import read_gate

MARKUP = "<script>alert(1)</script>"


@pytest.fixture
def verdict() -> Verdict:
    rows = [{"instruction": f"Name a lake {number}.", "output": "" if number % 2 else "Como."} for number in range(600)]
    return gate(Pool.of(rows, name=MARKUP))


def test_every_form_of_a_verdict_gives_the_same_outcome(verdict: Verdict, tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(json.dumps(verdict.as_dict()))
    verdict.write_findings(tmp_path / "findings.parquet")
    pages = [report(verdict), report(tmp_path / "gate.json"), report(tmp_path / "findings.parquet")]
    outcomes = [page.sections[0].text for page in pages]
    assert outcomes[0] == outcomes[1] == outcomes[2] and outcomes[0][0].startswith("The rows may not join. 600 rows read")
    section = next(section for section in pages[1].sections if section.name == "gate")
    checks, findings = section.parts[:2]
    assert checks.as_dict()["rows"][0]["check"] == "IS010 empty-response"
    assert len(findings.as_dict()["rows"]) == 200 and "101 other findings" in findings.as_dict()["rows"][-1]["place"]
    assert MARKUP not in pages[0].html()


def test_the_command_reports_a_verdict_and_refuses_what_is_none(verdict: Verdict, tmp_path: Path) -> None:
    path, page = tmp_path / "gate.json", tmp_path / "report.html"
    path.write_text(json.dumps(verdict.as_dict()))
    done = CliRunner().invoke(app, ["report", str(path), "-o", str(page)])
    assert done.exit_code == 0 and "The rows may not join." in page.read_text()
    for change in ({"outcome": "fine"}, {"checks": [{}]}, {"rows": 3}, {"schema": 99}):
        path.write_text(json.dumps({**verdict.as_dict(), **change}))
        with pytest.raises(ScoresError):
            read_gate(path)
