"""What a gate says: may these rows join, why not, which ones."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from instructsel.errors import BaselineError, NothingToDo, UsageError, decisive
from instructsel.gates.baseline.known import Known
from instructsel.gates.change import Change, shown_path
from instructsel.gates.checks.base import Result
from instructsel.gates.finding import SEVERITIES, Finding, Place, without_key
from instructsel.gates.unread import UnreadFile
from instructsel.gates.waivers import Waiver
from instructsel.kinds import GATE, head
from instructsel.read_report import ReadReport
from instructsel.text import counted, html_table, neutral

if TYPE_CHECKING:
    import polars

STATES: Final = ("failed", "crashed", "skipped", "passed")
"""In the order in which results are listed."""
SENTENCE: Final = 500
"""Characters of a trouble."""
MEANINGS: Final = {
    0: "the rows may join",
    1: "the rows may not join",
    2: "a check cannot run with these settings",
    3: "a file, the baseline or too many rows cannot be read",
    4: "a check could not run here, or crashed",
    5: "there is nothing to check",
}
"""Exit code → what it means."""
NEVER: Final = "never"
FAIL_ON: Final = ("error", "warning", NEVER)
"""From which severity on the gate fails."""
PASSED: Final = "passed"
FAILED: Final = "failed"
INCOMPLETE: Final = "incomplete"
"""Nothing failed that was asked, and a check that the configuration names could not be asked, or one crashed, or a file could not be read."""


@dataclass(frozen=True, eq=False, repr=False)
class Verdict:
    """The results of all checks of a change. Make one with `gate`."""

    results: tuple[Result, ...]
    change: Change = field(repr=False)
    """The rows that were looked at."""
    where: str = ""
    """The configuration's file; "" for the defaults."""
    nightly: bool = False
    expired: tuple[Waiver, ...] = ()
    stale: tuple[Waiver, ...] = ()
    waived: Mapping[Waiver, int] = field(default_factory=dict)

    @property
    def report(self) -> ReadReport:
        """Rows read, kept, dropped, quarantined."""
        return self.change.report

    @property
    def known(self) -> Known:
        """The rows that the baseline has already, and that nobody looked at."""
        return self.change.known

    @property
    def unread(self) -> tuple[UnreadFile, ...]:
        """The files that are no pool, each with the reason."""
        return self.change.unread

    @property
    def troubles(self) -> tuple[str, ...]:
        """What besides the checks keeps the gate from an answer, in sentences."""
        return tuple(text for text, _ in self.placed_troubles)

    @property
    def placed_troubles(self) -> tuple[tuple[str, Place | None], ...]:
        """The same, each with the first line of the file that is no pool; None of the baseline."""
        entries: list[tuple[str, Place | None]] = []
        for file in self.unread:
            shown = shown_path(file.name)
            entries.append((file.sentence(shown, SENTENCE), Place(shown, 1)))
        entries += [] if self.fault is None else [(neutral(self.fault.line.replace(f"{Path.cwd()}{os.sep}", ""), SENTENCE), None)]
        return tuple(entries)

    @property
    def notes(self) -> tuple[str, ...]:
        """What to know of which rows were looked at, in sentences."""
        return tuple(neutral(note, SENTENCE) for note in (*self.change.notes, *self.report.notes))

    @property
    def fault(self) -> BaselineError | None:
        """Why the baseline could not be read."""
        return self.change.fault

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All of them: errors first, then by file and line."""

        def order(finding: Finding) -> tuple[int, str, int, str]:
            place = finding.place
            return (
                SEVERITIES.index(finding.severity),
                "" if place is None else place.file,
                0 if place is None else place.line,
                finding.check,
            )

        return tuple(sorted((finding for result in self.results for finding in result.findings), key=order))

    def failing(self, fail_on: str = "error") -> tuple[Result, ...]:
        """The checks that failed, of a severity on which the gate fails.

        Raises:
            UsageError: `fail_on` is none of FAIL_ON.
        """
        if fail_on not in FAIL_ON:
            raise UsageError.named(fail_on, FAIL_ON, noun="severity to fail on")
        levels = SEVERITIES[: FAIL_ON.index(fail_on) + 1] if fail_on != NEVER else ()
        return tuple(result for result in self.results if result.state == "failed" and result.severity in levels)

    @property
    def not_asked(self) -> tuple[Result, ...]:
        """The checks that were skipped, or crashed."""
        return tuple(result for result in self.results if result.state in ("skipped", "crashed"))

    @property
    def lacking(self) -> tuple[str, ...]:
        """What the rows had to be asked and were not, in sentences: checks that a configuration names, those that crashed, a baseline that cannot be read."""
        checks = [f"{result.check.number} {result.label}: {result.statement}" for result in self.not_asked if result.exit_code]
        return (*checks, *([neutral(self.fault.line, SENTENCE)] if self.fault is not None else []))

    @property
    def ordered(self) -> tuple[Result, ...]:
        """The results: what failed, by severity; what crashed; what was skipped, that which had to be asked first; the rest."""

        def order(result: Result) -> tuple[int, bool, int]:
            return STATES.index(result.state), not result.exit_code, SEVERITIES.index(result.severity)

        return tuple(sorted(self.results, key=order))

    def outcome(self, fail_on: str = "error") -> str:
        """passed, failed, or incomplete."""
        if self.failing(fail_on):
            return FAILED
        return INCOMPLETE if self.exit_code(fail_on) else PASSED

    def exit_code(self, fail_on: str = "error") -> int:
        """0 passed, 1 failed, 3 over the limit of unreadable rows, or a file or a baseline that cannot be read, 4 a check could not be asked, 5 nothing to check; see `errors`."""
        codes = [result.check.exit_code for result in self.failing(fail_on)]
        codes += [result.exit_code for result in self.not_asked]
        codes += [self.fault.exit_code] if self.fault is not None else []
        codes += [file.error.exit_code for file in self.unread]
        codes += [] if self.change.n_rows or self.known.rows else [NothingToDo.exit_code]
        return decisive(codes)

    def rejected(self, fail_on: str = "error") -> frozenset[str]:
        """Ids of the rows that have a finding that counts, of a severity on which the gate fails; of errors where it never does."""
        levels = SEVERITIES[:2] if fail_on == "warning" else SEVERITIES[:1]
        return frozenset(finding.row for finding in self.findings if finding.row and finding.severity in levels and finding.waived is None)

    def __repr__(self) -> str:
        """One line: the outcome, and the checks that failed."""
        named = ", ".join(f"{result.check.number} {result.label}" for result in self.failing())
        n_asked = sum(result.state in ("passed", "failed") for result in self.results)
        return f"Verdict({self.outcome()}: {counted(n_asked, 'check')} of {counted(self.change.n_rows, 'row')}{'; failed: ' if named else ''}{named})"

    def _repr_html_(self) -> str:
        """What a notebook shows: a row a check, those that failed first."""
        rows = [
            (result.check.number, result.label, result.state, result.severity, f"{len(result.counted):,}", result.statement)
            for result in self.ordered
        ]
        return html_table(repr(self), ("number", "check", "state", "severity", "findings", "what was seen"), rows)

    @property
    def frame(self) -> polars.DataFrame:
        """The findings, one row each, never a sample."""
        import polars

        schema: dict[str, Any] = dict.fromkeys(("check", "kind", "name", "severity", "message", "fix", "row", "file"), polars.String)
        schema |= {"line": polars.Int64, "related": polars.String, "value": polars.Float64}
        schema |= dict.fromkeys(("evidence", "fingerprint", "waived"), polars.String)
        return polars.DataFrame([finding.as_dict() for finding in self.findings], schema=schema)

    def write_findings(self, path: str | Path, fail_on: str = "error") -> None:
        """Write every finding as .parquet or .csv, with the checks' statements in the manifest.

        Raises:
            UsageError: another ending.
            EnvironmentFault: it cannot be written.
        """
        from instructsel.tables import write_frame

        write_frame(path, self.frame, {key: value for key, value in self.as_dict(fail_on).items() if key != "findings"})

    def as_dict(self, fail_on: str = "error") -> dict[str, Any]:
        """Plain data, every finding in it."""
        return {
            **head(GATE),
            "outcome": self.outcome(fail_on),
            "fail_on": fail_on,
            "exit_code": self.exit_code(fail_on),
            "mode": "nightly" if self.nightly else "pull-request",
            "config": without_key(self.where) or None,
            "troubles": list(self.troubles),
            "notes": list(self.notes),
            "rows": {
                "read": self.report.read - self.known.excluded,
                "in_baseline": self.known.rows,
                "kept": self.report.kept - self.known.excluded,
                "dropped": dict(self.report.dropped),
                "quarantined": dict(self.report.quarantined),
            },
            "checks": [
                {
                    "number": result.check.number,
                    "kind": result.check.kind,
                    "name": without_key(result.label),
                    "severity": result.severity,
                    "state": result.state,
                    "statement": result.statement,
                    "findings": len(result.findings),
                    "waived": len(result.findings) - len(result.counted),
                    "limits": [
                        {"passed": limit.passed, "value": limit.value, "low": limit.low, "high": limit.high, "statement": limit.statement}
                        for limit in result.limits
                    ],
                }
                for result in self.results
            ],
            "findings": [finding.as_dict() for finding in self.findings],
            "waivers": {
                "used": [{**waiver.as_dict(), "findings": number} for waiver, number in self.waived.items()],
                "stale": [waiver.as_dict() for waiver in self.stale],
                "expired": [waiver.as_dict() for waiver in self.expired],
            },
        }


__all__ = ["FAILED", "FAIL_ON", "INCOMPLETE", "PASSED", "Verdict"]
