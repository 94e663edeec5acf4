"""What intervals at 95 % cover: simulated studies of many kinds, and the integral over what few runs can say.

    python benchmarks/coverage.py [--studies 1000] [--only WORD …]

A simulated study is a `Verification` of graded runs and its interval that of `difference`; the arms are of equal worth, so that every "better"
or "worse" is false. The integral is exact where values are normal: for every pair of degrees of freedom of the two sides' variances between
runs it says between which shares an interval covers, over what items may weigh beside the runs and one side's runs may vary against the
other's. Writes benchmarks/results/interval_coverage.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import _record
import numpy as np
from numpy.typing import NDArray

from instructsel.protocols import Grades
from instructsel.stats.critical import Shares, critical
from instructsel.stats.variance import ArmValues, Estimand
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification

Floats = NDArray[np.float64]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Floats]
ARMS: Final = ("selection", "random")
CONFIDENCE: Final = 0.95


def normal(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Standard normal."""
    return generator.normal(size=shape)


def student(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """t with 3 degrees of freedom, variance 1."""
    return generator.standard_t(3, size=shape) / 3**0.5


def lognormal(generator: np.random.Generator, shape: tuple[int, ...]) -> Floats:
    """Lognormal with σ = 1, mean 0, variance 1."""
    return (generator.lognormal(size=shape) - np.exp(0.5)) / np.sqrt((np.e - 1) * np.e)


def correct(values: Floats) -> Floats:
    """Right or wrong."""
    return (values > 0).astype(np.float64)


def preferred(values: Floats) -> Floats:
    """A judge's preference: 1 lost, 1.5 tied, 2 won."""
    return 1.5 + 0.5 * np.sign(values) * (np.abs(values) > 0.5)


@dataclass(frozen=True)
class Design:
    """How studies are simulated; variances are of values in standard deviations over items."""

    sizes: tuple[int, ...] = (1,) * 100
    """Items of each cluster."""
    runs: tuple[tuple[int, int], tuple[int, int]] = ((1, 3), (1, 3))
    """Replicates and seeds on each, of the selection and of the baseline; the baseline (0, 0) is a fixed model."""
    ratio: float = 1.0
    """The variance between the selection's runs over that between the baseline's."""
    shared: float = 0.0
    """The share of the variance of an arm's own part in an item that its cluster shares."""
    draw: Draw = normal
    """The distribution of an arm's own part in an item."""
    run_draw: Draw = normal
    """The distribution of what runs differ by."""
    missing: float = 0.0
    """The share of items without a value in a run."""
    between: float = 0.003
    """The variance between seeds of the baseline on one subset, and between its replicates beyond that."""
    own: float = 0.1
    """The variance over items of an arm's own part."""
    residual: float = 0.25
    """Of an item in a run, beyond all else."""
    common: float = 1.0
    """The variance over items of what both arms share."""
    paired: float = 0.0
    """The correlation of the selection's run with that of the baseline of the same seed."""
    weighted: bool = False
    """Whether items count by weights, which are lognormal."""
    to: Estimand = "both"
    """The estimand."""
    value: Callable[[Floats], Floats] | None = None
    """What a grader makes of the underlying value; None for the value itself."""
    totals: bool = False
    """Whether only the mean of each run is known."""


UNEQUAL: Final = tuple(int(size) for size in np.clip(np.random.default_rng(3).lognormal(1.0, 0.8, 120), 1, 40))
EVEN: Final = {f"{seeds} seeds a side": ((1, seeds), (1, seeds)) for seeds in (2, 3, 5)}
UNEVEN: Final = {
    f"{left[0]} × {left[1]} against {right[0]} × {right[1]}": (left, right)
    for left, right in (
        ((1, 2), (3, 2)),
        ((1, 3), (3, 3)),
        ((1, 2), (5, 1)),
        ((3, 2), (1, 3)),
        ((2, 2), (5, 2)),
        ((1, 2), (1, 5)),
        ((1, 5), (1, 2)),
    )
}
RATIOS: Final = (1.0, 2.0, 3.0, 4.0, 9.0, 1 / 2, 1 / 3, 1 / 4, 1 / 9)


def unlike(prefix: str, runs: Mapping[str, Any], ratios: Sequence[float], **settings: Any) -> dict[str, Design]:
    """Every combination of runs a side and how unlike they vary."""
    return {
        f"{prefix}{name}, variance {ratio:.3g} : 1": Design(runs=pair, ratio=ratio, **settings)
        for (name, pair), ratio in itertools.product(runs.items(), ratios)
    }


DESIGNS: Final = {
    "252 clusters of 5 items": Design((5,) * 252, shared=0.7),
    "120 unequal clusters": Design(UNEQUAL, shared=0.7),
    "20 clusters of 5 items": Design((5,) * 20, shared=0.7),
    "6 clusters of 10 items": Design((10,) * 6, shared=0.5),
    "6 clusters of 10 items, 2 seeds, variance 9 : 1": Design((10,) * 6, ((1, 2), (1, 2)), 9.0, shared=0.5),
    "20 clusters of 5 items, 2 seeds": Design((5,) * 20, ((1, 2), (1, 2)), shared=0.7),
    "252 clusters of 5 items, 2 seeds, variance 9 : 1": Design((5,) * 252, ((1, 2), (1, 2)), 9.0, shared=0.7, between=0.001),
    "120 unequal clusters, 2 seeds, variance 3 : 1": Design(UNEQUAL, ((1, 2), (1, 2)), 3.0, shared=0.7),
    **unlike("", EVEN, RATIOS),
    **unlike("runs vary most: ", EVEN, (1.0, 3.0, 9.0), between=0.05),
    **unlike("runs vary least: ", EVEN, (1.0, 9.0), between=0.00003),
    **unlike("", UNEVEN, (1.0, 4.0, 9.0, 1 / 4, 1 / 9)),
    **unlike("runs vary most: ", UNEVEN, (1.0, 4.0, 1 / 4), between=0.05),
    **unlike("totals alone: ", EVEN, (1.0, 3.0, 9.0), totals=True, own=0.0, to="runs"),
    "1 × 2 against 3 × 2, variance 16 : 1": Design(runs=((1, 2), (3, 2)), ratio=16.0),
    "1 × 2 against 3 × 2, variance 16 : 1, items alike": Design(runs=((1, 2), (3, 2)), ratio=16.0, own=0.01),
    "2 seeds a side, variance 16 : 1": Design(runs=EVEN["2 seeds a side"], ratio=16.0),
    **unlike("runs are noisy: ", EVEN, (1.0, 9.0), residual=4.0),
    "totals alone: 1 × 2 against 5 × 1": Design(runs=((1, 2), (5, 1)), totals=True, own=0.0, to="runs"),
    "these items: 2 seeds a side, variance 9 : 1": Design(runs=EVEN["2 seeds a side"], ratio=9.0, own=0.0, to="runs"),
    **{f"{seeds} seeds against a fixed model": Design(runs=((1, seeds), (0, 0))) for seeds in (2, 3, 5)},
    "t with 3 degrees of freedom": Design((1,) * 200, draw=student),
    "t with 3 degrees of freedom, runs too, 2 seeds": Design((1,) * 200, EVEN["2 seeds a side"], draw=student, run_draw=student),
    "t with 3 degrees of freedom, runs too, 3 seeds": Design((1,) * 200, draw=student, run_draw=student),
    "lognormal": Design((1,) * 200, draw=lognormal),
    "lognormal, 60 clusters of 5 items": Design((5,) * 60, draw=lognormal, shared=0.5),
    "1 % of items missing": Design((5,) * 60, shared=0.5, missing=0.0017),
    "4 % of items missing, unequal clusters": Design(UNEQUAL, shared=0.5, missing=0.0067),
    "weighted items": Design((1,) * 300, weighted=True),
    "weighted items in 100 clusters": Design((3,) * 100, shared=0.5, weighted=True),
    "right or wrong": Design((1,) * 300, value=correct),
    "right or wrong, 2 seeds, variance 9 : 1": Design((1,) * 300, EVEN["2 seeds a side"], 9.0, value=correct),
    "win rates with ties": Design((1,) * 300, value=preferred, common=0.3),
    "win rates with ties, 2 seeds, variance 4 : 1": Design((1,) * 300, EVEN["2 seeds a side"], 4.0, value=preferred, common=0.3),
    **{f"{seeds} seeds paired, r = 0.5": Design(runs=pair, paired=0.5) for seeds, pair in zip((2, 3, 5), EVEN.values(), strict=True)},
    "one run a side, these models": Design(runs=((1, 1), (1, 1)), to="items", between=0.0),
}


@dataclass(frozen=True)
class Shape:
    """The runs of one arm, one entry a run."""

    replicates: NDArray[np.int64]
    seeds: NDArray[np.int64]
    effects: Floats = field(repr=False)
    """What each run's mean differs by."""


def shape(generator: np.random.Generator, design: Design, side: int, same: Floats) -> Shape:
    """One arm's runs: a single subset is the one asked about, and adds no variance of its own."""
    replicates, seeds = design.runs[side]
    if not replicates:
        return Shape(np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1))
    spread = (design.between * (design.ratio if side == 0 else 1.0)) ** 0.5
    labels = np.repeat(np.arange(replicates), seeds)
    numbers = np.tile(np.arange(seeds), replicates)
    of_subsets = design.run_draw(generator, (replicates,)) * (replicates > 1)
    of_seeds = design.run_draw(generator, (replicates * seeds,))
    of_seeds = design.paired**0.5 * same[numbers] + (1 - design.paired) ** 0.5 * of_seeds
    return Shape(labels, numbers, spread * (of_subsets[labels] + of_seeds))


