"""Studies: what is measured and written, resuming after every kind of end, workers beside each other, and refusals."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import polars as pl
import pytest

from instructsel.artifact import fingerprint, machine, manifest_path
from instructsel.errors import (
    EnvironmentFault,
    ObservationsError,
    StudyError,
    TrainingDiverged,
    TrainingError,
    UnknownIndicator,
    UsageError,
)
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.leases import STALE, UNREADABLE
from instructsel.pool.contamination import check_evaluation
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint, Grader, Grades, Trainer
from instructsel.rules.observations import Observations
from instructsel.scores.table import ScoreTable
from instructsel.study.design import Bins, Design, Mixtures
from instructsel.study.folder import Run, StudyFolder
from instructsel.study.study import Progress, Study, StudyInputs, StudySettings, continue_study, plan_study, run_study
from tests.conftest import ROOT
from tests.study import job
from tests.study.job import DESIGN, FakeGrader, FakeTrainer, ShowingGrader, numbers, scored, write_pool

TOTAL = 4
"""Runs of DESIGN with one seed."""


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool.read(*write_pool(tmp_path))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "study"


@pytest.fixture
def trainer(tmp_path: Path) -> FakeTrainer:
    return FakeTrainer(tmp_path / "checkpoints")


def done(pool: Pool, trainer: FakeTrainer, folder: Path | None, **settings: Any) -> Study:
    inputs = {"table": scored(pool), "design": DESIGN, "grader": FakeGrader(numbers(pool)), **settings}
    execution = ExecutionSettings(limit=inputs.pop("limit", None), keep_checkpoints=inputs.pop("keep_checkpoints", False))
    values = study_settings(inputs)
    return run_study(
        pool, inputs.pop("table"), inputs.pop("design"), trainer=trainer, folder=folder, settings=values, execution=execution, **inputs
    )


def study_settings(settings: dict[str, Any]) -> StudySettings:
    """Indicators and nulls, taken out of what a test changes."""
    names = [name for name in ("indicators", "max_null_fraction") if name in settings]
    return StudySettings(**{name: settings.pop(name) for name in names})


def records(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "runs").iterdir())


# What is measured and written


def test_the_fakes_are_a_trainer_and_a_grader(pool: Pool, trainer: FakeTrainer) -> None:
    assert isinstance(trainer, Trainer)
    assert isinstance(FakeGrader({}), Grader)


def test_an_observation_is_what_was_trained_on_and_the_loss_it_came_out_with(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    grader = FakeGrader(numbers(pool), spread=0.25)
    study = done(pool, trainer, folder, grader=grader)
    assert study.frame.columns == [
        *("subset", "design", "seed", "rows", "share_forum", "share_manual", "share_quiz", "len", "rew"),
        *("loss", "loss_example_weighted", "log_loss", "n_items", "tokens_trained", "steps", "checkpoint", "ids"),
    ]
    subsets = DESIGN.subsets(pool, scored(pool))
    assert study.frame["subset"].to_list() == [subset.name for subset in subsets] == ["mix-000", "mix-001", "len-bin-0", "len-bin-1"]
    known: Any = numbers(pool)
    for subset, row in zip(subsets, study.frame.iter_rows(named=True), strict=True):
        lengths, rewards = ([known[name][at] for name in subset.ids] for at in range(2))
        # 3 parts loss - 0.25 and 1 part loss + 0.75: by weight the loss itself, item by item 0.25 above it.
        loss = math.exp(job.INTERCEPT + job.LEN * np.mean(lengths) + job.REW * np.mean(rewards))
        assert row["loss"] == pytest.approx(loss)
        assert row["loss_example_weighted"] == pytest.approx(loss + 0.25)
        assert row["log_loss"] == math.log(row["loss"])
        assert (row["len"], row["rew"]) == (math.fsum(lengths) / len(subset), math.fsum(rewards) / len(subset))
        assert (row["rows"], row["n_items"], row["tokens_trained"], row["steps"]) == (len(subset), 2, 10 * len(subset), 3)
        assert (row["ids"], row["design"], row["seed"]) == (subset.digest, subset.design, 0)
        assert row["share_manual"] == subset.counts["manual"] / len(subset)
    assert study.complete and study.planned == TOTAL and study.failed == ()


def test_the_file_is_what_rules_fit_takes_without_flags(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    study = done(pool, trainer, folder)
    read = Observations.read(folder / "study.parquet")
    assert read.indicators() == ("len", "rew")
    assert read.fingerprints(["len", "rew"]) == {"len": scored(pool).manifest["indicators"]["len"]}
    assert read.logarithm().tolist() == study.observations.logarithm().tolist()
    assert read.labels("design") == ("mixture", "mixture", "bin", "bin")
    assert read.sources() is not None
    again = Study.read(folder)
    assert again.frame.equals(study.frame)
    assert (again.manifest, again.failed) == (Study.read(folder / "study.parquet").manifest, ())


def test_a_planted_rule_is_recovered(pool: Pool, trainer: FakeTrainer) -> None:
    design = Design([Mixtures(n=20, rows=15), Bins("len", k=4), Bins("rew", k=4)], seeds=[0, 1])
    study = done(pool, trainer, None, design=design)
    assert len(study.frame) == 56
    found = study.fit(bootstrap=0)
    assert found.indicators == ("len", "rew")
    assert [each.weight for each in found.summary.estimates] == pytest.approx([job.INTERCEPT, job.LEN, job.REW], abs=1e-9)
    assert found.summary.subsets == 28
    assert [caution.text for caution in found.summary.warnings if caution.code == "models_unknown"]
    assert found.rule("mine").terms[0].accepts[0].name == "t"


def test_rows_without_a_value_are_left_out_of_the_mean_and_counted(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    table, known = scored(pool, nulls=5), numbers(pool, nulls=5)
    study = done(pool, trainer, folder, table=table, grader=FakeGrader(known), max_null_fraction=0.5)
    counts = study.frame["len_nulls"].to_list()
    subsets = DESIGN.subsets(pool, table)
    assert counts == [len(set(pool.ids[:5]) & set(subset.ids)) for subset in subsets]
    assert counts[2:] == [0, 0] and "rew_nulls" not in study.frame.columns
    at = counts.index(max(counts))
    assert counts[at] > 0
    lengths = [length for name in subsets[at].ids if (length := known[name][0]) is not None]
    assert study.frame["len"][at] == math.fsum(lengths) / len(lengths)
    assert Observations.read(folder / "study.parquet").indicators() == ("len", "rew")


def test_too_many_rows_without_a_value_are_refused_before_anything_is_trained(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    with pytest.raises(StudyError, match=r"len is null in \d+ of 12 rows of mix-000 \(limit 5%\): empty_response") as found:
        done(pool, trainer, folder, table=scored(pool, nulls=30))
    assert found.value.fix is not None and "Leave len out" in found.value.fix
    assert not trainer.trained() and not folder.exists()
    study = done(pool, trainer, folder, table=scored(pool, nulls=30), indicators=("rew",), design=Design([Mixtures(n=2, rows=12)]))
    assert study.observations.indicators() == ("rew",)


def test_bytes_do_not_depend_on_the_order_of_files_of_runs_or_of_sessions(pool: Pool, tmp_path: Path, trainer: FakeTrainer) -> None:
    design = Design(DESIGN.parts, seeds=[0, 3])
    done(pool, trainer, tmp_path / "a", design=design)
    for _ in range(8):
        done(Pool.read(*sorted(tmp_path.glob("*.jsonl"), reverse=True)), trainer, tmp_path / "b", design=design, limit=1)
    assert (tmp_path / "a" / "study.parquet").read_bytes() == (tmp_path / "b" / "study.parquet").read_bytes()
    assert (tmp_path / "a" / "plan.json").read_bytes() == (tmp_path / "b" / "plan.json").read_bytes()


def test_bytes_do_not_depend_on_which_runs_ended_first(pool: Pool, tmp_path: Path, trainer: FakeTrainer) -> None:
    done(pool, trainer, tmp_path / "a")
    place = StudyFolder(tmp_path / "b")
    plan_study(pool, scored(pool), DESIGN, trainer=trainer, grader=FakeGrader(numbers(pool)), folder=place.path)
    leases = [place.store.lease("mix-000-seed0"), place.store.lease("mix-001-seed0")]
    # While another worker is at the first two runs, the last two are done.
    for lease in leases:
        assert lease.__enter__()
    half = done(pool, trainer, place.path)
    assert half.frame["subset"].to_list() == ["len-bin-0", "len-bin-1"] and not half.complete
    for lease in leases:
        lease.__exit__(None, None, None)
    done(pool, trainer, place.path)
    assert place.table.read_bytes() == (tmp_path / "a" / "study.parquet").read_bytes()


def test_without_a_folder_nothing_is_left_behind(pool: Pool, trainer: FakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    assert done(pool, trainer, None).complete
    assert not list((tmp_path / "temporary").iterdir())


def test_checkpoints_are_removed_once_their_loss_is_written_unless_they_are_kept(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    seen = []
    done(pool, trainer, folder, progress=lambda told: seen.append([path.name for path in trainer.folder.iterdir()]))
    assert seen == [["log"]] * TOTAL
    done(pool, trainer, folder.with_name("kept"), keep_checkpoints=True)
    assert len(list(trainer.folder.iterdir())) == TOTAL + 1


def test_progress_tells_of_every_run_and_of_the_time_left(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    told: list[Progress] = []
    done(pool, trainer, folder, progress=told.append)
    assert [(each.done, each.total) for each in told] == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert [each.run for each in told] == [Run(name, 0) for name in ("mix-000", "mix-001", "len-bin-0", "len-bin-1")]
    assert all(each.loss and each.seconds and not each.note for each in told)
    times = [each.seconds or 0.0 for each in told]
    # One worker, two runs left, each as long as the mean of the first two.
    assert told[1].seconds_left == pytest.approx(times[0] + times[1])
    assert told[-1].seconds_left == 0


# Plans


def test_a_plan_holds_everything_an_observation_depends_on(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    def planned(**settings: Any) -> Any:
        given = {"table": scored(pool), "design": DESIGN, "trainer": trainer, "grader": FakeGrader(numbers(pool)), **settings}
        return plan_study(pool, given.pop("table"), given.pop("design"), folder=folder, **given)

    plan = planned(launch={"scores": "/somewhere"})
    stored = orjson.loads((folder / "plan.json").read_bytes())
    assert stored["hash"] == plan.hash and stored["launch"] == {"scores": "/somewhere"} and stored["schema"] == 1
    assert stored["configuration"]["pool"] == {"fingerprint": pool.fingerprint, "examples": 60}
    assert stored["configuration"]["design"] == DESIGN.as_dict()
    assert stored["configuration"]["trainer"] == {"base": "fake", "recipe": {"epochs": 3}}
    assert stored["configuration"]["grader"] == {"name": "held_out_loss", "items": "evaluation"}
    assert [subset["name"] for subset in stored["subsets"]] == ["mix-000", "mix-001", "len-bin-0", "len-bin-1"]
    assert plan.ranges()["len"] == (min(s["means"]["len"] for s in plan.subsets), max(s["means"]["len"] for s in plan.subsets))
    assert not trainer.trained()
    # Planned again the same, only the launch is renewed; without one it stays.
    assert planned(launch={"scores": "/elsewhere"}).hash == plan.hash
    assert orjson.loads((folder / "plan.json").read_bytes())["launch"] == {"scores": "/elsewhere"}
    before = (folder / "plan.json").read_bytes()
    planned()
    assert (folder / "plan.json").read_bytes() == before


def test_a_plan_says_what_to_doubt(pool: Pool, trainer: FakeTrainer, tmp_path: Path) -> None:
    def cautions(design: Design, table: ScoreTable | None = None, **settings: Any) -> str:
        folder = tmp_path / f"study{len(list(tmp_path.iterdir()))}"
        grader = FakeGrader(numbers(pool))
        values = study_settings(settings)
        plan = plan_study(pool, table or scored(pool), design, trainer=trainer, grader=grader, folder=folder, settings=values)
        return "\n".join(plan.warnings())

    assert cautions(Design([Mixtures(n=20, rows=15)])) == ""
    few = cautions(Design([Mixtures(n=19, rows=15)]))
    assert few.startswith("19 subsets are fewer than 10 for each of 2 indicators") and "\n" not in few
    assert "mixtures were drawn again" in cautions(Design([Mixtures(n=20, rows=40)]))
    same = cautions(Design([Mixtures(n=20, rows=20, sources=("quiz",))]))
    assert "19 subsets hold the same rows" in same and "random subsets of one source" in same and "len has the same mean" in same
    nulls = cautions(Design([Mixtures(n=20, rows=15)]), scored(pool, nulls=1), max_null_fraction=0.2)
    assert nulls.startswith("len is null in 1 row of the pool")


@pytest.mark.parametrize("part", ["pool", "scores", "design", "trainer", "grader"])
def test_a_folder_of_another_study_is_refused_and_left_alone(
    pool: Pool, trainer: FakeTrainer, folder: Path, tmp_path: Path, part: str
) -> None:
    done(pool, trainer, folder, limit=1)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    others: dict[str, Callable[[], Any]] = {
        "pool": lambda: done(pool.take(pool.ids[1:]), trainer, folder),
        "scores": lambda: done(pool, trainer, folder, table=scored(pool, nulls=1), max_null_fraction=0.5),
        "design": lambda: done(pool, trainer, folder, design=Design([Mixtures(n=3, rows=12)])),
        "trainer": lambda: done(pool, FakeTrainer(trainer.folder, base="other"), folder),
        "grader": lambda: done(pool, trainer, folder, grader=FakeGrader(numbers(pool), items="others")),
    }
    with pytest.raises(StudyError, match=f"folder of another study; what differs: .*{part} \\(") as found:
        others[part]()
    assert [name for name in others if f" {name} (" in found.value.message] == (["pool", "scores"] if part == "pool" else [part])
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


def test_a_plan_that_was_changed_or_is_damaged_is_refused(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    done(pool, trainer, folder, limit=1)
    path = folder / "plan.json"
    whole = path.read_bytes()
    for content, said in [
        (whole.replace(b'"epochs": 3', b'"epochs": 4'), "changed after the study was planned"),
        (whole[:100], "cannot be read"),
        (b"[]", "does not hold a manifest"),
        (b"{}", "not the plan of a study"),
        (whole.replace(b'"schema": 1', b'"schema": 2'), "newer instructsel"),
    ]:
        path.write_bytes(content)
        with pytest.raises(StudyError, match=said):
            done(pool, trainer, folder)
    path.write_bytes(whole)
    assert done(pool, trainer, folder).complete


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"indicators": ("lem",)}, UnknownIndicator, "Did you mean 'len'"),
        ({"indicators": ()}, UsageError, "needs indicators"),
        ({"indicators": ("len", "len")}, UsageError, "each named once"),
        ({"design": Design([Mixtures(n=1, rows=61)])}, StudyError, "have 60 in all"),
        ({"design": Design([Mixtures(n=1, rows=6, sources=("forums",))])}, UsageError, "Did you mean 'forum'"),
        ({"design": Design([Bins("mtld")])}, UnknownIndicator, "mtld"),
    ],
)
def test_what_cannot_be_planned_is_refused(pool: Pool, trainer: FakeTrainer, folder: Path, settings: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        done(pool, trainer, folder, **settings)
    assert not folder.exists()


def test_scores_that_lack_a_row_or_bear_a_name_of_ours_are_refused(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    with pytest.raises(StudyError, match="1 of 60 examples of the pool are not in the score table"):
        done(pool, trainer, folder, table=scored(pool.take(pool.ids[1:])))
    table = ScoreTable.from_columns(pool.ids, {"loss": ([1.0] * 60, [None] * 60)})
    with pytest.raises(UsageError, match="a column loss of its own"):
        done(pool, trainer, folder, table=table, design=Design([Mixtures(n=2, rows=5)]))


# Resuming


def test_a_finished_run_is_not_done_again(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    assert len(done(pool, trainer, folder, limit=1).frame) == 1
    assert len(done(pool, trainer, folder, limit=2).frame) == 3
    assert done(pool, trainer, folder).complete
    assert Counter(trainer.trained()).most_common(1)[0][1] == 1 and len(trainer.trained()) == TOTAL
    before = (folder / "study.parquet").read_bytes()
    assert done(pool, trainer, folder).complete and len(trainer.trained()) == TOTAL
    assert (folder / "study.parquet").read_bytes() == before


def test_a_study_of_the_last_release_goes_on_where_it_stands(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    done(pool, trainer, folder, limit=2)
    plan = orjson.loads((folder / "plan.json").read_bytes())
    plan["schema_version"], plan["wiring"] = plan.pop("schema"), {"scores": "/somewhere"}
    del plan["launch"]
    (folder / "plan.json").write_bytes(orjson.dumps(plan))
    for path in (folder / "runs").glob("*.json"):
        record = orjson.loads(path.read_bytes())
        del record["kind"], record["digest"]
        record["schema_version"] = record.pop("schema")
        path.write_bytes(orjson.dumps({**record, "digest": fingerprint(record)}))
    read = StudyFolder(folder).read()
    assert read is not None and read.launch == {"scores": "/somewhere"}
    assert done(pool, trainer, folder).complete and len(trainer.trained()) == TOTAL


@pytest.mark.parametrize("how", ["cut", "flipped", "other plan", "other subset"])
def test_a_damaged_record_is_moved_aside_and_the_run_done_again(pool: Pool, trainer: FakeTrainer, folder: Path, how: str) -> None:
    done(pool, trainer, folder)
    before = (folder / "study.parquet").read_bytes()
    path = folder / "runs" / "mix-001-seed0.json"
    whole = path.read_bytes()
    if how == "other subset":
        path.write_bytes((folder / "runs" / "mix-000-seed0.json").read_bytes())
    elif how == "other plan":
        done(pool, FakeTrainer(trainer.folder, base="other"), folder.with_name("other"))
        path.write_bytes((folder.with_name("other") / "runs" / path.name).read_bytes())
    else:
        path.write_bytes(whole[:-30] if how == "cut" else whole.replace(b'"steps": 3', b'"steps": 2'))
    damaged = path.read_bytes()
    notes: list[Progress] = []
    done(pool, trainer, folder, progress=notes.append)
    assert (folder / "study.parquet").read_bytes() == before
    assert (folder / "runs" / "mix-001-seed0.json.damaged").read_bytes() == damaged
    assert "mix-001-seed0 was damaged or of another plan; it is now mix-001-seed0.json.damaged" in notes[0].note
    assert [each.run for each in notes] == [None, Run("mix-001", 0)]


def test_observations_that_were_lost_are_collected_again(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    done(pool, trainer, folder)
    before = (folder / "study.parquet").read_bytes()
    (folder / "study.parquet").unlink()
    manifest_path(folder / "study.parquet").unlink()
    done(pool, trainer, folder)
    assert (folder / "study.parquet").read_bytes() == before and len(trainer.trained()) == TOTAL


def test_a_model_left_behind_by_a_kill_is_told_of_and_not_touched(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    done(pool, trainer, folder)
    record = orjson.loads((folder / "runs" / "mix-000-seed0.json").read_bytes())
    left = Path(record["run"]["removing"])
    left.mkdir()
    notes: list[str] = []
    done(pool, trainer, folder, progress=lambda told: notes.append(told.note))
    assert notes == [f"the model of mix-000-seed0 was left behind when its worker was killed: remove {left}"]
    assert left.is_dir()


class Children:
    """A process that forks workers and kills them where it is told."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.study.job"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "POLARS_MAX_THREADS": "1"},
        )
        assert self.process.stdout is not None
        assert self.process.stdout.readline() == "ready\n"

    def __call__(self, folder: Path, **how: Any) -> dict[str, Any]:
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps({"folder": str(folder), **how}) + "\n")
        self.process.stdin.flush()
        found: dict[str, Any] = json.loads(self.process.stdout.readline())
        return found


