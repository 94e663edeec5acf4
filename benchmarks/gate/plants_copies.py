"""Copies: of rows of the same change, and of items of evaluation sets."""

from __future__ import annotations

import copy
import json
import random
import re
from typing import Any

from plants import Ground, Planted, Row, plant, prompt, response, with_prompt, with_response

from instructsel.pool.sources import zstd

SAME = ("T0-DUP-001", "T1-NDUP-001")
NEAR = ("T1-NDUP-001",)
EVALUATION = ("T1-CONTAM-001",)
SETS = {
    "gsm8k": "gsm8k_test",
    "alpaca_eval": "alpaca_eval_805",
    "mmlu": "mmlu_dev_and_test_sample",
    "humaneval": "humaneval_164",
    "ifeval": "ifeval_541",
    "truthfulqa": "truthfulqa_817",
}
FILLER = [
    "orange",
    "basket",
    "quiet",
    "river",
    "seven",
    "lamps",
    "window",
    "paper",
    "stone",
    "garden",
    "velvet",
    "copper",
    "morning",
    "thunder",
    "silver",
    "maple",
]
"""Words that stand where others are taken out."""


# --- rows of the change


@plant("an exact copy", "exact-duplicate", strengths=(1.0,), rivals=SAME, keeps=True)
def exact(row: Row, ground: Ground, strength: float) -> Planted:
    """Of another row of the file."""
    return [row]


@plant("a copy in other letters and spaces", "exact-duplicate", "near-duplicate", rivals=SAME, keeps=True)
def other_spaces(row: Row, ground: Ground, strength: float) -> Planted:
    """In capitals, with two spaces and without its last dot."""
    text = re.sub(r" ", "  ", response(row)["content"].rstrip(".").upper())
    return [with_response(row, text)]


@plant("a copy with some words changed", "near-duplicate", strengths=(1.0, 0.6), rivals=NEAR, keeps=True)
def near(row: Row, ground: Ground, strength: float) -> Planted:
    """One word, or two, of a text of at least sixty words."""
    text = response(row)["content"]
    words = text.split()
    if len(words) < 60:
        # A longer text, of which the file has the original, too.
        text = f"{text} {_sentence(ground.rng, 60)}"
        original = with_response(row, text)
        words = text.split()
    else:
        original = None
    for _ in range(1 if strength == 1 else 2):
        words[ground.rng.randrange(len(words))] = ground.rng.choice(FILLER)
    changed = with_response(row, " ".join(words))
    return [changed] if original is None else [original, changed]


def _sentence(rng: random.Random, number: int) -> str:
    return " ".join(f"{rng.choice(FILLER)}{rng.randrange(100)}" for _ in range(number))


@plant(
    "the same prompt with another response",
    "conflicting-responses",
    "same-prompt",
    strengths=(1.0, 0.5),
    rivals=("T1-DUP-002",),
    keeps=True,
)
def conflicting(row: Row, ground: Ground, strength: float) -> Planted:
    """The response of another row; or with the prompt in other letters."""
    changed = with_response(row, response(ground.other())["content"])
    return [changed if strength == 1 else with_prompt(changed, f" {prompt(changed)['content'].upper()}\n")]


# --- items of evaluation sets


def items(ground: Ground, name: str) -> list[dict[str, Any]]:
    """The items of a set."""
    if name not in ground.cache:
        raw = zstd.decompress((ground.data / "eval" / f"{SETS[name]}.jsonl.zst").read_bytes()).decode()
        ground.cache[name] = [json.loads(line) for line in raw.split("\n") if line]
    listed: list[dict[str, Any]] = ground.cache[name]
    return listed


def drawn(ground: Ground, name: str) -> dict[str, Any]:
    """An item of a set that was not drawn before, while there are any."""
    left: list[dict[str, Any]] = ground.cache.setdefault(f"{name} left", [])
    if not left:
        left += ground.rng.sample(items(ground, name), len(items(ground, name)))
    return left.pop()


def question(item: dict[str, Any]) -> str:
    """What an item asks."""
    return str(next(item[key] for key in ("question", "instruction", "prompt", "Question") if key in item))


def covered(text: str, share: float, rng: random.Random) -> str:
    """A text of which the last words are others."""
    words = text.split()
    number = round(share * len(words))
    return " ".join([*words[:number], *(rng.choice(FILLER) for _ in range(len(words) - number))])


def held(row: Row, text: str) -> Row:
    """The row with another prompt alone in front of its response."""
    changed = copy.deepcopy(row)
    return {**changed, "messages": [{"role": "user", "content": text}, response(changed)]}


@plant(
    "a question of GSM8K",
    "contamination",
    strengths=(1.0, 0.6),
    rivals=EVALUATION,
    benchmark="gsm8k",
    settings={"sets": ["{data}/eval/gsm8k_test.jsonl.zst"]},
)
def gsm8k(row: Row, ground: Ground, strength: float) -> Planted:
    """All of its words, or the first 60 % of them."""
    return [held(row, covered(question(drawn(ground, "gsm8k")), strength, ground.rng))]


@plant(
    "a prompt of AlpacaEval",
    "contamination",
    rivals=EVALUATION,
    benchmark="alpaca_eval",
    settings={"sets": ["{data}/eval/alpaca_eval_805.jsonl.zst"]},
)
def alpaca_eval(row: Row, ground: Ground, strength: float) -> Planted:
    """Verbatim."""
    return [held(row, question(drawn(ground, "alpaca_eval")))]


@plant(
    "a question of MMLU",
    "contamination",
    rivals=EVALUATION,
    benchmark="mmlu",
    settings={"sets": ["{data}/eval/mmlu_dev_and_test_sample.jsonl.zst"]},
)
def mmlu(row: Row, ground: Ground, strength: float) -> Planted:
    """With its choices, verbatim."""
    item = drawn(ground, "mmlu")
    return [held(row, "\n".join([item["question"], *(f"{letter}. {item[letter]}" for letter in "ABCD")]))]


@plant(
    "a problem of HumanEval",
    "contamination",
    rivals=EVALUATION,
    benchmark="humaneval",
    settings={"sets": ["{data}/eval/humaneval_164.jsonl.zst"]},
)
def humaneval(row: Row, ground: Ground, strength: float) -> Planted:
    """Verbatim."""
    return [held(row, question(drawn(ground, "humaneval")))]


@plant(
    "a prompt of IFEval", "contamination", rivals=EVALUATION, benchmark="ifeval", settings={"sets": ["{data}/eval/ifeval_541.jsonl.zst"]}
)
def ifeval(row: Row, ground: Ground, strength: float) -> Planted:
    """Verbatim."""
    return [held(row, question(drawn(ground, "ifeval")))]


@plant(
    "a question of TruthfulQA",
    "contamination",
    rivals=EVALUATION,
    benchmark="truthfulqa",
    settings={"sets": ["{data}/eval/truthfulqa_817.jsonl.zst"]},
)
def truthfulqa(row: Row, ground: Ground, strength: float) -> Planted:
    """Verbatim."""
    return [held(row, question(drawn(ground, "truthfulqa")))]