@dataclass(frozen=True)
class Arm:
    """The values of one arm's runs."""

    runs: Shape
    """Which runs these are."""
    values: Floats
    """(runs, items)."""


def arms(generator: np.random.Generator, design: Design) -> list[Arm]:
    """Two arms of equal worth: what their runs are graded with, item by item."""
    codes = np.repeat(np.arange(len(design.sizes)), design.sizes)
    common = generator.normal(0, design.common**0.5, len(codes))
    same = generator.normal(size=max(seeds for _, seeds in design.runs))
    both = []
    for side in range(2):
        of_clusters, of_items = design.draw(generator, (len(design.sizes),)), design.draw(generator, (len(codes),))
        own = np.sqrt(design.own) * (np.sqrt(design.shared) * of_clusters[codes] + np.sqrt(1 - design.shared) * of_items)
        runs = shape(generator, design, side, same)
        noise = generator.normal(0, design.residual**0.5, (len(runs.effects), len(codes)))
        values = common + own + runs.effects[:, None] + noise
        both.append(Arm(runs, values if design.value is None else design.value(values)))
    return both


def values(generator: np.random.Generator, design: Design) -> tuple[ArmValues, ArmValues]:
    """The same as tables, of a design without clusters, weights and missing items."""
    selection, baseline = (
        ArmValues(name, tuple(arm.runs.replicates.tolist()), arm.values) for name, arm in zip(ARMS, arms(generator, design), strict=True)
    )
    return selection, baseline


