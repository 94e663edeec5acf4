"""A pool of the shape of Super-NaturalInstructions: many rows under few task definitions, made from a sample of the tasks.

    python benchmarks/templates.py ../shared/data/pools/natural_instructions_sample.jsonl.zst /tmp/templates.jsonl

The sample holds up to 40 instances of each task and says how many the task has in full. Every task gets as many rows as it has in
full: the instances of the sample, then made ones. A made input is a walk over the pairs of words that follow each other in the
task's inputs, as long as one of these; a made response is the response of an instance drawn at random. So a task's rows share its
definition, the fixed phrases of its inputs and its labels, and differ in what lies between. Deterministic.
"""

from __future__ import annotations

import itertools
import json
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from instructsel.pool.sources import zstd

SEED = 20240601


def tasks(path: Path) -> list[dict[str, Any]]:
    """The tasks of the sample."""
    with zstd.open(path, "rb") as file:
        return [json.loads(line) for line in file]


def rows(path: Path, count: int | None = None) -> Iterator[bytes]:
    """Alpaca-type rows; of `count` rows each task has its share.

    Args:
        path: of the sample.
        count: of rows, about; None makes as many as the tasks have in full.
    """
    sample = tasks(path)
    total = sum(task["_instances_total"] for task in sample)
    chance = random.Random(SEED)
    for task in sample:
        definition = " ".join(task["Definition"])
        pairs = [(instance["input"], instance["output"][0]) for instance in task["Instances"] if instance["output"]]
        wanted = round(task["_instances_total"] * (count or total) / total)
        followers: dict[str, list[str]] = {}
        for text, _ in pairs:
            words = ["", *text.split()]
            for word, after in itertools.pairwise(words):
                followers.setdefault(word, []).append(after)
        for number in range(wanted):
            if number < len(pairs):
                text, response = pairs[number]
            else:
                text, response = _walk(followers, len(chance.choice(pairs)[0].split()), chance), chance.choice(pairs)[1]
            yield orjson.dumps({"instruction": definition, "input": text, "output": response}) + b"\n"


def _walk(followers: dict[str, list[str]], length: int, chance: random.Random) -> str:
    """A text of `length` words, each of which follows the one before somewhere in the task's inputs."""
    words, word = [], ""
    for _ in range(length):
        options = followers.get(word) or followers.get("")
        if not options:
            break
        word = options[int(chance.random() * len(options))]
        words.append(word)
    return " ".join(words)


if __name__ == "__main__":
    with Path(sys.argv[2]).open("wb") as out:
        out.writelines(rows(Path(sys.argv[1]), int(sys.argv[3]) if len(sys.argv) > 3 else None))
