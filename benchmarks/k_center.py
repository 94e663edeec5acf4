"""Farthest-first traversal (`--by k-center`) on the embeddings of a pool, beside the same with every row compared in every turn.

python benchmarks/k_center.py --pool POOL.jsonl        embeds the pool first, with the embedded MiniLM and the default cache
python benchmarks/k_center.py --random 15000           random unit vectors
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import _record
import numpy as np

from instructsel.cache import Cache, default_folder
from instructsel.pool.pool import Pool
from instructsel.selection.baselines.k_center import farthest_first
from instructsel.selection.similarity import DIGITS, TextVectors

TURNS = (400, 2000, 10_000)
COMPARED = 2000
"""Turns up to which the plain way is run, too."""


def turn_by_turn(vectors: np.ndarray, turns: int) -> list[int]:
    """The rows of the turns, every row compared in each."""
    rows = vectors.astype(np.float64)
    nearest = -np.round(rows @ rows.mean(axis=0), DIGITS)
    taken: list[int] = []
    for turn in range(turns):
        taken.append(int(np.argmin(nearest)))
        similarity = np.round(rows @ rows[taken[-1]], DIGITS)
        nearest = similarity if turn == 0 else np.maximum(nearest, similarity)
        nearest[taken] = np.inf
    return taken


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--random", type=int)
    options = parser.parse_args()
    if options.pool:
        vectors = TextVectors(Cache(default_folder())).encode([example.text for example in Pool.read(options.pool).examples()]).vectors
    else:
        vectors = np.random.default_rng(0).standard_normal((options.random, 384)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    cases: list[dict[str, Any]] = []
    for turns in (count for count in TURNS if count <= len(vectors)):
        started = time.perf_counter()
        order = farthest_first(vectors, turns)
        case: dict[str, Any] = {"rows": len(vectors), "turns": turns, "seconds": time.perf_counter() - started}
        if turns <= COMPARED:
            started = time.perf_counter()
            one_by_one = turn_by_turn(vectors, turns)
            case |= {"turn_by_turn_seconds": time.perf_counter() - started, "equal": one_by_one == order[:turns].tolist()}
        cases.append(case)
        print(case, flush=True)
    print(_record.write("k_center", {"cases": cases}, "numpy"))


if __name__ == "__main__":
    main()
