"""The baselines of this folder by name, and all that a selection is compared with."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Final

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.selection import baselines as folder
from instructsel.selection.baselines.base import RANDOM, Baseline, Context, TextEncoder
from instructsel.selection.choose import ranked
from instructsel.selection.selection import Selection

FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no baseline."""


@cache
def _by_name() -> dict[str, type[Baseline]]:
    classes: dict[str, type[Baseline]] = {}
    for module in sorted(info.name for info in pkgutil.iter_modules(folder.__path__) if info.name not in FRAMEWORK):
        loaded = importlib.import_module(f"{folder.__name__}.{module}")
        for item in vars(loaded).values():
            if isinstance(item, type) and issubclass(item, Baseline) and item.__module__ == loaded.__name__:
                classes[item.name] = item
    return classes


def names() -> tuple[str, ...]:
    """All baselines, `random` first, then by name."""
    return tuple(sorted(_by_name(), key=lambda name: (name != RANDOM, name)))


def make(name: str) -> Baseline:
    """A baseline by its name.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in _by_name():
        raise UsageError.named(name, names(), noun="baseline")
    return _by_name()[name]()


def baselines(
    selection: Selection,
    names: Sequence[str] = (RANDOM,),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    target: Pool | None = None,
    encoder: TextEncoder | None = None,
) -> list[Selection]:
    """Baseline selections to compare a selection with.

    Each passes through the selection's own pipeline: the same eligible rows, duplicates, quotas and budget. Nothing but the ranking
    differs. `docs/reference/baselines.md` lists them.

    Args:
        selection: made by `select`, not read from a file.
        names: of the baselines; those in which chance has a part get a replicate per seed and are named `random-seed0`, …
        seeds: whole numbers.
        target: examples of what the fine-tuned model is to do, for `rds+`.
        encoder: `PooledStates` of the base model, for `rds+`.

    Raises:
        UsageError: no baseline of that name; or
            the selection was read from a file, a seed stands twice, or the table lacks `len` or `rew`.
        ModelUnavailable: `reward-only` without any reward.
    """
    candidates = selection.candidates
    if candidates is None:
        raise UsageError(
            "Baselines are selected together with a selection; this one was read from a file.", fix="Select again, with --baseline."
        )
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"A seed stands twice among {', '.join(map(str, seeds))}.", fix="Equal seeds give equal subsets; name each once.")
    results: list[Selection] = []
    for name in dict.fromkeys(names):
        baseline = make(name)
        if baseline.seeded and not seeds:
            raise UsageError(f"The baseline {name} needs a seed.", fix="For example: --seed 0")
        if baseline.needs_target and (target is None or encoder is None):
            raise UsageError(f"The baseline {name} needs a target set and a model.", fix="Give both, or leave it out.")
        for seed in seeds if baseline.seeded else (0,):
            ranking = baseline.ranking(candidates, Context(selection, seed, target, encoder))
            results.append(ranked(candidates, replace(ranking, baseline=name)))
    return results


__all__ = ["baselines", "make", "names"]
