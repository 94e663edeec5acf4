"""Equal compute for every arm: epochs turned into equal steps or tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from instructsel.experiments.arms import Arm
from instructsel.text import aligned

if TYPE_CHECKING:
    from instructsel.adapters.recipe import Recipe
    from instructsel.adapters.trl import TrlTrainer


def equal_recipe(trainer: TrlTrainer, arms: Sequence[Arm], equal: str, *, message: Callable[[str], None] | None = None) -> Recipe:
    """The recipe of every arm, after a look at what each would be trained on.

    Epochs of the selection become as many steps, or tokens, for all: an arm of more or of longer rows would be trained for longer.

    Raises:
        TrainingError: too many rows of an arm teach nothing.
    """
    recipe = trainer.recipe
    rows, first = [], None
    for arm in arms:
        for draw, pool in enumerate(arm.pools):
            audit = trainer.audit(pool)
            audit.check(trainer.max_skipped_fraction)
            first = first or audit
            name = arm.name if len(arm.pools) == 1 else f"{arm.name} {draw}"
            rows.append([name, f"{audit.trained_rows:,}", f"{audit.tokens / audit.trained_rows:.0f}", f"{audit.loss_tokens / audit.trained_rows:.0f}", f"{audit.truncated / audit.trained_rows:.1%}"])  # fmt: skip
    for line in aligned(rows, header=["arm", "rows trained on", "tokens a row", "loss tokens a row", "truncated"], right=(1, 2, 3, 4)):
        if message is not None:
            message(line)
    if recipe.epochs is None or first is None or equal == "epochs":
        return recipe
    if equal == "tokens" or recipe.packing:
        return replace(recipe, epochs=None, tokens=round(recipe.epochs * first.tokens))
    return replace(recipe, epochs=None, steps=max(1, math.ceil(round(recipe.epochs * first.trained_rows) / recipe.batch_size)))
