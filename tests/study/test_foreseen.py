"""A plan of a study says which subsets the trainer would refuse, and the trainer refuses these and no other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from instructsel.adapters.recipes import recipe
from instructsel.adapters.trl import TrlTrainer
from instructsel.errors import TrainingError
from instructsel.grading.graders.held_out_loss import HeldOutLoss
from instructsel.pool.pool import Pool
from instructsel.study.design import Design, Mixtures
from instructsel.study.folder import Plan
from instructsel.study.study import plan_study
from tests import tiny
from tests.commands.conftest import in_this_process
from tests.study import job

DESIGN = Design((Mixtures(6, 12, seed=3),))


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.causal(tmp_path_factory.mktemp("base") / "llama", "llama")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two sources: every prompt of `long` fills 64 tokens."""
    folder = tmp_path_factory.mktemp("pool")
    for name, times in (("short", 1), ("long", 20)):
        rows = [json.dumps({"instruction": f"{number} the sky is blue " * times, "response": "it is"}) + "\n" for number in range(30)]
        (folder / f"{name}.jsonl").write_text("".join(rows), encoding="utf-8")
    (folder / "eval.jsonl").write_text('{"instruction": "is the sea green", "response": "it is"}\n', encoding="utf-8")
    return [folder / "short.jsonl", folder / "long.jsonl"]


def planned(base: Path, files: list[Path], folder: Path, limit: float) -> tuple[Plan, Pool, TrlTrainer]:
    pool = Pool.read(*files)
    trainer = TrlTrainer(str(base), recipe("tiny", max_length=64), folder / "checkpoints", device="cpu", max_skipped_fraction=limit)
    grader = HeldOutLoss(Pool.read(files[0].with_name("eval.jsonl")), name="loss", max_length=64, device="cpu")
    return plan_study(pool, None, DESIGN, trainer=trainer, grader=grader, folder=folder), pool, trainer


@pytest.mark.parametrize("limit", [0.05, 0.5])
def test_a_plan_names_the_subsets_that_the_trainer_refuses_and_no_other(
    base: Path, files: list[Path], tmp_path: Path, limit: float
) -> None:
    plan, pool, trainer = planned(base, files, tmp_path / "study", limit)
    refused = set()
    for subset in DESIGN.subsets(pool, None):
        try:
            trainer.audit(subset.of(pool)).check(limit)
        except TrainingError:
            refused.add(subset.name)
    assert plan.foreseen is not None and {one.subset for one in plan.foreseen.refused} == refused
    # By hand: every row of `long`, and none of `short`.
    counts = {subset["name"]: subset["counts"]["long"] for subset in plan.subsets}
    assert {one.subset: one.skipped for one in plan.foreseen.refused} == {name: n for name, n in counts.items() if n > limit * 12}
    assert refused and (limit == 0.05 or len(refused) < 6)


def test_the_warning_names_a_limit_that_is_enough(base: Path, files: list[Path], tmp_path: Path) -> None:
    plan, _, _ = planned(base, files, tmp_path / "study", 0.5)
    (warning,) = [text for text in plan.warnings() if "would be refused" in text]
    enough = float(warning.rsplit("--max-skipped-fraction ", 1)[1].rstrip("."))
    again, _, _ = planned(base, files, tmp_path / "again", enough)
    assert not any("would be refused" in text for text in again.warnings())


def test_study_plan_says_it_before_anything_is_trained(base: Path, files: list[Path], tmp_path: Path) -> None:
    arguments = [
        "study",
        "plan",
        *map(str, files),
        "--base",
        str(base),
        "--eval",
        str(files[0].with_name("eval.jsonl")),
        "--preset",
        "tiny",
    ]
    arguments += ["--max-length", "64", "--mixtures", "6", "--rows", "12", "--design-seed", "3", "--max-skipped-fraction", "0.5", "--json"]
    done = in_this_process(tmp_path, [*arguments, "-o", "study"], environment={})
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)
    assert record["refused"] and {"subset", "rows", "skipped"} == set(record["refused"][0])
    said = " ".join(done.stderr.split())
    assert f"{len(record['refused'])} of 6 subsets would be refused" in said and f"{record['refused'][0]['subset']} (" in said
    assert not (tmp_path / "study" / "checkpoints").exists()


def test_a_trainer_that_does_not_say_beforehand_foresees_nothing(tmp_path: Path) -> None:
    pool = Pool.read(*job.write_pool(tmp_path))
    trainer = job.FakeTrainer(tmp_path / "checkpoints")
    plan = plan_study(
        pool, job.scored(pool), job.DESIGN, trainer=trainer, grader=job.FakeGrader(job.numbers(pool)), folder=tmp_path / "study"
    )
    assert plan.foreseen is None and not any("would be refused" in text for text in plan.warnings())
