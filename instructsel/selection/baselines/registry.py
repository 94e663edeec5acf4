"""The baselines of this folder and of plug-ins by name, and all that a selection is compared with."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import numpy as np

from instructsel.errors import UsageError
from instructsel.pool.pool import Pool
from instructsel.selection import baselines as folder
from instructsel.selection.baselines.base import RANDOM, Baseline, Context, TextEncoder
from instructsel.selection.candidates import Ranking, ScoredCandidates
from instructsel.selection.choose import ranked
from instructsel.selection.selection import Selection

GROUP: Final = "instructsel.baselines"
"""Entry points of this group name further Baseline classes, each under the baseline's own name."""
NAME: Final = re.compile(r"(?!selection$)[a-z0-9][a-z0-9+._-]*")
"""What a baseline may be called: its name is a part of names of files, and `selection` is the arm it is compared with."""
FRAMEWORK: Final = frozenset({"base", "registry"})
"""Files of this folder that are no baseline."""


@cache
def _by_name() -> dict[str, type[Baseline]]:
    classes: dict[str, type[Baseline]] = {}
    for module in sorted(
        info.name for info in pkgutil.iter_modules(folder.__path__) if info.name not in FRAMEWORK and not info.name.startswith("_")
    ):
        loaded = importlib.import_module(f"{folder.__name__}.{module}")
        for item in vars(loaded).values():
            if isinstance(item, type) and issubclass(item, Baseline) and item.__module__ == loaded.__name__:
                classes[item.name] = item
    return classes


@cache
def _plug_ins() -> dict[str, EntryPoint]:
    """None of them takes the place of a baseline of this folder."""
    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in _by_name()}


def names() -> tuple[str, ...]:
    """All baselines, `random` first, then by name, those of plug-ins last. No plug-in is imported."""
    return (*sorted(_by_name(), key=lambda name: (name != RANDOM, name)), *sorted(_plug_ins()))


def make(name: str) -> Baseline:
    """A baseline by its name.

    Raises:
        UsageError: there is none of that name, or a plug-in that is none.
    """
    if name not in names():
        raise UsageError.named(name, names(), noun="baseline")
    kind = _by_name().get(name)
    return kind() if kind is not None else _checked(_plug_ins()[name])()


def _checked(entry: EntryPoint) -> type[Baseline]:
    """The class of a plug-in."""
    fix = f"Remove it, or correct its '{GROUP}' entry point."
    kind: Any = entry.load()
    if not (isinstance(kind, type) and issubclass(kind, Baseline)) or inspect.isabstract(kind):
        raise UsageError(f"The plug-in {entry.value} is no baseline: it is no subclass of Baseline with a method ranking.", fix=fix)
    called = getattr(kind, "name", None)
    if called != entry.name or not NAME.fullmatch(entry.name):
        raise UsageError(
            f"The plug-in {entry.value} is called {called!r} and its entry point '{entry.name}'; both are one name of small letters, "
            "digits and + . _ -, and not 'selection'.",
            fix=fix,
        )
    return kind


def ranking(baseline: Baseline, candidates: ScoredCandidates, context: Context) -> Ranking:
    """A baseline's ranking, under the baseline's name and seed.

    Raises:
        UsageError: it is no number for each candidate.
    """
    order = baseline.ranking(candidates, context)
    values = np.asarray(order.values)
    if values.shape != candidates.eligible.shape or values.dtype.kind not in "fiu" or not _finite(values, order):
        raise UsageError(
            f"The baseline {baseline.name} gave no finite number for each of the {len(candidates.eligible)} candidates: "
            f"{values.dtype} {list(values.shape)}.",
            fix="A candidate that it cannot rank belongs into the ranking's `unscored`, with the reason.",
        )
    seed = {"seed": context.seed} if baseline.seeded else {}
    return replace(order, name=baseline.named(context.seed), baseline=baseline.name, details={**order.details, **seed})


def _finite(values: Any, order: Ranking) -> bool:
    finite = np.isfinite(values)
    finite[list(order.unscored)] = True
    return bool(finite.all())


def check_context(baseline: Baseline, context: Context) -> None:
    """Refuse a way to select without its target set or its models.

    Raises:
        UsageError: one of them is missing.
    """
    needs = {
        "a target set": (baseline.needs_target, context.target, "target=Pool.read(FILE)"),
        "a model": (baseline.needs_model, context.encoder, 'encoder=PooledStates.load("embedded")'),
        "that model tuned on the target set": (baseline.needs_tuned, context.tuned, "tuned=PooledStates.load(FOLDER)"),
    }
    missing = [example for is_needed, having, example in needs.values() if is_needed and having is None]
    if missing:
        needed = " and ".join(what for what, (is_needed, *_) in needs.items() if is_needed)
        fix = f"For example: {', '.join(missing)}; or leave {baseline.name} out."
        raise UsageError(f"The baseline {baseline.name} needs {needed}.", fix=fix)


def baselines(
    selection: Selection,
    names: Sequence[str] = (RANDOM,),
    *,
    seeds: Sequence[int] = (0, 1, 2),
    target: Pool | None = None,
    encoder: TextEncoder | None = None,
    tuned: TextEncoder | None = None,
) -> list[Selection]:
    """Baseline selections to compare a selection with.

    Each passes through the selection's own pipeline: the same eligible rows, duplicates, quotas and budget. Nothing but the ranking
    differs, and DEITA's filter, which belongs to the selection alone. `docs/reference/baselines.md` lists them.

    Args:
        selection: made by `select`, not read from a file.
        names: of the baselines; those in which chance has a part get a replicate per seed and are named `random-seed0`, …
        seeds: whole numbers.
        target: examples of what the fine-tuned model is to do, for those that need them.
        encoder: `PooledStates` of the base model, for those that need a model.
        tuned: `PooledStates` of that model after a short fine-tune on the target set, for `loss_drop`.

    Raises:
        UsageError: no baseline of that name, or a plug-in that is none; or
            the selection was read from a file, a seed stands twice, or the table lacks `len` or `rew`.
        ModelUnavailable: `reward-only` without any reward.
    """
    candidates = selection.candidates
    if candidates is None:
        raise UsageError(
            "Baselines are selected together with a selection; this one was read from a file.", fix="Select again, with --baseline."
        )
    candidates = candidates.unfiltered()
    if len(set(seeds)) != len(seeds):
        raise UsageError(f"A seed stands twice among {', '.join(map(str, seeds))}.", fix="Equal seeds give equal subsets; name each once.")
    results: list[Selection] = []
    for name in dict.fromkeys(names):
        baseline = make(name)
        if baseline.seeded and not seeds:
            raise UsageError(f"The baseline {name} needs a seed.", fix="For example: --seed 0")
        check_context(baseline, Context(selection, 0, target, encoder, tuned))
        for seed in seeds if baseline.seeded else (0,):
            results.append(ranked(candidates, ranking(baseline, candidates, Context(selection, seed, target, encoder, tuned))))
    return results


__all__ = ["GROUP", "baselines", "check_context", "make", "names", "ranking"]
