"""Our embedding step beside SentenceTransformer.encode at its defaults: same rows, threads and truncation, alternating.

    python benchmarks/embedding.py ../shared/data/pools/alpaca.jsonl.zst --rows 1000

Values are asserted equal. Needs sentence-transformers.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

import _record
import numpy as np

from instructsel import Pool
from instructsel.neighbors.encoder import Encoder


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool")
    parser.add_argument("--rows", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    import sentence_transformers
    import torch

    torch.set_num_threads(2)
    pool = Pool.read(options.pool)
    texts = [example.text for example in pool.sample(options.rows, seed=20260101).examples()]
    ours = Encoder.load()
    exact = Encoder.load(precision="fp32")
    theirs = sentence_transformers.SentenceTransformer(str(ours.source.folder), device="cpu")
    ours.encode(texts[:32])
    theirs.encode(texts[:32])
    seconds: dict[str, list[float]] = {"ours": [], "sentence_transformers": []}
    for _ in range(options.repeats):
        started = time.perf_counter()
        embeddings = ours.encode(texts)
        seconds["ours"].append(time.perf_counter() - started)
        started = time.perf_counter()
        reference = theirs.encode(texts, show_progress_bar=False)
        seconds["sentence_transformers"].append(time.perf_counter() - started)
    same = exact.encode(texts).vectors
    difference = float(np.abs(same - reference).max())
    assert difference < 1e-4, difference
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    figures = {
        "pool": options.pool.rsplit("/", 1)[-1],
        "rows": len(texts),
        "precision": ours.precision,
        "seconds": seconds,
        "median_seconds": medians,
        "rows_per_second": {name: len(texts) / value for name, value in medians.items()},
        "ratio": medians["sentence_transformers"] / medians["ours"],
        "padding_share": embeddings.report.padding_share,
        "largest_difference_in_fp32": difference,
        "load_average": os.getloadavg()[0],
    }
    print({key: figures[key] for key in ("ratio", "rows_per_second", "padding_share", "load_average")})
    print(_record.write("embedding", figures, "torch", "transformers", "sentence-transformers"))


if __name__ == "__main__":
    main()
