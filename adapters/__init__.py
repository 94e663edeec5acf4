"""The hand-off to trainers and graders, imported as instructsel.adapters."""

from __future__ import annotations

from instructsel.adapters.held_out_loss import HeldOutLoss, checkpoint_of
from instructsel.adapters.recipe import Recipe, recipe
from instructsel.adapters.rows import to_trl
from instructsel.adapters.trl import TrlTrainer

__all__ = ["HeldOutLoss", "Recipe", "TrlTrainer", "checkpoint_of", "recipe", "to_trl"]
