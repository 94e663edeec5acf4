"""What intervals and verdicts hold in simulated studies: clustered items, unequal variances between runs, heavy tails, missing items.

    python benchmarks/coverage.py [--studies 1000]

Each study is a `Verification` of graded runs; its interval at 95 % is that of `difference`. An effect of 0 throughout, so that every "better" or
"worse" is false. Writes benchmarks/results/interval_coverage.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import _record
import numpy as np
from numpy.typing import NDArray

from instructsel.protocols import Grades
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification

Draw = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
ARMS: Final = ("selection", "random")


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Standard normal."""
    return generator.normal(size=shape)


def student(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """t with 3 degrees of freedom, variance 1."""
    return generator.standard_t(3, size=shape) / 3**0.5


def lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Lognormal with σ = 1, mean 0, variance 1."""
    return (generator.lognormal(size=shape) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)


@dataclass(frozen=True)
class Design:
    """How studies are simulated; variances are of values in standard deviations over items."""

    sizes: tuple[int, ...]
    """Items of each cluster."""
    seeds: int = 3
    """Runs a side."""
    ratio: float = 1.0
    """The variance between the selection's runs over that between the baseline's."""
    shared: float = 0.0
    """The share of the variance of an arm's own part in an item that its cluster shares."""
    draw: Draw = normal
    """The distribution of an arm's own part in an item."""
    missing: float = 0.0
    """The share of items without a value in a run."""
    between: float = 0.003
    """The variance between the baseline's runs."""


SINGLE: Final = (1,) * 100
UNEQUAL: Final = tuple(int(size) for size in np.clip(np.random.default_rng(3).lognormal(1.0, 0.8, 120), 1, 40))
DESIGNS: Final = {
    "252 clusters of 5 items": Design((5,) * 252, shared=0.7),
    "120 unequal clusters": Design(UNEQUAL, shared=0.7),
    "20 clusters of 5 items": Design((5,) * 20, shared=0.7),
    **{
        f"{seeds} seeds a side, variance × {ratio:g}": Design(SINGLE, seeds=seeds, ratio=ratio)
        for seeds in (2, 3, 5)
        for ratio in (1.0, 2.0, 3.0, 9.0)
    },
    "t with 3 degrees of freedom": Design((1,) * 200, draw=student),
    "lognormal": Design((1,) * 200, draw=lognormal),
    "1 % of items missing in each run": Design((5,) * 60, shared=0.5, missing=0.005),
}


def study(generator: np.random.Generator, design: Design) -> Verification:
    """Two arms of equal worth, their runs graded item by item."""
    codes = np.repeat(np.arange(len(design.sizes)), design.sizes)
    n = len(codes)
    common = generator.normal(size=n)
    items, clusters = tuple(f"{number:05}" for number in range(n)), tuple(f"c{code}" for code in codes)
    runs = []
    for arm, ratio in zip(ARMS, (design.ratio, 1.0), strict=True):
        of_clusters, of_items = design.draw(generator, (len(design.sizes),)), design.draw(generator, (n,))
        own = np.sqrt(0.1) * (np.sqrt(design.shared) * of_clusters[codes] + np.sqrt(1 - design.shared) * of_items)
        for seed in range(design.seeds):
            values = common + own + generator.normal(0, (design.between * ratio) ** 0.5) + generator.normal(0, 0.5, n)
            reasons = tuple("failed" if absent else None for absent in generator.random(n) < design.missing)
            values[[reason is not None for reason in reasons]] = 0.0
            grades = Grades("loss", items, values, np.ones(n), reasons if any(reasons) else (), unit="nats", clusters=clusters)
            runs.append(Run(arm, 0, seed, grades))
    return Verification.of(runs)


def measured(design: Design, studies: int, seed: int) -> dict[str, float | int]:
    """Over studies: those with an interval, the share of these that holds the effect, and of all that are called better or worse."""
    generator = np.random.default_rng(seed)
    intervals = covered = false = 0
    for _ in range(studies):
        interval = study(generator, design).difference(*ARMS, "loss", n_resamples=0)
        if interval.low is None or interval.high is None:
            continue
        intervals += 1
        covered += interval.low <= 0 <= interval.high
        false += not interval.low <= 0 <= interval.high
    return {"studies": studies, "intervals": intervals, "covers": covered / max(intervals, 1), "false": false / studies}


def main() -> None:
    """Simulate, and write down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    arguments = parser.parse_args()
    rows = {}
    for name, design in DESIGNS.items():
        rows[name] = measured(design, arguments.studies, 1)
        print(name, rows[name], flush=True)
        _record.write("interval_coverage", {"rows": rows}, "numpy", "scipy")


if __name__ == "__main__":
    main()
