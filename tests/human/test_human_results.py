"""People's judgments as a grader of verify: items, both orders, win rates, and a verdict with its interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import ObservationsError
from instructsel.grading.results_table import is_table
from instructsel.human.files import write_judgments
from instructsel.human.record import Record
from instructsel.human.results import arms_in, grades_of_people, is_judgments, run_of
from tests.human.study_records import study


def record(item: int, preference: int, *, first: str = "selection", second: str = "random", who: str = "ada") -> Record:
    return Record(who, f"i{item}", f"Prompt {item}", first, second, "left text", "right", True, False, preference)


def test_two_arms_share_each_item_and_annotators_of_both_orders_are_averaged(tmp_path: Path) -> None:
    path = tmp_path / "judged.jsonl"
    records = [
        record(0, 0),
        # Another annotator saw the other order, and prefers the same response: 4 is the one on the right.
        record(0, 4, first="random", second="selection", who="ben"),
        record(1, 1),
        record(1, 0, first="random", second="selection", who="ben"),
        record(2, 2),
    ]
    write_judgments(path, records)
    assert is_judgments(path) and not is_table(path) and arms_in(path) == ("random", "selection")
    grades = grades_of_people({"mine": [(str(path), "selection")], "random": [(str(path), "random")]})
    ((mine,),), ((random,),) = grades["mine"].grades[0], grades["random"].grades[0]
    assert mine.grader == random.grader == "people" and mine.items == ("i0", "i1", "i2")
    assert mine.values.tolist() == [1.0, 0.5, 0.5]
    assert np.array_equal(mine.values + random.values, np.ones(3))
    assert mine.record["judged"] == {"judgments": 5, "on_left": 3, "in_both_orders": 2}
    assert mine.record["lengths"]["output"] == [9, 9, 9] and mine.record["lengths"]["reference"] == [5, 5, 5]
    assert mine.record["flags"] == {"annotators_disagree": 1}


def test_of_several_arms_the_one_that_all_were_compared_with_is_the_reference(tmp_path: Path) -> None:
    path = tmp_path / "study.csv"
    write_judgments(path, study())
    chosen = {arm: [(str(path), arm)] for arm in arms_in(path)}
    grades = {arm: results.grades[0][0] for arm, results in grades_of_people(chosen).items()}
    assert {grade.grader for run in grades.values() for grade in run} == {"people against tulu-65b"}
    (reference,) = grades["tulu-65b"]
    assert set(reference.values.tolist()) == {0.5} and len(reference.items) == 332
    # Of the mean over the annotators of an instance.
    assert 0.54 < grades["chatgpt"][0].mean < 0.57 and 0.37 < grades["tulu-7b"][0].mean < 0.4


def test_the_name_of_a_run_of_verify_is_that_run(tmp_path: Path) -> None:
    assert run_of("a (b) (replicate 0, seed 12)") == ("a (b)", (0, 12)) and run_of("x (replicate 0)") == ("x (replicate 0)", (0, 0))
    path = tmp_path / "judged.csv"
    runs = [(replicate, seed) for replicate in (0, 1) for seed in (0, 1)]
    records = [
        record(
            item,
            0,
            first=f"selection (replicate {replicate}, seed {seed})",
            second=f"random (replicate {replicate}, seed {seed})",
            who=f"{replicate}{seed}",
        )
        for item in range(3)
        for replicate, seed in runs
    ]
    write_judgments(path, records)
    found = grades_of_people({arm: [(str(path), arm)] for arm in arms_in(path)})
    assert found["selection"].labels == (((0, 0), (0, 1)), ((1, 0), (1, 1)))
    assert all(grade.mean == 1.0 for seeds in found["selection"].grades for run in seeds for grade in run)


def test_arms_that_are_not_there_or_were_not_compared_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "judged.jsonl"
    write_judgments(path, [record(0, 0), record(0, 0, first="third", second="fourth")])
    with pytest.raises(ObservationsError, match="no arm x; there are fourth, random"):
        grades_of_people({"x": [(str(path), "x")]})
    with pytest.raises(ObservationsError, match="no two of the arms"):
        grades_of_people({"selection": [(str(path), "selection")], "third": [(str(path), "third")]})


@pytest.mark.parametrize(("suffix", "named"), [(".csv", True), (".jsonl", False), (".xlsx", False)])
def test_verify_reads_judgments_as_a_grader_with_a_win_rate_and_an_interval(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, named: bool
) -> None:
    if suffix == ".xlsx":
        pytest.importorskip("openpyxl")
    monkeypatch.chdir(tmp_path)
    generator = np.random.default_rng(4)
    records = []
    for item in range(60):
        turned = generator.random() < 0.5
        better = generator.random() < 0.8
        models = {"first": "random", "second": "selection"} if turned else {"first": "selection", "second": "random"}
        records.append(record(item, 0 if better != turned else 4, **models))
    write_judgments(f"people{suffix}", records)
    entries = [f"selection=people{suffix}", f"random=people{suffix}"] if named else [f"people{suffix}"]
    arguments = [part for entry in entries for part in ("--results", entry)]
    done = CliRunner().invoke(app, ["verify", *arguments, "--generalize-to", "items", "-o", "out", "--json"])
    assert done.exit_code == 0, done.output
    verdict = json.loads((tmp_path / "out" / "verdict.json").read_text())
    rate = verdict["win_rates"]["people"]["selection"]
    wins = sum(record.score_of("selection") or 0.0 for record in records)
    assert rate["win_rate"] == pytest.approx(100 * wins / 60) and (rate["wins"], rate["ties"], rate["n_total"]) == (wins, 0, 60)
    interval = verdict["verdicts"]["verdicts"][0]["interval"]
    assert interval["estimate"] == pytest.approx(2 * wins / 60 - 1) and interval["low"] < 2 * wins / 60 - 1 < interval["high"]
    assert verdict["outcome"] == "better"
