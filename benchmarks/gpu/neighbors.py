"""The search of neighbor distances with FAISS on a GPU beside the same on the CPU: seconds, and that distances and neighbors are equal.

    python benchmarks/gpu/neighbors.py --out results.json            where faiss-gpu and a GPU are
    python benchmarks/gpu/neighbors.py --toy --out results.json      the same code at toy size, on a CPU

Random unit vectors of MiniLM's 384 numbers, a tenth of them copies and near copies, as a pool has them. With --toy the "GPU" is
FAISS's index on the CPU: the figures mean nothing. Needs numpy and faiss.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

ROWS = (15_000, 52_000, 200_000)
NEIGHBOR = 6


def vectors_of(rows: int, width: int = 384) -> np.ndarray:
    """Random directions; of every ten rows one is a copy or a near copy of another."""
    drawn = np.random.default_rng(20260101)
    vectors = drawn.standard_normal((rows, width)).astype(np.float32)
    copies = drawn.choice(rows, rows // 10, replace=False)
    vectors[copies] = vectors[drawn.integers(0, rows, len(copies))]
    shifted = copies[::2]
    vectors[shifted] += drawn.standard_normal((len(shifted), width)).astype(np.float32) * 1e-3
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def stand_in() -> ModuleType:
    """FAISS for CPUs with the interface of faiss-gpu: an index that is moved stays what it is."""
    import faiss

    module = ModuleType("faiss")
    module.__dict__.update(
        IndexFlatIP=faiss.IndexFlatIP,
        get_num_gpus=lambda: 1,
        StandardGpuResources=object,
        index_cpu_to_gpu=lambda resources, number, index: index,
        __version__=faiss.__version__,
    )
    return module


def compare(rows: int, repeats: int) -> dict[str, Any]:
    """Medians of both, alternating; the first search on a GPU is not counted."""
    from instructsel.neighbors.index import ExactIndex

    vectors, row_numbers = vectors_of(rows), np.arange(rows)
    seconds: dict[str, list[float]] = {"cuda": [], "cpu": []}
    results = {}
    ExactIndex(vectors[:1000], device="cuda").search(vectors[:1000], NEIGHBOR)
    for _ in range(repeats):
        for device in seconds:
            started = time.perf_counter()
            index = ExactIndex(vectors, device=device)
            results[device] = index.search(vectors, NEIGHBOR, own_ids=row_numbers)
            seconds[device].append(time.perf_counter() - started)
            if index.index.device != device:
                raise RuntimeError(f"searched on {index.index.device}, not on {device}")
    medians = {device: statistics.median(values) for device, values in seconds.items()}
    return {
        "rows": rows,
        "seconds": seconds,
        "median_seconds": medians,
        "ratio": medians["cpu"] / medians["cuda"],
        "largest_difference_of_distances": float(np.abs(results["cuda"][0] - results["cpu"][0]).max()),
        "rows_with_other_neighbors": int((results["cuda"][1] != results["cpu"][1]).any(axis=1).sum()),
    }


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--rows", type=int, nargs="*")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    if options.toy:
        sys.modules["faiss"] = stand_in()
    import faiss

    if not hasattr(faiss, "StandardGpuResources") or not faiss.get_num_gpus():
        sys.exit("There is no GPU here that FAISS can use; --toy tries the script on a CPU.")
    record: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/gpu/neighbors.py", *(part for part in sys.argv[1:] if "/" not in part)]),
        "commit": os.environ.get("COMMIT", "unknown"),
        "hardware": "CPU, toy size: figures mean nothing" if options.toy else f"{faiss.get_num_gpus()} GPU",
        "versions": {"faiss": faiss.__version__, "numpy": np.__version__},
        "cases": [],
    }
    for rows in options.rows or ((600,) if options.toy else ROWS):
        record["cases"].append(compare(rows, options.repeats))
        print(json.dumps(record["cases"][-1]), flush=True)
        # After every case: a run that is stopped has what it measured.
        Path(options.out).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
