"""A small pool with scores, and neighbors by brute force."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from instructsel.models.answers import Answers
from instructsel.models.runner import NOTHING
from instructsel.neighbors.encoder import Embeddings
from instructsel.pool.pool import Pool
from instructsel.scores.table import ScoreTable

LLAMA = "hf-internal-testing/llama-tokenizer"
MINILM = "sentence-transformers/all-MiniLM-L6-v2"
DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
REWARD = "OpenAssistant/reward-model-deberta-v3-large-v2"


@dataclass(frozen=True)
class Scored:
    """A pool, its scores and the search behind its knn_6."""

    pool: Pool
    table: ScoreTable
    vectors: NDArray[np.float64]

    def neighbors(self, positions: NDArray[np.int64], i: int) -> NDArray[np.float64]:
        """The distance to the i-th nearest other one, by comparing all pairs."""
        chosen = self.vectors[positions]
        distances = np.sqrt(((chosen[:, None] - chosen[None]) ** 2).sum(-1))
        np.fill_diagonal(distances, np.inf)
        return np.sort(distances, axis=1)[:, i - 1]

    def words(self, examples: Sequence[Any]) -> list[int]:
        """A token counter: words of instruction and response."""
        return [len(example.text.split()) for example in examples]


Make = Callable[..., Scored]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Make a scored pool: file name → rows of (instruction, response)."""

    def scored_pool(
        files: dict[str, list[tuple[str, str]]], *, nulls: dict[str, dict[str, str]] | None = None, models: dict[str, Any] | None = None
    ) -> Scored:
        paths = []
        for name, rows in files.items():
            paths.append(tmp_path / f"{name}.jsonl")
            lines = [json.dumps({"instruction": question, "input": "", "output": answer}) for question, answer in rows]
            paths[-1].write_text("\n".join(lines) + "\n")
        pool = Pool.read(*paths)
        examples = list(pool.examples())
        seeds = [int.from_bytes(hashlib.blake2b(example.text.encode(), digest_size=8).digest(), "big") for example in examples]
        vectors = np.array([np.random.default_rng(seed).normal(size=8) for seed in seeds])
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        scored = Scored(pool, ScoreTable.from_columns([], {}), vectors)
        everyone = np.arange(len(pool))
        columns: dict[str, list[float]] = {
            "len": [float(len(example.response.split())) for example in examples],
            "knn_6": scored.neighbors(everyone, 6).tolist() if len(pool) > 6 else [0.5] * len(pool),
            "rew": [(seed % 1000) / 100 - 5 for seed in seeds],
        }
        # Nulls by the instruction of the example.
        reasons = {symbol: [(nulls or {}).get(symbol, {}).get(example.instruction) for example in examples] for symbol in columns}
        indicators = {
            "len": {"tokenizer": {"name": LLAMA}},
            "knn_6": {"model": {"name": MINILM, "digest": DIGEST}},
            "rew": {"model": {"name": REWARD}},
        } | (models or {})
        manifest = {"pool": {"fingerprint": pool.fingerprint}, "indicators": indicators}
        table = ScoreTable.from_columns(
            pool.ids, {symbol: (values, reasons[symbol]) for symbol, values in columns.items()}, manifest, spec=pool.spec
        )
        return Scored(pool, table, vectors)

    return scored_pool


def prose(seed: int, words: int) -> str:
    """Random words that no other seed repeats."""
    source = np.random.default_rng(seed)
    return " ".join(f"t{seed}x{source.integers(1000)}" for _ in range(words))


@pytest.fixture
def varied(make: Make) -> Scored:
    """200 different rows of two sources with answers of 1 to 60 words."""
    rows = [(f"question {i}", prose(i, 1 + (i * 7) % 60)) for i in range(200)]
    return make({"first": rows[:120], "second": rows[120:]})


class ShortLosses:
    """A language model whose loss depends on the texts alone."""

    def __init__(self, slope: float = 0.1) -> None:
        self.slope = slope
        self.fingerprint = {"name": "short", "slope": slope}

    def answer(self, questions: Any, **others: Any) -> Answers:
        values = [1 + len(text.split()) % 7 * self.slope + len((context or "").split()) % 11 * 0.01 for context, text in questions]
        return Answers(np.array(values), [None] * len(values), np.zeros(len(values), dtype=bool))


class CountedWords:
    """A text's vector counts its words by their length; beside it a language model, as PooledStates has one."""

    fingerprint = {"name": "words"}

    def __init__(self, slope: float = 0.1) -> None:
        self.language_model = ShortLosses(slope)

    def encode(self, texts: Any) -> Embeddings:
        vectors = np.array([np.bincount([len(word) % 16 for word in text.split()], minlength=16) for text in texts], dtype=np.float32)
        vectors = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)
        return Embeddings(vectors.astype(np.float32), np.zeros(len(texts), dtype=bool), NOTHING, [None] * len(texts))
