"""Rows that are longer than the trainer takes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

from instructsel.experiments.limits import between
from instructsel.gates.audited import AuditCheck
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit


@dataclass(frozen=True)
class Truncated(AuditCheck):
    """Rows that are cut off at `max_length`."""

    number: ClassVar[str] = "IS005"
    kind: ClassVar[str] = "truncated"
    severity: ClassVar[str] = "warning"
    source: ClassVar[str] = "TRL 1.16, SFTTrainer: what is behind max_length is cut off"
    fix: ClassVar[str] = "Raise max_length, or shorten the row."

    max_rate: float | None = field(default=0.05, metadata=between(0, 1))
    """Share of the rows that may be so; 5 % by default."""

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows of which tokens are cut off."""
        for position, row in self.audited(change).rows():
            if row["truncated"]:
                message = f"The row has {row['full_tokens']:,} tokens, and {row['tokens']:,} are seen; of these, the loss falls on {row['loss_tokens']:,}."
                yield Hit(position, message, float(row["full_tokens"]))


__all__ = ["Truncated"]
