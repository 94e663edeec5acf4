"""Packed rows that see the rows before them."""

from __future__ import annotations

from typing import ClassVar

from instructsel.audits.checks.base import PoolCheck, Pooled, Seen
from instructsel.audits.subject import Subject


class PackingLeaks(PoolCheck):
    """Packed rows that see the rows before them."""

    kind: ClassVar[str] = "packing-leaks"
    severity: ClassVar[str] = "error"
    cause: ClassVar[str] = (
        "Packed rows attend to the rows before them in their sequence, so a response is trained on the text of other conversations."
    )
    fix: ClassVar[str] = "Use --packing bfd with a base whose attention keeps packed rows apart, or no packing."

    def see(self, subject: Subject, pooled: Pooled) -> Seen | None:
        """What is wrong; None where nothing is."""
        packing = pooled.packing
        if packing is None or (packing.strategy != "wrapped" and subject.separates is not False):
            return None
        rows = packing.followers()
        why = "wrapped packing passes no boundaries to the model" if packing.strategy == "wrapped" else "the base mixes packed rows"
        return Seen(len(rows), pooled.first(rows), why, flagged=tuple(rows)) if rows else None


__all__ = ["PackingLeaks"]
