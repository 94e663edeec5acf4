"""Studies with planted effects and variances: two arms and their runs, item by item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from instructsel.protocols import Grades
from instructsel.stats.power import Plan
from instructsel.stats.variance import ArmValues, Components
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification


@dataclass(frozen=True)
class Truth:
    """Variances of a grader's values; `items` is of the difference between two arms, `spread` what all arms share."""

    items: float = 0.2
    residual: float = 0.3
    seeds: float = 0.003
    replicates: float = 0.006
    spread: float = 1.0

    @property
    def components(self) -> Components:
        return Components(self.items, self.residual, self.seeds, self.replicates, (self.spread + self.items / 2 + self.residual) ** 0.5)


def arms(random: np.random.Generator, plan: Plan, truth: Truth, effect: float = 0.0) -> tuple[ArmValues, ArmValues]:
    """A selection, better by the effect, and a baseline."""
    shared = random.normal(0, truth.spread**0.5, plan.items)
    found = []
    for name, mean, replicates, seeds in (
        ("selection", effect, plan.replicates, plan.seeds),
        ("random", 0.0, plan.baseline_replicates, plan.baseline_seeds),
    ):
        own = random.normal(0, (truth.items / 2) ** 0.5, plan.items)
        # A subset that is alone is the one asked about: what it is worth is the effect.
        of_draws = random.normal(0, truth.replicates**0.5, replicates) * (replicates > 1)
        of_seeds = random.normal(0, truth.seeds**0.5, replicates * seeds)
        left = random.normal(0, truth.residual**0.5, (replicates * seeds, plan.items))
        runs = mean + (np.repeat(of_draws, seeds) + of_seeds)[:, None] + shared + own + left
        found.append(ArmValues(name, tuple(np.repeat(np.arange(replicates), seeds).tolist()), runs))
    return found[0], found[1]


def verification(*found: ArmValues, grader: str = "loss", higher_is_better: bool = False) -> Verification:
    """The same as grades."""
    runs = []
    for arm in found:
        items = tuple(f"item{at:04}" for at in range(arm.n_items))
        for seed, (replicate, values) in enumerate(zip(arm.replicates, arm.values, strict=True)):
            grades = Grades(grader, items, values, np.ones(len(values)), unit="nats", higher_is_better=higher_is_better)
            runs.append(Run(arm.arm, replicate, seed, grades))
    return Verification.of(runs)
