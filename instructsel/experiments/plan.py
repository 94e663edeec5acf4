"""What a verification is going to do, equally for every arm, and what it would find."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from instructsel.experiments.arms import Arm

if TYPE_CHECKING:
    from instructsel.adapters.recipe import Recipe


def plan(arms: Sequence[Arm], recipe: Recipe, seeds: int, equal: str) -> str:
    """How many fine-tunes there will be, of what length, and what that does to arms of longer rows."""
    fine_tunes = sum(len(each.pools) for each in arms) * seeds
    name = next(name for name in ("epochs", "steps", "tokens") if getattr(recipe, name) is not None)
    per_step = f" of {recipe.batch_size} rows" if name == "steps" and not recipe.packing else ""
    why = {
        "steps": ": arms of longer rows see more tokens in as many steps (--equal tokens makes these equal)",
        "tokens": ": arms of longer rows see fewer of them",
        "epochs": ": arms of more or longer rows are trained for longer (--equal steps or tokens makes them equal)",
    }
    named = ", ".join(f"{each.name} ({each.replicates})" for each in arms)
    return f"{named}; {fine_tunes} fine-tunes of {getattr(recipe, name):,} {name}{per_step} each{why.get(name, '')}"


__all__ = ["plan"]