@pytest.fixture(scope="module")
def children() -> Iterator[Children]:
    found = Children()
    yield found
    assert found.process.stdin is not None
    found.process.stdin.close()
    found.process.wait()


def reference(tmp_path: Path, children: Children, **how: Any) -> tuple[Path, bytes]:
    place = tmp_path / "whole"
    place.mkdir()
    write_pool(place)
    assert children(place, **how) == {"codes": [0], "said": ""}
    return place, (place / "study" / "study.parquet").read_bytes()


def killed_at(tmp_path: Path, children: Children, expected: bytes, call: int) -> bool:
    """Whether the study ended before that call; otherwise that it comes out the same after a kill there."""
    place = tmp_path / f"killed-{call}"
    place.mkdir()
    write_pool(place)
    first = children(place, kill_at_call=call)
    if first["codes"] == [0]:
        return True
    assert first["codes"] == [-9], first
    assert children(place) == {"codes": [0], "said": ""}
    assert (place / "study" / "study.parquet").read_bytes() == expected, call
    assert records(place / "study") == sorted(f"{name}-seed0.json" for name in ("mix-000", "mix-001", "len-bin-0", "len-bin-1")), call
    # At most the run that was killed is trained again.
    assert len(FakeTrainer(place / "checkpoints").trained()) <= TOTAL + 1, call
    return False


