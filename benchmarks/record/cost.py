"""What each way to select costs on one pool of the study of record, counted in the work of models and not in seconds.

    python benchmarks/record/cost.py --data ../shared/data --out .venv/record --pool dolly

Reads how many tokens each indicator's model read from the score table that run.py left in OUT, counts those of the ways that read rows
without an indicator, and writes benchmarks/results/record/cost_POOL.json, from which the page is made.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any, Final

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent)]
import _record
from prepare import Material
from run import INDICATORS, Record
from safetensors import safe_open

from instructsel.models.load import EMBEDDED, EMBEDDED_LM, located

READ: Final = {
    "longest": (),
    "eq4-without-reward": ("knn_6",),
    "our-rule": ("knn_6", "ifd", "plausibility"),
    "ifd": ("ifd",),
    "deita": ("knn_6",),
    "plausibility": ("plausibility",),
}
"""Way to select → the indicators with a model that it reads; DEITA's filter reads the vectors that the distance is taken of. RDS+ reads rows itself."""
ENCODER: Final = ("knn_6", "plausibility")
"""Indicators whose model is MiniLM; plausibility's own layers above it are left out."""
PASSES: Final = 2
"""Of a LoRA training over each token: forward, and back to the activations; the frozen weights have no gradient."""


def multiplied(model: str) -> int:
    """Weights that each token is multiplied with: all matrices, a table of embeddings only where it is the output layer as well."""
    with safe_open(located(model, revision=None, needed_by="cost").folder / "model.safetensors", "np") as weights:
        shapes = {name: weights.get_slice(name).get_shape() for name in weights.keys()}  # noqa: SIM118 - not a dict
    tied = {"model.embed_tokens.weight"} if "lm_head.weight" not in shapes else set()
    return sum(math.prod(shape) for name, shape in shapes.items() if len(shape) == 2 and ("embed" not in name or name in tied))


def counted(record: Record, pool: str) -> dict[str, Any]:
    """Tokens that models read for each way, and the work in trainings at equal tokens."""
    material = record.material
    path, _ = material.drawn(pool)
    table = record.scored(path, INDICATORS)
    read = {symbol: batch["tokens"] for symbol, batch in json.loads(Path(f"{table}.json").read_text())["run"]["batches"].items()}
    rows = [json.loads(line)["messages"] for line in path.read_text().splitlines()]
    target = [json.loads(line)["messages"] for line in material.target().read_text().splitlines()]
    small, large = multiplied(EMBEDDED), multiplied(EMBEDDED_LM)
    training = PASSES * material.decided["pools"]["tokens"] * large
    work = {method: sum(read[symbol] * (small if symbol in ENCODER else large) for symbol in symbols) for method, symbols in READ.items()}
    work["rds+"] = (sum(material.lengths(rows)) + sum(material.lengths(target))) * large
    return {
        "pool": pool,
        "rows": len(rows),
        "weights": {"MiniLM": small, "language model": large},
        "tokens": read | {"rds+": work["rds+"] // large},
        "passes_of_a_training": PASSES,
        "trainings": {method: round(total / training, 3) for method, total in sorted(work.items())},
    }


def main() -> None:
    """Count and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path(".venv/record"))
    parser.add_argument("--pool", default="dolly")
    arguments = parser.parse_args()
    folder = _record.RESULTS / "record"
    record = Record(Material(arguments.data.resolve(), EMBEDDED, arguments.out.resolve()), folder)
    told = json.dumps(counted(record, arguments.pool), indent=1)
    (folder / f"cost_{arguments.pool}.json").write_text(told + "\n", encoding="utf-8")
    print(told)


if __name__ == "__main__":
    main()
