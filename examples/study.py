"""Write study.csv: observations of a study that nobody ran, with a rule planted in them.

Each row stands for a fine-tuned set: what its examples score on average, and the loss after fine-tuning on it. The numbers are
drawn, not measured. ln L = 1.0694 − 0.1498·rew + 8.257e-5·len − 0.9350·knn_6 + noise (Eq. 4); mtld and ppl have no weight.

The same seed gives the same bytes. Standard library only.

Usage (the path defaults to the file beside this script):

    python examples/study.py --seed 0
"""

from __future__ import annotations

import argparse
import csv
import math
import random
from pathlib import Path

HERE = Path(__file__).resolve().parent

#: What each source's examples score on average: rew, len, knn_6, mtld, ppl.
SOURCES = {
    "forum": (0.9, 210.0, 0.98, 84.0, 14.0),
    "manual": (1.6, 340.0, 0.86, 72.0, 9.0),
    "quiz": (0.2, 60.0, 0.91, 58.0, 21.0),
    "essays": (1.3, 520.0, 1.02, 95.0, 11.0),
}
COLUMNS = ("rew", "len", "knn_6", "mtld", "ppl")
SPREADS = (0.12, 25.0, 0.015, 4.0, 1.2)
#: The planted rule: the constant, then a weight for each column.
CONSTANT = 1.0694
WEIGHTS = (-0.1498, 8.257e-5, -0.9350, 0.0, 0.0)
NOISE = 0.02

MIXTURES = 48
BINS = 8
DIGITS = (4, 1, 4, 2, 2)


def rows(seed: int) -> list[dict[str, object]]:
    """Mixtures of the sources, then bins of sorted len and rew."""
    rng = random.Random(seed)
    table: list[dict[str, object]] = []
    for number in range(MIXTURES):
        parts = [rng.random() for _ in SOURCES]
        shares = [part / sum(parts) for part in parts]
        means = [
            sum(share * source[position] for share, source in zip(shares, SOURCES.values(), strict=True))
            for position in range(len(COLUMNS))
        ]
        table.append(_row(rng, f"mix-{number:02}", "mixture", shares, means))
    for column, half in ((0, 0.9), (1, 260.0)):
        for number in range(BINS):
            shares = [1 / len(SOURCES)] * len(SOURCES)
            means = [sum(source[position] for source in SOURCES.values()) / len(SOURCES) for position in range(len(COLUMNS))]
            means[column] += half * (2 * number / (BINS - 1) - 1)
            table.append(_row(rng, f"{COLUMNS[column]}-{number}", "bin", shares, means))
    return table


def _row(rng: random.Random, name: str, design: str, shares: list[float], means: list[float]) -> dict[str, object]:
    values = [round(rng.gauss(mean, spread), digits) for mean, spread, digits in zip(means, SPREADS, DIGITS, strict=True)]
    logarithm = CONSTANT + sum(weight * value for weight, value in zip(WEIGHTS, values, strict=True)) + rng.gauss(0, NOISE)
    return {
        "subset": name,
        "design": design,
        **{f"share_{source}": round(share, 3) for source, share in zip(SOURCES, shares, strict=True)},
        **dict(zip(COLUMNS, values, strict=True)),
        "loss": round(math.exp(logarithm), 5),
    }


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--study", type=Path, default=HERE / "study.csv")
    arguments = parser.parse_args()
    table = rows(arguments.seed)
    with arguments.study.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(table[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    print(f"{len(table)} observations, seed {arguments.seed}: {arguments.study}")


if __name__ == "__main__":
    main()
