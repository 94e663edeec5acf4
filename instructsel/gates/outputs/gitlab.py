"""The verdict as GitLab's code quality report."""

from __future__ import annotations

from typing import ClassVar, Final

from instructsel.artifact import dump_json
from instructsel.gates.outputs.base import Output, Setting, plain
from instructsel.gates.verdict import Verdict

SEVERITIES: Final = {"error": "critical", "warning": "major", "info": "info"}


class GitLab(Output):
    """A list of findings with file and line."""

    name: ClassVar[str] = "gitlab"
    ending: ClassVar[str] = ".json"
    source: ClassVar[str] = "GitLab: code quality report format"
    file: ClassVar[str] = "gate.gitlab.json"
    mark: ClassVar[bytes] = b'"check_name": "IS'

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """Every finding that counts and stands in a row."""
        rows = [
            {
                "description": plain(finding.message),
                "check_name": f"{finding.check} {finding.kind}",
                "fingerprint": finding.fingerprint,
                "severity": SEVERITIES[finding.severity],
                "location": {"path": finding.place.file, "lines": {"begin": finding.place.line}},
            }
            for finding in verdict.findings
            if finding.waived is None and finding.place is not None
        ]
        return dump_json(rows, indent=True) + b"\n"
