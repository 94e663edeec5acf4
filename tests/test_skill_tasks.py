"""The tasks of the matrix of skills: the right answer stays the right one, and a calculation is shown without its result."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any, Final

import pytest

from instructsel.pool.sources import zstd
from tests.conftest import ROOT
from tests.test_embedded_reward_page import script

TASKS: Final = script(ROOT / "benchmarks/skills/tasks.py")


def written(folder: Path, name: str, rows: list[dict[str, Any]]) -> Path:
    (folder / "eval").mkdir(exist_ok=True)
    (folder / "eval" / name).write_bytes(zstd.compress("".join(json.dumps(row) + "\n" for row in rows).encode()))
    return folder


def test_the_right_answer_is_the_gold_one_wherever_it_stands() -> None:
    places = set()
    for seed in range(40):
        item = TASKS.choice("Question: 1 + 1?\nAnswer:", ["2", "3", "4"], random.Random(seed))
        assert item["choices"][item["gold"]] == "2" and sorted(item["choices"]) == ["2", "3", "4"]
        places.add(item["gold"])
    assert places == {0, 1, 2}


@pytest.mark.parametrize(
    ("solution", "shown", "result"),
    [
        ("She has 4*6=<<4*6=24>>24 eggs.\n#### 24", "Question: How many?\nAnswer: She has 4*6=", "24"),
        ("The crates hold <<7*3=21>>21 eggs.\n#### 21", "Question: How many?\nAnswer: The crates hold 7*3 =", "21"),
    ],
)
def test_a_step_is_shown_up_to_its_result(tmp_path: Path, solution: str, shown: str, result: str) -> None:
    data = written(tmp_path, "gsm8k_test.jsonl.zst", [{"question": "How many?", "answer": solution}])
    assert TASKS._maths(data, random.Random(0)) == [(shown, result)]


def test_results_below_ten_and_questions_without_a_calculation_are_left_out(tmp_path: Path) -> None:
    rows = [
        {"question": "How many?", "answer": text} for text in ("2+2=<<2+2=4>>4\n#### 4", "Four.\n#### 4", "9/2=<<9/2=4.5>>4.5\n#### 4.5")
    ]
    assert TASKS._maths(written(tmp_path, "gsm8k_test.jsonl.zst", rows), random.Random(0)) == []
