"""Rows that a truth value marks as not wanted are dropped and counted; classes of a classification task are no such marks."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from instructsel.errors import PoolError
from instructsel.pool.pool import Pool

GOOD = {"prompt": "What melts butter?", "completion": "Gentle heat."}
BAD = {"prompt": "Which month follows May?", "completion": "go away nobody cares"}


def read(folder: Path, *rows: dict[str, Any], **options: Any) -> Pool:
    path = folder / "pool.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return Pool.read(path, **options)


MARKS = [
    *[("label", good, bad) for good, bad in [(True, False), (1, 0), (1.0, 0.0), ("true", "false"), ("Desirable", "undesirable")]],
    *[("kto_tag", True, False), ("kto_tag", "true", "no"), ("desirable", True, False), ("is_desirable", 1, 0)],
    *[("thumbs_up", True, False), ("chosen", True, False), ("is_correct", True, False), ("feedback", "thumbs up", "thumbs-down")],
    *[("undesirable", False, True), ("thumbs_down", 0, 1), ("rejected", False, True)],
]


@pytest.mark.parametrize(("field", "good", "bad"), MARKS)
def test_a_row_with_a_truth_value_that_says_undesirable_is_dropped_with_this_reason(
    tmp_path: Path, field: str, good: Any, bad: Any
) -> None:
    rows = [{**GOOD, field: good}, {**BAD, field: bad}, {"prompt": "Name a tree.", "completion": "Oak.", field: None}]
    pool = read(tmp_path, *rows)
    assert pool.report.dropped == {"undesirable": 1}
    assert sorted(example.response for example in pool.examples()) == ["Gentle heat.", "Oak."]
    assert "not read" not in next(iter(pool.report.formats.values()))


@pytest.mark.parametrize("field", ["label", "kto_tag"])
def test_turns_and_tables_are_marked_as_well(tmp_path: Path, field: str) -> None:
    def chat(row: dict[str, str]) -> dict[str, Any]:
        return {"messages": [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["completion"]}]}

    assert read(tmp_path, {**chat(GOOD), field: True}, {**chat(BAD), field: False}).report.dropped == {"undesirable": 1}
    with (tmp_path / "pool.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["prompt", "completion", field])
        writer.writeheader()
        writer.writerows([{**GOOD, field: "True"}, {**BAD, field: "False"}])
    assert Pool.read(tmp_path / "pool.csv").report.dropped == {"undesirable": 1}


def test_a_mark_that_only_a_late_row_has_drops_that_row(tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {n}.", "completion": f"It is {n}."} for n in range(600)]
    pool = read(tmp_path, *rows, {**BAD, "label": False}, {**GOOD, "label": True})
    assert (pool.report.dropped, len(pool)) == ({"undesirable": 1}, 601)
    assert "go away nobody cares" not in {example.response for example in pool.examples()}


CLASSES = [
    [("good film", "positive", "pos"), ("bad film", "negative", "neg"), ("so so", "neutral", "other")],
    [("good film", "positive", 1), ("bad film", "negative", 0), ("so so", "neutral", 2)],
    [("win a prize", "spam", 1), ("see you at six", "ham", 0), ("win money", "spam", 1), ("the minutes", "ham", 0)],
    [("Is rain wet?", "yes", True), ("Is fire wet?", "no", False), ("Is ice hot?", "No.", False)],
    [("Is rain wet?", "true", "true"), ("Is fire wet?", "false", "false")],
    [("a", "calm", 0.25), ("b", "storm", 0.0)],
]


@pytest.mark.parametrize("rows", CLASSES)
def test_the_classes_of_a_classification_task_drop_nothing(tmp_path: Path, rows: list[tuple[str, str, Any]]) -> None:
    pool = read(tmp_path, *({"instruction": ask, "output": answer, "label": label} for ask, answer, label in rows))
    assert (len(pool), pool.report.dropped) == (len(rows), {})
    assert next(iter(pool.report.formats.values())).endswith("not read: label")


def test_a_pool_of_rows_that_are_all_marked_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match="--undesirable keep"):
        read(tmp_path, {**BAD, "label": False}, {**GOOD, "label": False})


def test_marked_rows_are_read_where_that_is_asked_for(tmp_path: Path) -> None:
    assert len(read(tmp_path, {**GOOD, "label": True}, {**BAD, "label": False}, undesirable="keep")) == 2
