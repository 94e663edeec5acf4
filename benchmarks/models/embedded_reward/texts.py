"""What the weights may learn from: human rankings and answers under licences that allow redistribution, and nothing else."""

from __future__ import annotations

import json
import math
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from corruption import KINDS, Example, Words, corrupt

from instructsel.pool.sources import zstd

SEED: Final = 20261121
HELD_OUT: Final = 0.2
TURN: Final = re.compile(r"\n\n(Human|Assistant):")
WEIGHTS: Final = {"near_mismatched": 2, "mismatched": 2, "truncated": 2, "noised": 2, "empty": 0.5, "gibberish": 0.5}
"""How often a kind of corruption is drawn; 1 where it is not named."""


class Pair(NamedTuple):
    """Two answers to one prompt."""

    prompt: str
    better: str
    worse: str
    family: str
    """hh, oasst, or corruption."""
    kind: str
    group: str
    """Pairs of one group are never parted between training and development."""


class Archive:
    """The data folder, closed but for files its manifest marks as redistributable."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        manifest = json.loads((folder / "MANIFEST.json").read_text(encoding="utf-8"))
        self._open = {entry["file"]: entry["redistribute_in_product"] is True for entry in manifest["files"]}
        self.read: dict[str, str] = {}
        """Files read, and their SHA-256 by the manifest."""
        self._digests = {entry["file"]: entry["sha256"] for entry in manifest["files"]}

    def rows(self, name: str) -> list[dict[str, Any]]:
        """The rows of a file.

        Raises:
            PermissionError: its licence does not allow weights learnt from it to be shipped.
        """
        if not self._open.get(name, False):
            raise PermissionError(f"{name} may not teach weights that are shipped")
        self.read[name] = self._digests[name]
        return [json.loads(line) for line in zstd.decompress((self.folder / name).read_bytes()).decode("utf-8").split("\n") if line]


def harmless(archive: Archive) -> Iterator[Pair]:
    """HH-RLHF, harmless-base: the last answers of two dialogues with one history."""
    for number, row in enumerate(archive.rows("preferences/hh_harmless_base_test.jsonl.zst")):
        sides = [TURN.split(row[key]) for key in ("chosen", "rejected")]
        (*history, better), (*other, worse) = sides
        if history != other or history[-1:] != ["Assistant"] or not better.strip() or not worse.strip() or better == worse:
            continue
        prompt = "\n".join(text.strip() for text in history[2::2])
        yield Pair(prompt, better.strip(), worse.strip(), "hh", "harmless", f"hh-{number}")


def _messages(archive: Archive) -> tuple[dict[str, dict[str, Any]], dict[str, str]]:
    """Messages by id, and the tree each stands in."""
    by_id: dict[str, dict[str, Any]] = {}
    trees: dict[str, str] = {}
    for row in archive.rows("pools/oasst1_en_validation_messages.jsonl.zst"):
        by_id[row["message_id"]] = row
        trees[row["message_id"]] = row["message_tree_id"]
    for tree in archive.rows("pools/oasst_en_100_tree.jsonl.zst"):
        waiting = [tree["prompt"]]
        while waiting:
            message = waiting.pop()
            by_id.setdefault(message["message_id"], message)
            trees.setdefault(message["message_id"], tree["message_tree_id"])
            waiting += message.get("replies", [])
    return by_id, trees


def _thread(message: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> str:
    texts: list[str] = []
    parent = by_id.get(message.get("parent_id") or "")
    while parent is not None:
        texts.append(parent["text"].strip())
        parent = by_id.get(parent.get("parent_id") or "")
    return "\n".join(reversed(texts))


def ranked(archive: Archive) -> Iterator[Pair]:
    """OASST1: every two answers to one message, the one people ranked first is the better."""
    by_id, trees = _messages(archive)
    answers: dict[str, list[dict[str, Any]]] = {}
    for message in by_id.values():
        if message["role"] == "assistant" and message.get("rank") is not None and message.get("parent_id") in by_id:
            answers.setdefault(message["parent_id"], []).append(message)
    for siblings in answers.values():
        siblings.sort(key=lambda message: (message["rank"], message["message_id"]))
        for first, better in enumerate(siblings):
            for worse in siblings[first + 1 :]:
                if better["rank"] < worse["rank"] and better["text"].strip() != worse["text"].strip():
                    prompt = _thread(better, by_id)
                    yield Pair(prompt, better["text"].strip(), worse["text"].strip(), "oasst", "ranks", trees[better["message_id"]])


def examples(archive: Archive) -> dict[str, list[Example]]:
    """Good answers by source."""
    by_id, _ = _messages(archive)
    oasst = [
        Example(_thread(message, by_id), message["text"].strip())
        for message in by_id.values()
        if message["role"] == "assistant" and message.get("rank") in (0, None) and message.get("parent_id") in by_id
    ]
    dolly = [
        Example("\n".join(part for part in (row["instruction"].strip(), row["context"].strip()) if part), row["response"].strip())
        for row in archive.rows("pools/dolly.jsonl.zst")
    ]
    seeds = [
        Example("\n".join(part for part in (row["instruction"].strip(), instance["input"].strip()) if part), instance["output"].strip())
        for row in archive.rows("pools/self_instruct_seed_tasks.jsonl.zst")
        for instance in row["instances"]
    ]
    sums = [
        Example(row["question"].strip(), re.sub(r"<<.*?>>", "", row["answer"]).replace("####", "The answer is").strip() + ".")
        for row in archive.rows("pools/gsm8k_train.jsonl.zst")
    ]
    sources = {"dolly": dolly, "oasst": oasst, "seeds": seeds, "gsm8k": sums}
    return {
        name: [row for row in rows if row.prompt and len(row.response) > 2 and len(row.prompt) < 4000] for name, rows in sources.items()
    }


SHORT: Final = 90
"""Words of prompt and response; of longer examples one in eight is used, since time goes with their length."""
SHARES: Final = {"dolly": 0.66, "oasst": 0.2, "seeds": 0.04, "gsm8k": 0.1}


def corrupted(archive: Archive, size: int, seed: int) -> list[Pair]:
    """Pairs of an answer and a worse version of it."""
    generator = random.Random(f"{seed}:corrupted")
    words = Words.load("train")
    sources = examples(archive)
    kinds = generator.choices(KINDS, [WEIGHTS.get(kind, 1) for kind in KINDS], k=size * 2)
    names = generator.choices(list(SHARES), list(SHARES.values()), k=size * 2)
    pairs: list[Pair] = []
    for kind, name in zip(kinds, names, strict=True):
        number = generator.randrange(len(sources[name]))
        while len(" ".join(sources[name][number]).split()) > SHORT and generator.random() < 0.875:
            number = generator.randrange(len(sources[name]))
        corrupted = corrupt(kind, sources[name][number], sources[name], generator, words=words)
        if corrupted is not None:
            pairs.append(Pair(*corrupted, "corruption", kind, f"{name}-{number}"))
        if len(pairs) == size:
            break
    return pairs


def held_out(pair: Pair) -> bool:
    """Whether a pair is kept for development: decided by its group alone."""
    return random.Random(f"{SEED}:{pair.group}").random() < HELD_OUT


def balanced(pairs: list[Pair]) -> list[float]:
    """Weights with which longer and shorter answers are the better ones equally often, at every difference of length.

    Pairs are binned by family, kind and the ratio of their lengths; within a bin each side weighs one half, unless it holds
    fewer than 5 pairs, which weigh at most 4 each.
    """
    bins: dict[tuple[str, str, int], list[list[int]]] = {}
    for number, pair in enumerate(pairs):
        ratio = (len(pair.better) + 1) / (len(pair.worse) + 1)
        size = min(3, int(abs(math.log2(ratio)) * 2))
        kind = pair.kind if pair.family != "corruption" else "any" if pair.kind != "empty" else "empty"
        bins.setdefault((pair.family, kind, size), [[], []])[ratio >= 1].append(number)
    weights = [1.0] * len(pairs)
    for (_, kind, _), (shorter, longer) in bins.items():
        if kind == "empty":
            continue
        half = (len(shorter) + len(longer)) / 2
        for side in (shorter, longer):
            for number in side:
                weights[number] = min(4.0, half / len(side))
    return weights
