"""Clusters of items, in graders, records and tables."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from instructsel import Pool
from instructsel.errors import StudyError
from instructsel.experiments.store import grades_of, record_of
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.grading.graders.judged_outputs import grades_of as judged_grades
from instructsel.grading.judge.judgments import Judgment, Judgments
from instructsel.protocols import Grades
from instructsel.verification.grades_table import Run
from instructsel.verification.verification import Verification


def grades(values: list[float], *, clusters: tuple[str, ...] = (), sources: tuple[str, ...] = ()) -> Grades:
    items = tuple(f"item{number}" for number in range(len(values)))
    return Grades("loss", items, np.array(values), np.ones(len(values)), clusters=clusters, sources=sources)


def test_items_of_one_prompt_are_a_cluster_whatever_their_blanks_and_case(tmp_path: Path) -> None:
    rows = [
        {"instruction": "Name a river.", "output": "Rhine"},
        {"instruction": "Name a  river. ", "output": "Elbe"},
        {"instruction": "NAME A RIVER.", "output": "Oder"},
        {"instruction": "Name a lake.", "output": "Como"},
    ]
    path = tmp_path / "evaluation.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    grader = HeldOutLoss(Pool.read(path))
    by_response = {example.response: cluster for example, cluster in zip(grader.pool.examples(), grader.clusters, strict=True)}
    assert by_response["Rhine"] == by_response["Elbe"] == by_response["Oder"] != by_response["Como"]


def test_examples_that_all_differ_in_their_prompt_have_no_clusters(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.jsonl"
    path.write_text("".join(json.dumps({"instruction": f"Question {n}", "output": "The same."}) + "\n" for n in range(4)))
    assert HeldOutLoss(Pool.read(path)).clusters == ()


def test_a_system_message_makes_another_prompt(tmp_path: Path) -> None:
    path = tmp_path / "evaluation.jsonl"
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    rows = [{"messages": turns}, {"messages": [{"role": "system", "content": "Be brief."}, *turns]}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert HeldOutLoss(Pool.read(path)).clusters == ()


def test_judgments_of_one_instruction_in_two_spellings_are_a_cluster() -> None:
    rows = (Judgment("Name a river.", 2.0), Judgment("name a river.", 1.0), Judgment("Name a lake.", 1.0))
    clusters = judged_grades(Judgments({"kind": "test"}, rows)).clusters
    assert clusters[0] == clusters[1] != clusters[2]


@pytest.mark.parametrize("labels", [("a",), ("a", "", "b")])
def test_clusters_name_every_item_or_none(labels: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="clusters"):
        grades([1.0, 2.0, 3.0], clusters=labels)
    with pytest.raises(ValueError, match="sources"):
        grades([1.0, 2.0, 3.0], sources=labels)


def test_a_record_keeps_clusters_and_sources_and_one_without_is_read() -> None:
    labelled = grades([1.0, 2.0], clusters=("x", "x"), sources=("code", "math"))
    record = json.loads(json.dumps(record_of(labelled, run={"training_seconds": 1.0, "grading_seconds": 1.0})))
    assert (grades_of("loss", record).clusters, grades_of("loss", record).sources) == (("x", "x"), ("code", "math"))
    del record["clusters"], record["sources"]
    assert grades_of("loss", record).clusters == () == grades_of("loss", record).sources


def test_a_table_has_clusters_and_sources_and_is_read_as_written(tmp_path: Path) -> None:
    runs = [Run(arm, 0, 0, grades([1.0, 2.0], clusters=("x", "x"), sources=("code", "math"))) for arm in ("a", "b")]
    verification = Verification.of(runs)
    assert verification.frame["cluster"].to_list() == ["x"] * 4 and verification.frame["source"].to_list() == ["code", "math"] * 2
    verification.write(tmp_path / "v.parquet")
    assert Verification.read(tmp_path / "v.parquet").frame.equals(verification.frame)


def test_runs_with_other_clusters_are_refused_and_those_without_any_take_the_others() -> None:
    labelled = Run("a", 0, 0, grades([1.0, 2.0], clusters=("x", "x")))
    assert Verification.of([labelled, Run("b", 0, 0, grades([1.0, 2.0]))]).frame["cluster"].to_list() == ["x"] * 4
    with pytest.raises(StudyError, match="other clusters"):
        Verification.of([labelled, Run("b", 0, 0, grades([1.0, 2.0], clusters=("x", "y")))])


def test_a_table_of_the_last_release_has_neither(tmp_path: Path) -> None:
    verification = Verification.of([Run(arm, 0, 0, grades([1.0, 2.0])) for arm in ("a", "b")])
    Verification(verification.frame.drop("cluster", "source"), verification.graders).write(tmp_path / "v.parquet")
    frame = Verification.read(tmp_path / "v.parquet").frame
    assert frame["cluster"].null_count() == frame["source"].null_count() == 4
