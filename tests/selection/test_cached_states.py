"""What a language model computed for one selection is not computed for the next, and not for what `score` computed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.cache import Cache
from instructsel.models.likelihood import LikelihoodModel
from instructsel.neighbors.pooled_states import PooledStates
from instructsel.pool.pool import Pool
from instructsel.scores.cached_states import CachedStates
from instructsel.scores.table import ScoreTable
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection
from instructsel.selection.way import Way
from tests import tiny


def pool_of(path: Path, start: int, count: int) -> Pool:
    words = sorted(set(tiny.TEXT))
    rows = [
        {"instruction": f"question {n}", "output": " ".join(words[n % 7 : n % 7 + 3 + n % 11]) + f" {n}"}
        for n in range(start, start + count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return Pool.read(path)


@pytest.fixture
def computed(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """How many losses and vectors the models were asked for."""
    counts = {"losses": 0, "vectors": 0}
    answer, encode = LikelihoodModel.answer, PooledStates.encode

    def counted_answer(self: LikelihoodModel, questions: Any, **options: Any) -> Any:
        counts["losses"] += len(questions)
        return answer(self, questions, **options)

    def counted_encode(self: PooledStates, texts: Any, **options: Any) -> Any:
        counts["vectors"] += len(texts)
        return encode(self, texts, **options)

    monkeypatch.setattr(LikelihoodModel, "answer", counted_answer)
    monkeypatch.setattr(PooledStates, "encode", counted_encode)
    return counts


@pytest.mark.parametrize("name", ["rds+", "ica", "loss_drop"])
def test_a_second_selection_with_the_same_target_asks_nothing_and_is_the_same(tmp_path: Path, computed: dict[str, int], name: str) -> None:
    pool, target = pool_of(tmp_path / "pool.jsonl", 0, 20), pool_of(tmp_path / "target.jsonl", 100, 4)
    table = ScoreTable.from_columns(pool.ids, {"len": ([1.0] * len(pool), [None] * len(pool))})
    states = [PooledStates.load(str(tiny.causal(tmp_path / f"lm{seed}", seed=seed)), precision="fp32", device="cpu") for seed in (0, 1)]

    def chosen(folder: str | None) -> Selection:
        store = None if folder is None else Cache(tmp_path / folder)
        encoder, tuned = (CachedStates(model, store) for model in states)
        way = Way(name, target=target, encoder=encoder, tuned=tuned if name == "loss_drop" else None)
        return select(pool, table, way, budget=5, near_duplicate_threshold=None)

    without = chosen(None)
    for key in computed:
        computed[key] = 0
    first = chosen("cache")
    after_first = dict(computed)
    second = chosen("cache")
    assert sum(after_first.values()) >= len(pool)
    assert computed == after_first
    for other in (first, second):
        assert other.kept_ids == without.kept_ids
        assert [other.explain(row)["score"] for row in pool.ids] == [without.explain(row)["score"] for row in pool.ids]
    # Another model's are its own.
    states.reverse()
    chosen("cache")
    if name != "loss_drop":
        assert computed != after_first


@pytest.mark.parametrize(("name", "counted"), [("rds+", {"vectors"}), ("ica", {"losses"}), ("loss_drop", {"losses"})])
def test_how_far_the_model_is_is_told_to_the_last_row(tmp_path: Path, name: str, counted: set[str]) -> None:
    pool, target = pool_of(tmp_path / "pool.jsonl", 0, 20), pool_of(tmp_path / "target.jsonl", 100, 4)
    table = ScoreTable.from_columns(pool.ids, {"len": ([1.0] * len(pool), [None] * len(pool))})
    told: dict[str, list[tuple[int, int]]] = {}

    def watch(label: str) -> Any:
        return lambda done, total: told.setdefault(label, []).append((done, total))

    first, second = (
        CachedStates(PooledStates.load(str(tiny.causal(tmp_path / f"lm{seed}", seed=seed)), precision="fp32", device="cpu"), None, watch)
        for seed in (0, 1)
    )
    select(pool, table, Way(name, target=target, encoder=first, tuned=second if name == "loss_drop" else None), budget=5)
    assert set(told) == counted
    assert (20, 20) in told.popitem()[1]


def test_equal_texts_are_embedded_once(tmp_path: Path, computed: dict[str, int]) -> None:
    states = CachedStates(PooledStates.load(str(tiny.causal(tmp_path / "lm")), precision="fp32", device="cpu"), Cache(tmp_path / "cache"))
    embeddings = states.encode(["the sky", "an egg", "the sky"])
    assert computed["vectors"] == 2
    assert (embeddings.vectors[0] == embeddings.vectors[2]).all()
    again = states.encode(["an egg", "the north"])
    assert computed["vectors"] == 3
    assert (again.vectors[0] == embeddings.vectors[1]).all()
    assert np.abs(np.linalg.norm(again.vectors, axis=1) - 1).max() < 1e-6