def test_a_study_killed_anywhere_comes_out_the_same(tmp_path: Path, children: Children) -> None:
    _, expected = reference(tmp_path, children)
    # Every ninth call: through the claims, trainings, records, removals and tables of all runs.
    assert any(killed_at(tmp_path, children, expected, call) for call in range(1, 400, 9))


@pytest.mark.soak
def test_a_study_killed_at_every_single_call_comes_out_the_same(tmp_path: Path, children: Children) -> None:
    _, expected = reference(tmp_path, children)
    assert any(killed_at(tmp_path, children, expected, call) for call in range(1, 400))


def test_a_study_killed_in_the_middle_of_training_comes_out_the_same(
    pool: Pool, trainer: FakeTrainer, tmp_path: Path, children: Children
) -> None:
    _, expected = reference(tmp_path, children)
    folder = tmp_path / "again"
    trainer.fail = {2: KeyboardInterrupt()}  # type: ignore[dict-item]
    with pytest.raises(KeyboardInterrupt):
        done(pool, trainer, folder)
    assert records(folder) == ["mix-000-seed0.json"]
    assert done(pool, trainer, folder).complete
    assert (folder / "study.parquet").read_bytes() == expected


# Workers beside each other


def test_workers_in_one_folder_share_the_runs_and_do_none_twice(tmp_path: Path, children: Children) -> None:
    place, expected = reference(tmp_path, children, seeds=3)
    together = tmp_path / "together"
    together.mkdir()
    write_pool(together)
    assert children(together, workers=2, meet=2, seeds=3) == {"codes": [0, 0], "said": ""}
    trained = FakeTrainer(together / "checkpoints").trained()
    assert sorted(each[1:] for each in trained) == sorted(each[1:] for each in FakeTrainer(place / "checkpoints").trained())
    assert len({process for process, _, _ in trained}) == 2
    assert (together / "study" / "study.parquet").read_bytes() == expected
    assert orjson.loads((together / "study" / "study.parquet.json").read_bytes())["planned"] == 12


