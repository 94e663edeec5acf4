"""Waivers: findings that somebody looked at and takes, each with a reason and a day on which it ends."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cached_property
from typing import Final

from instructsel.errors import UsageError
from instructsel.gates.checks.base import Waived
from instructsel.gates.checks.registry import kinds
from instructsel.gates.finding import Finding, without_key

LEAST: Final = 8
"""Characters of an id or a fingerprint that name it."""
EVERY: Final = "*"
"""In place of a row: every finding of the check."""


@dataclass(frozen=True)
class Waiver:
    """Findings of a check in a row that do not count."""

    check: str
    """Its kind, its number, or the name that a configuration gives it."""
    row: str
    """The example's id, the finding's fingerprint, or the beginning of either; `*` is every finding of the check."""
    reason: str
    expires: date
    """The last day on which it holds."""

    def __post_init__(self) -> None:
        if not self.reason.strip():
            raise UsageError(f"A waiver of {self.check} has no reason.", fix='Write one: reason = "why these rows may join"')
        if self.row != EVERY and len(self.row) < LEAST:
            raise UsageError(
                f"A waiver of {self.check} names the row {self.row!r}, of fewer than {LEAST} characters.",
                fix=f'Give more of the id, or row = "{EVERY}" for every row.',
            )
        kind = next((kind for kind, number in kinds().items() if number == self.check), self.check)
        object.__setattr__(self, "check", kind)

    def as_dict(self) -> dict[str, str]:
        """Plain data, without what shows by its form that it is a key."""
        texts = {"check": self.check, "row": self.row, "reason": self.reason}
        return {name: without_key(text) for name, text in texts.items()} | {"expires": self.expires.isoformat()}

    def takes(self, finding: Finding) -> bool:
        """Whether a finding is one of its own."""
        if self.check not in (finding.kind, finding.name):
            return False
        # Behind the dot stands which of equal rows it is: all of it, as .1 is no beginning of .10.
        row = finding.row or ""
        by_row = row == self.row if "." in self.row else row.startswith(self.row)
        return self.row == EVERY or by_row or finding.fingerprint.startswith(self.row)


@dataclass(eq=False)
class Waivers:
    """The waivers of a configuration, on a day."""

    waivers: Sequence[Waiver]
    today: date
    used: dict[Waiver, int] = field(default_factory=dict)
    """How many findings each took."""

    def of(self, name: str) -> Waived:
        """Those of a check that the configuration calls so."""
        return _OfCheck(self, name)

    def taking(self, finding: Finding) -> Waiver | None:
        """The waiver that takes a finding, which is counted; None where none does."""
        # What names a finding comes before what takes all of them, so that the latter is stale where it is not needed.
        beginnings = (finding.fingerprint[:LEAST], (finding.row or "")[:LEAST], EVERY) if self._beginnings else ()
        for beginning in beginnings:
            for waiver in self._beginnings.get(beginning, ()):
                if waiver.takes(finding):
                    self.used[waiver] = self.used.get(waiver, 0) + 1
                    return waiver
        return None

    @cached_property
    def _beginnings(self) -> dict[str, list[Waiver]]:
        """The beginning of a row → the waivers that hold and name such a row: each finding is compared with few."""
        beginnings: dict[str, list[Waiver]] = {}
        for waiver in self.waivers:
            if waiver.expires >= self.today:
                beginnings.setdefault(waiver.row[:LEAST], []).append(waiver)
        return beginnings

    @property
    def expired(self) -> tuple[Waiver, ...]:
        """Those whose day is over."""
        return tuple(waiver for waiver in self.waivers if waiver.expires < self.today)

    @property
    def stale(self) -> tuple[Waiver, ...]:
        """Those that hold and took nothing."""
        return tuple(waiver for waiver in self.waivers if waiver.expires >= self.today and waiver not in self.used)


@dataclass(frozen=True)
class _OfCheck(Waived):
    waivers: Waivers
    name: str

    def applied(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings with the name of their check, those of a waiver that holds with its reason."""
        result = []
        for finding in findings:
            named = replace(finding, name=self.name) if self.name else finding
            waiver = self.waivers.taking(named)
            result.append(named if waiver is None else named.with_waiver(waiver.reason))
        return tuple(result)


__all__ = ["EVERY", "Waiver", "Waivers"]
