"""From the raw files to the shipped weights, their figures and their card.

    python benchmarks/models/embedded_reward/build.py ../shared/data                     everything, in order
    python benchmarks/models/embedded_reward/build.py ../shared/data --skip-training     figures and card of the weights that ship

Trains the chosen design (designs.FINAL), writes its low-rank changes in float16 to instructsel/models/plausibility.safetensors, asks the
class that users load for the same scores, judges it (judge.py), and writes the card beside the weights.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "benchmarks"), str(ROOT)]

import judge
import numpy as np
import safetensors.torch
import torch
from card import card
from designs import DESIGNS, FINAL, Model, Tokens, score
from texts import Archive, Pair
from train import figures, material, record, train

from instructsel.models.load import locate
from instructsel.models.plausibility import CARD, WEIGHTS, PlausibilityModel

MODELS = ROOT / "instructsel" / "models"
RESULTS = ROOT / "benchmarks" / "results"
AGREES = 0.05
"""How far float16 and another order of sums may move a score."""


def shipped(model: Model, about: dict[str, str]) -> bytes:
    """The trained tensors as a file: of each changed matrix A (rank, in) and B (out, rank), scaled; of the head, weights and biases."""
    state = model.state_dict()
    tensors: dict[str, torch.Tensor] = {}
    for name, value in state.items():
        if ".lora_A." in name:
            where = name.split("encoder.layer.")[1].split(".lora_A.")[0]
            tensors[f"{where}.A"] = value
            # alpha is twice the rank.
            tensors[f"{where}.B"] = 2 * state[name.replace("lora_A", "lora_B")]
    layers = [layer for layer in model.head.modules() if isinstance(layer, torch.nn.Linear)]
    for number, layer in enumerate(layers):
        tensors |= {f"head.{number}.weight": layer.weight.detach(), f"head.{number}.bias": layer.bias.detach()}
    weights = {name: value.to(torch.float16).contiguous() for name, value in tensors.items()}
    # One entry: the order of several is not the same twice.
    return safetensors.torch.save(weights, metadata={"about": json.dumps(about, sort_keys=True)})


def same(model: Model, tokens: Tokens, pairs: list[Pair]) -> float:
    """The largest difference between the scores of the trained model and of what users load."""
    rows = [row for pair in pairs for row in ((pair.prompt, pair.better), (pair.prompt, pair.worse))]
    scored = PlausibilityModel.load(precision="fp32").score(rows)
    valid = np.array([reason is None for reason in scored.reasons])
    return float(np.abs(scored.values - score(model, tokens, rows))[valid].max())


def learn(data: Path, seed: int) -> dict[str, Any]:
    """Train, write the weights, and say how they do in development."""
    archive, design, tokens = Archive(data), DESIGNS[FINAL], Tokens()
    learnt, held_out = material(archive, design, seed)
    model = train(design, learnt, tokens, seed)
    about = {"features": " ".join(design.features), "base": locate("embedded", needed_by="training").digest, "format": "1"}
    (MODELS / WEIGHTS).write_bytes(shipped(model, about))
    print(f"weights: {(MODELS / WEIGHTS).stat().st_size:,} bytes", file=sys.stderr)
    difference = same(model, tokens, held_out["corruption"])
    if difference > AGREES:
        raise SystemExit(f"the shipped weights score differently: {difference:.3g}")
    development = figures(model, tokens, held_out)
    record(FINAL, {"design": asdict(design), "seed": seed, "pairs": len(learnt), "figures": development})
    return {
        "design": FINAL,
        "seed": seed,
        "pairs": {family: sum(pair.family == family for pair in learnt) for family in sorted({pair.family for pair in learnt})},
        "files": archive.read,
        "weights": hashlib.sha256((MODELS / WEIGHTS).read_bytes()).hexdigest(),
        "largest_difference_to_shipped": difference,
        "development": development,
    }


def main() -> None:
    """Train, judge, write the card."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--skip-training", action="store_true", help="judge the weights that are there")
    parser.add_argument("--card-only", action="store_true", help="write the card of the figures that are there")
    options = parser.parse_args()
    trained = RESULTS / "embedded_reward_training.json"
    if not (options.skip_training or options.card_only):
        trained.write_text(json.dumps(learn(options.data, options.seed), indent=1, sort_keys=True) + "\n", encoding="utf-8")
    if not options.card_only:
        sys.argv[1:] = [str(options.data)]
        judge.main()
    results = json.loads((RESULTS / "embedded_reward.json").read_text(encoding="utf-8"))
    training = json.loads(trained.read_text(encoding="utf-8"))
    (MODELS / CARD).write_text(json.dumps(card(results, training), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
