"""What a verification is going to do, equally for every arm, and what it would find."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson

from instructsel.artifact import atomic_write, dump_json, file_digest, fingerprint
from instructsel.commands import _arms
from instructsel.commands._console import aligned, say
from instructsel.errors import EnvironmentFault
from instructsel.verification.arms import Arm, rows_digest
from instructsel.verification.summary import Expected

if TYPE_CHECKING:
    from instructsel.adapters.recipe import Recipe
    from instructsel.adapters.trl import TrlTrainer

PLANNED: Final = "power.json"
"""What was said before the first run."""
TABLE: Final = "verification.parquet"
"""In the folder of a verification: every grade of every item."""


def equal_recipe(trainer: TrlTrainer, arms: Sequence[Arm], equal: str, *, quiet: bool) -> Recipe:
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
            audit.check(trainer.max_refused)
            first = first or audit
            name = arm.name if len(arm.pools) == 1 else f"{arm.name} {draw}"
            rows.append([name, f"{audit.trained_rows:,}", f"{audit.tokens / audit.trained_rows:.0f}", f"{audit.trained_tokens / audit.trained_rows:.0f}", f"{audit.truncated / audit.trained_rows:.1%}"])  # fmt: skip
    for line in aligned(rows, header=["arm", "rows trained on", "tokens a row", "with a loss", "truncated"], right=(1, 2, 3, 4)):
        say(line, quiet=quiet)
    if recipe.epochs is None or first is None or equal == "epochs":
        return recipe
    if equal == "tokens" or recipe.packing:
        return replace(recipe, epochs=None, tokens=round(recipe.epochs * first.tokens))
    return replace(recipe, epochs=None, steps=max(1, math.ceil(round(recipe.epochs * first.trained_rows) / recipe.batch)))


def plan(arms: Sequence[Arm], recipe: Recipe, seeds: int, equal: str) -> str:
    """How many fine-tunes there will be, of what length, and what that does to arms of longer rows."""
    fine_tunes = sum(len(each.pools) for each in arms) * seeds
    name = next(name for name in ("epochs", "steps", "tokens") if getattr(recipe, name) is not None)
    per_step = f" of {recipe.batch} rows" if name == "steps" and not recipe.packing else ""
    why = {
        "steps": ": arms of longer rows see more tokens in as many steps (--equal tokens makes these equal)",
        "tokens": ": arms of longer rows see fewer of them",
        "epochs": ": arms of more or longer rows are trained for longer (--equal steps or tokens makes them equal)",
    }
    named = ", ".join(f"{each.name} ({each.draws})" for each in arms)
    return f"{named}; {fine_tunes} fine-tunes of {getattr(recipe, name):,} {name}{per_step} each{why.get(name, '')}"


def first_plan(output: Path, power: Sequence[Expected], asked: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is said of a comparison before its first run: a later call knows more, and must not claim to have known it before.

    Args:
        output: the folder of the verification.
        power: as it would be said now.
        asked: all that the statement hangs on.

    Raises:
        EnvironmentFault: the folder cannot be written.
    """
    path, key = output / PLANNED, fingerprint(dict(asked))
    with suppress(OSError, orjson.JSONDecodeError, AttributeError):
        kept = orjson.loads(path.read_bytes())
        if kept.get("key") == key and isinstance(kept.get("power"), list):
            return list(kept["power"])
    before = not any((output / "runs").glob("*.json"))
    told: list[dict[str, Any]] = orjson.loads(dump_json([{**each.as_dict(), "before": before} for each in power]))
    try:
        output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise EnvironmentFault(f"{output} cannot be used: {error.strerror or error}.", fix="Choose another with -o.") from error
    with atomic_write(path) as file:
        file.write(dump_json({"key": key, "power": told}, indent=True) + b"\n")
    return told


def why_no_power(arms: Sequence[Arm], against: str, seeds: int) -> str:
    """Why nothing can be said beforehand of what would be found."""
    by_name = {each.name: each for each in arms}
    if by_name[against].fixed:
        return f"{against} is one model as it is"
    if seeds == 1 and all(by_name[name].draws == 1 for name in (_arms.SELECTION, against)):
        return "with one run a side nobody knows how much runs vary"
    return "no grader knows its items before it has graded"


def asked_of(
    trainer: TrlTrainer | None, arms: Sequence[Arm], graders: Sequence[Any], more: Sequence[str], pilot: Path | None, **others: Any
) -> dict[str, Any]:
    """All that a statement of power hangs on: arms and their rows, graders, recipe, pilot, seeds and levels."""
    return {
        "arms": {each.name: [rows_digest(pool.ids) for pool in each.pools] or each.draws for each in arms},
        "graders": {each.name: dict(each.fingerprint) for each in graders},
        "more": sorted(more),
        "trainer": None if trainer is None else dict(trainer.fingerprint),
        "pilot": None if pilot is None else file_digest(pilot),
        **others,
    }


__all__ = ["PLANNED", "TABLE", "asked_of", "equal_recipe", "first_plan", "plan", "why_no_power"]