def study(generator: np.random.Generator, design: Design) -> Verification:
    """The same as grades."""
    codes = np.repeat(np.arange(len(design.sizes)), design.sizes)
    n = len(codes)
    items = tuple(f"{number:05}" for number in range(n))
    clusters = tuple(f"c{code}" for code in codes) if len(design.sizes) < n else ()
    weights = generator.lognormal(0, 0.7, n) if design.weighted else np.ones(n)
    runs = []
    for name, arm in zip(ARMS, arms(generator, design), strict=True):
        for replicate, seed, row in zip(arm.runs.replicates.tolist(), arm.runs.seeds.tolist(), arm.values, strict=True):
            if design.totals:
                runs.append(Run(name, replicate, seed, Grades("loss", ("all",), np.array([row.mean()]), np.ones(1), unit="nats")))
                continue
            absent = generator.random(n) < design.missing
            reasons = tuple("failed" if lost else None for lost in absent.tolist()) if absent.any() else ()
            grades = Grades("loss", items, np.where(absent, 0.0, row), weights, reasons, unit="nats", clusters=clusters)
            runs.append(Run(name, replicate, seed, grades))
    return Verification.of(runs, fixed=ARMS[1:] if design.runs[1] == (0, 0) else ())


def measured(design: Design, studies: int, seed: int) -> dict[str, float | int]:
    """Over studies: those with an interval, and the share of these that holds the effect; the others would be called better or worse."""
    generator = np.random.default_rng(seed)
    intervals = covered = 0
    for _ in range(studies):
        interval = study(generator, design).difference(
            *ARMS, "loss", confidence=CONFIDENCE, generalize_to=design.to, weighted=design.weighted, n_resamples=0
        )
        if interval.low is not None and interval.high is not None:
            intervals += 1
            covered += interval.low <= 0 <= interval.high
    return {"studies": studies, "intervals": intervals, "covers": round(covered / max(intervals, 1), 4)}


