"""fp32 beside bf16 on this CPU: embeddings, likelihoods and bare matrix products, alternating in one run.

    python benchmarks/precision.py ../shared/data/pools/dolly.jsonl.zst
    python benchmarks/precision.py                                        the same on random words

Embeddings are the embedded MiniLM's. The language models have the shapes of GPT-2 (124M) and of a small LLaMA, with random
weights made on the spot. A ratio is bf16's median processor seconds over fp32's: above 1, bf16 is slower. Processor seconds,
because other work on the machine lengthens the wall clock; both are written down.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import _record
import numpy as np

from instructsel import Pool
from instructsel.models.load import settings
from instructsel.models.precision import bf16_is_faster, cpu_instructions

PRECISIONS = ("fp32", "bf16")
Conversation = tuple[str, str]
"""An instruction and its response."""


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", nargs="?")
    parser.add_argument("--rows", type=int, default=600, help="rows embedded; a tenth of them goes through each language model")
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    import torch

    rows = conversations(options.pool, options.rows)
    few = rows[: max(8, options.rows // 10)]
    cases: dict[str, Any] = {"embedding": embedding(rows, options.repeats)}
    with tempfile.TemporaryDirectory() as folder:
        for name, config in language_models().items():
            cases[name] = likelihood(few, config, Path(folder) / name, options.repeats)
    cases["products"] = products(options.repeats)
    instructions = cpu_instructions(torch)
    figures = {
        "pool": options.pool.rsplit("/", 1)[-1] if options.pool else "random words",
        "instructions": sorted(name for name in instructions if name.startswith(("avx2", "avx512", "amx"))),
        "bf16_is_faster": bf16_is_faster(instructions),
        "auto": settings("auto", "cpu")[0],
        "threads": torch.get_num_threads(),
        "cases": cases,
    }
    print(_record.write("precision", figures, "torch", "transformers"))
    for name, case in cases.items():
        print(f"{name:>10}: bf16 takes {case['ratio']:.2f} times the processor seconds of fp32 (wall clock {case['wall_ratio']:.2f})")


def conversations(pool: str | None, rows: int) -> list[Conversation]:
    """Rows of a pool, or random words with instruction data's mix of lengths."""
    if pool is not None:
        return [(example.instruction, example.response) for example in Pool.read(pool).sample(rows, seed=20260101).examples()]
    generator = np.random.default_rng(20260101)
    words = np.array(["river", "stone", "lantern", "paper", "orchard", "winter", "silver", "engine", "market", "garden"])
    lengths = np.clip(np.exp(generator.normal((2.7, 3.8), 0.9, (rows, 2))), 3, 400).astype(int)
    return [(" ".join(generator.choice(words, first)), " ".join(generator.choice(words, second))) for first, second in lengths]


def compare(work: dict[str, Callable[[], Any]], repeats: int) -> dict[str, Any]:
    """Processor and wall seconds of the same work in both precisions, alternating after one run that is not counted."""
    processor: dict[str, list[float]] = {name: [] for name in work}
    wall: dict[str, list[float]] = {name: [] for name in work}
    for turn in range(repeats + 1):
        for name, run in work.items():
            began = time.process_time(), time.perf_counter()
            run()
            if turn:
                processor[name].append(time.process_time() - began[0])
                wall[name].append(time.perf_counter() - began[1])
    medians = {name: statistics.median(values) for name, values in processor.items()}
    walls = {name: statistics.median(values) for name, values in wall.items()}
    return {
        "processor_seconds": processor,
        "wall_seconds": wall,
        "ratio": medians["bf16"] / medians["fp32"],
        "wall_ratio": walls["bf16"] / walls["fp32"],
    }


def embedding(rows: Sequence[Conversation], repeats: int) -> dict[str, Any]:
    """The embedded MiniLM."""
    from instructsel.neighbors.encoder import Encoder

    texts = ["\n".join(row) for row in rows]
    encoders = {name: Encoder.load(precision=name, device="cpu") for name in PRECISIONS}
    measured = compare({name: (lambda encoder=encoder: encoder.encode(texts)) for name, encoder in encoders.items()}, repeats)
    return {"what": "embedding with MiniLM, tokenizing included", "rows": len(rows), **measured}


def language_models() -> dict[str, Any]:
    """Configurations of the models measured."""
    import transformers

    special = {"bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
    return {
        "gpt2": transformers.GPT2Config(**special),
        "llama": transformers.LlamaConfig(
            vocab_size=32000, hidden_size=512, intermediate_size=1408, num_hidden_layers=8, num_attention_heads=8, **special
        ),
    }


def likelihood(rows: Sequence[Conversation], config: Any, folder: Path, repeats: int) -> dict[str, Any]:
    """The response's likelihood given the instruction, under random weights of this configuration."""
    import torch
    import transformers

    from instructsel.models.likelihood import LikelihoodModel
    from instructsel.models.load import locate

    torch.manual_seed(0)
    model = transformers.AutoModelForCausalLM.from_config(config)
    model.save_pretrained(str(folder))
    embedded = locate("embedded", needed_by="the benchmark").folder
    (folder / "tokenizer.json").write_bytes((embedded / "tokenizer.json").read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}))
    models = {name: LikelihoodModel.load(str(folder), precision=name, device="cpu", probe=False) for name in PRECISIONS}
    questions: list[Any] = list(rows)
    measured = compare({name: (lambda model=model: model.answer(questions)) for name, model in models.items()}, repeats)
    batches = {name: model.padded_because or "packed" for name, model in models.items()}
    parameters = sum(weight.numel() for weight in model.parameters())
    return {
        "what": f"likelihood with {config.model_type}'s shape",
        "rows": len(rows),
        "parameters": parameters,
        "batches": batches,
        **measured,
    }


def products(repeats: int) -> dict[str, Any]:
    """Matrix products of 1,024 tokens through MiniLM's and GPT-2's widest layers."""
    import torch

    types = {"fp32": torch.float32, "bf16": torch.bfloat16}
    shapes = [(1024, 384, 1536), (1024, 1536, 384), (1024, 768, 3072), (1024, 3072, 768)]
    inputs = {name: [(torch.randn(m, k, dtype=kind), torch.randn(n, k, dtype=kind)) for m, k, n in shapes] for name, kind in types.items()}

    def run(name: str) -> None:
        for tokens, weights in inputs[name] * 20:
            torch.nn.functional.linear(tokens, weights)

    measured = compare({name: (lambda name=name: run(name)) for name in PRECISIONS}, repeats)
    operations = 20 * sum(2.0 * m * k * n for m, k, n in shapes)
    wall = {name: statistics.median(values) for name, values in measured["wall_seconds"].items()}
    return {"what": "matrix products", **measured, "gflop_per_second": {name: operations / seconds / 1e9 for name, seconds in wall.items()}}


if __name__ == "__main__":
    main()
