"""What `verify` calls an instruction of the evaluation set in the rows to train on, the gate calls contamination, and neither sees another."""

from __future__ import annotations

import json
from pathlib import Path

from instructsel.gates.contamination.index import ItemIndex
from instructsel.gates.contamination.matching import Rule, find_items
from instructsel.pool.overlap import EvaluationIndex
from instructsel.pool.pool import Pool
from tests.gates.contamination.questions import ASKED, part_of

QUESTIONS = (
    *ASKED,
    "Why does the lighthouse of Ar-Men stand on a rock that is under water at high tide?",
    "Name two rivers that flow into the Black Sea and one city on each of them.",
    "What is the second largest harbor of the island?",
)
ANSWER = "That depends on the weather."


def written(path: Path, questions: list[tuple[str, str]]) -> Pool:
    path.write_text("".join(json.dumps({"instruction": asked, "output": answer}) + "\n" for asked, answer in questions), encoding="utf-8")
    return Pool.read(path)


def test_a_whole_question_is_seen_by_verify_and_by_the_gate_and_others_by_neither(tmp_path: Path) -> None:
    evaluation = written(tmp_path / "eval.jsonl", [(text, ANSWER) for text in QUESTIONS])
    forms = [
        str,
        str.upper,
        lambda text: f"  {text.rstrip('?.')} ",
        lambda text: text.replace(" ", "  "),
        lambda text: text.replace(",", " ,"),
    ]
    planted = [(form(text), f"It is day {number}.") for number, form in enumerate(forms) for text in QUESTIONS]
    others = [(" ".join(reversed(text.split())), "No.") for text in QUESTIONS] + [(part_of(text, 0.4), "Yes.") for text in QUESTIONS[:3]]
    index = EvaluationIndex.of(evaluation)
    items = ItemIndex.of([str(tmp_path / "eval.jsonl")])
    for number, row in enumerate([*planted, *others]):
        pool = written(tmp_path / "train.jsonl", [row])
        by_verify = index.overlap([pool], where="the pool").counts["instruction"]
        by_gate = {evidence.item for evidence in find_items(items, pool.examples(), Rule(threshold=1.0))}
        assert (by_verify, len(by_gate)) == ((1, 1) if number < len(planted) else (0, 0)), row
