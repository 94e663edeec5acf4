"""The verdict as annotations of GitHub Actions."""

from __future__ import annotations

import re
from typing import ClassVar, Final

from instructsel.gates.finding import Finding, Place
from instructsel.gates.outputs.base import Output, Setting, in_checkout, place_of, placed, plain
from instructsel.gates.verdict import Verdict
from instructsel.text import safe_path

EACH: Final = 9
"""GitHub shows ten errors and ten warnings of a step; the tenth says how many more there are."""
OURS: Final = re.compile(rb"::(?:error|warning|notice)[ :]")
"""How an annotation begins."""
NOTICE: Final = "info"
COMMANDS: Final = {"error": "error", "warning": "warning", "info": "notice"}


def data(text: str) -> str:
    """A text as the data of a workflow command."""
    return plain(text).replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def parameter(text: str) -> str:
    """A text as a parameter of one."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A").replace(",", "%2C")


class GitHub(Output):
    """Workflow commands: nine of a severity and one that counts the rest."""

    name: ClassVar[str] = "github"
    ending: ClassVar[str] = ".txt"
    source: ClassVar[str] = "GitHub Actions: workflow commands; 10 errors and 10 warnings a step"
    file: ClassVar[str] = "-"

    def is_ours(self, data: bytes) -> bool:
        """Whether every line is an annotation."""
        return all(OURS.match(line) for line in data.splitlines())

    def render(self, verdict: Verdict, setting: Setting) -> bytes:
        """One line a finding, and one a check that could not be asked."""
        lines: list[str] = []
        for severity, command in COMMANDS.items():
            counted = [finding for finding in verdict.findings if finding.severity == severity and finding.waived is None]
            # What was not asked comes first: a gate that looked at less than it says is worse than a row more.
            left_out = [_trouble(placed(text, place), place, command) for text, place in verdict.placed_troubles if severity == "error"]
            left_out += [f"::{command}::{data(text)}" for text in _not_asked(verdict, severity)]
            shown = left_out[:EACH]
            shown += [_line(finding, command, verdict) for finding in counted[: EACH - len(shown)]]
            more = len(left_out) + len(counted) - len(shown)
            if more:
                where = f" All of them: {safe_path(setting.findings)}." if setting.findings else ""
                shown.append(f"::{command}::{data(f'{more:,} more findings of severity {severity}.{where}')}")
            lines += shown
        return ("\n".join(lines) + "\n" if lines else "").encode("utf-8", "replace")


def _not_asked(verdict: Verdict, severity: str) -> list[str]:
    """What was not asked, in sentences of a severity: an error where the gate ends with its code; nobody has to be warned of the others."""
    texts: list[str] = []
    skipped = []
    for result in verdict.not_asked:
        label = f"{result.check.number} {result.label}"
        if result.exit_code and severity == "error":
            texts.append(f"{label} {result.state}: {result.statement}")
        elif not result.exit_code and severity == NOTICE:
            skipped.append(label)
    return [*texts, f"Did not run: {', '.join(skipped)}"] if skipped else texts


def _trouble(text: str, place: Place | None, command: str) -> str:
    return f"::{command}::{data(text)}" if place is None else f"::{command} {_where(in_checkout(place))}title=cannot be read::{data(text)}"


def _where(place: Place) -> str:
    return f"file={parameter(safe_path(place.file))},line={place.line},"


def _line(finding: Finding, command: str, verdict: Verdict) -> str:
    place = place_of(finding, verdict)
    where = "" if place is None else _where(place)
    return f"::{command} {where}title={parameter(plain(f'{finding.check} {finding.kind}'))}::{data(finding.message)}"
