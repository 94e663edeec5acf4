"""A pool of sources with planted effects: what a model is trained on decides its grades, with noise that the seed and the rows decide."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from instructsel.artifact import fingerprint
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint, Grades

EFFECTS: dict[str, dict[str, float]] = {
    "maths": {"algebra": -0.30, "chat": 0.02, "code": 0.0},
    "talk": {"algebra": 0.05, "chat": -0.25, "code": 0.0},
    "snippets": {"algebra": 0.0, "chat": 0.05, "code": -0.2},
}
"""Source → outcome → what a share of 1 of it changes of the loss."""


def write_pool(folder: Path, sources: Mapping[str, int]) -> list[Path]:
    """A file a source, with so many rows."""
    paths = []
    for source, rows in sources.items():
        path = folder / f"{source}.jsonl"
        lines = [{"instruction": f"Ask {source} {number}", "response": f"Answer {number}"} for number in range(rows)]
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
        paths.append(path)
    return paths


@dataclass
class CountingTrainer:
    """A checkpoint says how many rows of each source it was trained on."""

    folder: Path
    trained: list[tuple[str, ...]] = field(default_factory=list)

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"base": "counting"}

    def train(self, pool: Pool, *, seed: int) -> Checkpoint:
        self.trained.append(tuple(pool.ids))
        made = self.folder / f"{fingerprint(pool.ids)}-{seed}"
        made.mkdir(parents=True, exist_ok=True)
        (made / "made.json").write_text(json.dumps({"counts": Counter(pool.sources), "seed": seed, "ids": fingerprint(pool.ids)}))
        return Checkpoint(made, fingerprint([pool.ids, seed]), seed, {"tokens_trained": len(pool), "steps": 1}, owned=True)


@dataclass
class PlantedGrader:
    """The loss that the planted effects give, per item, with noise of the run and of the items."""

    name: str
    noise: float = 0.01
    n_items: int = 8
    higher: bool = False

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"items": self.name, "unit": "bits per byte"}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        made = json.loads((checkpoint.folder / "made.json").read_text())
        total = max(sum(made["counts"].values()), 1)
        effect = sum(EFFECTS.get(source, {}).get(self.name, 0.0) * count / total for source, count in made["counts"].items())
        generator = np.random.default_rng(int(fingerprint([made["ids"], made["seed"], self.name])[:8], 16))
        items = np.random.default_rng(int(fingerprint(self.name)[:8], 16)).normal(0.0, 0.2, self.n_items)
        values = 1.0 + items + effect + generator.normal(0.0, self.noise) + generator.normal(0.0, self.noise, self.n_items)
        values = -values if self.higher else values
        names = tuple(f"{self.name}-{number}" for number in range(self.n_items))
        return Grades(self.name, names, values, np.ones(self.n_items), unit="bits per byte", higher_is_better=self.higher)


def untouched(folder: Path) -> Checkpoint:
    """A model before any training."""
    made = folder / "untouched"
    made.mkdir()
    (made / "made.json").write_text(json.dumps({"counts": {}, "seed": 0, "ids": "none"}))
    return Checkpoint(made, "untouched")
