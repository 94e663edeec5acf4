"""Arms: trained alike, graded alike, each run once; what fails is told and left out."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from instructsel.artifact import fingerprint
from instructsel.errors import EnvironmentFault, StudyError, TrainingDiverged, UsageError
from instructsel.experiments.arms import Arm
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.leases import Leases
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint, Grades
from instructsel.verification.grades_table import Run
from instructsel.verification.run import verify_arms

ITEMS = tuple(f"item-{n}" for n in range(40))


@dataclass(eq=False)
class FakeTrainer:
    """A checkpoint that remembers its rows and its seed."""

    folder: Path
    settings: dict[str, Any] = field(default_factory=lambda: {"kind": "fake", "steps": 3})
    trained: list[tuple[int, int]] = field(default_factory=list)
    diverges_at: int | None = None
    stops_at: int | None = None

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return self.settings

    def train(self, pool: Pool, *, seed: int) -> Checkpoint:
        if self.stops_at == len(self.trained):
            raise EnvironmentFault("The disk is full.")
        self.trained.append((len(pool), seed))
        if self.diverges_at == seed:
            raise TrainingDiverged("The loss is not finite at step 2.")
        place = self.folder / f"{pool.fingerprint}-{seed}"
        place.mkdir(parents=True, exist_ok=True)
        return Checkpoint(place, f"{pool.fingerprint}-{seed}", seed, {"steps": 3, "rows": len(pool)}, owned=True)


@dataclass(eq=False)
class FakeGrader:
    """A loss that falls with the rows trained on, an item's own difficulty and a seed's own luck in it."""

    name: str = "loss"
    graded: list[str] = field(default_factory=list)
    nothing: bool = False

    @property
    def fingerprint(self) -> Mapping[str, Any]:
        return {"kind": "fake", "name": self.name}

    def grade(self, checkpoint: Checkpoint) -> Grades:
        assert checkpoint.folder.is_dir()
        self.graded.append(checkpoint.digest)
        rows = checkpoint.record.get("rows", 0)
        luck = np.random.default_rng(zlib.crc32(checkpoint.digest.encode())).normal(0, 0.001)
        values = np.linspace(1.0, 3.0, len(ITEMS)) - 0.1 * rows + luck
        reasons = tuple("too_long" if self.nothing else None for _ in ITEMS)
        return Grades(
            self.name, ITEMS, np.zeros(len(ITEMS)) if self.nothing else values, np.ones(len(ITEMS)), reasons, unit="nats per token"
        )


@pytest.fixture
def pools(tmp_path: Path) -> list[Pool]:
    made = []
    for number in range(4):
        path = tmp_path / f"{number}.jsonl"
        rows = [{"instruction": f"Say {number} {n}.", "output": f"{number} {n}"} for n in range(6 if number == 0 else 2)]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        made.append(Pool.read(path))
    return made


def arms(pools: list[Pool], base: Path) -> list[Arm]:
    base.mkdir(exist_ok=True)
    untouched = Checkpoint(base, "base", record={"rows": 0})
    return [Arm("chosen", pools[:1], selection_seconds=2.5), Arm("random", tuple(pools[1:])), Arm("base", checkpoints=(untouched,))]


def test_every_subset_is_trained_with_every_seed_and_a_model_that_is_there_is_graded_once(pools: list[Pool], tmp_path: Path) -> None:
    trainer, grader = FakeTrainer(tmp_path / "c"), FakeGrader()
    found = verify_arms(arms(pools, tmp_path / "base"), graders=[grader], trainer=trainer, seeds=(0, 1))
    assert sorted(trainer.trained) == [(2, 0), (2, 0), (2, 0), (2, 1), (2, 1), (2, 1), (6, 0), (6, 1)]
    assert found.verification.as_dict()["arms"] == {
        "base": {"0": [0]},
        "chosen": {"0": [0, 1]},
        "random": {"0": [0, 1], "1": [0, 1], "2": [0, 1]},
    }
    # Four more rows at 0.1 each.
    difference = found.verification.difference("chosen", "random", "loss")
    assert difference.estimate == pytest.approx(-0.4, abs=0.01)
    assert found.verification.verdict("chosen", "random", "loss").outcome == "better"
    assert found.costs["chosen"]["selection"] == 2.5 and found.costs["random"]["selection"] is None
    assert not found.failures and not found.pending
    # Every model that was trained here, and none that was there, tells what it was trained on.
    assert [(each["arm"], each["replicate"], each["seed"]) for each in found.trained] == [
        ("chosen", 0, 0), ("chosen", 0, 1), *(("random", draw, seed) for draw in range(3) for seed in (0, 1)),
    ]  # fmt: skip
    # What was trained here is gone, what was there is not.
    assert not any((tmp_path / "c").iterdir()) and (tmp_path / "base").is_dir()


def test_finished_runs_are_not_made_again_and_one_grader_more_is_graded_alone(pools: list[Pool], tmp_path: Path) -> None:
    trainer, grader = FakeTrainer(tmp_path / "c"), FakeGrader()
    first = verify_arms(arms(pools, tmp_path / "base"), graders=[grader], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    again = verify_arms(arms(pools, tmp_path / "base"), graders=[grader], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    assert len(trainer.trained) == 4 and len(grader.graded) == 5
    assert again.verification.frame.equals(first.verification.frame)
    other = FakeGrader("accuracy")
    verify_arms(arms(pools, tmp_path / "base"), graders=[grader, other], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    assert len(grader.graded) == 5 and len(other.graded) == 5 and len(trainer.trained) == 8
    # Another recipe is another run.
    verify_arms(
        arms(pools, tmp_path / "base"),
        graders=[grader],
        trainer=FakeTrainer(tmp_path / "c", {"steps": 9}),
        seeds=(0,),
        folder=tmp_path / "v",
    )
    assert len(grader.graded) == 9


def test_what_was_finished_before_a_fault_stays(pools: list[Pool], tmp_path: Path) -> None:
    grader = FakeGrader()
    with pytest.raises(EnvironmentFault, match="full"):
        verify_arms(
            arms(pools, tmp_path / "base"),
            graders=[grader],
            trainer=FakeTrainer(tmp_path / "c", stops_at=2),
            seeds=(0,),
            folder=tmp_path / "v",
        )
    trainer = FakeTrainer(tmp_path / "c")
    found = verify_arms(arms(pools, tmp_path / "base"), graders=[grader], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    whole = verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=FakeTrainer(tmp_path / "d"), seeds=(0,))
    assert len(trainer.trained) == 2 and found.verification.frame.equals(whole.verification.frame)


def test_a_run_that_diverges_is_told_left_out_and_tried_again(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c", diverges_at=1)
    found = verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=trainer, seeds=(0, 1), folder=tmp_path / "v")
    assert [each.run for each in found.failures] == ["chosen replicate 0 seed 1", *(f"random replicate {n} seed 1" for n in range(3))]
    assert {each.reason for each in found.failures} == {"diverged"}
    assert found.verification.as_dict()["arms"]["chosen"] == {"0": [0]}
    assert len(list((tmp_path / "v" / "runs").glob("*.failed.json"))) == 4
    trainer.diverges_at = None
    mended = verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=trainer, seeds=(0, 1), folder=tmp_path / "v")
    assert not mended.failures and not list((tmp_path / "v" / "runs").glob("*.failed.json"))


def test_a_damaged_record_is_graded_again(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c")
    verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    record = next((tmp_path / "v" / "runs").glob("chosen-*.json"))
    record.write_bytes(record.read_bytes().replace(b'"unit":"nats', b'"unit":"bits'))
    found = verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    assert len(trainer.trained) == 5 and found.verification.graders["loss"].unit == "nats per token"


def test_runs_of_the_last_release_are_not_made_again(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c")
    given: dict[str, Any] = {"graders": [FakeGrader()], "trainer": trainer, "seeds": (0,), "folder": tmp_path / "v"}
    first = verify_arms(arms(pools, tmp_path / "base"), **given)
    for path in (tmp_path / "v" / "runs").glob("*.json"):
        record = json.loads(path.read_text())
        for key in ("digest", "schema", "model"):
            del record[key]
        # As it was written then: arm and draw by name, and of the run nothing but seconds and the grader's record.
        run = {key: record["run"][key] for key in ("training_seconds", "grading_seconds", "grader")}
        record |= {"schema_version": 1, "arm": "chosen", "draw": 0, "run": run}
        path.write_text(json.dumps({**record, "digest": fingerprint(record)}))
    again = verify_arms(arms(pools, tmp_path / "base"), **given)
    assert len(trainer.trained) == 4 and again.verification.frame.equals(first.verification.frame)


def test_equal_rows_of_two_arms_are_never_trained_on_at_the_same_time(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c")
    both = [Arm("chosen", pools[:1]), Arm("same", pools[:1]), Arm("random", pools[1:2])]
    (tmp_path / "v" / "runs").mkdir(parents=True)
    with Leases(tmp_path / "v" / "runs").hold("chosen-draw0-seed0"):
        found = verify_arms(both, graders=[FakeGrader()], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    # A trainer has one folder for equal rows and seeds; the first to end would remove it under the other.
    assert found.pending == ("chosen replicate 0 seed 0", "same replicate 0 seed 0")


def test_progress_counts_runs_that_ended_and_not_those_that_are_pending(pools: list[Pool], tmp_path: Path) -> None:
    trainer, steps = FakeTrainer(tmp_path / "c"), []
    settings = ExecutionSettings(limit=1)
    given: dict[str, Any] = {"graders": [FakeGrader()], "trainer": trainer, "seeds": (0,), "folder": tmp_path / "v", "settings": settings}
    for _ in range(2):
        verify_arms(arms(pools, tmp_path / "base"), **given, progress=lambda step: steps.append((step.done, step.total)))
    assert steps == [(0, 5), (1, 5), (1, 5), (2, 5)]


def test_a_run_another_worker_is_at_is_left_to_it(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c")
    (tmp_path / "v" / "runs").mkdir(parents=True)
    with Leases(tmp_path / "v" / "runs").hold("chosen-draw0-seed0") as mine:
        assert mine
        found = verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    assert found.pending == ("chosen replicate 0 seed 0",) and "chosen" not in found.verification.arms


def test_a_limit_leaves_the_rest_for_the_next_call(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c")
    given: dict[str, Any] = {"graders": [FakeGrader()], "trainer": trainer, "seeds": (0,), "folder": tmp_path / "v"}
    assert len(verify_arms(arms(pools, tmp_path / "base"), settings=ExecutionSettings(limit=2), **given).pending) == 3
    assert not verify_arms(arms(pools, tmp_path / "base"), **given).pending and len(trainer.trained) == 4


def test_a_grader_without_a_value_is_a_failure_and_no_zero(pools: list[Pool], tmp_path: Path) -> None:
    found = verify_arms(
        arms(pools, tmp_path / "base"),
        graders=[FakeGrader(), FakeGrader("empty", nothing=True)],
        trainer=FakeTrainer(tmp_path / "c"),
        seeds=(0,),
    )
    assert {each.reason for each in found.failures} == {"no_grades"} and set(found.verification.graders) == {"loss"}
    with pytest.raises(StudyError, match="No run has a grade"):
        verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader(nothing=True)], trainer=FakeTrainer(tmp_path / "c"), seeds=(0,))


def test_what_cannot_be_compared_is_refused(pools: list[Pool], tmp_path: Path) -> None:
    one = Arm("chosen", pools[:1])
    for given, said in (
        ({"arms": [one, one], "graders": [FakeGrader()]}, "arms of different names"),
        ({"arms": [one], "graders": []}, "graders of different names"),
        ({"arms": [one], "graders": [FakeGrader()]}, "need a trainer"),
        ({"arms": [one], "graders": [FakeGrader()], "trainer": FakeTrainer(tmp_path), "seeds": (1, 1)}, "different whole numbers"),
    ):
        asked: dict[str, Any] = dict(given)
        with pytest.raises(UsageError, match=said):
            verify_arms(asked.pop("arms"), **asked)
    with pytest.raises(UsageError, match="exclude each other"):
        Arm("neither")


def test_arms_whose_names_differ_in_signs_alone_have_files_of_their_own(pools: list[Pool], tmp_path: Path) -> None:
    trainer = FakeTrainer(tmp_path / "c")
    verify_arms([Arm("a/b", pools[:1]), Arm("a b", pools[1:2])], graders=[FakeGrader()], trainer=trainer, seeds=(0,), folder=tmp_path / "v")
    names = sorted(path.name for path in (tmp_path / "v" / "runs").iterdir())
    assert len(names) == 2 and all(name.startswith("a_b-") for name in names) and len(trainer.trained) == 2


def test_what_was_trained_elsewhere_cost_an_unknown_time(pools: list[Pool], tmp_path: Path) -> None:
    grade = Grades("loss", ITEMS, np.ones(len(ITEMS)), np.ones(len(ITEMS)), unit="nats per token")
    other = Checkpoint(tmp_path, "other", record={"rows": 0})
    given = [*arms(pools, tmp_path / "base"), Arm("done", results=(((grade,),),)), Arm("trained", checkpoints=(other,))]
    given[2] = replace(given[2], fixed=True)
    costs = verify_arms(given, graders=[FakeGrader()], trainer=FakeTrainer(tmp_path / "c"), seeds=(0,)).costs
    assert costs["done"] == {"selection": None, "training": None, "grading": None}
    assert costs["trained"]["training"] is None and costs["trained"]["grading"] is not None
    assert costs["base"]["training"] == 0.0 and (costs["chosen"]["training"] or 0.0) > 0.0


def test_runs_whose_other_grades_are_empty_are_failures(pools: list[Pool], tmp_path: Path) -> None:
    found = verify_arms(arms(pools, tmp_path / "base"), graders=[FakeGrader()], trainer=FakeTrainer(tmp_path / "c"), seeds=(0,))
    nothing = Grades("win rate", ("a", "b"), np.zeros(2), np.ones(2), ("failed", "failed"), unit="preference", higher_is_better=True)
    changed = found.with_runs([*found.runs, Run("random", 1, 0, nothing, 4.0)])
    assert [(each.run, each.reason) for each in changed.failures] == [("random replicate 1 seed 0", "no_grades")]
    assert "2 failed" in changed.failures[0].message and changed.n_missing("random") == 1 and changed.n_missing("chosen") == 0
    assert changed.costs["random"]["grading"] == pytest.approx((found.costs["random"]["grading"] or 0.0) + 4.0)
    assert "win rate" not in changed.verification.graders
    with pytest.raises(StudyError, match="No run has a grade"):
        found.with_runs([Run("random", 1, 0, nothing)])


def test_grades_from_elsewhere_stand_beside_those_of_models_trained_here(pools: list[Pool], tmp_path: Path) -> None:
    def people(value: float) -> Grades:
        return Grades("people", ITEMS, np.full(len(ITEMS), value), np.ones(len(ITEMS)), unit="preference", higher_is_better=True)

    arms = [
        Arm(name, (pool,), results=(((people(value),), (people(value),)),), result_labels=(((0, 0), (0, 1)),))
        for name, pool, value in (("chosen", pools[0], 0.75), ("random", pools[1], 0.25))
    ]
    verified = verify_arms(arms, trainer=FakeTrainer(tmp_path), graders=[FakeGrader()], seeds=(0, 1))
    described = verified.verification.as_dict()
    assert {grader: len(scale["means"]) for grader, scale in described["graders"].items()} == {"loss": 4, "people": 4}
    assert described["arms"] == {"chosen": {"0": [0, 1]}, "random": {"0": [0, 1]}}
    assert verified.verification.difference("chosen", "random", "people", n_resamples=0).estimate == 0.5
