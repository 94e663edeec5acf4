"""What a check is: a number that never changes, a question about each row or about all of them, and what it needs to be asked.

    @dataclass(frozen=True)
    class ShortResponse(RowCheck):
        '''Responses of a few characters.'''

        number: ClassVar[str] = "IS099"
        kind: ClassVar[str] = "short-response"
        severity: ClassVar[str] = "warning"
        source: ClassVar[str] = "…"
        fix: ClassVar[str] = "Drop the rows, or write a response."

        min_characters: int = 2

        def hits(self, change: Change) -> Iterator[Hit]:
            for row in change.rows:
                if len(row.response) < self.min_characters:
                    yield Hit(row.position, f"The response has {len(row.response)} characters.")

The fields of a check are what a configuration may set of it. A file of this folder is found by itself; its number stands in
`numbers.toml`, so that a number is never given twice, also when a check goes.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, ClassVar, Final, Literal, Self

from instructsel.experiments.limits import between
from instructsel.gates.finding import SEVERITIES, Finding, Place
from instructsel.stats.proportion import wilson
from instructsel.text import counted, masked, masked_excerpt, neutral, without_keys

if TYPE_CHECKING:
    from pathlib import Path

    from instructsel.gates.change import Change

MESSAGE: Final = 500
"""Characters of a finding's message."""

State = Literal["passed", "failed", "skipped", "crashed"]
"""A check that is skipped or crashed has not passed: its result says why."""


class NotEnough(Exception):
    """Too few rows for what a check measures: it is skipped, and its result says so. Raised by `hits` and `limits`."""


@dataclass(frozen=True, slots=True)
class Hit:
    """A row that a check is about."""

    position: int | None
    """Of the example among those of the change; None for a row that is none, whose place is given."""
    message: str
    """What is wrong, in one sentence."""
    value: float | None = None
    """The figure that decided."""
    related: Place | None = None
    """The other row that it is about."""
    evidence: str = ""
    """What of the row shows it; the beginning of the response by default."""
    key: str = ""
    """What tells several hits in one row apart."""
    place: Place | None = None
    """Of a row that became no example."""
    fix: str = ""
    """What to do about this one, where it is another thing than the check's own fix."""
    is_mild: bool = False
    """Whether it is one severity below the check's: a mild hit is reported and does not count toward the limit."""
    mark: str = ""
    """A digest of such a row's bytes, by which it is known when it moves."""


@dataclass(frozen=True)
class Limit:
    """A figure of the change beside what it may be."""

    passed: bool
    statement: str
    """The figure with its interval and its limit, in a sentence."""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    key: str = ""
    """What was measured, where a check measures several things: a source, an indicator."""


@dataclass(frozen=True)
class Result:
    """What became of a check."""

    check: Check
    state: State
    statement: str
    """What was seen, in a sentence; why it was skipped and what would let it run; how it crashed."""
    findings: tuple[Finding, ...] = field(default=(), repr=False)
    limits: tuple[Limit, ...] = ()
    severity: str = "error"
    """Of its findings here; see `finding.SEVERITIES`."""
    name: str = ""
    """What a configuration calls it, where one kind is asked several times; its kind by default."""
    seconds: float = 0.0
    exit_code: int = 0
    """With which a gate ends because of a check that was skipped or crashed; 0 where it need not have been asked."""

    @property
    def label(self) -> str:
        """Its name, else its kind."""
        return self.name or self.check.kind

    @property
    def counted(self) -> tuple[Finding, ...]:
        """The findings that no waiver takes out."""
        return tuple(finding for finding in self.findings if finding.waived is None)


