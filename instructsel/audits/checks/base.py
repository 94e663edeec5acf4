"""What a check is: a name, a severity, a cause, a fix, and one of three questions: about the template, a row, or all rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

from instructsel.audits.finding import Finding

if TYPE_CHECKING:
    from instructsel.audits.packing import Packing
    from instructsel.audits.row import AuditedRow
    from instructsel.audits.subject import Subject
    from instructsel.read_report import ReadReport

LISTED: Final = 10
"""Rows that a finding names."""


@dataclass(frozen=True)
class Pooled:
    """What is known when all rows were seen."""

    rows: int
    """Rows of the pool."""
    several_responses: int
    """Rows with more than one turn of the model."""
    reasons: Mapping[str, int]
    """Rows without a loss token, by reason."""
    packing: Packing | None
    """The packed sequences, where there are some."""
    report: ReadReport
    """What reading dropped and quarantined."""
    place_of: Callable[[int], str]
    """FILE:LINE of a row by its number."""

    def first(self, rows: Sequence[int]) -> tuple[str, ...]:
        """The first of some rows as FILE:LINE."""
        return tuple(self.place_of(row) for row in rows[:LISTED])


@dataclass(frozen=True)
class Seen:
    """What a check of the template, or of all rows, saw."""

    count: int = 1
    """How many, in the check's unit."""
    rows: tuple[str, ...] = ()
    """The first rows, as FILE:LINE."""
    detail: str = ""
    """What was seen."""
    severity: str | None = None
    """Another severity than the check's own."""
    flagged: tuple[int, ...] = ()
    """Numbers of the rows it is about."""


class Check(ABC):
    """One thing that can be wrong with what is trained on."""

    kind: ClassVar[str]
    """Its name, as `--fail-on` takes it: small letters and hyphens."""
    severity: ClassVar[str]
    """error, warning or info; see `finding.SEVERITIES`."""
    unit: ClassVar[str]
    """What is counted: row, template, tokenizer or base."""
    cause: ClassVar[str]
    """What it is and what it does, in one sentence."""
    fix: ClassVar[str]
    """What to do about it, in one line."""

    def finding(self, seen: Seen) -> Finding:
        """What was seen as a finding."""
        return Finding(self.kind, seen.severity or self.severity, seen.count, self.unit, self.cause, self.fix, seen.rows, seen.detail)


class TemplateCheck(Check):
    """A check of tokenizer, template and base, with no regard to what the rows say."""

    @abstractmethod
    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""


class RowCheck(Check):
    """A check of one row."""

    unit: ClassVar[str] = "row"

    @abstractmethod
    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether it is so in this row."""

    def detail(self, row: AuditedRow, subject: Subject) -> str:
        """What was seen in the first row it flags."""
        return ""

    def severity_of(self, subject: Subject) -> str:
        """Its severity with these settings."""
        return self.severity


class PoolCheck(Check):
    """A check of all rows together."""

    unit: ClassVar[str] = "row"

    @abstractmethod
    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""


__all__ = ["LISTED", "Check", "PoolCheck", "Pooled", "RowCheck", "Seen", "TemplateCheck"]
