"""Rows that nothing is learnt from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.audited import AuditCheck
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit

OTHERS: Final = frozenset({"not_a_prefix", "template_refused"})
"""Reasons that other checks are about."""


@dataclass(frozen=True)
class NoLossToken(AuditCheck):
    """Rows without a token that the loss falls on."""

    number: ClassVar[str] = "IS006"
    kind: ClassVar[str] = "no-loss-token"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "TRL 1.16, SFTTrainer: such a row is dropped without a word"
    fix: ClassVar[str] = "Raise max_length, shorten the prompt, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows without a loss token, with the reason."""
        for position, row in self.audited(change).rows():
            if row["reason"] is None or row["reason"] in OTHERS:
                continue
            cut = f"the prompt fills the {row['tokens']:,} tokens that are seen" if row["truncated"] else f"reason: {row['reason']}"
            yield Hit(position, f"The loss falls on none of its {row['full_tokens']:,} tokens; {cut}.", float(row["full_tokens"]))


__all__ = ["NoLossToken"]
