"""RDS+: targets take the nearest rows in turn; nothing of the target set may be in the pool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.errors import UsageError
from instructsel.models.runner import NOTHING
from instructsel.neighbors.encoder import Embeddings
from instructsel.pool.pool import Pool
from instructsel.rules.catalog import load
from instructsel.scores.table import ScoreTable
from instructsel.selection.baselines.rds_plus import round_robin
from instructsel.selection.baselines.registry import baselines
from instructsel.selection.choose import select
from instructsel.selection.selection import Selection

CORNERS = {"north": (0.0, 1.0), "east": (1.0, 0.0), "between": (0.8, 0.6)}


class Directions:
    """A text's vector is the direction it names; one that names none has no vector."""

    fingerprint = {"name": "directions"}

    def encode(self, texts: list[str]) -> Embeddings:
        named = [next((CORNERS[word] for word in text.split() if word in CORNERS), None) for text in texts]
        vectors = np.array([vector or (0.0, 0.0) for vector in named], dtype=np.float32)
        return Embeddings(vectors, np.zeros(len(texts), dtype=bool), NOTHING, [None if vector else "no_tokens" for vector in named])


def pool_of(path: Path, answers: list[str]) -> Pool:
    path.write_text("".join(json.dumps({"instruction": f"Say {n}.", "output": answer}) + "\n" for n, answer in enumerate(answers)))
    return Pool.read(path)


def chosen(pool: Pool, n: int) -> Selection:
    lengths = [float(len(example.response)) for example in pool.examples()]
    table = ScoreTable.from_columns(pool.ids, {"len": (lengths, [None] * len(pool))})
    return select(pool, table, load("longest"), budget=n, near_duplicate_threshold=None)


def test_targets_take_turns() -> None:
    rows = np.array([[0.0, 1.0], [0.1, 0.995], [1.0, 0.0], [0.6, 0.8]], dtype=np.float32)
    targets = np.array([[0.0, 1.0], [1.0, 0.0]], dtype=np.float32)
    # The first target takes row 0, the second row 2, the first row 1, the second what is left.
    assert round_robin(rows, targets, np.ones(4, dtype=bool)).tolist() == [0, 2, 1, 3]
    assert round_robin(rows, targets, np.array([False, True, True, True])).tolist() == [1, 2, 3]
    assert round_robin(rows, targets[:1], np.ones(4, dtype=bool)).tolist() == [0, 1, 3, 2]


def test_equally_near_rows_go_by_their_place() -> None:
    rows = np.tile(np.array([[0.6, 0.8]], dtype=np.float32), (5, 1))
    assert round_robin(rows, rows[:2], np.ones(5, dtype=bool)).tolist() == [0, 1, 2, 3, 4]


def test_the_baseline_keeps_the_rows_nearest_to_the_target_set(tmp_path: Path) -> None:
    pool = pool_of(tmp_path / "pool.jsonl", ["go north at once", "east it is then", "somewhere between the two", "nowhere at all"])
    target = pool_of(tmp_path / "target.jsonl", ["the target lies east"])
    (nearest,) = baselines(chosen(pool, 2), ["rds+"], target=target, encoder=Directions())
    responses = {next(example for example in pool.examples() if example.id == name).response for name in nearest.kept_ids}
    assert nearest.name == "rds+" and responses == {"east it is then", "somewhere between the two"}
    assert nearest.summary["dropped"] == {"below_budget": 1, "unscored:rds+:no_tokens": 1}
    assert nearest.summary["retrieval"]["targets"] == 1


def test_a_target_in_the_pool_is_refused(tmp_path: Path) -> None:
    pool = pool_of(tmp_path / "pool.jsonl", ["go north", "east it is"])
    target = pool_of(tmp_path / "target.jsonl", ["go north"])
    with pytest.raises(UsageError, match=r"1 of 1 target is in the pool itself \(.*target.jsonl:1\)"):
        baselines(chosen(pool, 1), ["rds+"], target=target, encoder=Directions())


@pytest.mark.parametrize("arguments", [{}, {"encoder": Directions()}])
def test_without_a_target_or_a_model_there_is_no_such_baseline(tmp_path: Path, arguments: dict[str, Any]) -> None:
    pool = pool_of(tmp_path / "pool.jsonl", ["go north", "east it is"])
    with pytest.raises(UsageError, match="needs a target set and a model") as caught:
        baselines(chosen(pool, 1), ["rds+"], **arguments)
    # What is there is not asked for again.
    assert "target=Pool.read(FILE)" in str(caught.value.fix)
    assert ('encoder=PooledStates.load("embedded")' in str(caught.value.fix)) == (not arguments)


def test_targets_without_any_vector_are_refused(tmp_path: Path) -> None:
    pool = pool_of(tmp_path / "pool.jsonl", ["go north", "east it is"])
    target = pool_of(tmp_path / "target.jsonl", ["upwards"])
    with pytest.raises(UsageError, match="No target has a vector"):
        baselines(chosen(pool, 1), ["rds+"], target=target, encoder=Directions())
