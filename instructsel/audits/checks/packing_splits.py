"""Rows that packing cuts in two."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import PoolCheck, Pooled, Seen
from instructsel.audits.subject import Subject


class PackingSplits(PoolCheck):
    """Rows that packing cuts in two."""

    kind: ClassVar[str] = "packing-splits"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = "Packing cuts the row and puts the later part at the head of another sequence, where its prompt is not seen."
    fix: ClassVar[str] = "Use --packing bfd, which keeps rows whole, and a --max-length that holds them."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        rows = pooled.packing.split() if pooled.packing is not None else []
        return Seen(len(rows), pooled.first(rows), flagged=tuple(rows)) if rows else None


__all__ = ["PackingSplits"]
