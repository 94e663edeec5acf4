"""The verdict for the summary of a step in GitHub Actions."""

from __future__ import annotations

from typing import ClassVar, Final

from instructsel.gates.finding import Finding
from instructsel.gates.outputs.base import Output, Setting, plain
from instructsel.gates.verdict import Verdict

MOST_BYTES: Final = 900_000
"""GitHub shows nothing of a summary of more than 1 MiB."""
EACH: Final = 50
"""Findings of a check that are shown."""
MARKS: Final = {"passed": "✅", "failed": "❌", "skipped": "⚠️ skipped", "crashed": "💥 crashed"}
SPECIAL: Final = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()#+-!|<>~&@:$^"})


def cell(text: str, limit: int = 300) -> str:
    """A text as a cell of a table, in which no sign means anything.

    >>> cell("a|<b> @all")
    'a\\\\|\\\\<b\\\\> \\\\@all'
    """
    return " ".join(plain(text, limit).translate(SPECIAL).split())


class Markdown(Output):
    """Tables of checks and findings, capped with a count."""

    name: ClassVar[str] = "markdown"
    ending: ClassVar[str] = ".md"
    source: ClassVar[str] = "GitHub: a step's summary has at most 1 MiB"
    file: ClassVar[str] = "gate.md"
    mark: ClassVar[bytes] = b"## instructsel gate"

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """Checks first, then findings while there is room."""
        outcome = verdict.outcome(setting.fail_on)
        lines = [
            f"## instructsel gate: {outcome}",
            "",
            cell(verdict.report.sentence()),
            "",
            "| check | severity | state | |",
            "| --- | --- | --- | --- |",
        ]
        for result in verdict.results:
            severity = result.severity
            lines.append(f"| {result.check.number} {result.label} | {severity} | {MARKS[result.state]} | {cell(result.statement)} |")
        lines.append("")
        size = sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)
        shown = total = 0
        for result in verdict.results:
            counted = result.counted
            total += len(counted)
            part = [
                f"### {result.check.number} {result.label}: {len(counted):,}",
                "",
                cell(result.check.fix),
                "",
                "| where | finding |",
                "| --- | --- |",
            ]
            part += [self._row(finding) for finding in counted[:EACH]]
            if len(counted) > EACH:
                part.append(f"| … | {len(counted) - EACH:,} more |")
            length = sum(len(line.encode("utf-8", "replace")) + 1 for line in part)
            if counted and size + length + 1000 < MOST_BYTES:
                lines += [*part, ""]
                size += length + 1
                shown += min(len(counted), EACH)
        if shown < total:
            where = f" All of them: {cell(setting.findings)}." if setting.findings else ""
            lines.append(f"{total - shown:,} more findings are not shown.{where}")
        return ("\n".join(lines) + "\n").encode("utf-8", "replace")

    @staticmethod
    def _row(finding: Finding) -> str:
        where = "" if finding.place is None else cell(str(finding.place))
        related = "" if finding.related is None else f" (see {cell(str(finding.related))})"
        evidence = f" {cell(finding.evidence, 160)}" if finding.evidence else ""
        return f"| {where} | {cell(finding.message)}{related}{evidence} |"