NODES: Final = 120
ITEM_SHARES: Final = (0.0, 0.05, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.9)
PAIRS: Final = tuple(itertools.combinations_with_replacement((1, 2, 3, 4, 8), 2))


def integrated(dfs: tuple[int, int], confidence: float, ratios: Sequence[float] = RATIOS, nodes: int = NODES) -> tuple[float, float]:
    """The least and the greatest share that intervals cover, by two sides' degrees of freedom; values are normal and items many.

    The integral is over both sides' mean squares, which are multiples of χ², by Gauss's rule in their quantiles.

    Args:
        dfs: degrees of freedom of either side; a side has one run more.
        confidence: of the interval.
        ratios: of one side's variance between runs to the other's.
        nodes: of the integral, each way.
    """
    from scipy import special

    places, weights = np.polynomial.legendre.leggauss(nodes)
    # Closer together at both ends, where one degree of freedom has its weight.
    places, weights = (places + 1) / 2, weights / 2
    quantiles, weights = places**2 * (3 - 2 * places), weights * 6 * places * (1 - places)
    first, second = (2 * special.gammaincinv(df / 2, quantiles) / df for df in dfs)
    covered = []
    for items, ratio in itertools.product(ITEM_SHARES, ratios):
        unscaled = np.array([ratio / (dfs[0] + 1), 1 / (dfs[1] + 1)])
        of_sides = (1 - items) * unscaled / unscaled.sum()
        parts = of_sides[0] * first[:, None] + np.zeros(nodes), of_sides[1] * second + np.zeros((nodes, 1))
        total = items + parts[0] + parts[1]
        shares = Shares(items / total, 1e6, [(part / total, df) for part, df in zip(parts, dfs, strict=True)])
        width = critical(1 - confidence, shares) * np.sqrt(total)
        covered.append(float(weights @ (2 * special.ndtr(width) - 1) @ weights))
    return min(covered), max(covered)


def main() -> None:
    """Integrate, simulate, and write down."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--studies", type=int, default=1000)
    parser.add_argument("--only", nargs="*", help="designs with one of these words in their name; of the others the figures stay")
    arguments = parser.parse_args()
    by_integral = {
        f"{confidence:g}": {f"{dfs[0]} and {dfs[1]}": [round(share, 4) for share in integrated(dfs, confidence)] for dfs in PAIRS}
        for confidence in (0.9, 0.95, 0.99, 1 - 0.05 / 30)
    }
    print(by_integral, flush=True)
    path = _record.RESULTS / "interval_coverage.json"
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"] if arguments.only else {}
    for name, design in DESIGNS.items():
        if arguments.only and not any(word in name for word in arguments.only):
            continue
        rows[name] = measured(design, arguments.studies, zlib.crc32(name.encode()))
        print(name, rows[name], flush=True)
        in_order = {known: rows[known] for known in DESIGNS if known in rows}
        _record.write("interval_coverage", {"integral": by_integral, "rows": in_order}, "numpy", "scipy")


if __name__ == "__main__":
    main()
