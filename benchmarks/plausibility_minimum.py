"""Whom a minimum under `plausibility` removes: with prompts that were cut scored (version 1) and null (version 2).

    python benchmarks/plausibility_minimum.py ../shared/data/pools/dolly.jsonl.zst

Both versions' values are one run's: the second is null where the prompt did not fit. The removed rows are the lowest tenth of
the scored ones, as `select --min plausibility=10%` takes it; shares by the pool's `category` and by the length of the prompt.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import Any

import _record
import numpy as np
import orjson
from numpy.typing import NDArray

from instructsel import Pool
from instructsel.models.plausibility import PROMPT_TRUNCATED, PlausibilityModel
from instructsel.pool.sources import zstd

LENGTHS = (0, 25, 50, 100, 200, 400)
"""Lower ends of the bands of prompt length, in word pieces."""
LOWEST = 0.1


def removed(values: NDArray[np.float64], scored: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The lowest tenth of the scored rows."""
    ordered = np.sort(values[scored])
    return scored & (values < ordered[int(LOWEST * len(ordered) + 1e-9)])


def shares(groups: list[str], rows: NDArray[np.bool_]) -> dict[str, dict[str, float]]:
    """Group → its rows and the share of them that is removed."""
    names = np.array(groups)
    return {
        name: {"rows": int((names == name).sum()), "removed": float(rows[names == name].mean())} for name in sorted(set(groups), key=_band)
    }


def _band(name: str) -> tuple[int, str]:
    number = name.partition(" ")[0]
    return (int(number) if number.isdigit() else -1, name)


def categories(path: Path) -> dict[tuple[str, str], str]:
    """(instruction with its context, response) → category."""
    labels: dict[tuple[str, str], str] = {}
    with zstd.open(path, "rb") as lines:
        for line in lines:
            row = orjson.loads(line)
            prompt = f"{row['instruction']}\n{row['context']}" if row.get("context") else row["instruction"]
            labels[prompt, row["response"]] = row["category"]
    return labels


def main() -> None:
    """Measure and write down."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pool", type=Path)
    parser.add_argument("--rows", type=int, help="the first rows of the pool's order; all by default")
    options = parser.parse_args()
    pool = Pool.read(options.pool)
    examples = list(pool.examples())[: options.rows]
    model = PlausibilityModel.load()
    pairs = [("\n".join(turn.content for turn in example.messages[:-1]), example.response) for example in examples]
    first = model.score(pairs, progress=lambda done, total: print(f"\r{done} of {total}", end="", flush=True))
    print()
    questions = [tuple(part for turn in example.messages for part in (turn.role, turn.content)) for example in examples]
    encoded, _ = model._encoded([("\n".join(question[1:-1:2]), question[-1]) for question in questions], whole_prompts=True)
    values = first.values
    scored = np.array([reason is None for reason in first.reasons])
    cut = np.array([reason == PROMPT_TRUNCATED for reason in encoded.reasons])
    pieces = np.array(
        [len(encoding.ids) for encoding in model.tokenizer.encode_batch([prompt for prompt, _ in pairs], add_special_tokens=False)]
    )
    bands = [f"{max(least for least in LENGTHS if least <= length)} word pieces and more" for length in pieces.tolist()]
    by_text = categories(options.pool)
    kinds = [by_text.get((example.instruction, example.response), "unknown") for example in examples]
    versions = {"1": removed(values, scored), "2": removed(values, scored & ~cut)}
    figures: dict[str, Any] = {
        "pool": options.pool.name,
        "rows": len(examples),
        "null_without_the_cut": int((~scored).sum()),
        "prompt_truncated": int(cut.sum()),
        "prompt_truncated_by_category": {name: float(cut[np.array(kinds) == name].mean()) for name in sorted(set(kinds))},
        "versions": {
            name: {"removed": int(rows.sum()), "by_category": shares(kinds, rows), "by_prompt_length": shares(bands, rows)}
            for name, rows in versions.items()
        },
        "removed_by_both": int((versions["1"] & versions["2"]).sum()),
        "load_average": os.getloadavg()[0],
    }
    print(orjson.dumps(figures, option=orjson.OPT_INDENT_2).decode())
    print(_record.write("plausibility_minimum", figures, "torch"))


if __name__ == "__main__":
    main()
