"""A fine-tune on a CPU with its loss over the trained tokens alone, against the same with TRL's own loss, in turn.

    python benchmarks/fine_tune.py --base .venv/tinybase --rows chosen.jsonl       writes benchmarks/results/fine_tune.json

Both go through TrlTrainer, with the same rows in the same order; the losses of every step must agree. The first pair warms up and is
not counted.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
from pathlib import Path
from typing import Any

import _record

from instructsel import Pool
from instructsel.adapters import TrlTrainer, recipe, trl


def main() -> None:
    """Train by turns, compare, write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--rows", type=Path, nargs="+", required=True)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=2)
    arguments = parser.parse_args()
    full_pool = Pool.read(*map(str, arguments.rows))
    pool = full_pool.sample(min(1000, len(full_pool)), seed=0)
    ours = trl._trainer
    seconds: dict[str, list[float]] = {"ours": [], "trl": []}
    losses: dict[str, Any] = {}
    tokens = 0
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.repeats + 1):
            for name, chosen in (("trl", lambda library, model: library.SFTTrainer), ("ours", ours)):
                trl._trainer = chosen
                steps = 1 if turn == 0 else arguments.steps
                trainer = TrlTrainer(
                    str(arguments.base), recipe("tiny", steps=steps), Path(folder) / f"{name}{turn}", device="cpu", save_every=math.inf
                )
                done = trainer.train(pool, seed=0)
                if turn:
                    seconds[name].append(done.record["run"]["seconds"])
                    losses[name], tokens = done.record["losses"], done.record["tokens_seen"]
                    print(f"{name}: {seconds[name][-1]:.1f} s", flush=True)
    apart = max(abs(a - b) for a, b in zip(losses["ours"], losses["trl"], strict=True))
    assert apart < 1e-4, apart
    figures = {
        "steps": arguments.steps,
        "tokens": tokens,
        "seconds": seconds,
        "ratio": statistics.median(seconds["trl"]) / statistics.median(seconds["ours"]),
        "largest_difference_of_a_loss": apart,
    }
    print(figures)
    _record.write("fine_tune", figures, "torch", "transformers", "trl")


if __name__ == "__main__":
    main()
