"""The main job on a real pool: score with len, mtld and knn_6, select 2,000 by eq4-without-reward.

    python benchmarks/main_job.py ../shared/data/pools/alpaca.jsonl.zst --out /tmp/main-job

Runs the command line in processes of its own and reads seconds and peak memory from the system.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import _record


def run(*arguments: str) -> tuple[float, float]:
    """Wall seconds of a command, and the peak memory in MiB of all commands so far."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "instructsel", *arguments], check=True)
    return time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Score and select, and write down what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=2000)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    label = options.pool.name.split(".")[0]
    scores, chosen, cache = options.out / f"{label}.scores.parquet", options.out / f"{label}.selected.jsonl", options.out / "cache"
    score_seconds, score_peak = run("score", str(options.pool), "--indicators", "len,mtld,knn_6", "-o", str(scores), "--cache", str(cache))
    select_seconds, peak = run(
        "select", str(scores), "--rule", "eq4-without-reward", "--n", str(options.n), "-o", str(chosen), "--cache", str(cache)
    )
    manifest: dict[str, Any] = json.loads(scores.with_name(scores.name + ".json").read_text())
    rows = manifest["pool"]["examples"]
    figures = {
        "pool": label,
        "rows": rows,
        "rows_per_second": rows / score_seconds,
        "score_seconds": score_seconds,
        "seconds_per_indicator": manifest["run"]["seconds"],
        "select_seconds": select_seconds,
        "score_peak_mib": score_peak,
        "peak_mib": peak,
        "precision": manifest["indicators"]["knn_6"]["model"]["precision"],
        "load_average": os.getloadavg()[0],
    }
    print(json.dumps(figures, indent=1))
    print(_record.write(f"main_job_{label}", figures, "torch", "transformers", "faiss-cpu"))


if __name__ == "__main__":
    main()
