"""Equal compute for every arm: the selection's epochs become equal steps or tokens."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from instructsel.experiments.arms import Arm
from instructsel.text import aligned, counted


def matched_recipe(trainer: Any, arms: Sequence[Arm], match_compute: str, *, message: Callable[[str], None] | None = None) -> Any:
    """The recipe of every arm, after a look at what each would be trained on.

    Epochs of the selection become as many steps, or tokens, for all: an arm of more or of longer rows would be trained for longer.

    Args:
        trainer: with `recipe`, `audit(pool)` and `max_skipped_fraction`.
        arms: with rows to train on, the selection first.
        match_compute: steps, tokens, or none.
        message: gets the table of arms, line by line.

    Raises:
        TrainingError: too many rows of an arm have no loss token.
    """
    recipe = trainer.recipe
    rows: list[list[str]] = []
    left_out: list[str] = []
    first = None
    for arm in arms:
        for replicate, pool in enumerate(arm.pools):
            audit = trainer.audit(pool)
            audit.check(trainer.max_skipped_fraction)
            first = first or audit
            trained = audit.trained_rows
            rows.append(
                [
                    arm.name if len(arm.pools) == 1 else f"{arm.name} {replicate}",
                    f"{trained:,}",
                    f"{audit.tokens / trained:.0f}",
                    f"{audit.loss_tokens / trained:.0f}",
                    f"{audit.truncated / trained:.1%}",
                ]
            )
            if audit.skipped:
                reasons = ", ".join(f"{count:,} {reason}" for reason, count in sorted(audit.skipped.items()))
                left_out.append(
                    f"{rows[-1][0]}: {sum(audit.skipped.values()):,} of {counted(len(pool), 'row')} are not trained on ({reasons})."
                )
    if message is not None:
        for line in aligned(rows, header=["arm", "rows trained on", "tokens a row", "loss tokens a row", "truncated"], right=(1, 2, 3, 4)):
            message(line)
        for sentence in left_out:
            message(sentence)
    if recipe.epochs is None or first is None or match_compute == "none":
        return recipe
    if match_compute == "tokens" or recipe.packing:
        return replace(recipe, epochs=None, tokens=round(recipe.epochs * first.tokens))
    return replace(recipe, epochs=None, steps=max(1, math.ceil(round(recipe.epochs * first.trained_rows) / recipe.batch_size)))


def length_of(recipe: Any) -> str:
    """How long each fine-tune lasts, in words."""
    name = next(name for name in ("epochs", "steps", "tokens") if getattr(recipe, name) is not None)
    per_step = f" of {recipe.batch_size} rows" if name == "steps" and not recipe.packing else ""
    count = getattr(recipe, name)
    return f"{count:,} {name.removesuffix('s') if count == 1 else name}{per_step}"


__all__ = ["length_of", "matched_recipe"]
