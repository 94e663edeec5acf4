"""What a gate says: may these rows join, why not, which ones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from instructsel.errors import BaselineError
from instructsel.gates.baseline.known import Known
from instructsel.gates.checks.base import Result
from instructsel.gates.finding import SEVERITIES, Finding
from instructsel.gates.waivers import Waiver
from instructsel.kinds import GATE, head
from instructsel.read_report import ReadReport

if TYPE_CHECKING:
    import polars

FAIL_ON: Final = ("error", "warning", "never")
PASSED: Final = "passed"
FAILED: Final = "failed"
INCOMPLETE: Final = "incomplete"
"""Nothing failed that was asked, and a check of error severity could not be asked or crashed."""


@dataclass(frozen=True, eq=False)
class Verdict:
    """The results of all checks of a change. Make one with `gate`."""

    results: tuple[Result, ...]
    report: ReadReport
    """Rows read, kept, dropped, quarantined."""
    nightly: bool = False
    expired: tuple[Waiver, ...] = ()
    stale: tuple[Waiver, ...] = ()
    waived: Mapping[Waiver, int] = field(default_factory=dict)
    known: Known = field(default_factory=Known)
    """The rows that the baseline has already, and that nobody looked at."""
    fault: BaselineError | None = None
    """Why the baseline could not be read."""

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
        """The checks that failed, of a severity on which the gate fails."""
        levels = {"error": ("error",), "warning": ("error", "warning"), "never": ()}[fail_on]
        return tuple(result for result in self.results if result.state == "failed" and result.severity in levels)

    @property
    def not_asked(self) -> tuple[Result, ...]:
        """The checks that were skipped, or crashed."""
        return tuple(result for result in self.results if result.state in ("skipped", "crashed"))

    def outcome(self, fail_on: str = "error") -> str:
        """passed, failed, or incomplete."""
        if self.failing(fail_on):
            return FAILED
        crashed = any(result.state == "crashed" and result.severity == "error" for result in self.results)
        return INCOMPLETE if crashed and fail_on != "never" else PASSED

    @cached_property
    def rejected(self) -> frozenset[str]:
        """Ids of the rows that have a finding of error severity that counts."""
        return frozenset(finding.row for finding in self.findings if finding.row and finding.severity == "error" and finding.waived is None)

    @property
    def frame(self) -> polars.DataFrame:
        """The findings, one row each, never a sample."""
        import polars

        schema: dict[str, Any] = dict.fromkeys(("check", "kind", "severity", "message", "fix", "row", "file"), polars.String)
        schema |= {"line": polars.Int64, "related": polars.String, "value": polars.Float64}
        schema |= dict.fromkeys(("evidence", "fingerprint", "waived"), polars.String)
        return polars.DataFrame([finding.as_dict() for finding in self.findings], schema=schema)

    def as_dict(self, fail_on: str = "error") -> dict[str, Any]:
        """Plain data, every finding in it."""
        return {
            **head(GATE),
            "outcome": self.outcome(fail_on),
            "fail_on": fail_on,
            "mode": "nightly" if self.nightly else "pull-request",
            "rows": {
                "read": self.report.read - self.known.excluded,
                "in_baseline": self.known.rows,
                "kept": self.report.kept,
                "dropped": dict(self.report.dropped),
                "quarantined": dict(self.report.quarantined),
            },
            "checks": [
                {
                    "number": result.check.number,
                    "kind": result.check.kind,
                    "name": result.label,
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
                "used": [
                    {"check": waiver.check, "row": waiver.row, "reason": waiver.reason, "findings": n} for waiver, n in self.waived.items()
                ],
                "stale": [_waiver(waiver) for waiver in self.stale],
                "expired": [_waiver(waiver) for waiver in self.expired],
            },
        }


def _waiver(waiver: Waiver) -> dict[str, Any]:
    return {"check": waiver.check, "row": waiver.row, "reason": waiver.reason, "expires": waiver.expires.isoformat()}


__all__ = ["FAILED", "FAIL_ON", "INCOMPLETE", "PASSED", "Verdict"]
