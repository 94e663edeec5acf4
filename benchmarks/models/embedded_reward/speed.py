"""What plausibility costs beside the embedding, on the same rows, alternating.

    python benchmarks/models/embedded_reward/speed.py ../shared/data/pools/alpaca.jsonl.zst --rows 500

Writes benchmarks/results/plausibility_speed.json: rows a second of MiniLM's embedding and of plausibility, and how many times the
embedding alone both together take.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[2]), str(Path(__file__).resolve().parents[3])]

import _record

from instructsel import Pool
from instructsel.models.plausibility import PlausibilityModel
from instructsel.neighbors.encoder import Encoder


def main() -> None:
    """Warm up, alternate, write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool")
    parser.add_argument("--rows", type=int, default=500)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    pool = Pool.read(options.pool)
    rows = list(pool.take(pool.ids[: options.rows]).examples())
    encoder, model = Encoder.load(precision="fp32"), PlausibilityModel.load(precision="fp32")
    ways = {
        "embedding": lambda: encoder.encode([row.text for row in rows]),
        "plausibility": lambda: model.score([(row.instruction, row.response) for row in rows]),
    }
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(options.repeats + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if repeat:
                seconds[name].append(time.perf_counter() - began)
    best = {name: min(runs) for name, runs in seconds.items()}
    figures = {
        "rows": len(rows),
        "seconds": seconds,
        "rows_a_second": {name: len(rows) / seconds for name, seconds in best.items()},
        "both_over_embedding": sum(best.values()) / best["embedding"],
    }
    print(figures)
    print(_record.write("plausibility_speed", figures, "torch", "tokenizers"))


if __name__ == "__main__":
    main()
