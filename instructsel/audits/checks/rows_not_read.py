"""Rows of the files that are no examples."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from instructsel.audits.checks.base import LISTED, PoolCheck, Pooled, Seen
from instructsel.audits.subject import Subject


class RowsNotRead(PoolCheck):
    """Rows of the files that are no examples."""

    kind: ClassVar[str] = "rows-not-read"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "The rows could not be read as examples, or have no response: they are not trained on."
    fix: ClassVar[str] = "Mend or drop them; --format and --map say how rows are read."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        report = pooled.report
        count = report.n_dropped + report.n_quarantined
        rows = tuple(f"{Path(row.file).name}:{row.line}" for row in report.quarantine[:LISTED])
        reasons = ", ".join(f"{number:,} {reason}" for reason, number in {**report.dropped, **report.quarantined}.items())
        # What a format leaves out on purpose, e.g. other paths of a tree, is no alarm.
        return Seen(count, rows, reasons, severity=None if report.n_quarantined else "info") if count else None


__all__ = ["RowsNotRead"]
