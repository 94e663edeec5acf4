"""How a command fine-tunes, by flag: base and machine, and what of the preset's recipe is changed."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Final

from instructsel.errors import UsageError
from instructsel.experiments.limits import LONGEST_ROW, MOST_EPOCHS, MOST_NORM, MOST_RATE, MOST_ROWS, MOST_UNITS, between, check_limits
from instructsel.experiments.plan import TrainingSettings
from instructsel.magnitude import LARGEST_WHOLE

BITS: Final = {"none": None, "8": 8, "4": 4}
ALL_LINEAR: Final = "all-linear"
"""What peft calls every linear layer but the head."""


@dataclass(frozen=True)
class TrainerSettings(TrainingSettings):
    """How one subset is trained on, where there is no other to match."""

    allow_contamination: bool = False
    """Train on rows that are evaluated on, too, and say which. By default they are refused."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.base:
            raise UsageError(
                "There is no model to fine-tune.",
                fix="Name one with --base: a local folder, a hub id, or embedded, SmolLM2-135M-Instruct, which needs no hub.",
            )


@dataclass(frozen=True)
class RecipeChanges:
    """Settings of a recipe that differ from its preset; None leaves the preset's."""

    epochs: float | None = field(default=None, metadata=between(0, MOST_EPOCHS))
    """Passes over the rows."""
    steps: int | None = field(default=None, metadata=between(1, MOST_ROWS))
    """Optimizer steps instead of epochs: the same for sets of any size."""
    tokens: int | None = field(default=None, metadata=between(1, LARGEST_WHOLE))
    """Tokens seen instead of epochs: the same for sets of any length."""
    method: str | None = None
    """full or lora."""
    bits: str | None = None
    """Load the base in 8 or 4 (NF4) bits, or none; lora only."""
    lora_r: int | None = field(default=None, metadata=between(1, MOST_UNITS))
    """Rank of the LoRA adapters."""
    lora_alpha: int | None = field(default=None, metadata=between(1, MOST_UNITS))
    """Scale of the LoRA adapters: their product counts lora-alpha / lora-r times."""
    lora_dropout: float | None = field(default=None, metadata=between(0, 1))
    """Share of an adapter's inputs that are dropped in training."""
    lora_targets: str | None = None
    """Layers with adapters, by the end of their names: q_proj,v_proj; all-linear: every linear layer but the head."""
    learning_rate: float | None = field(default=None, metadata=between(0, MOST_RATE))
    """Learning rate."""
    schedule: str | None = None
    """constant, linear (to 0) or cosine (to 0), after the warm-up."""
    warmup: float | None = field(default=None, metadata=between(0, 1))
    """Share of the steps in which the learning rate rises."""
    weight_decay: float | None = field(default=None, metadata=between(0, MOST_RATE))
    """Weight decay."""
    max_grad_norm: float | None = field(default=None, metadata=between(0, MOST_NORM))
    """Norm to which the gradient is clipped."""
    optimizer: str | None = None
    """Optimizer, by transformers' name: adamw_torch_fused, adafactor, paged_adamw_8bit, …"""
    batch_size: int | None = field(default=None, metadata=between(1, MOST_UNITS))
    """Rows per optimizer step."""
    micro_batch_size: int | None = field(default=None, metadata=between(1, MOST_UNITS))
    """Rows computed at a time; the gradient is the same."""
    max_length: int | None = field(default=None, metadata=between(1, LONGEST_ROW))
    """Tokens of a row; the rest is cut off and counted."""
    loss: str | None = None
    """Where the loss falls: completion (last response), assistant (all responses), tulu-1 (as in the first release of Tülu), all."""
    packing: bool = False
    """Let short rows share a sequence."""

    def __post_init__(self) -> None:
        check_limits(self)
        if self.bits is not None and self.bits not in BITS:
            raise UsageError(f"--bits is 8, 4 or none, not '{self.bits}'.")

    def as_dict(self) -> dict[str, Any]:
        """The changes by the recipe's names."""
        changes = {
            setting.name: value
            for setting in fields(self)
            if setting.name not in ("bits", "packing", "lora_targets") and (value := getattr(self, setting.name)) is not None
        }
        if self.packing:
            changes["packing"] = True
        if self.lora_targets is not None:
            names = [name.strip() for name in self.lora_targets.split(",")]
            changes["lora_targets"] = [] if names == [ALL_LINEAR] else names
        if self.bits is not None or self.method == "full":
            # A preset's 8 bits go with its LoRA.
            changes["bits"] = BITS[self.bits or "none"]
        return changes


__all__ = ["RecipeChanges", "TrainerSettings"]
