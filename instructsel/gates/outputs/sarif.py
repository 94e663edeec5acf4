"""The verdict as SARIF 2.1.0, on the lines of the files."""

from __future__ import annotations

import gzip
from pathlib import PurePath
from typing import Any, ClassVar, Final
from urllib.parse import quote

from instructsel.artifact import dump_json
from instructsel.gates.checks.base import Result
from instructsel.gates.finding import SEVERITIES, Finding
from instructsel.gates.outputs.base import Output, Setting, capped, plain
from instructsel.gates.verdict import Verdict

MOST: Final = 4_900
"""GitHub stores 5,000 results of a run, those of the highest severity."""
MOST_BYTES: Final = 9_500_000
"""Of the gzipped file; GitHub takes 10 MB."""
LEVELS: Final = {"error": "error", "warning": "warning", "info": "note"}
SCHEMA: Final = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"


class Sarif(Output):
    """A run with a rule a check and a result a finding; fingerprints follow a row to another line."""

    name: ClassVar[str] = "sarif"
    ending: ClassVar[str] = ".sarif"
    source: ClassVar[str] = "OASIS SARIF 2.1.0; GitHub code scanning's limits"
    file: ClassVar[str] = "gate.sarif"
    mark: ClassVar[bytes] = b'"name": "instructsel"'

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """As many results as GitHub takes, errors first."""
        most = MOST
        while True:
            data = dump_json(self._log(verdict, setting, most), indent=True) + b"\n"
            if most <= 10 or len(gzip.compress(data, 6)) <= MOST_BYTES:
                return data
            most //= 2

    def _log(self, verdict: Verdict, setting: Setting, most: int) -> dict[str, Any]:
        shown, more = capped(verdict.findings, most)
        # A rule is a number: of several checks of a kind the first speaks for all, with the highest of their severities.
        asked: dict[str, Result] = {}
        for result in sorted(verdict.results, key=lambda result: SEVERITIES.index(result.severity)):
            asked.setdefault(result.check.number, result)
        numbers = list(asked)
        rules = [
            {
                "id": result.check.number,
                "name": result.check.kind,
                "shortDescription": {"text": result.check.title()},
                "help": {"text": result.check.fix},
                "defaultConfiguration": {"level": LEVELS[result.severity]},
                "properties": {"tags": ["training-data"]},
            }
            for result in asked.values()
        ]
        notes = [
            {
                "level": "error" if result.state == "crashed" else "warning",
                "message": {"text": f"{result.check.kind}: {plain(result.statement)}"},
            }
            for result in verdict.not_asked
        ]
        if more:
            where = f" All of them: {setting.findings}." if setting.findings else ""
            notes.append({"level": "note", "message": {"text": f"{more:,} more findings are not in this file.{where}"}})
        run: dict[str, Any] = {
            "tool": {"driver": {"name": "instructsel", "version": setting.version or "0", "rules": rules}},
            "invocations": [
                {"executionSuccessful": not any(r.state == "crashed" for r in verdict.results), "toolExecutionNotifications": notes}
            ],
            "columnKind": "utf16CodeUnits",
            "results": [_result(finding, numbers.index(finding.check)) for finding in shown],
        }
        return {"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(finding: Finding, rule: int) -> dict[str, Any]:
    text = plain(finding.message) + (f" See {finding.related}." if finding.related is not None else "")
    result: dict[str, Any] = {
        "ruleId": finding.check,
        "ruleIndex": rule,
        "level": LEVELS[finding.severity],
        "message": {"text": text},
        "partialFingerprints": {"instructsel/v1": finding.fingerprint},
    }
    if finding.place is not None:
        uri = quote(PurePath(finding.place.file).as_posix().encode("utf-8", "surrogateescape"))
        result["locations"] = [
            {"physicalLocation": {"artifactLocation": {"uri": uri}, "region": {"startLine": max(1, finding.place.line)}}}
        ]
    return result
