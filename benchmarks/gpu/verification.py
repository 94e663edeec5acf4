"""Verification on one GPU: every arm and seed trained and graded, as many as the time allows, to be judged elsewhere.

    python benchmarks/gpu/verification.py --base BASE --arm selection=chosen.jsonl --arm random=r0.jsonl,r1.jsonl,r2.jsonl --eval held.jsonl --out results.json
    python benchmarks/gpu/verification.py --toy …                                        the same code at toy size, on a CPU
    python benchmarks/gpu/verification.py --join results.json --table verification.parquet   afterwards: the grades as `verify` keeps them

The files are those `select` writes with its baselines; BASE is what benchmarks/models/tinybase/train.py --size gpu makes, or any other base.
Every arm has the steps that the selection's epochs are; arms take turns, replicate by replicate and seed by seed, so that a loan of the machine
that ends early has runs of each. After every run the results are written anew, and a run that stands in `--done` is not made again.
Graded are the loss of held-out answers and, with --tasks, tasks of lm-evaluation-harness in --include-path. Imports neither polars
nor faiss, but for the joining.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

SELECTION: Final = "selection"
KEPT: Final = ("unit", "higher_is_better", "truncated")


def main() -> None:
    """Train, grade, write down; or join."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path)
    parser.add_argument("--arm", action="append", default=[], help="NAME=FILE[,FILE…]")
    parser.add_argument("--eval", type=Path)
    parser.add_argument("--tasks", default="")
    parser.add_argument("--include-path", type=Path)
    parser.add_argument("--items", type=int)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--done", type=Path, help="results of an earlier run, to go on from")
    parser.add_argument("--toy", action="store_true")
    parser.add_argument("--seconds", type=float, default=540, help="begin no further run after so many")
    parser.add_argument("--join", type=Path)
    parser.add_argument("--table", type=Path)
    arguments = parser.parse_args()
    if arguments.join:
        join(arguments.join, arguments.table)
    else:
        verification(arguments)


def verification(given: argparse.Namespace) -> None:
    """The runs."""
    import torch
    import transformers

    from instructsel.adapters.lm_eval.grader import LmEval
    from instructsel.adapters.recipes import recipe
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.grading.checkpoint import checkpoint_of
    from instructsel.grading.graders.held_out_loss import HeldOutLoss
    from instructsel.pool.pool import Pool

    device = "cuda" if torch.cuda.is_available() and not given.toy else "cpu"
    if device == "cpu" and not given.toy:
        sys.exit("There is no GPU here; --toy tries the script on a CPU.")
    settings = (
        {"epochs": 1.0, "max_length": 128, "batch_size": 8}
        if given.toy
        else {"epochs": 3.0, "learning_rate": 5e-4, "batch_size": 32, "micro_batch_size": 32}
    )
    arms = {name: [Pool.read(path) for path in paths.split(",")] for name, _, paths in (option.partition("=") for option in given.arm)}
    chosen = recipe("tiny", **settings)
    steps = math.ceil((chosen.epochs or 1) * len(arms[SELECTION][0]) / chosen.batch_size)
    chosen = recipe("tiny", **{**settings, "epochs": None, "steps": steps})
    trainer = TrlTrainer(
        str(given.base), chosen, given.out.parent / "checkpoints", device=device, save_every=math.inf, max_skipped_fraction=0.5
    )
    graders: list[Any] = [HeldOutLoss(Pool.read(given.eval), name="held-out loss", max_length=chosen.max_length, device=device)]
    if given.tasks:
        graders += LmEval.graders(given.tasks.split(","), include_path=given.include_path, limit=given.items, device=device)
    before = json.loads(given.done.read_text())["runs"] if given.done else []
    record: dict[str, Any] = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", "benchmarks/gpu/verification.py", *(part for part in sys.argv[1:] if "/" not in part)]),
        "commit": os.environ.get("COMMIT", "unknown"),
        "hardware": torch.cuda.get_device_name(0) if device == "cuda" else "CPU, toy size: figures mean nothing",
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "trainer": dict(trainer.fingerprint),
        "graders": {grader.name: dict(grader.fingerprint) for grader in graders},
        "pools": {name: [pool.fingerprint for pool in pools] for name, pools in arms.items()},
        "runs": before,
    }
    known = {(run["arm"], replicate_of(run), run["seed"]) for run in before}
    begun = time.monotonic()
    for arm, replicate, seed in turns(arms, given.seeds):
        if (arm, replicate, seed) in known or time.monotonic() - begun > given.seconds:
            continue
        started = time.monotonic()
        run: dict[str, Any] = {"arm": arm, "replicate": replicate, "seed": seed}
        try:
            checkpoint = checkpoint_of(str(given.base)) if arm == "base" else trainer.train(arms[arm][replicate], seed=seed)
            run["grades"] = {grader.name: plain(grader.grade(checkpoint)) for grader in graders}
            run["weights"] = checkpoint.digest
            if checkpoint.owned:
                run["tokens_per_second"] = checkpoint.record["run"]["tokens_per_second"]
                checkpoint.discard()
        except Exception as error:
            run["failed"] = f"{type(error).__name__}: {str(error)[:300]}"
        run["seconds"] = time.monotonic() - started
        record["runs"].append(run)
        print(json.dumps({key: value for key, value in run.items() if key != "grades"}), flush=True)
        # After every run: what is stopped keeps what it measured.
        given.out.write_text(json.dumps(record, sort_keys=True) + "\n")


def turns(arms: dict[str, list[Any]], seeds: int) -> Iterator[tuple[str, int, int]]:
    """The runs: the base once, then every arm with its first replicate and seed before any has its second."""
    yield "base", 0, 0
    most = max(len(pools) for pools in arms.values())
    for seed in range(seeds):
        for replicate in range(most):
            yield from ((arm, replicate, seed) for arm, pools in arms.items() if replicate < len(pools))


def replicate_of(run: dict[str, Any]) -> int:
    """The number of a run's subset; results of earlier releases call it a draw."""
    return int(run.get("replicate", run.get("draw", 0)))


def plain(grades: Any) -> dict[str, Any]:
    """Grades as JSON has them."""
    record = {key: getattr(grades, key) for key in KEPT}
    return {
        **record,
        "items": list(grades.items),
        "values": grades.values.tolist(),
        "weights": grades.weights.tolist(),
        "reasons": list(grades.reasons),
    }


def join(results: Path, table: Path) -> None:
    """The grades as `instructsel verify` keeps them, and the verdicts against each baseline."""
    import numpy as np

    from instructsel.protocols import Grades
    from instructsel.verification.grades_table import Run
    from instructsel.verification.verification import Verification

    runs = [
        Run(
            run["arm"],
            replicate_of(run),
            run["seed"],
            Grades(
                name,
                tuple(record["items"]),
                np.array(record["values"]),
                np.array(record["weights"]),
                tuple(record["reasons"]),
                **{key: record[key] for key in KEPT},
            ),
        )
        for run in json.loads(results.read_text())["runs"]
        for name, record in run.get("grades", {}).items()
    ]
    verification = Verification.of(runs, fixed=["base"])
    verification.write(table)
    for verdict in verification.verdicts(SELECTION, [arm for arm in verification.arms if arm != SELECTION]):
        print(verdict.sentence)


if __name__ == "__main__":
    main()
