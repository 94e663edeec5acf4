"""An audit: what a trainer would train on, row by row, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from instructsel.artifact import atomic_write, dump_json
from instructsel.audits.checks.registry import ANY, checked_conditions
from instructsel.audits.finding import Finding
from instructsel.audits.settings import AuditSettings
from instructsel.audits.shown import ShownRow
from instructsel.audits.totals import Totals
from instructsel.errors import UsageError
from instructsel.kinds import AUDIT, head
from instructsel.text import counted, html_table

if TYPE_CHECKING:
    import polars

SUFFIXES = (".json", ".parquet", ".csv")


@dataclass(frozen=True, eq=False, repr=False)
class Audit:
    """What a trainer would train on. Make one with `audit`."""

    base: str
    """The base, or the tokenizer."""
    settings: AuditSettings
    """Of the trainer."""
    frame: polars.DataFrame = field(repr=False)
    """One row an example, in the order of the files: file, line, source, tokens (after truncation), loss_tokens, full_tokens (before),
    truncated, reason (why the loss falls on none of it), flags (kinds of findings, joined by a space)."""
    findings: tuple[Finding, ...]
    """Errors first, then warnings, then infos."""
    totals: Totals
    """Tokens, steps, padding and cost."""
    shown: tuple[ShownRow, ...] = field(repr=False, default=())
    """Rows to look at."""

    def __repr__(self) -> str:
        counts = ", ".join(f"{finding.count:,} {finding.kind}" for finding in self.findings if finding.severity != "info")
        return f"Audit({self.totals.trained_rows:,} of {counted(self.totals.rows, 'row')} trained with {self.base}; {counts or 'nothing is wrong'})"

    def _repr_html_(self) -> str:
        """What a notebook shows: the findings."""
        rows = [
            (finding.severity, finding.kind, f"{finding.count:,}", ", ".join(finding.rows[:3]), finding.fix) for finding in self.findings
        ]
        return html_table(repr(self), ("severity", "finding", "count", "first rows", "fix"), rows)

    def failing(self, conditions: Sequence[str]) -> tuple[Finding, ...]:
        """The findings that conditions name.

        Args:
            conditions: kinds of findings, severities, or "any": every error and warning.

        Raises:
            UsageError: a condition that is none of these.
        """
        names = checked_conditions(conditions)
        return tuple(
            finding
            for finding in self.findings
            if finding.kind in names or finding.severity in names or (ANY in names and finding.severity != "info")
        )

    def as_dict(self) -> dict[str, Any]:
        """The audit as plain data, the rows aside."""
        return {
            **head(AUDIT),
            "base": self.base,
            "settings": self.settings.as_dict(),
            "findings": [finding.as_dict() for finding in self.findings],
            "totals": self.totals.as_dict(),
        }

    def write(self, path: str | Path) -> None:
        """Write the audit as .json, or its rows as .parquet or .csv with the audit as their manifest.

        Raises:
            UsageError: another suffix.
            EnvironmentFault: the folder is missing or not writable, or the disk is full.
        """
        target = Path(path)
        if target.suffix not in SUFFIXES:
            raise UsageError(f"{target} ends in none of {', '.join(SUFFIXES)}.", fix="Give the audit one of these endings.")
        if target.suffix == ".json":
            with atomic_write(target) as file:
                file.write(dump_json(self.as_dict(), indent=True) + b"\n")
            return
        from instructsel.tables import write_frame

        write_frame(target, self.frame, self.as_dict())


__all__ = ["Audit"]
