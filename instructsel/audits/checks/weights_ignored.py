"""Rows with weights that nobody reads."""

from __future__ import annotations

from typing import ClassVar, Final

from instructsel.audits.checks.base import RowCheck
from instructsel.audits.row import AuditedRow
from instructsel.audits.subject import Subject

NAMES: Final = ("weight", "weights", "loss_weight", "sample_weight", "loss_multiplier")
"""Fields with the weight of a row or of a turn."""
TURN_NAMES: Final = ("train", "training", "trainable", "loss", "masked")
"""Fields of a turn that leave it out of the loss."""


def _counts(value: object) -> bool:
    """Whether a weight is one that changes something: not 1, true or absent."""
    if isinstance(value, list):
        return any(_counts(part) for part in value)
    return isinstance(value, int | float) and value != 1


class WeightsIgnored(RowCheck):
    """Rows with weights that nobody reads."""

    kind: ClassVar[str] = "weights-ignored"
    severity: ClassVar[str] = "warning"
    cause: ClassVar[str] = (
        "The row, or a turn of it, has a weight or a flag that leaves it out of the loss; it is trained on like any other."
    )
    fix: ClassVar[str] = "Drop what is not to be trained on, or repeat what counts more."

    def flags(self, row: AuditedRow, subject: Subject) -> bool:
        """Whether the row is one of them."""
        # instructsel's own training leaves out turns of weight 0; TRL is handed the last response, and trains every one where it is told to.
        is_read = subject.settings.trainer != "trl" or subject.settings.loss in ("completion", "tulu-1")
        return any(
            name in NAMES + (TURN_NAMES if in_turn else ()) and _counts(value) and not (in_turn and is_read and value == 0)
            for name, value, in_turn in row.unread()
        )


__all__ = ["WeightsIgnored"]
