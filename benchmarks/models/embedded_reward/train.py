"""Train a design of the embedded reward and say how it does on what was kept for development.

    python benchmarks/models/embedded_reward/train.py ../shared/data --design mean --out /tmp/mean

Seeded; learns only from files that may be redistributed (texts.py opens no others). Development figures: human pairs of families
the design did not learn from (whole) or of conversations it did not see, all and length-matched, and corrupted answers of held-out rows.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT)]

import numpy as np
import safetensors.torch
import torch
from designs import DESIGNS, Design, Model, Tokens, batches, score
from judge import points, proportion
from texts import SEED, Archive, Pair, balanced, corrupted, harmless, held_out, ranked

DEVELOPMENT = 400
"""Pairs of corrupted answers, and of harmless ones."""


def material(archive: Archive, design: Design, seed: int) -> tuple[list[Pair], dict[str, list[Pair]]]:
    """What is learnt from, and what it is judged on during development."""
    aside = Archive(archive.folder)
    spoilt = corrupted(archive, design.corruption + DEVELOPMENT * 6, seed)
    learnt = [pair for pair in spoilt if not held_out(pair)][: design.corruption]
    held = {"corruption": [pair for pair in spoilt if held_out(pair)][:DEVELOPMENT]}
    for name, people, used in (("oasst", ranked, design.oasst), ("harmless", harmless, design.harmless)):
        # What is only judged on is opened by another hand: the card lists what was learnt from.
        pairs = list(people(archive if used else aside))
        if used:
            learnt += [pair for pair in pairs if not held_out(pair)] * design.human_epochs
            held[name] = [pair for pair in pairs if held_out(pair)]
        else:
            held[name] = pairs if name == "oasst" else random.Random(SEED).sample(pairs, DEVELOPMENT)
    return learnt, held


def matched(pair: Pair, by: float = 0.1) -> bool:
    """Whether the answers' lengths in words differ by at most a tenth of the longer."""
    long, short = sorted((len(pair.better.split()), len(pair.worse.split())), reverse=True)
    return long - short <= by * long


def figures(model: Model, tokens: Tokens, kept: dict[str, list[Pair]]) -> dict[str, Any]:
    """Accuracies on what was kept."""
    figures: dict[str, Any] = {}
    for name, pairs in kept.items():
        values = score(model, tokens, [row for pair in pairs for row in ((pair.prompt, pair.better), (pair.prompt, pair.worse))])
        margins = values[0::2] - values[1::2]
        parts = {"all": np.ones(len(pairs), bool)}
        if name == "corruption":
            parts |= {kind: np.array([pair.kind == kind for pair in pairs]) for kind in sorted({pair.kind for pair in pairs})}
        else:
            parts["matched_10"] = np.array([matched(pair) for pair in pairs])
            parts["matched_20"] = np.array([matched(pair, 0.2) for pair in pairs])
            parts["longer better"] = np.array([len(pair.better) > len(pair.worse) for pair in pairs])
            parts["shorter better"] = ~parts["longer better"]
        for part, mask in parts.items():
            accuracy = proportion(points(margins[mask]))
            figures[f"{name} {part}"] = {
                "n": accuracy["n"],
                "accuracy": round(accuracy["value"], 4),
                "low": round(accuracy["low"], 4),
                "high": round(accuracy["high"], 4),
            }
        figures[f"{name} spread"] = round(float(values.std()), 3)
    return figures


def train(design: Design, learnt: list[Pair], tokens: Tokens, seed: int) -> Model:
    """Bradley–Terry over weighted pairs."""
    torch.manual_seed(seed)
    generator = random.Random(f"{seed}:order")
    weights = balanced(learnt)
    model = Model(design)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=design.rate, weight_decay=0.01)
    encoded = [tokens.pairs([(pair.prompt, pair.better), (pair.prompt, pair.worse)]) for pair in learnt]
    sizes = [len(better[0]) + max(len(better[1]), len(worse[1])) for better, worse in encoded]
    plan = batches(sizes, design.batch, generator)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, design.rate, total_steps=len(plan), pct_start=0.06)
    began, running = time.monotonic(), 0.7
    model.train()
    for step, batch in enumerate(plan):
        values = model([encoded[number][side] for side in (0, 1) for number in batch])
        better, worse = values[: len(batch)], values[len(batch) :]
        weight = torch.tensor([weights[number] for number in batch])
        # The last term keeps the scale's zero where it is.
        loss = (weight * torch.nn.functional.softplus(worse - better)).mean() + 0.005 * (values**2).mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        schedule.step()
        running = 0.97 * running + 0.03 * float(loss.detach())
        if step % 25 == 0:
            print(f"step {step}/{len(plan)} loss {running:.3f} {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return model


def record(name: str, entry: dict[str, Any]) -> None:
    """Put a design's development figures beside those of the others, in results/embedded_reward_designs.json."""
    path = ROOT / "benchmarks" / "results" / "embedded_reward_designs.json"
    known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    path.write_text(json.dumps({**known, name: entry}, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main() -> None:
    """Train one design, write its weights and its figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--design", choices=DESIGNS, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    archive, design, tokens = Archive(options.data), DESIGNS[options.design], Tokens()
    learnt, held = material(archive, design, options.seed)
    print(f"{options.design}: {len(learnt)} pairs; kept { ({name: len(pairs) for name, pairs in held.items()}) }", file=sys.stderr)
    model = train(design, learnt, tokens, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    development = figures(model, tokens, held)
    trained = {name: value for name, value in model.state_dict().items() if "lora" in name or name.startswith("head")}
    safetensors.torch.save_file(trained, options.out / "trained.safetensors")
    record(options.design, {"design": asdict(design), "seed": options.seed, "pairs": len(learnt), "figures": development})
    for name, value in development.items():
        print(name, value)


if __name__ == "__main__":
    main()
