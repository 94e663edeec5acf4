"""The verdict as annotations of GitHub Actions."""

from __future__ import annotations

from typing import ClassVar, Final

from instructsel.gates.finding import Finding
from instructsel.gates.outputs.base import Output, Setting, plain
from instructsel.gates.verdict import Verdict

EACH: Final = 9
"""GitHub shows ten errors and ten warnings of a step; the tenth says how many more there are."""
COMMANDS: Final = {"error": "error", "warning": "warning", "info": "notice"}


def data(text: str) -> str:
    """A text as the data of a workflow command."""
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def parameter(text: str) -> str:
    """A text as a parameter of one."""
    return data(text).replace(":", "%3A").replace(",", "%2C")


class GitHub(Output):
    """Workflow commands: nine findings of a severity and one that counts the rest."""

    name: ClassVar[str] = "github"
    ending: ClassVar[str] = ".txt"
    source: ClassVar[str] = "GitHub Actions: workflow commands; 10 errors and 10 warnings a step"
    file: ClassVar[str] = "-"
    mark: ClassVar[bytes] = b"::"

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """One line a finding."""
        lines: list[str] = []
        for severity, command in COMMANDS.items():
            counted = [finding for finding in verdict.findings if finding.severity == severity and finding.waived is None]
            lines += [self._line(finding, command) for finding in counted[:EACH]]
            if len(counted) > EACH:
                where = f" All of them: {setting.findings}." if setting.findings else ""
                lines.append(f"::{command}::{data(f'{len(counted) - EACH:,} more findings of severity {severity}.{where}')}")
        for result in verdict.not_asked:
            lines.append(f"::warning::{data(f'{result.check.number} {result.label} {result.state}: {result.statement}')}")
        return ("\n".join(lines) + "\n" if lines else "").encode("utf-8", "replace")

    @staticmethod
    def _line(finding: Finding, command: str) -> str:
        where = "" if finding.place is None else f"file={parameter(finding.place.file)},line={finding.place.line},"
        return f"::{command} {where}title={parameter(f'{finding.check} {finding.kind}')}::{data(finding.message)}"
