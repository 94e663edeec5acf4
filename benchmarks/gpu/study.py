"""The study on one GPU: mixtures of real sources, each fine-tuned on and graded, as many as the time allows.

    python benchmarks/gpu/study.py --base BASE --pools POOLS --out results.json                       on a GPU
    python benchmarks/gpu/study.py --toy --base BASE --pools POOLS --out results.json                 the same code at toy size, on a CPU
    python benchmarks/gpu/study.py --join results.json --scores fit.scores.parquet --pools POOLS --table study.parquet      afterwards

BASE is what benchmarks/models/tinybase/train.py --size gpu makes (or any other base); POOLS the folder that benchmarks/study/run.py
--stage pools makes: a file of messages for each source, and fitting.jsonl to grade on. After every run the results are written anew,
and a run that stands in `--done` (an earlier results file) is not made again, so that several short loans of a machine add up.
Joined with the sources' scores the results become the table that `instructsel rules fit` takes. Imports neither polars nor faiss,
but for the joining.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

SOURCES: Final = ("lima", "oasst", "alpaca", "self_instruct", "t0")


def main() -> None:
    """Train, grade, write down; or join."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--pools", type=Path, required=True)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--done", type=Path, help="results of an earlier run, to go on from")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--mixtures", type=int, default=0)
    parser.add_argument("--rows", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=540, help="begin no further run after so many")
    parser.add_argument("--join", type=Path)
    parser.add_argument("--scores", type=Path)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if arguments.join:
        join(arguments.join, arguments.scores, arguments.pools, arguments.table)
    else:
        study(arguments)


def study(given: argparse.Namespace) -> None:
    """The runs."""
    import torch
    import transformers

    from instructsel.adapters.recipes import recipe
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.grading.graders.held_out_loss import HeldOutLoss
    from instructsel.pool.pool import Pool
    from instructsel.study.design import Mixtures

    device = "cuda" if torch.cuda.is_available() and not given.toy else "cpu"
    if device == "cpu" and not given.toy:
        sys.exit("There is no GPU here; --toy tries the script on a CPU.")
    count, rows = given.mixtures or (2 if given.toy else 78), given.rows or (16 if given.toy else 2000)
    # More epochs than on the CPU: the base is larger.
    settings = (
        {"epochs": 1.0, "max_length": 128, "batch_size": 8}
        if given.toy
        else {"epochs": 3.0, "learning_rate": 5e-4, "batch_size": 32, "micro_batch_size": 32}
    )
    chosen = recipe("tiny", **settings)
    pool = Pool.read(*(given.pools / f"{source}.jsonl" for source in SOURCES))
    held = HeldOutLoss(Pool.read(given.pools / "fitting.jsonl"), name="fitting", max_length=chosen.max_length, device=device)
    trainer = TrlTrainer(str(given.base), chosen, given.out.parent / "checkpoints", device=device, save_every=math.inf)
    before = json.loads(given.done.read_text())["runs"] if given.done else []
    record: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/gpu/study.py", *(part for part in sys.argv[1:] if "/" not in part)]),
        "commit": os.environ.get("COMMIT", "unknown"),
        "hardware": torch.cuda.get_device_name(0) if device == "cuda" else "CPU, toy size: figures mean nothing",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "trainer": dict(trainer.fingerprint),
        "grader": dict(held.fingerprint),
        "pool": pool.fingerprint,
        "mixtures": {"n": count, "rows": rows, "seed": 0},
        "runs": before,
    }
    known = {run["subset"] for run in before}
    begun = time.monotonic()
    for subset in Mixtures(count, rows).subsets(pool):
        if subset.name in known or time.monotonic() - begun > given.seconds:
            continue
        started = time.monotonic()
        run: dict[str, Any] = {"subset": subset.name, "counts": dict(subset.counts), "redraws": subset.redraws, "ids": subset.digest}
        try:
            checkpoint = trainer.train(subset.of(pool), seed=0)
            grades = held.grade(checkpoint)
            run |= {
                "loss": grades.weighted_mean,
                "loss_example_weighted": grades.mean,
                "n_items": int(grades.valid.sum()),
                "steps": checkpoint.record["steps"],
                "tokens_trained": checkpoint.record["tokens_trained"],
                "tokens_per_second": checkpoint.record["run"]["tokens_per_second"],
                "weights": checkpoint.digest,
            }
            checkpoint.discard()
        except Exception as error:
            run["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
        run["seconds"] = time.monotonic() - started
        record["runs"].append(run)
        print(json.dumps(run), flush=True)
        # After every run: what is stopped keeps what it measured.
        given.out.write_text(json.dumps(record, indent=1, sort_keys=True) + "\n")


def join(results: Path, scores: Path, pools: Path, table: Path) -> None:
    """The runs' losses beside the means of the indicators, as `instructsel rules fit` takes them."""
    import polars as pl

    from instructsel import Pool, ScoreTable
    from instructsel.study.design import Mixtures

    record = json.loads(results.read_text())
    pool, scored = Pool.read(*(pools / f"{source}.jsonl" for source in SOURCES)), ScoreTable.read(scores)
    if not pool.has_fingerprint(record["pool"]):
        sys.exit("The pools are not those the runs were made from.")
    position = {name: number for number, name in enumerate(scored.ids)}
    columns = {symbol: scored.values(symbol) for symbol in scored.symbols}
    runs = {run["subset"]: run for run in record["runs"] if "loss" in run}
    records: list[dict[str, Any]] = []
    for subset in Mixtures(**record["mixtures"]).subsets(pool):
        run = runs.get(subset.name)
        if run is None:
            continue
        if run["ids"] != subset.digest:
            sys.exit(f"{subset.name} was drawn otherwise then.")
        rows = [position[name] for name in subset.ids]
        means = {
            symbol: math.fsum(values[row] for row in rows if valid[row]) / max(1, sum(bool(valid[row]) for row in rows))
            for symbol, (values, valid) in columns.items()
        }
        shares = {f"share_{source}": share for source, share in subset.shares.items()}
        losses = {name: run[name] for name in ("loss", "loss_example_weighted", "n_items", "steps", "tokens_trained")}
        records.append({"subset": subset.name, "design": "mixture", "seed": 0, **shares, **means, **losses})
    pl.DataFrame(records).write_parquet(table)
    beside = {"kind": "study", "schema": 1, "indicators": scored.manifest["indicators"]}
    table.with_name(table.name + ".json").write_text(json.dumps(beside, indent=1) + "\n")
    print(f"{len(records)} observations: {table}")


if __name__ == "__main__":
    main()
