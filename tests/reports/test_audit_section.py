"""Reports of audits: from what `audit` wrote, whatever its form."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel import Audit, Pool, audit
from instructsel.audits.shape import AuditRecord
from instructsel.commands import app
from instructsel.errors import ScoresError, UsageError
from instructsel.reports.reading import read_artifact
from instructsel.reports.render import report
from instructsel.shapes import checked
from tests.audits.real_pools import write_rows
from tests.templates import FAMILIES

ROWS = [
    {"instruction": "how do i boil an egg", "output": "put it into boiling water"},
    {"instruction": "say nothing", "output": ""},
    {"instruction": "<b>tell</b> it at length", "output": "the sky is blue " * 120},
]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> Audit:
    folder = tmp_path_factory.mktemp("audited")
    base = FAMILIES["chatml"].base(folder / "base")
    files = [
        write_rows(folder / f"{name}.jsonl", rows)
        for name, rows in (("first", ROWS), ("second", [{"instruction": "why is the sky blue", "output": "it scatters"}]))
    ]
    return audit(Pool.read(*files), base=str(base), max_length=128, packing="bfd")


def content(*results: Any) -> dict[str, Any]:
    return json.loads(report(*results).json())  # type: ignore[no-any-return]


def test_every_form_of_an_audit_gives_the_same_report(result: Audit, tmp_path: Path) -> None:
    expected = content(result)
    assert content(result.as_dict()) == expected
    for name in ("audit.json", "rows.parquet", "rows.csv"):
        result.write(tmp_path / name)
        written = content(tmp_path / name)
        assert written["title"] == "Audit"
        assert [part for part in written["sections"] if part["name"] in ("outcome", "audit")] == [
            part for part in expected["sections"] if part["name"] in ("outcome", "audit")
        ]
    assert content(tmp_path)["title"] == "Audit"


def test_it_opens_with_the_rows_trained_on_and_the_errors_and_lists_findings_figures_and_sources(result: Audit) -> None:
    sections = {section["name"]: section for section in content(result)["sections"]}
    assert "would be trained on 4 of 4 rows" in sections["outcome"]["text"][0]
    assert sections["outcome"]["text"][1].startswith("1 error: empty-response (1 row)") or "empty-response (1 row)" in " ".join(
        sections["outcome"]["text"]
    )
    findings, figures, sources = sections["audit"]["parts"]
    (empty,) = (row for row in findings["rows"] if row["finding" if "finding" in row else "kind"] == "empty-response")
    assert empty["rows"] == "first.jsonl:2" and empty["severity"] == "error"
    facts = {row["fact"]: row["value"] for row in figures["rows"]}
    assert facts["steps"] == result.totals.steps and facts["tokens of an epoch"] == result.totals.tokens
    assert [row["source"] for row in sources["rows"]] == ["first", "second"]
    assert {"empty-response", "truncated-response"} <= {row["kind"] for row in findings["rows"]}
    assert "empty-response" in report(result).html() and "empty-response" in report(result).markdown()


def test_the_command_reports_an_audit_and_refuses_what_is_none(result: Audit, tmp_path: Path) -> None:
    result.write(tmp_path / "audit.json")
    done = CliRunner().invoke(app, ["report", str(tmp_path), "-o", str(tmp_path / "page.html")], env={"COLUMNS": "80"})
    assert done.exit_code == 0 and "would be trained on" in done.output, done.output
    record = json.loads((tmp_path / "audit.json").read_text())
    for key in ("totals", "findings", "settings", "base"):
        (tmp_path / "bad.json").write_text(json.dumps({**record, key: 3}))
        with pytest.raises(ScoresError, match=key):
            read_artifact(tmp_path / "bad.json")
    with pytest.raises(UsageError, match="cannot be reported"):
        report({**record, "totals": {}})
    (tmp_path / "bad.json").write_text(json.dumps({**record, "schema": 9}))
    with pytest.raises(ScoresError, match="newer instructsel"):
        read_artifact(tmp_path / "bad.json")


def test_the_shape_that_the_documents_name_has_every_key_that_is_written(result: Audit) -> None:
    record = json.loads(json.dumps(result.as_dict()))
    checked(record, AuditRecord)
    hints = AuditRecord.__annotations__
    assert record.keys() == hints.keys() - {"rows"}
    import typing

    from instructsel.audits import shape

    for part, kind in (
        (record["settings"], shape.SettingsRecord),
        (record["findings"][0], shape.FindingRecord),
        (record["totals"], shape.TotalsRecord),
        (record["totals"]["sources"][0], shape.SourceRecord),
    ):
        assert part.keys() == typing.get_type_hints(kind).keys()
