"""Rows whose prompt the chat template writes in another way once the response follows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Final

from instructsel.gates.audited import AuditCheck
from instructsel.gates.change import Change
from instructsel.gates.checks.base import Hit

KIND: Final = "not-a-prefix"
"""Of the audit."""


@dataclass(frozen=True)
class TemplatePrefix(AuditCheck):
    """Rows whose rendered prompt is no beginning of the rendered conversation."""

    number: ClassVar[str] = "IS004"
    kind: ClassVar[str] = "template-prefix"
    severity: ClassVar[str] = "error"
    source: ClassVar[str] = "TRL 1.16, SFTTrainer: prompt and completion are told apart by the tokens that both begin with"
    fix: ClassVar[str] = "Use a template that renders a prompt alike with and without what follows it, or take the row out."

    def hits(self, change: Change) -> Iterator[Hit]:
        """Rows that the audit calls not-a-prefix."""
        for position, row in self.audited(change).rows():
            if KIND in row["flags"].split():
                yield Hit(
                    position,
                    "The template writes the prompt differently once the response follows: where the response begins is not known.",
                )


__all__ = ["TemplatePrefix"]