def test_many_workers_take_over_dead_leases_without_doing_a_run_twice(tmp_path: Path, children: Children) -> None:
    place = tmp_path / "dead"
    place.mkdir()
    write_pool(place)
    runs = place / "study" / "runs"
    runs.mkdir(parents=True)
    for subset in ("mix-000", "mix-001", "len-bin-0", "len-bin-1"):
        for seed in range(3):
            (runs / f"{subset}-seed{seed}.lease").write_bytes(lease(process=gone()))
    assert children(place, workers=4, seeds=3) == {"codes": [0] * 4, "said": ""}
    assert len(FakeTrainer(place / "checkpoints").trained()) == 12
    assert not list(runs.glob("*.lease*")) and not [path for path in runs.iterdir() if path.name.startswith(".")]


def gone() -> int:
    """The number of a process that has ended."""
    process = subprocess.Popen(["true"])
    process.wait()
    return process.pid


def lease(**told: Any) -> bytes:
    return orjson.dumps({"machine": machine(), "process": os.getppid(), "time": time.time(), **told})


def test_runs_of_the_same_rows_are_never_done_at_the_same_time(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    design = Design([Mixtures(n=3, rows=20, sources=("quiz",))])
    place = StudyFolder(folder)
    plan = plan_study(pool, scored(pool), design, trainer=trainer, grader=FakeGrader(numbers(pool)), folder=folder)
    # A trainer has one folder for equal rows and seeds; the first to end would remove it under the other.
    with place.store.lease(plan.leases[Run("mix-002", 0)].name) as held:
        assert held
        assert done(pool, trainer, folder, design=design).frame.is_empty()
        assert place.status(plan).running == (Run("mix-000", 0),)
    assert done(pool, trainer, folder, design=design).complete


@pytest.mark.parametrize(
    ("content", "age", "taken"),
    [
        ("a living process here", 0, False),
        ("a living process here", STALE + 60, True),
        ("a process that is gone", 0, True),
        ("another machine", 0, False),
        ("another machine", STALE + 60, True),
        ("nothing yet", 0, False),
        ("nothing yet", UNREADABLE + 60, True),
        ("this process before it was started anew", 0, True),
    ],
)
def test_a_lease_holds_while_its_worker_can_be_alive(
    pool: Pool, trainer: FakeTrainer, folder: Path, content: str, age: float, taken: bool
) -> None:
    runs = folder / "runs"
    runs.mkdir(parents=True)
    path = runs / "mix-000-seed0.lease"
    path.write_bytes(
        {
            "a living process here": lease(),
            "a process that is gone": lease(process=gone()),
            "another machine": lease(machine="0" * 8, process=gone()),
            "nothing yet": b"",
            "this process before it was started anew": lease(process=os.getpid()),
        }[content]
    )
    moment = time.time() - age
    os.utime(path, (moment, moment))
    study = done(pool, trainer, folder)
    assert study.complete is taken
    assert path.exists() is not taken
    assert len(study.frame) == TOTAL - (not taken)


def test_a_lease_is_made_where_files_cannot_be_linked(
    pool: Pool, trainer: FakeTrainer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(os, "link", refused)
    assert done(pool, trainer, folder).complete
    assert records(folder) == sorted(f"{name}-seed0.json" for name in ("mix-000", "mix-001", "len-bin-0", "len-bin-1"))


def test_a_worker_that_is_at_work_renews_its_lease(pool: Pool, trainer: FakeTrainer, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("instructsel.experiments.leases.HEARTBEAT", 0.01)
    ages = []
    train = trainer.train

    def watched(part: Pool, *, seed: int) -> Checkpoint:
        (mine,) = (folder / "runs").glob("*.lease")
        os.utime(mine, (0, 0))
        while mine.stat().st_mtime == 0:
            time.sleep(0.01)
        ages.append(mine.stat().st_mtime)
        return train(part, seed=seed)

    trainer.train = watched  # type: ignore[method-assign]
    done(pool, trainer, folder, limit=1)
    assert len(ages) == 1 and ages[0] > 0


# Runs that fail


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TrainingDiverged("The loss is nan at step 3."), "diverged"),
        (TrainingError("Nothing to train on.", fix="Name what mends it."), "training"),
    ],
)
def test_a_run_that_fails_is_recorded_and_tried_again_the_next_time(
    pool: Pool, trainer: FakeTrainer, folder: Path, tmp_path: Path, error: Exception, reason: str
) -> None:
    done(pool, trainer, tmp_path / "whole")
    trainer.done = 0
    trainer.fail = {2: error, 5: error}
    told: list[Progress] = []
    study = done(pool, trainer, folder, progress=told.append)
    assert study.frame["subset"].to_list() == ["mix-000", "len-bin-0", "len-bin-1"]
    (failure,) = study.failed
    assert (failure.subset, failure.seed, failure.reason, failure.message) == ("mix-001", 0, reason, str(error))
    assert study.manifest["failed"] == [{"subset": "mix-001", "seed": 0, "reason": reason}]
    assert Study.read(folder).failed == study.failed
    assert (told[1].run, told[1].loss, told[1].note, told[1].done) == (Run("mix-001", 0), None, str(error), 2)
    assert "mix-001-seed0.failed.json" in records(folder)
    # Once more it fails, then no longer.
    assert done(pool, trainer, folder).failed == study.failed
    again = done(pool, trainer, folder)
    assert again.failed == () and again.complete
    assert "mix-001-seed0.failed.json" not in records(folder)
    assert (folder / "study.parquet").read_bytes() == (tmp_path / "whole" / "study.parquet").read_bytes()