@dataclass(frozen=True)
class Check(ABC):
    """One question about a change."""

    number: ClassVar[str]
    """IS and three digits."""
    kind: ClassVar[str]
    """Its name in configurations: small letters and hyphens."""
    severity: ClassVar[str]
    """By default; see `finding.SEVERITIES`."""
    source: ClassVar[str]
    """Where the rule comes from."""
    fix: ClassVar[str]
    """What to do about a finding, in one line."""
    needs: ClassVar[tuple[str, ...]] = ()
    """What it needs besides the rows: an extra, a baseline, a setting; in words."""
    by_default: ClassVar[bool] = True
    """Whether it is asked where no configuration names checks."""
    asks_of_reading: ClassVar[bool] = False
    """Whether it looks at the account of a reading, and not at examples."""
    exit_code: ClassVar[int] = 1
    """With which a gate ends that it fails."""

    @classmethod
    def title(cls) -> str:
        """What it is about: the first line of its docstring."""
        return (cls.__doc__ or "").strip().partition("\n")[0]

    def locked(self, change: Change) -> str | None:
        """What would let it run here, in a sentence; None where it can."""
        return None

    def core(self) -> tuple[Self, str] | None:
        """What of it needs no extra, with a sentence on what is then not looked for; None where nothing does.

        It is asked where no configuration names the check, and its extra is not installed.
        """
        return None

    @abstractmethod
    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask."""


class Waived(ABC):
    """What takes findings out."""

    @abstractmethod
    def applied(self, findings: Sequence[Finding]) -> tuple[Finding, ...]:
        """The findings, those that are waived with the reason."""


@dataclass(frozen=True)
class RowCheck(Check):
    """A question about each row."""

    max_rows: int = field(default=0, metadata=between(0, 1 << 40))
    """Rows that may be so."""
    max_rate: float | None = field(default=None, metadata=between(0, 1))
    """Share of the rows that may be so, in place of a number. In a pull request the check fails where the lower bound of the share's
    interval is above it, nightly where the share is."""

    of_row: ClassVar[bool] = False
    """Whether a hit depends on the conversation of its row alone, and telling takes some time: parts of a change are asked in several processes."""

    @abstractmethod
    def hits(self, change: Change) -> Iterator[Hit]:
        """The rows that are so, in any order."""

    def carry(self, change: Change, folder: Path) -> None:
        """Make what other processes would have to make again, and write it into a folder, which is `carried` there."""
        return

    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask every row."""
        answered = change.answered.get(repr(self))
        hits = [(self._finding(hit, change, severity), hit.is_mild) for hit in (self.hits(change) if answered is None else answered)]
        hits.sort(key=lambda entry: _order(entry[0]))
        findings = waived.applied([finding for finding, _ in hits])
        # By the hit, and not by its severity: beneath info there is none.
        counting = [finding for finding, (_, is_mild) in zip(findings, hits, strict=True) if finding.waived is None and not is_mild]
        several = change.several
        rows = self.rows_counted(change, len({several.get(finding.row or "", (finding.row, finding.place)) for finding in counting}))
        limit = self.limit(rows, change.n_rows if self.asks_of_reading else change.n_asked, nightly=change.nightly)
        n_waived = sum(finding.waived is not None for finding in findings)
        statement = limit.statement + (f" {counted(n_waived, 'finding')} waived." if n_waived else "")
        return Result(self, "passed" if limit.passed else "failed", statement, findings, (limit,))

    def rows_counted(self, change: Change, listed: int) -> int:
        """How many rows are so, where findings name `listed` of them."""
        return listed

    def limit(self, rows: int, n: int, *, nightly: bool) -> Limit:
        """A number of rows beside what it may be."""
        low, high = wilson(rows, n)
        share = rows / n if n else 0.0
        share_of = f"{rows:,} of {counted(n, 'row')}"
        if self.max_rate is None:
            words = "none allowed" if not self.max_rows else f"at most {self.max_rows:,} allowed"
            return Limit(rows <= self.max_rows, f"{share_of}; {words}.", float(rows), None, None)
        decided = share if nightly else low
        rule = "the share counts" if nightly else "the lower bound counts"
        text = f"{share_of} ({share:.2%}, 95 % interval {low:.2%} to {high:.2%}); at most {self.max_rate:.2%} allowed, and {rule}."
        return Limit(decided <= self.max_rate, text, share, low, high)

    def _finding(self, hit: Hit, change: Change, severity: str) -> Finding:
        row = None if hit.position is None else change.rows[hit.position]
        return Finding(
            self.number,
            self.kind,
            SEVERITIES[min(SEVERITIES.index(severity) + hit.is_mild, len(SEVERITIES) - 1)],
            neutral(masked(hit.message), MESSAGE),
            hit.fix or self.fix,
            (hit.mark or None) if row is None else row.id,
            hit.place if row is None else row.place,
            hit.related,
            hit.value,
            masked_excerpt(hit.evidence or ("" if row is None else row.response)),
            hit.key,
        )


@dataclass(frozen=True)
class PoolCheck(Check):
    """A question about all rows together."""

    @abstractmethod
    def limits(self, change: Change) -> list[Limit]:
        """What was measured, each figure beside its limit."""

    def result(self, change: Change, severity: str, waived: Waived) -> Result:
        """Ask once; every limit that is passed over is a finding."""
        limits = [replace(limit, statement=without_keys(limit.statement)) for limit in self.limits(change)]
        over = [limit for limit in limits if not limit.passed]
        findings = waived.applied(
            [
                Finding(
                    self.number, self.kind, severity, neutral(masked(limit.statement), MESSAGE), self.fix, value=limit.value, key=limit.key
                )
                for limit in over
            ]
        )
        failed = any(finding.waived is None for finding in findings)
        statement = " ".join(limit.statement for limit in over or limits)
        return Result(self, "failed" if failed else "passed", statement, findings, tuple(limits))


def _order(finding: Finding) -> tuple[str, int, str]:
    place = finding.place
    return ("", 0, finding.key) if place is None else (place.file, place.line, finding.key)


__all__ = ["MESSAGE", "Check", "Hit", "Limit", "NotEnough", "PoolCheck", "Result", "RowCheck", "State", "Waived"]
