"""The verdict as SARIF 2.1.0, on the lines of the files."""

from __future__ import annotations

import gzip
import re
from pathlib import PurePath
from typing import Any, ClassVar, Final
from urllib.parse import quote

from instructsel.gates.checks.base import Result
from instructsel.gates.finding import SEVERITIES, Finding, Place
from instructsel.gates.outputs.base import Output, Setting, capped, in_checkout, json_bytes, parsed, place_of, placed, plain, shown_place
from instructsel.gates.verdict import Verdict
from instructsel.text import safe_path, without_keys

MOST: Final = 4_900
"""GitHub stores 5,000 results of a run, those of the highest severity."""
TROUBLES: Final = 100
"""Files that cannot be read that are named."""
MOST_BYTES: Final = 9_500_000
"""Of the gzipped file; GitHub takes 10 MB."""
NAME: Final = "instructsel"
NUMBER: Final = re.compile(r"IS\d{3}")
LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}
SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


class Sarif(Output):
    """A run with a rule a check and a result a finding; fingerprints follow a row to another line."""

    name: ClassVar[str] = "sarif"
    ending: ClassVar[str] = ".sarif"
    source: ClassVar[str] = "OASIS SARIF 2.1.0; GitHub code scanning's limits"
    file: ClassVar[str] = "gate.sarif"

    def is_ours(self, data: bytes) -> bool:
        """Whether it is a log of one run, which is the gate's."""
        log = parsed(data)
        try:
            (run,) = log["runs"]
            driver = run["tool"]["driver"]
            return bool(driver["name"] == NAME and all(NUMBER.fullmatch(rule["id"]) for rule in driver["rules"]))
        except (TypeError, ValueError, KeyError):
            return False

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """As many results as GitHub takes, errors first."""
        most = MOST
        while True:
            data = json_bytes(self._log(verdict, setting, most))
            if most <= 10 or len(gzip.compress(data, 6)) <= MOST_BYTES:
                return data
            most //= 2

    def _log(self, verdict: Verdict, setting: Setting, most: int) -> dict[str, Any]:
        shown, more = capped(verdict.findings, most)
        rules: dict[str, dict[str, Any]] = {}
        # A rule is a number: of several checks of a kind the first speaks for all, with the highest of their severities.
        for result in sorted(verdict.results, key=lambda result: SEVERITIES.index(result.severity)):
            rules.setdefault(result.check.number, _rule(result))
        notes = [
            {
                "level": "error" if result.state == "crashed" else "warning" if result.exit_code else "note",
                "message": {"text": f"{result.check.kind}: {plain(result.statement)}"},
                "descriptor": {"id": result.state},
                "associatedRule": {"id": result.check.number, "index": list(rules).index(result.check.number)},
            }
            for result in verdict.not_asked
        ]
        notes += [
            {
                "level": "error",
                "message": {"text": plain(placed(trouble, place))},
                "descriptor": {"id": "reading"},
                **_located(place and in_checkout(place)),
            }
            for trouble, place in verdict.placed_troubles[:TROUBLES]
        ]
        if (left := len(verdict.troubles) - TROUBLES) > 0:
            notes.append({"level": "error", "message": {"text": f"{left:,} more files cannot be read."}, "descriptor": {"id": "reading"}})
        notes += [{"level": "note", "message": {"text": plain(note)}, "descriptor": {"id": "rows"}} for note in verdict.notes]
        if more:
            where = f" All of them: {safe_path(setting.findings)}." if setting.findings else ""
            notes.append({"level": "note", "message": {"text": f"{more:,} more findings are not in this file.{where}"}})
        index = {number: position for position, number in enumerate(rules)}
        run: dict[str, Any] = {
            "tool": {"driver": {"name": NAME, "version": setting.version or "0", "rules": list(rules.values())}},
            "invocations": [
                {
                    "executionSuccessful": not verdict.troubles and not any(r.state == "crashed" for r in verdict.results),
                    "toolExecutionNotifications": notes,
                }
            ],
            "columnKind": "utf16CodeUnits",
            "results": [_result(finding, index[finding.check], place_of(finding, verdict)) for finding in shown],
        }
        return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _rule(result: Result) -> dict[str, Any]:
    check = result.check
    return {
        "id": check.number,
        "name": check.kind,
        "shortDescription": {"text": check.title()},
        "fullDescription": {"text": f"{check.title()} Source: {check.source}."},
        "help": {"text": check.fix},
        "defaultConfiguration": {"level": LEVELS[result.severity]},
        "properties": {"tags": ["training-data"]},
    }


def _result(finding: Finding, rule: int, place: Place | None) -> dict[str, Any]:
    text = plain(finding.message) + (f" See {shown_place(finding.elsewhere)}." if finding.elsewhere is not None else "")
    result: dict[str, Any] = {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        # GitHub compares by the first alone, whose form is a digest and a number.
        "partialFingerprints": {"primaryLocationLineHash": f"{finding.fingerprint}:1", "instructsel/v1": finding.fingerprint},
    }
    return result | _located(place)


def _located(place: Place | None) -> dict[str, Any]:
    if place is None:
        return {}
    return {"locations": [{"physicalLocation": {"artifactLocation": {"uri": uri(place.file)}, "region": {"startLine": place.line}}}]}


def uri(path: str) -> str:
    """A path as a URI: a relative one stays relative, to the root of the repository.

    >>> uri("data/a b:c.jsonl"), uri("/tmp/x.jsonl")
    ('data/a%20b%3Ac.jsonl', 'file:///tmp/x.jsonl')
    """
    try:
        octets = PurePath(path).as_posix().encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        octets = path.encode("utf-8", "backslashreplace")
    quoted = quote(without_keys(octets.decode("latin-1")).encode("latin-1"))
    return f"file:///{quoted.lstrip('/')}" if quoted.startswith("/") else quoted
