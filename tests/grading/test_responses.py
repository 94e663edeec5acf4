"""Responses kept once, and judged as often as one likes: the reference is the whole random arm, a model after the other."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.adapters.alpaca_eval.files import read_outputs, write_annotations, write_outputs
from instructsel.adapters.experiment import read_finished
from instructsel.errors import ObservationsError, StudyError, UsageError
from instructsel.experiments.arms import Arm
from instructsel.experiments.store import RecordStore
from instructsel.grading.checkpoint import checkpoint_of
from instructsel.grading.generation import Generator
from instructsel.grading.graders.judged_outputs import JudgedOutputs, grades_of
from instructsel.grading.graders.responses import Responses
from instructsel.grading.judge import PairwiseJudge, compare
from instructsel.grading.outputs import Outputs, digest_of, rotating_reference
from instructsel.protocols import Grader, Grades
from instructsel.verification.grades_table import Run
from instructsel.verification.judged import judged
from instructsel.verification.run import verify_arms
from instructsel.verification.verification import Verification
from tests.grading.test_generation import model
from tests.grading.test_judge import Scripted

ASKED = tuple(f"how do i boil {n} eggs" for n in range(40))


def answered(arm: str, replicate: int, texts: list[str | None], answers: Responses) -> Run:
    reasons = tuple(None if text is not None else "too_long" for text in texts)
    grades = Grades(
        answers.name,
        answers.items,
        np.array([float(len(text or "")) for text in texts]),
        np.ones(len(texts)),
        reasons if any(reasons) else (),
        unit="characters",
        higher_is_better=True,
        record={"texts": texts, "generated": {"cut": 1}},
    )
    return Run(arm, replicate, 0, grades)


def test_a_checkpoint_answers_and_its_answers_are_kept(tmp_path: Path) -> None:
    checkpoint = checkpoint_of(str(model(tmp_path / "model")))
    answers = Responses(ASKED[:3], generator=Generator(max_new_tokens=4, precision="fp32", device="cpu"))
    assert isinstance(answers, Grader)
    found = verify_arms([Arm("base", checkpoints=(checkpoint,), fixed=True)], graders=[answers], folder=tmp_path / "v")
    again = verify_arms([Arm("base", checkpoints=(checkpoint,), fixed=True)], graders=[answers], folder=tmp_path / "v")
    whole = answers.generator.outputs(checkpoint, ASKED[:3])
    for each in (found, again):
        outputs = answers.of(each.runs[0].grades, each.runs[0].name)
        assert outputs.texts == whole.texts and outputs.instructions == ASKED[:3] and outputs.record["cut"] == whole.record["cut"]
        assert each.runs[0].grades.values.tolist() == [len(text or "") for text in whole.texts]
    write_outputs(tmp_path / "outputs.json", answers.of(again.runs[0].grades, "base"))
    assert read_outputs(tmp_path / "outputs.json").texts == whole.texts and read_outputs(tmp_path / "outputs.json").generator == "base"


def test_the_models_of_the_reference_take_turns_whatever_the_order_of_the_set() -> None:
    models = [Outputs(f"m{n}", ASKED, tuple(f"{n}: {one}" for one in ASKED)) for n in range(3)]
    found = rotating_reference(models, name="random")
    took = [int(text[0]) for text in found.texts if text is not None]
    assert all(count > 5 for count in Counter(took).values()) and len(Counter(took)) == 3
    turned = rotating_reference([Outputs(each.generator, ASKED[::-1], each.texts[::-1]) for each in models], name="random")
    assert [turned.of(one) for one in ASKED] == [found.of(one) for one in ASKED]
    assert rotating_reference(models[:1], name="random").texts == models[0].texts
    with pytest.raises(UsageError, match="at least one"):
        rotating_reference([], name="random")
    with pytest.raises(StudyError, match="different instructions"):
        rotating_reference([models[0], Outputs("m", ASKED[:2], ("a", "b"))], name="random")


def test_answers_are_judged_once_and_a_model_that_meets_itself_ties(tmp_path: Path) -> None:
    answers = Responses(ASKED)
    given = [answered("selection", 0, [f"{one} " * 3 for one in ASKED], answers)]
    given += [answered("random", replicate, [f"{one} {replicate}" for one in ASKED], answers) for replicate in range(2)]
    given += [Run("random", 0, 0, Grades("loss", ("a",), np.ones(1), np.ones(1)))]
    reference = rotating_reference([answers.of(run.grades, run.name) for run in given[1:3]], name="random, 2 models in turn")
    client = Scripted()
    grader = JudgedOutputs(ASKED, reference, PairwiseJudge(client, tmp_path / "kept"), generator=answers.generator, name="win rate")
    found = judged(given, answers, grader, folder=tmp_path)
    assert [(run.arm, run.replicate) for run in found] == [("selection", 0), ("random", 0), ("random", 1)]
    assert found[0].grades.mean == 1.0 and found[0].grades.truncated == 1
    own = [at for at, one in enumerate(ASKED) if reference.of(one)[0] == f"{one} 0"]
    assert found[1].grades.values[own].tolist() == [0.5] * len(own) and 5 < len(own) < 35
    asked = len(client.questions)
    again = judged(given, answers, grader, folder=tmp_path)
    assert len(client.questions) == asked
    assert [run.grades.values.tolist() for run in again] == [run.grades.values.tolist() for run in found]
    # Other answers are judged anew.
    changed = [answered("selection", 0, ["x" for _ in ASKED], answers)]
    assert judged(changed, answers, grader, folder=tmp_path)[0].grades.mean == 0.0


def test_what_a_judge_could_not_say_is_asked_again(tmp_path: Path) -> None:
    answers = Responses(ASKED)
    given = [answered("selection", 0, ["long text"] * len(ASKED), answers)]

    class Sometimes:
        name, fingerprint = "win rate", {"kind": "sometimes"}
        reason: str | None = "timed_out"

        def graded(self, outputs: Any) -> Grades:
            reasons = (self.reason, *(None for _ in ASKED[1:]))
            return Grades(self.name, answers.items, np.ones(len(ASKED)), np.ones(len(ASKED)), reasons, unit="preference")

    grader = Sometimes()
    first = judged(given, answers, grader, folder=tmp_path)
    assert first[0].grades.reasons[0] == "timed_out" and not list(tmp_path.rglob("*.json"))
    grader.reason = None
    again = judged(given, answers, grader, folder=tmp_path)
    assert again[0].grades.valid.all() and len(list(tmp_path.rglob("*.json"))) == 1
    # What will not change with another try is kept.
    grader.reason = "unparsable"
    assert judged(given, answers, grader, folder=tmp_path)[0].grades.valid.all()


def test_a_run_is_leased_while_it_is_judged_and_one_that_another_process_judges_is_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = Responses(ASKED)
    runs = [answered("selection", 0, ["long text"] * len(ASKED), answers)]
    store, name, leased = RecordStore.of(tmp_path), "selection-draw0-seed0", []

    class Watched:
        name, fingerprint = "win rate", {"kind": "watched"}

        def graded(self, outputs: Any) -> Grades:
            leased.append(store.leased())
            return Grades(self.name, answers.items, np.ones(len(ASKED)), np.ones(len(ASKED)), unit="preference")

    other = store.lease(name)
    assert other.__enter__()
    pauses: list[float] = []

    def pause(seconds: float) -> None:
        # Nothing was asked meanwhile; then the other process ends without a grade.
        assert leased == []
        pauses.append(seconds)
        other.__exit__(None, None, None)

    monkeypatch.setattr("instructsel.verification.judged.time.sleep", pause)
    assert judged(runs, answers, Watched(), folder=tmp_path)[0].grades.mean == 1.0
    assert leased == [{name}] and len(pauses) == 1 and not store.leased()


def test_a_run_that_answered_something_else_is_refused() -> None:
    answers = Responses(ASKED)
    with pytest.raises(StudyError, match="no responses to these instructions"):
        answers.of(answered("selection", 0, ["x"] * 3, Responses(ASKED[:3])).grades, "selection")
    with pytest.raises(UsageError, match="no instruction"):
        Responses(())


def test_finished_annotations_are_grades(tmp_path: Path) -> None:
    outputs, reference = (
        Outputs("mine", ASKED[:3], ("long text", "x", None), (None, None, "too_long")),
        Outputs("other", ASKED[:3], ("a",) * 3),
    )
    judgments = compare(PairwiseJudge(Scripted()), outputs, reference)
    write_annotations(tmp_path / "annotations.json", judgments, outputs, reference)
    (found,) = read_finished(str(tmp_path / "annotations.json"))
    assert found.values.tolist() == [1.0, 0.5, 0.0] and found.reasons == (None, None, "too_long")
    assert found.items == tuple(map(digest_of, ASKED[:3])) and found.unit == "preference" and found.higher_is_better
    # As JSON lines they are the same.
    listed = json.loads((tmp_path / "annotations.json").read_text())
    (tmp_path / "annotations.jsonl").write_text("".join(json.dumps(each) + "\n" for each in listed))
    shutil.copy(tmp_path / "annotations.json.json", tmp_path / "annotations.jsonl.json")
    assert read_finished(str(tmp_path / "annotations.jsonl"))[0].record == found.record
    # Preferences to another reference are no comparison with these.
    for each in listed:
        each |= {"generator_1": "better", "output_1": "b"}
    (tmp_path / "others.json").write_text(json.dumps(listed))
    (other,) = read_finished(str(tmp_path / "others.json"))
    judge = found.record["judge"]
    same = dataclasses.replace(other, record={**other.record, "judge": judge, "settings": {**other.record["settings"], "judge": judge}})
    with pytest.raises(StudyError, match=r"different ways: reference"):
        Verification.of([Run("selection", 0, 0, found), Run("random", 0, 0, same)])

    class Nothing:
        rows: tuple[Any, ...] = ()

    with pytest.raises(ObservationsError, match="no row"):
        grades_of(Nothing())  # type: ignore[arg-type]
