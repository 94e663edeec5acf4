"""The verdict for the summary of a step in GitHub Actions."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from instructsel.errors import Negative
from instructsel.gates.checks.base import Result
from instructsel.gates.finding import Finding, Place
from instructsel.gates.outputs.base import Output, Setting, placed, plain, shown_place
from instructsel.gates.verdict import MEANINGS, Verdict

MOST_BYTES: Final = 900_000
"""GitHub shows nothing of a summary of more than 1 MiB."""
LAST: Final = 5_000
"""Bytes that are left for the sentences on what is not shown."""
EACH: Final = 50
"""Findings of a check that are shown, and files that cannot be read."""
MARKS: Final = {"passed": "✅", "failed": "❌", "skipped": "⏭️ skipped", "crashed": "💥 crashed"}
BESIDE: Final = "⚠️"
"""The mark of a check that failed and does not fail the gate."""
HEAD: Final = "| check | severity | state | |"
"""Of the table of checks."""
OURS: Final = re.compile(rb"## instructsel gate: (?:passed|failed|incomplete)\n")
"""How a summary begins."""
SPECIAL: Final = str.maketrans({sign: f"\\{sign}" for sign in "\\`*_{}[]()#+-!|<>~&@:$^"})


NAMES: Final = re.compile(r"(?i)(?<=@)(?=[\w/-])|(?<=#)(?=\d)|(?<=:)(?=//)|(?<=\bwww)(?=\.)")
"""Inside a mention, an address, or the number of an issue, where it is broken up: hosts look for them in what is shown."""


def cell(text: str, limit: int = 300) -> str:
    """A text as a cell of a table, in which no sign means anything and nobody is mentioned.

    >>> cell("a|<b> @all")
    'a\\\\|\\\\<b\\\\> \\\\@&#8203;all'
    """
    return _unmarked(plain(text, limit))


def place_cell(place: Place) -> str:
    """File and line as a cell."""
    return _unmarked(shown_place(place))


def _unmarked(text: str) -> str:
    return NAMES.sub("\0", " ".join(text.split())).translate(SPECIAL).replace("\0", "&#8203;")


class Markdown(Output):
    """Tables of checks and findings, capped with a count."""

    name: ClassVar[str] = "markdown"
    ending: ClassVar[str] = ".md"
    source: ClassVar[str] = "GitHub: a step's summary has at most 1 MiB"
    file: ClassVar[str] = "gate.md"

    def is_ours(self, data: bytes) -> bool:
        """Whether it begins with an outcome, and has the table of checks."""
        return OURS.match(data) is not None and f"\n{HEAD}\n".encode() in data

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """Checks first, then findings while there is room."""
        page, failing = _Page(), verdict.failing(setting.fail_on)
        page.take(f"## instructsel gate: {verdict.outcome(setting.fail_on)}", "", cell(verdict.report.sentence()), "")
        code = verdict.exit_code(setting.fail_on)
        if code > Negative.exit_code:
            page.take(f"Exit code {code}: {cell(MEANINGS[code])}.", "")
        for note in verdict.notes[:EACH]:
            page.take(f"Note: {cell(note, 600)}", "")
        for trouble, place in verdict.placed_troubles[:EACH]:
            page.take(f"Not complete: {cell(placed(trouble, place), 600)}", "")
        if len(verdict.troubles) > EACH:
            page.take(f"Not complete: {len(verdict.troubles) - EACH:,} more.", "")
        page.take(HEAD, "| --- | --- | --- | --- |")
        states = {(result.state, result.statement) for result in verdict.results}
        is_one_line = len(states) == 1 < len(verdict.results) and verdict.results[0].state == "skipped"
        if is_one_line:
            page.take(f"| all {len(verdict.results):,} checks | | {MARKS['skipped']} | {cell(verdict.results[0].statement)} |")
        listed = [
            page.take(
                f"| {_title(result)} | {result.severity} | {BESIDE if result.state == 'failed' and result not in failing else MARKS[result.state]} | {cell(result.statement)} |"
            )
            for result in (() if is_one_line else verdict.ordered)
        ]
        page.lines.append("")
        if not all(listed):
            page.lines += [f"{listed.count(False):,} more checks are not shown.", ""]
        shown = total = 0
        for result in verdict.ordered:
            counted = result.counted
            total += len(counted)
            part = [f"### {_title(result)}: {len(counted):,}", "", cell(result.check.fix), "", "| where | finding |", "| --- | --- |"]
            part += [_row(finding) for finding in counted[:EACH]]
            if len(counted) > EACH:
                part.append(f"| … | {len(counted) - EACH:,} more |")
            if counted and page.take(*part, ""):
                shown += min(len(counted), EACH)
        if shown < total:
            where = f" All of them: {cell(setting.findings)}." if setting.findings else ""
            page.lines.append(f"{total - shown:,} more findings are not shown.{where}")
        return page.content()


class _Page:
    """Lines, as many as there is room for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.size = 0

    def take(self, *lines: str) -> bool:
        """Whether there was room for all of them."""
        length = sum(len(line.encode("utf-8", "replace")) + 1 for line in lines)
        if self.size + length > MOST_BYTES - LAST:
            return False
        self.lines += lines
        self.size += length
        return True

    def content(self) -> bytes:
        """The page."""
        return ("\n".join(self.lines) + "\n").encode("utf-8", "replace")


def _title(result: Result) -> str:
    return f"{result.check.number} {cell(result.label, 80)}"


def _row(finding: Finding) -> str:
    where = "" if finding.place is None else place_cell(finding.place)
    related = "" if finding.elsewhere is None else f" (see {place_cell(finding.elsewhere)})"
    evidence = f" {cell(finding.evidence, 160)}" if finding.evidence else ""
    return f"| {where} | {cell(finding.message)}{related}{evidence} |"
