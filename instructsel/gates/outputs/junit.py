"""The verdict as JUnit XML: a test case a check."""

from __future__ import annotations

import re
from typing import ClassVar, Final
from xml.sax.saxutils import escape, quoteattr

from instructsel.gates.outputs.base import Output, Setting, capped, in_checkout, placed, plain, shown_place
from instructsel.gates.verdict import Verdict
from instructsel.text import clean, safe_path

EACH: Final = 100
"""Findings of a check that are listed."""
DECLARATION: Final = '<?xml version="1.0" encoding="utf-8"?>'
SUITES: Final = '<testsuites name="instructsel gate"'
NOT_XML: Final = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def _text(text: str, limit: int = 500) -> str:
    return escape(NOT_XML.sub("�", plain(text, limit)))


def _attribute(text: str, limit: int = 500) -> str:
    return quoteattr(NOT_XML.sub("�", plain(text, limit)))


class JUnit(Output):
    """A test suite: checks that failed are failures, those that crashed errors, those that were not asked skipped."""

    name: ClassVar[str] = "junit"
    ending: ClassVar[str] = ".xml"
    source: ClassVar[str] = "JUnit XML by the schema of Jenkins' xUnit plug-in (junit-10.xsd), as GitLab reads it, too"
    file: ClassVar[str] = "gate.junit.xml"

    def is_ours(self, data: bytes) -> bool:
        """Whether it begins as one of ours does."""
        return data.startswith(f"{DECLARATION}\n{SUITES} ".encode())

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """One suite."""
        failing = {result.label for result in verdict.failing(setting.fail_on)}
        counts = {
            "tests": len(verdict.results) + len(verdict.troubles),
            "failures": len(failing),
            "errors": sum(result.state == "crashed" for result in verdict.results) + len(verdict.troubles),
            "skipped": sum(result.state == "skipped" for result in verdict.results),
        }
        seconds = sum(result.seconds for result in verdict.results)
        numbers = " ".join(f'{name}="{count}"' for name, count in counts.items())
        # All suites together have no number of skipped cases in the schema.
        lines = [DECLARATION, f'{SUITES} {numbers.partition(" skipped=")[0]} time="{seconds:.3f}">']
        lines.append(f'<testsuite name="instructsel gate" {numbers} time="{seconds:.3f}">')
        for trouble, place in verdict.placed_troubles:
            name = "reading" if place is None else f"reading {safe_path(in_checkout(place).file)}"
            error = f'<error message={_attribute(placed(trouble, place))} type="reading"/>'
            lines.append(f'<testcase classname="instructsel.gate" name={_attribute(name)}>{error}</testcase>')
        for result in verdict.results:
            name = f"{result.check.number} {result.label}"
            lines.append(f'<testcase classname="instructsel.gate" name={_attribute(name)} time="{result.seconds:.3f}">')
            if result.label in failing:
                shown, more = capped(result.findings, EACH)
                listed = [f"{shown_place(finding.place) if finding.place else ''} {plain(finding.message)}".strip() for finding in shown]
                listed += [f"{more:,} more"] if more else []
                body = escape(NOT_XML.sub("�", clean("\n".join(listed))))
                lines.append(f"<failure message={_attribute(result.statement)} type={_attribute(result.check.number)}>{body}</failure>")
            elif result.state == "crashed":
                lines.append(f'<error message={_attribute(result.statement)} type="crash"/>')
            elif result.state == "skipped":
                lines.append(f"<skipped message={_attribute(result.statement)}/>")
            elif result.state == "failed":
                lines.append(f"<system-out>{_text('warning: ' + result.statement)}</system-out>")
            lines.append("</testcase>")
        return ("\n".join([*lines, "</testsuite>", "</testsuites>"]) + "\n").encode("utf-8", "replace")
