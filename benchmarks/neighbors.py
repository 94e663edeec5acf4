"""Our Knn_6 step, embeddings given, beside FAISS's own search of the same vectors for the same neighbors, alternating.

python benchmarks/neighbors.py --cache CACHE        the embeddings of a cache (see main_job.py), largest and smallest
python benchmarks/neighbors.py --random 15000       random unit vectors
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from pathlib import Path
from typing import Any

import _record
import faiss
import numpy as np

from instructsel.cache import DIGEST, MAGIC
from instructsel.neighbors.index import neighbor_distances


def vectors_of(path: Path) -> np.ndarray:
    """The embeddings of a cache file; its last column is no part of them."""
    with open(path, "rb") as file:
        file.seek(len(MAGIC) + DIGEST)
        return np.ascontiguousarray(np.load(file, allow_pickle=False)[:, :-1])


def compare(vectors: np.ndarray, repeats: int) -> dict[str, Any]:
    """Seconds of both, alternating."""
    seconds: dict[str, list[float]] = {"ours": [], "faiss": []}
    for _ in range(repeats):
        started = time.perf_counter()
        index = faiss.IndexFlatIP(vectors.shape[1])
        index.add(vectors)
        similarity, _ = index.search(vectors, 7)
        seconds["faiss"].append(time.perf_counter() - started)
        started = time.perf_counter()
        ours = neighbor_distances(vectors, 6)
        seconds["ours"].append(time.perf_counter() - started)
    # FAISS rounds to about 1e-7 in the similarity, so to 5e-4 where the distance is next to nothing.
    theirs = np.sqrt(np.maximum(0, 2 - 2 * similarity[:, 6].astype(np.float64)))
    assert np.abs(theirs - ours).max() < 2e-3, np.abs(theirs - ours).max()
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {"rows": len(vectors), "seconds": seconds, "median_seconds": medians, "ratio": medians["ours"] / medians["faiss"]}


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cache", type=Path)
    parser.add_argument("--random", type=int)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    faiss.omp_set_num_threads(2)
    sets: list[np.ndarray] = []
    if options.cache:
        arrays = sorted((options.cache / "embeddings").glob("*.npy"), key=lambda path: path.stat().st_size)
        sets = [vectors_of(path) for path in dict.fromkeys([arrays[0], arrays[-1]])]
    else:
        drawn = np.random.default_rng(0).normal(size=(options.random or 15_000, 384)).astype(np.float32)
        sets = [drawn / np.linalg.norm(drawn, axis=1, keepdims=True)]
    figures = {"sets": [compare(vectors, options.repeats) for vectors in sets], "load_average": os.getloadavg()[0]}
    print([(entry["rows"], entry["ratio"], entry["median_seconds"]) for entry in figures["sets"]])
    print(_record.write("neighbors", figures, "faiss-cpu", "numpy"))


if __name__ == "__main__":
    main()
