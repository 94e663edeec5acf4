"""Waivers: findings that somebody looked at and takes, each with a reason and a day on which it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date

from instructsel.errors import UsageError
from instructsel.gates.checks.base import Waived
from instructsel.gates.checks.registry import check_named
from instructsel.gates.finding import Finding

LEAST: int = 8
"""Characters of an id or a fingerprint that name it."""


@dataclass(frozen=True)
class Waiver:
    """Findings of a check in a row that do not count."""

    check: str
    """Its kind."""
    row: str
    """The example's id, the finding's fingerprint, or the beginning of either; `*` is every finding of the check."""
    reason: str
    expires: date
    """The last day on which it holds."""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise UsageError(f"A waiver of {self.check} has no reason.", fix='Write one: reason = "why these rows may join"')
        if self.row != "*" and len(self.row) < LEAST:
            raise UsageError(
                f"A waiver of {self.check} names the row {self.row!r}, of fewer than {LEAST} characters.", fix="Give more of the id."
            )
        object.__setattr__(self, "check", check_named(self.check).kind)

    def takes(self, finding: Finding) -> bool:
        """Whether a finding is one of its own."""
        names = (finding.row or "", finding.fingerprint)
        return finding.kind == self.check and (self.row == "*" or any(name.startswith(self.row) for name in names))


@dataclass(eq=False)
class Waivers(Waived):
    """The waivers of a configuration, on a day."""

    waivers: Sequence[Waiver]
    today: date
    used: dict[Waiver, int] = field(default_factory=dict)
    """How many findings each took."""

    def applied(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings, those of a waiver that holds with its reason."""
        result = []
        for finding in findings:
            waiver = next((waiver for waiver in self.waivers if waiver.expires >= self.today and waiver.takes(finding)), None)
            if waiver is not None:
                self.used[waiver] = self.used.get(waiver, 0) + 1
            result.append(finding if waiver is None else finding.with_waiver(waiver.reason))
        return tuple(result)

    @property
    def expired(self) -> tuple[Waiver, ...]:
        """Those whose day is over."""
        return tuple(waiver for waiver in self.waivers if waiver.expires < self.today)

    @property
    def stale(self) -> tuple[Waiver, ...]:
        """Those that hold and took nothing."""
        return tuple(waiver for waiver in self.waivers if waiver.expires >= self.today and waiver not in self.used)


__all__ = ["Waiver", "Waivers"]
