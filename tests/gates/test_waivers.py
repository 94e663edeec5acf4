"""Waivers: findings that somebody looked at and takes, written into a configuration whose text stays as it is."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from instructsel import GateConfig, Pool, Verdict, gate
from instructsel.errors import UsageError
from instructsel.gates.waiving import waivers_of, where_of, write_waivers

EMPTY = {"instruction": "Name a lake.", "output": ""}
GOOD = {"instruction": "Name a river.", "output": "The Loire."}
ROWS = [EMPTY, GOOD, {"instruction": "Name a sea.", "output": " "}]
TODAY = date(2026, 6, 1)


def asked(*waivers: dict[str, Any], rows: list[dict[str, Any]] | None = None, **more: Any) -> Verdict:
    table = {"check": [{"kind": "empty-response", **more}], "waiver": list(waivers)}
    return gate(Pool.of(rows or ROWS), GateConfig.of(table, Path(), where="gate.toml"), today=TODAY)


def waiver(row: str, *, check: str = "empty-response", expires: Any = date(2026, 6, 1)) -> dict[str, Any]:
    return {"check": check, "row": row, "reason": "on purpose", "expires": expires}


def test_a_waived_finding_does_not_count_and_stands_in_every_output_with_its_reason() -> None:
    first, second = asked().findings
    assert first.row is not None and second.row is not None
    verdict = asked(waiver(first.row), waiver(second.fingerprint[:10], check="IS010"))
    assert verdict.outcome() == "passed" and [finding.waived for finding in verdict.findings] == ["on purpose"] * 2
    assert sum(verdict.waived.values()) == 2 and not verdict.stale and not verdict.expired
    record = verdict.as_dict()
    assert [used["findings"] for used in record["waivers"]["used"]] == [1, 1] and record["checks"][0]["waived"] == 2


def test_a_waiver_of_every_row_takes_all_findings_of_its_check_alone() -> None:
    verdict = asked(waiver("*"))
    assert verdict.outcome() == "passed" and list(verdict.waived.values()) == [2]
    assert "2 findings waived" in verdict.results[0].statement


def test_a_waiver_holds_on_its_last_day_and_is_reported_when_it_is_over() -> None:
    assert asked(waiver("*", expires=TODAY)).outcome() == "passed"
    over = asked(waiver("*", expires="2026-05-31"))
    assert over.outcome() == "failed" and len(over.expired) == 1 and not over.stale


def test_a_waiver_that_takes_nothing_is_reported_as_stale() -> None:
    verdict = asked(waiver("0" * 32))
    assert verdict.outcome() == "failed" and len(verdict.stale) == 1
    assert verdict.as_dict()["waivers"]["stale"][0]["row"] == "0" * 32


def test_a_waiver_of_the_very_finding_takes_it_before_one_of_every_row() -> None:
    first, second = asked().findings
    for waivers in ([waiver("*"), waiver(first.fingerprint)], [waiver(first.row or ""), waiver("*")]):
        verdict = asked(*waivers)
        assert {used.row: number for used, number in verdict.waived.items()} == {entry["row"]: 1 for entry in waivers}
    verdict = asked(waiver("*"), waiver(first.fingerprint), waiver(second.row or ""))
    assert [stale.row for stale in verdict.stale] == ["*"]


def test_a_waiver_of_the_second_of_equal_rows_takes_not_the_eleventh() -> None:
    verdict = asked(rows=[EMPTY] * 12 + [GOOD])
    (second,) = [finding.row for finding in verdict.findings if (finding.row or "").endswith(".1")]
    assert second is not None
    taken = [finding.row for finding in asked(waiver(second), rows=[EMPTY] * 12 + [GOOD]).findings if finding.waived]
    assert taken == [second]


def test_a_fingerprint_stays_when_a_row_moves_and_differs_between_checks_of_one_kind() -> None:
    fingerprints = {finding.fingerprint for finding in asked().findings}
    assert {finding.fingerprint for finding in asked(rows=[GOOD, *reversed(ROWS)]).findings} == fingerprints
    assert not {finding.fingerprint for finding in asked(name="again").findings} & fingerprints


def test_a_waiver_may_name_a_check_by_the_name_that_the_configuration_gives_it() -> None:
    assert asked(waiver("*", check="again"), name="again").outcome() == "passed"
    with pytest.raises(UsageError, match="There is no check 'agian'"):
        asked(waiver("*", check="agian"), name="again")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"row": "abc"}, "fewer than 8 characters"),
        ({"reason": " "}, "has no reason"),
        ({"expires": "soon"}, "is no date"),
        ({"expires": 3}, "is no date"),
        ({"until": "2027-01-01"}, "There is no setting 'until'"),
        ({"check": "empty-respons"}, "empty-response"),
    ],
)
def test_a_waiver_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        asked({**waiver("*"), **change})


@pytest.mark.parametrize(
    "text",
    [
        None,
        b"",
        b'# ours\r\nschema = 1\r\n\r\n[[check]]\r\nkind = "empty-response"   # kept\r\n',
        b'[[check]]\nkind = "empty-response"\n[data]\nnew = ["*.jsonl"]',
    ],
)
def test_waivers_are_appended_and_what_stood_there_stays(tmp_path: Path, text: bytes | None) -> None:
    path = tmp_path / "gate.toml"
    if text is not None:
        path.write_bytes(text)
    verdict = gate(Pool.of(ROWS))
    known = [finding.as_dict() for finding in verdict.findings if finding.kind == "empty-response"]
    waivers = waivers_of([known[0]["fingerprint"][:12], "memory:3"], known, 'a "quoted" \\ reason', date(2027, 1, 1))
    written = write_waivers(path, waivers)
    assert len(written.added) == 2 and path.read_bytes().startswith(text or b"")
    assert gate(Pool.of(ROWS), path, today=TODAY).outcome() == "passed"
    again = write_waivers(path, waivers)
    assert not again.added and len(again.known) == 2
    if text:
        assert (b"\r\n" in text) == (b"\r\n" in path.read_bytes().removeprefix(text))


def test_waivers_go_into_the_table_of_a_pyproject_too(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text('[project]\nname = "x"\n[tool.instructsel.gate]\nmode = "nightly"\n')
    assert where_of(None, tmp_path) == path
    write_waivers(path, waivers_of(["IS010=*"], [], "on purpose", date(2027, 1, 1)))
    config = GateConfig.near(tmp_path)
    assert config.nightly and config.waivers[0].check == "empty-response"


@pytest.mark.parametrize("text", ["waiver = []\n", "check = [\n", 'waiver = [{check = "IS010"}]\n'])
def test_a_text_to_which_nothing_can_be_appended_is_refused_and_stays(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gate.toml"
    path.write_text(text)
    with pytest.raises(UsageError):
        write_waivers(path, waivers_of(["IS010=*"], [], "on purpose", date(2027, 1, 1)))
    assert path.read_text() == text


def test_a_name_that_no_finding_has_is_refused() -> None:
    known = [finding.as_dict() for finding in asked().findings]
    for name in ("new.jsonl:9", known[0]["fingerprint"][:7], "f" * 32):
        with pytest.raises(UsageError, match="No finding of the verdict is"):
            waivers_of([name], known, "x", TODAY)
    with pytest.raises(UsageError, match="of IS001"):
        waivers_of([known[0]["fingerprint"]], known, "x", TODAY, "IS001")
