"""How a trainer would prepare its data: what an audit assumes of it."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.grading.chat import LOSSES
from instructsel.magnitude import is_usable
from instructsel.shapes import shown

PACKINGS: Final = ("bfd", "bfd_split", "wrapped")
"""TRL's packing strategies."""
TRAINERS: Final = ("trl", "instructsel")
"""Whose preparation of rows is audited."""


MOST: Final = {"max_length": 1_000_000_000, "batch_size": 10_000_000, "epochs": 1_000_000}
"""Setting → the largest number that it may be."""


@dataclass(frozen=True)
class AuditSettings:
    """The settings of a trainer that decide which tokens are trained on."""

    max_length: int = field(default=1024, metadata={"least": 1, "most": MOST["max_length"]})
    """Tokens of a row, or of a packed sequence; the rest is cut off. TRL's default is 1,024, too."""
    packing: str | None = None
    """How rows share a sequence, by TRL's names: bfd (a row is cut at max_length), bfd_split (it is continued in another sequence),
    wrapped (rows are cut wherever a sequence is full); none without it. The flag alone means bfd."""
    loss: str = "completion"
    """Where the loss falls: completion (last response), assistant (all responses), tulu-1 (as in the first release of Tülu), all."""
    trainer: str = "trl"
    """Whose tokens and loss tokens: trl (those of TRL's SFTTrainer, row by row), or instructsel (those of `train`, which differ from
    TRL's where a text spells out a special token, is empty, or begins within a token of the prompt, and in what is marked)."""
    batch_size: int = field(default=16, metadata={"least": 1, "most": MOST["batch_size"]})
    """Rows, or packed sequences, of an optimizer step."""
    epochs: float = field(default=1.0, metadata={"least": 0, "most": MOST["epochs"]})
    """Passes over the rows."""

    def __post_init__(self) -> None:
        if self.loss not in LOSSES:
            raise UsageError.named(str(self.loss), LOSSES, noun="loss")
        if self.packing is not None and self.packing not in PACKINGS:
            raise UsageError.named(str(self.packing), PACKINGS, noun="packing strategy")
        if self.trainer not in TRAINERS:
            raise UsageError.named(str(self.trainer), TRAINERS, noun="trainer")
        for name in ("max_length", "batch_size", "epochs"):
            value = getattr(self, name)
            most = MOST[name]
            if not is_usable(value) or not 0 < value <= most or (name != "epochs" and not isinstance(value, int)):
                raise UsageError(f"{name} of an audit is a number above 0, up to {most:,}, not {shown(value)}.")

    def as_dict(self) -> dict[str, Any]:
        """The settings as plain data."""
        return {setting.name: getattr(self, setting.name) for setting in fields(self)}


__all__ = ["PACKINGS", "TRAINERS", "AuditSettings"]
