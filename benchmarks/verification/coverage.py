"""What an interval from two seeds covers where the selection's runs vary more than those its variance is taken from.

    python benchmarks/verification/coverage.py

One draw of two seeds against three random draws of two, 100 items, an effect of 0 and one of 0.3: the standard deviation between the
random arm's runs, seeds and draws alike, is that of the selection's times a ratio. Writes benchmarks/results/coverage.json.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import numpy as np

sys.path[:0] = [str(Path(__file__).resolve().parent.parent)]
import _record

from instructsel.stats.intervals import compare
from instructsel.stats.variance import ArmValues

ROUNDS: Final = 2000
ITEMS: Final = 100
SPREAD: Final = 0.14
"""Between the selection's runs, in standard deviations over items."""
RATIOS: Final = (1.0, 0.5, 0.25)


def arm(random: np.random.Generator, items: np.ndarray, name: str, draws: int, spread: float, effect: float) -> ArmValues:
    """Two seeds on each draw; what is the arm's own in an item, and what is a run's own in it, beside the spread between runs."""
    between = np.concatenate([random.normal(0, spread) * (draws > 1) + random.normal(0, spread, 2) for _ in range(draws)])
    values = between[:, None] + items + effect + random.normal(0, 0.3, ITEMS) + random.normal(0, 0.5, (2 * draws, ITEMS))
    return ArmValues(name, tuple(np.repeat(np.arange(draws), 2).tolist()), values)


def shares(ratio: float, effect: float) -> tuple[float, float]:
    """How often the interval at 95 % holds the effect, and how often it lies above 0."""
    random = np.random.default_rng(0)
    covered = above = 0
    for _ in range(ROUNDS):
        items = random.normal(0, 1, ITEMS)
        interval = compare(arm(random, items, "selection", 1, SPREAD, effect), arm(random, items, "random", 3, SPREAD * ratio, 0.0))
        if interval.low is None or interval.high is None:
            raise SystemExit(interval.reason)
        covered += interval.low <= effect <= interval.high
        above += interval.low > 0
    return covered / ROUNDS, above / ROUNDS


def main() -> None:
    """Simulate, and write down."""
    rows = []
    for ratio in RATIOS:
        rows.append({"ratio": ratio, "covers": shares(ratio, 0.3)[0], "false_better": shares(ratio, 0.0)[1]})
        print(rows[-1], flush=True)
    _record.write(
        "coverage", {"rounds": ROUNDS, "items": ITEMS, "design": "1 draw × 2 seeds against 3 × 2", "rows": rows}, "numpy", "scipy"
    )


if __name__ == "__main__":
    main()