def test_a_worker_that_joins_does_not_repeat_what_failed_since_the_first_began(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    trainer.fail = {1: TrainingDiverged("nan")}
    began = time.time()
    done(pool, trainer, folder)
    assert len(trainer.trained()) == TOTAL
    inputs = StudyInputs(pool, scored(pool), DESIGN, trainer, FakeGrader(numbers(pool)))
    assert len(continue_study(inputs, folder, since=began).failed) == 1 and len(trainer.trained()) == TOTAL
    assert done(pool, trainer, folder).complete


def graded(**settings: Any) -> Grades:
    return Grades(**{"grader": "held_out_loss", "items": ("one",), "values": np.array([1.0]), "weights": np.ones(1), **settings})


@pytest.mark.parametrize(
    ("settings", "reason", "said"),
    [
        ({"values": np.zeros(1)}, "invalid_value", "The loss is 0; only a finite one above 0"),
        ({"values": np.array([-0.5])}, "invalid_value", "The loss is -0.5"),
        ({"weights": np.zeros(1)}, "invalid_value", "The loss is nan"),
        ({"values": np.zeros(1), "reasons": ("too_long",)}, "no_value", "None of 1 item of held_out_loss has a value: too_long 1"),
        ({"values": np.array([math.nan])}, "invalid_value", "gave a value that is not finite"),
    ],
)
def test_a_loss_that_is_none_fails_the_run_and_removes_its_checkpoint(
    pool: Pool, trainer: FakeTrainer, folder: Path, monkeypatch: pytest.MonkeyPatch, settings: Any, reason: str, said: str
) -> None:
    grader = FakeGrader(numbers(pool))
    monkeypatch.setattr(grader, "grade", lambda checkpoint: graded(**settings))
    study = done(pool, trainer, folder, grader=grader)
    assert [(each.reason, said in each.message) for each in study.failed] == [(reason, True)] * TOTAL
    assert study.frame.is_empty() and study.planned == TOTAL
    assert [path.name for path in trainer.folder.iterdir()] == ["log"]
    with pytest.raises(ObservationsError, match="no observations"):
        study.fit()
    with pytest.raises(ObservationsError, match="no observations"):
        Observations.read(folder / "study.parquet")


def test_grades_that_are_better_when_higher_are_no_loss(
    pool: Pool, trainer: FakeTrainer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    grader = FakeGrader(numbers(pool))
    monkeypatch.setattr(grader, "grade", lambda checkpoint: graded(higher_is_better=True))
    with pytest.raises(UsageError, match="better when higher"):
        done(pool, trainer, folder, grader=grader)


def test_a_fault_of_the_machine_ends_the_study_at_once_and_keeps_what_is_finished(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    trainer.fail = {3: EnvironmentFault("The disk is full.")}
    with pytest.raises(EnvironmentFault, match="disk is full"):
        done(pool, trainer, folder)
    assert records(folder) == ["mix-000-seed0.json", "mix-001-seed0.json"]
    assert Study.read(folder).frame["subset"].to_list() == ["mix-000", "mix-001"]
    assert done(pool, trainer, folder).complete
    assert len(trainer.trained()) == TOTAL + 1


def test_a_folder_that_cannot_be_made_is_a_fault_of_the_machine(pool: Pool, trainer: FakeTrainer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentFault, match="Cannot make the folder"):
        done(pool, trainer, tmp_path / "file" / "study")


def test_what_is_no_study_is_not_read_as_one(pool: Pool, tmp_path: Path) -> None:
    scored(pool).write(tmp_path / "scores.parquet")
    with pytest.raises(StudyError, match="holds scores, not a study's observations"):
        Study.read(tmp_path / "scores.parquet")
    with pytest.raises(StudyError, match="no file"):
        Study.read(tmp_path)


def test_a_run_of_a_subset_has_no_value_that_polars_would_guess(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    trainer.train = lambda part, *, seed: Checkpoint(made(part, trainer), "d", seed, {})  # type: ignore[method-assign]
    frame = done(pool, trainer, folder).frame
    assert frame["tokens_trained"].null_count() == TOTAL and frame["tokens_trained"].dtype == frame["steps"].dtype == pl.Int64


def made(part: Pool, trainer: FakeTrainer) -> Path:
    folder = trainer.folder / "one"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ids.json").write_text(json.dumps(list(part.ids)))
    return folder


# Contamination


def evaluation(path: Path, *rows: tuple[str, str]) -> Pool:
    path.write_text("".join(json.dumps({"prompt": "", "instruction": asked, "output": answer}) + "\n" for asked, answer in rows))
    return Pool.read(path)


def test_an_evaluation_set_apart_from_the_pool_passes(pool: Pool, tmp_path: Path) -> None:
    assert check_evaluation(pool, evaluation(tmp_path / "eval.jsonl", ("Something else?", "Yes."))) == []


def test_evaluation_examples_of_the_pool_are_refused_with_their_places(pool: Pool, tmp_path: Path) -> None:
    # In another format, but the same conversations.
    rows = [("Something else?", "Yes."), *((f"Ask quiz {number}", f"Answer {number}") for number in range(5))]
    with pytest.raises(
        StudyError, match=r"5 of 6 examples of eval\.jsonl are in the pool.*eval\.jsonl:\d \(quiz\.jsonl:\d\), .*, …\."
    ) as found:
        check_evaluation(pool, evaluation(tmp_path / "eval.jsonl", *rows))
    assert (found.value.fix or "").startswith("Drop them from the pool or from the evaluation set")


def test_an_evaluation_file_with_the_rows_of_a_pool_file_is_refused(pool: Pool, tmp_path: Path) -> None:
    copy = tmp_path / "copy.jsonl"
    copy.write_bytes((tmp_path / "quiz.jsonl").read_bytes())
    with pytest.raises(StudyError, match=r"copy\.jsonl holds the rows of .*quiz\.jsonl"):
        check_evaluation(pool, Pool.read(copy))


def test_parts_of_one_file_may_be_trained_on_and_held_out(pool: Pool) -> None:
    half = len(pool) // 2
    assert check_evaluation(pool.take(pool.ids[:half]), pool.take(pool.ids[half:])) == []
    with pytest.raises(StudyError, match=f"{half} of {half} examples of .* are in the pool"):
        check_evaluation(pool, pool.take(pool.ids[half:]))


def test_instructions_in_both_with_other_answers_are_warned_of(pool: Pool, tmp_path: Path) -> None:
    rows = [("ASK  quiz, 3!", "Another answer"), ("Ask   quiz 3?", "A third"), ("New?", "Yes."), ("?!", "Nothing asked")]
    (told,) = check_evaluation(pool, evaluation(tmp_path / "eval.jsonl", *rows))
    places = "eval.jsonl:1 (quiz.jsonl:4), eval.jsonl:2 (quiz.jsonl:4)"
    assert told == f"2 of 4 instructions of eval.jsonl are in the pool too, with other responses: {places}."


def showing(pool: Pool, rows: Pool) -> ShowingGrader:
    grader = ShowingGrader(numbers(pool))
    grader.pool = rows
    return grader


def test_a_study_in_python_refuses_an_evaluation_set_of_its_pool_before_anything_is_written(
    pool: Pool, trainer: FakeTrainer, folder: Path, tmp_path: Path
) -> None:
    grader = showing(pool, evaluation(tmp_path / "eval.jsonl", ("Ask quiz 3", "Answer 3"), ("New?", "Yes.")))
    with pytest.raises(StudyError, match=r"1 of 2 examples of eval\.jsonl are in the pool"):
        plan_study(pool, scored(pool), DESIGN, trainer=trainer, grader=grader, folder=folder)
    with pytest.raises(StudyError, match=r"1 of 2 examples of eval\.jsonl are in the pool"):
        done(pool, trainer, folder, grader=grader)
    assert not folder.exists() and not trainer.trained()


def test_a_study_in_python_warns_of_evaluation_instructions_of_its_pool(
    pool: Pool, trainer: FakeTrainer, folder: Path, tmp_path: Path
) -> None:
    grader = showing(pool, evaluation(tmp_path / "eval.jsonl", ("Ask quiz 3", "Another"), ("New?", "Yes.")))
    warning = "1 of 2 instructions of eval.jsonl are in the pool too, with other responses: eval.jsonl:1 (quiz.jsonl:4)."
    notes: list[str] = []
    done(pool, trainer, folder, grader=grader, limit=1, progress=lambda step: notes.append(step.note))
    assert warning in notes
    # Said once: the folder has the plan now.
    done(pool, trainer, folder, grader=grader, progress=lambda step: notes.append(step.note))
    assert notes.count(warning) == 1
    assert warning in plan_study(pool, scored(pool), DESIGN, trainer=trainer, grader=grader, folder=folder).warnings()


def test_a_study_in_python_works_in_one_process(pool: Pool, trainer: FakeTrainer, folder: Path) -> None:
    with pytest.raises(UsageError, match="works in one process, not in 2"):
        run_study(
            pool,
            scored(pool),
            DESIGN,
            trainer=trainer,
            grader=FakeGrader(numbers(pool)),
            folder=folder,
            execution=ExecutionSettings(jobs=2),
        )
    assert not folder.exists()
