"""The embedded language model on a CPU: forward and LoRA steps as a share of the processor's matrix product, and against TRL's own.

    python benchmarks/fine_tune.py POOL.jsonl                        writes benchmarks/results/fine_tune.json
    python benchmarks/fine_tune.py POOL.jsonl --base FOLDER          another base
    OMP_NUM_THREADS=2 python benchmarks/fine_tune.py POOL.jsonl --clock wall      two threads, on a machine that does nothing else

TRL's own is SFTTrainer as it is, on the same rows in the same order, padded by its collator; the losses of every step must agree.
Processor seconds unless asked otherwise, because other work on the machine lengthens the wall clock; what further threads save is seen by the
wall clock alone. Operations are counted as two for each weight of a
linear layer and token that it sees: forward, and as much again backward where the base's weights are frozen; the head at loss tokens.
"""

from __future__ import annotations

import argparse
import math
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import _record

from instructsel import Lm, Pool
from instructsel.adapters import TrlTrainer, recipe, sft
from instructsel.models.likelihood import LikelihoodModel

CLOCKS: Final[dict[str, Callable[[], float]]] = {"processor": time.process_time, "wall": time.perf_counter}


def main() -> None:
    """Measure, compare, write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", nargs="+")
    parser.add_argument("--base", default="embedded")
    parser.add_argument("--steps", type=int, default=4)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--forward-rows", type=int, default=48)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--clock", choices=CLOCKS, default="processor")
    parser.add_argument("--name", default="fine_tune", help="of the file of results")
    arguments = parser.parse_args()
    import torch

    pool = Pool.read(*arguments.pool)
    rows = pool.sample(min(400, len(pool)), seed=0)
    clock = CLOCKS[arguments.clock]
    gigaflops = statistics.median(product(clock) for _ in range(5))
    forward_figures = forward(arguments.base, rows.sample(min(arguments.forward_rows, len(rows)), seed=1), gigaflops, clock)
    figures = {
        "threads": torch.get_num_threads(),
        "clock": arguments.clock,
        "product_gigaflops_a_second": gigaflops,
        "forward": forward_figures,
        "lora": lora(arguments, rows, gigaflops, forward_figures["weights"]),
    }
    print(_record.write(arguments.name, figures, "torch", "transformers", "trl"))


def product(clock: Callable[[], float]) -> float:
    """fp32 matrix products of the base's widest layer over 1,024 tokens: 10⁹ operations a second."""
    import torch

    left, right = torch.randn(1024, 576), torch.randn(576, 1536)
    left @ right
    begin, count = clock(), 40
    for _ in range(count):
        left @ right
    return count * 2 * 1024 * 576 * 1536 / (clock() - begin) / 1e9


def forward(base: str, pool: Pool, gigaflops: float, clock: Callable[[], float]) -> dict[str, float]:
    """Likelihoods of responses after their instructions, through our engine."""
    model = Lm.embedded() if base == "embedded" else LikelihoodModel.load(base)
    network = model.workers[0].model
    head = network.get_output_embeddings().weight
    body = sum(
        weight.numel() for name, weight in network.named_parameters() if weight.dim() == 2 and "embed" not in name and "lm_head" not in name
    )
    questions = [(example.instruction + "\n", example.response) for example in pool.examples() if example.response.strip()]
    begin = clock()
    answers = model.answer(questions)
    seconds = clock() - begin
    scored = sum(len(model.tokenizer.encode(text).ids) for _, text in questions)
    operations = 2 * (answers.report.tokens * body + scored * head.numel())
    print(f"forward: {answers.report.tokens / seconds:.0f} tokens a second", flush=True)
    return {
        "tokens": answers.report.tokens,
        "tokens_a_second": answers.report.tokens / seconds,
        "share_of_product": operations / seconds / 1e9 / gigaflops,
        "weights": {"layers": body, "head": head.numel()},
    }


def lora(arguments: argparse.Namespace, pool: Pool, gigaflops: float, weights: dict[str, int]) -> dict[str, Any]:
    """LoRA steps, ours and TRL's own by turns; the first pair warms up and is not counted."""
    import trl

    ours: Callable[[Any], Any] = sft.trainer_class
    seconds: dict[str, list[float]] = {"ours": [], "trl": []}
    losses: dict[str, list[float]] = {}
    record: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(arguments.repeats + 1):
            for name, chosen in (("trl", lambda model: trl.SFTTrainer), ("ours", ours)):
                sft.trainer_class = chosen
                settings = recipe(
                    "tiny",
                    method="lora",
                    lora_r=16,
                    learning_rate=2e-4,
                    batch_size=arguments.batch_size,
                    steps=1 if turn == 0 else arguments.steps,
                    group_by_length=False,
                )
                begun: list[float] = []

                def progress(step: int, steps: int, loss: float, begun: list[float] = begun) -> None:
                    begun.append(CLOCKS[arguments.clock]())

                trainer = TrlTrainer(
                    arguments.base,
                    settings,
                    Path(folder) / f"{name}{turn}",
                    device="cpu",
                    save_every=math.inf,
                    merge=False,
                    progress=progress,
                )
                done = trainer.train(pool, seed=0)
                if turn:
                    # From the end of the first step on: what is done once is not counted.
                    seconds[name].append(begun[-1] - begun[0])
                    losses[name], record = done.record["losses"], dict(done.record)
                    print(f"{name}: {seconds[name][-1]:.1f} seconds", flush=True)
    sft.trainer_class = ours
    apart = max(abs(one - other) for one, other in zip(losses["ours"], losses["trl"], strict=True))
    assert apart < 1e-4, apart
    share = (arguments.steps - 1) / arguments.steps
    tokens, trained = record["tokens_seen"] * share, record["tokens_trained"] * share
    operations = 4 * (tokens * weights["layers"] + trained * weights["head"])
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    return {
        "steps": arguments.steps,
        "rows_a_step": arguments.batch_size,
        "tokens": tokens,
        "seconds": seconds,
        "tokens_a_second": {name: tokens / value for name, value in medians.items()},
        "share_of_product": operations / medians["ours"] / 1e9 / gigaflops,
        "ratio": medians["trl"] / medians["ours"],
        "largest_difference_of_a_loss": apart,
    }


if __name__ == "__main__":
    main()
