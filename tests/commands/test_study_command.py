"""instructsel study: from plan to fitted rule, resuming, helpers, exit codes, and what goes to which stream."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import polars as pl
import pytest
from click.testing import Result
from typer.testing import CliRunner

from instructsel.artifact import machine
from instructsel.commands import app as everything
from instructsel.commands import study
from instructsel.errors import TrainingDiverged
from instructsel.experiments import workers
from instructsel.pool.pool import Pool
from instructsel.protocols import Checkpoint, Grader, Trainer
from instructsel.rules import catalog
from instructsel.study.design import Design, Mixtures
from instructsel.study.study import plan_study
from tests.conftest import ROOT
from tests.delivery.test_schemas import check
from tests.study import job

Run = Callable[..., Result]

BUILD = study.build

HELPER = """
import sys
from instructsel.commands import study
from tests.commands.test_study_command import fakes
study.build = fakes
study.app(sys.argv[sys.argv.index("run"):])
"""


class Named(job.ShowingGrader):
    """Called by its evaluation file, where there are several."""

    label: str = "held_out_loss"

    @property
    def name(self) -> str:
        return self.label


def fakes(settings: study.LaunchSettings, progress: Any = None, message: Any = None) -> tuple[Trainer, Grader | list[Grader]]:
    """A trainer that diverges at the --tokens-eth training, and a grader of the planted rule; $TOGETHER processes share the runs."""
    trainer = job.FakeTrainer(settings.folder / "checkpoints", base=settings.base, meet=int(os.environ.get("TOGETHER", "1")))
    if "tokens" in settings.changes:
        trainer.fail = {settings.changes["tokens"]: TrainingDiverged("The loss is nan at step 3.")}
    graders = []
    for file in settings.evaluations:
        grader = Named(job.numbers(Pool.read(*settings.pools)), items=Path(file).name)
        grader.pool = Pool.read(file)
        if len(settings.evaluations) > 1:
            grader.label = Path(file).stem
        graders.append(grader)
    return trainer, graders[0] if len(graders) == 1 else graders


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(study, "build", fakes)
    monkeypatch.setattr(
        study,
        "worker_command",
        lambda folder, since, limit, keep, *, quiet: [
            *(sys.executable, "-c", HELPER, "run", str(folder), "--since", repr(since)),
            *(["--limit", str(limit)] if limit is not None else []),
        ],
    )
    pool = Pool.read(*job.write_pool(tmp_path))
    job.scored(pool).write(tmp_path / "pool.scores.parquet")
    (tmp_path / "eval.jsonl").write_text('{"instruction": "Something else?", "response": "Yes."}\n')
    return lambda *arguments: CliRunner().invoke(study.app, [*map(str, arguments)])


POOL = ("forum.jsonl", "manual.jsonl", "quiz.jsonl", "--scores", "pool.scores.parquet", "--base", "toybase", "--eval", "eval.jsonl")


def planned(run: Run, *more: Any, rows: int = 12, mixtures: int = 2) -> Result:
    return run("plan", *POOL, "-o", "study", "--mixtures", mixtures, "--rows", rows, *more)


def fails(done: Result, code: int, *said: str) -> None:
    assert done.exit_code == code, done.stderr
    assert done.stderr.count("error: ") == 1 and "Traceback" not in done.stderr
    for part in said:
        assert part in done.stderr, done.stderr


def trained(folder: Path) -> list[tuple[int, str, int]]:
    return job.FakeTrainer(folder / "study" / "checkpoints").trained()


def test_plan_run_status_and_fit_go_from_a_pool_to_a_rule(run: Run, tmp_path: Path) -> None:
    done = planned(run, "--bins", "len:4,rew:4", "--bin-rows", "10", "--seeds", "2", mixtures=14)
    assert done.exit_code == 0, done.stderr
    assert "14 mixtures and 8 bins of 10 to 12 rows, 2 seeds each: 44 runs" in done.stdout
    assert "warning" not in done.stderr
    assert "begin with: instructsel study run study" in done.stderr
    half = run("run", "study", "--limit", "30")
    assert half.exit_code == 0, half.stderr
    assert "14 of 44 runs are pending; go on with: instructsel study run study" in half.stderr
    told = json.loads(run("status", "study", "--json").stdout)
    assert (told["planned"], told["finished"], told["running"], told["failed"], told["pending"]) == (44, 30, [], [], 14)
    done = run("run", "study", "--json")
    assert done.exit_code == 0, done.stderr
    for printed in (told, json.loads(done.stdout)):
        check("study-status", printed)
    assert (json.loads(done.stdout)["finished"], json.loads(done.stdout)["pending"]) == (44, 0)
    assert len(trained(tmp_path)) == 44
    fitted = CliRunner().invoke(everything, ["rules", "fit", "study/study.parquet", "--bootstrap", "0", "-o", "mine.toml"])
    assert fitted.exit_code == 0, fitted.stderr
    rule = catalog.load("mine.toml")
    assert rule.indicators == ("len", "rew")
    assert [term.weight for term in rule.terms] == pytest.approx([job.LEN, job.REW], abs=1e-9)
    assert rule.fit is not None and (rule.fit.n, rule.fit.subsets) == (44, 22)
    fails(run("run", "study"), 5, "All 44 runs of study are finished", "instructsel rules fit study/study.parquet")


def test_a_plan_shows_sources_and_how_far_a_fit_will_see(run: Run, tmp_path: Path) -> None:
    done = planned(run)
    lines = done.stdout.splitlines()
    stored = orjson.loads((tmp_path / "study" / "plan.json").read_bytes())
    means = [subset["means"]["len"] for subset in stored["subsets"]]
    shares = [subset["shares"]["quiz"] for subset in stored["subsets"]]
    assert lines[0] == "2 mixtures of 12 rows, 1 seed each: 2 runs"
    assert any(re.fullmatch(rf"quiz +20 +{min(shares):.1%} to {max(shares):.1%}", line) for line in lines), lines
    assert any(re.fullmatch(rf"len +{min(means):.4g} +{max(means):.4g}", line) for line in lines), lines
    assert f"configuration {stored['hash']}" in lines
    assert "warning: 2 subsets are fewer than 10 for each of 2 indicators" in done.stderr
    assert not (tmp_path / "study" / "checkpoints").exists()


def test_json_is_the_whole_of_stdout_and_quiet_says_nothing(run: Run, tmp_path: Path) -> None:
    done = planned(run, "--json", "-q")
    assert done.stderr == ""
    told = json.loads(done.stdout)
    check("study-planned", told)
    stored = orjson.loads((tmp_path / "study" / "plan.json").read_bytes())
    assert (told["runs"], told["seeds"], told["sources"]) == (2, [0], {"forum": 20, "manual": 20, "quiz": 20})
    assert told["subsets"] == stored["subsets"] and told["configuration"] == stored["hash"]
    assert len(told["warnings"]) == 1
    assert planned(run, "-q").output == ""
    done = run("run", "study", "-q")
    assert (done.exit_code, done.output) == (0, "")


def test_where_files_are_is_kept_and_is_no_part_of_the_configuration(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = json.loads(planned(run, "--json", "-q").stdout)
    launch = orjson.loads((tmp_path / "study" / "plan.json").read_bytes())["launch"]
    assert launch["pools"] == [str(tmp_path / name) for name in POOL[:3]]
    assert (launch["scores"], launch["evaluation"]) == (str(tmp_path / "pool.scores.parquet"), str(tmp_path / "eval.jsonl"))
    assert (launch["base"], launch["preset"], launch["changes"], "folder" in launch) == ("toybase", "paper-v1", {}, False)
    # The study goes on from any folder, and planned again from files elsewhere it is the same.
    monkeypatch.chdir("/")
    assert run("run", tmp_path / "study", "--limit", "1").exit_code == 0
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in (*POOL[:3], "pool.scores.parquet", "eval.jsonl"):
        (tmp_path / name).rename(moved / name)
    fails(run("run", tmp_path / "study"), 3, "forum.jsonl")
    monkeypatch.chdir(moved)
    again = run("plan", *POOL, "-o", tmp_path / "study", "--mixtures", "2", "--rows", "12", "--json", "-q")
    assert json.loads(again.stdout)["configuration"] == first["configuration"]
    assert run("run", tmp_path / "study").exit_code == 0
    assert len(trained(tmp_path)) == 2


@pytest.mark.parametrize(
    ("flags", "changes"),
    [
        ([], {}),
        (["--epochs", "0.5", "--lr", "1e-4"], {"epochs": 0.5, "learning_rate": 1e-4}),
        (["--batch-size", "4", "--max-length", "64", "--bits", "4"], {"batch_size": 4, "max_length": 64, "bits": 4}),
        # A preset's 8 bits go with its LoRA.
        (["--method", "full"], {"method": "full", "bits": None}),
        (["--bits", "none"], {"bits": None}),
    ],
)
def test_only_what_was_given_changes_the_recipe(run: Run, tmp_path: Path, flags: list[str], changes: dict[str, Any]) -> None:
    assert planned(run, *flags).exit_code == 0
    assert orjson.loads((tmp_path / "study" / "plan.json").read_bytes())["launch"]["changes"] == changes


def test_the_real_trainer_and_grader_are_made_of_the_settings(tmp_path: Path) -> None:
    from instructsel.adapters.trl import TrlTrainer
    from instructsel.grading.graders.held_out_loss import HeldOutLoss

    path = tmp_path / "eval.jsonl"
    path.write_text('{"instruction": "Something else?", "response": "Yes."}\n')
    settings = study.LaunchSettings(
        *(tmp_path / "study", (), "", str(path), "toybase"), preset="tiny", changes={"steps": 4, "max_length": 64}, device="cpu"
    )
    trainer, grader = study.build(settings)
    assert isinstance(trainer, TrlTrainer) and isinstance(grader, HeldOutLoss)
    assert (trainer.base, trainer.folder, trainer.device) == ("toybase", tmp_path / "study" / "checkpoints", "cpu")
    assert (trainer.recipe.name, trainer.recipe.steps, trainer.recipe.epochs) == ("tiny", 4, None)
    # What training does not see of a row, grading does not see either.
    assert (len(grader.pool), grader.max_length, grader.device, grader.unit) == (1, 64, "cpu", "auto")
    _, by_byte = study.build(replace(settings, loss_unit="bits-per-byte"))
    assert isinstance(by_byte, HeldOutLoss) and by_byte.unit == "bits per byte"
    # Another unit is another study; a plan of an earlier release has none, and is per token.
    assert by_byte.fingerprint["unit"] == "bits per byte" and "unit" not in grader.fingerprint


def test_the_unit_of_losses_is_part_of_the_plan_and_one_that_there_is_not_is_refused(run: Run, tmp_path: Path) -> None:
    assert planned(run, "--loss-unit", "bits-per-byte").exit_code == 0
    launch = json.loads((tmp_path / "study" / "plan.json").read_text())["launch"]
    assert launch["loss_unit"] == "bits-per-byte"
    plan = study.StudyFolder(tmp_path / "study").read()
    assert plan is not None
    assert study.LaunchSettings.of(plan, tmp_path / "study").loss_unit == "bits-per-byte"
    del launch["loss_unit"]
    assert study.LaunchSettings.of(replace(plan, launch=launch), tmp_path / "study").loss_unit == "auto"
    fails(run("plan", *POOL, "-o", "other", "--mixtures", "2", "--rows", "12", "--loss-unit", "bits"), 2, "no unit of a loss 'bits'")


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["--mixtures", "0"], 2, "neither mixtures nor bins"),
        (["--bin-rows", "3"], 2, "there are no bins"),
        (["--bins", "len:x"], 2, "'len:x' is not SYMBOL[:K]"),
        (["--bins", "mtld"], 2, "no indicator in this table 'mtld'"),
        (["--bins", "len,len"], 2, "2 subsets of the design are called len-bin-0"),
        (["--bins", "len:40", "--bin-rows", "2"], 3, "need 80 rows with a value; there are 60"),
        (["--sources", "forums"], 2, "Did you mean 'forum'"),
        (["--indicators", "lem"], 2, "Did you mean 'len'"),
        (["--rows", "61"], 3, "A mixture of 61 rows cannot be drawn"),
        (["--bits", "16"], 2, "--bits is 8, 4 or none"),
        (["--scores", "absent.parquet"], 3, "absent.parquet"),
        (["--eval", "absent.jsonl"], 3, "absent.jsonl"),
        (["--eval", "quiz.jsonl"], 3, "holds the rows of"),
        (["--eval", "-"], 2, "standard input is gone by then"),
        (["-o", "pool.scores.parquet"], 2, "is an input"),
    ],
)
def test_what_cannot_be_planned_ends_with_its_code_and_trains_nothing(
    run: Run, tmp_path: Path, arguments: list[str], code: int, said: str
) -> None:
    fails(planned(run, *arguments), code, said)
    assert not (tmp_path / "study").exists()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--preset", "paper"], "no preset 'paper'"),
        (["--method", "lore"], "Did you mean 'lora'"),
        (["--epochs", "1", "--steps", "3"], "epochs and steps"),
        (["--lr", "0"], "learning_rate of a fine-tune is above 0"),
    ],
)
def test_a_recipe_that_cannot_be_ends_with_2(run: Run, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str) -> None:
    monkeypatch.setattr(study, "build", BUILD)
    fails(planned(run, *arguments), 2, said)


def test_evaluation_examples_of_the_pool_stop_the_plan(run: Run, tmp_path: Path) -> None:
    (tmp_path / "eval.jsonl").write_text('{"prompt": "Ask quiz 3", "completion": "Answer 3"}\n{"prompt": "New?", "completion": "Yes."}\n')
    fails(planned(run), 3, "1 of 2 examples of eval.jsonl are in the pool", "Drop them")
    (tmp_path / "eval.jsonl").write_text('{"prompt": "ask quiz 3!", "completion": "Another"}\n')
    done = planned(run)
    assert done.exit_code == 0
    assert "warning: 1 of 1 instructions of eval.jsonl are in the pool too" in done.stderr


def test_a_line_for_every_run_that_ends(run: Run) -> None:
    planned(run, mixtures=3)
    lines = [line for line in run("run", "study").stderr.splitlines() if line.startswith("mix-")]
    assert len(lines) == 3
    assert re.fullmatch(r"mix-000 seed 0: loss \d\.\d{4} \([\d.e-]+ s\); 1 of 3 runs, about [\d.e-]+ s left", lines[0])
    assert re.fullmatch(r"mix-002 seed 0: loss \d\.\d{4} \([\d.e-]+ s\); 3 of 3 runs", lines[2])


def test_runs_that_failed_end_with_1_and_are_tried_again(run: Run, tmp_path: Path) -> None:
    planned(run, "--tokens", "2", mixtures=3)
    done = run("run", "study")
    fails(done, 1, "1 of 3 runs failed: mix-001 seed 0 (diverged)", "mix-001 seed 0: failed: The loss is nan at step 3.")
    assert pl.read_parquet(tmp_path / "study" / "study.parquet")["subset"].to_list() == ["mix-000", "mix-002"]
    shown = run("status", "study")
    assert shown.exit_code == 0
    assert "mix-001 seed 0: diverged (The loss is nan at step 3.)" in shown.stdout
    assert json.loads(run("status", "study", "--json").stdout)["failed"] == [
        {"subset": "mix-001", "seed": 0, "reason": "diverged", "message": "The loss is nan at step 3."}
    ]
    assert run("run", "study").exit_code == 0
    assert pl.read_parquet(tmp_path / "study" / "study.parquet")["subset"].to_list() == ["mix-000", "mix-001", "mix-002"]


def test_an_interruption_ends_with_130_and_keeps_what_was_finished(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(run, mixtures=4)
    _interrupted(monkeypatch, at=3)
    done = run("run", "study")
    assert done.exit_code == 130 and "whatever was finished is kept" in done.stderr
    assert len(pl.read_parquet(tmp_path / "study" / "study.parquet")) == 2
    # A helper leaves the message to the one that started it.
    _interrupted(monkeypatch, at=1)
    helper = run("run", "study", "--since", str(time.time()))
    assert (helper.exit_code, helper.output) == (130, "")
    monkeypatch.setattr(study, "build", fakes)
    assert run("run", "study").exit_code == 0
    assert len(pl.read_parquet(tmp_path / "study" / "study.parquet")) == 4
    assert not list((tmp_path / "study" / "runs").glob("*.lease*"))


def _interrupted(monkeypatch: pytest.MonkeyPatch, *, at: int) -> None:
    def built(settings: study.LaunchSettings, progress: Any = None) -> Any:
        trainer, grader = fakes(settings)
        count = [0]
        train = trainer.train

        def training(pool: Pool, *, seed: int) -> Checkpoint:
            count[0] += 1
            if count[0] == at:
                raise KeyboardInterrupt
            return train(pool, seed=seed)

        trainer.train = training  # type: ignore[method-assign]
        return trainer, grader

    monkeypatch.setattr(study, "build", built)


def test_helpers_end_with_the_one_that_started_them(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(run, mixtures=4)
    _interrupted(monkeypatch, at=1)
    started: list[Any] = []
    popen = subprocess.Popen

    def watched(*arguments: Any, **settings: Any) -> Any:
        started.append(popen(*arguments, **settings))
        return started[-1]

    monkeypatch.setattr(subprocess, "Popen", watched)
    deaf = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); time.sleep(60)"
    monkeypatch.setattr(study, "worker_command", lambda *_, **__: [sys.executable, "-c", deaf])
    monkeypatch.setattr(workers, "PATIENCE", 0.5)
    assert run("run", "study", "--jobs", "3").exit_code == 130
    assert len(started) == 2 and all(each.poll() is not None for each in started)


def test_jobs_share_the_runs_and_give_the_same_observations(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(run, "--steps", "50", "--seeds", "2", mixtures=6)
    assert run("run", "study").exit_code == 0
    whole = (tmp_path / "study" / "study.parquet").read_bytes()
    alone = trained(tmp_path)
    (tmp_path / "study").rename(tmp_path / "alone")
    planned(run, "--steps", "50", "--seeds", "2", mixtures=6)
    # Loading takes a worker longer than all of these runs: the first run of each lasts until the other has begun one.
    monkeypatch.setenv("TOGETHER", "2")
    done = run("run", "study", "--jobs", "2")
    assert done.exit_code == 0, done.stderr
    together = trained(tmp_path)
    assert sorted(each[1:] for each in together) == sorted(each[1:] for each in alone)
    assert len({process for process, _, _ in together}) == 2
    assert (tmp_path / "study" / "study.parquet").read_bytes() == whole


def test_what_a_helper_leaves_is_done_by_the_one_that_started_it(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planned(run, mixtures=2)
    # It claims a run, and dies while the other one has already passed that run by.
    script = (
        "import os, time, sys\n"
        "from pathlib import Path\n"
        "from instructsel.study.folder import StudyFolder\n"
        "place = StudyFolder(Path(sys.argv[1]))\n"
        "place.store.lease('mix-001-seed0').__enter__()\n"
        "Path('claimed').touch()\n"
        "time.sleep(1)\n"
        "os._exit(9)\n"
    )
    monkeypatch.setattr(study, "worker_command", lambda folder, *_, **__: [sys.executable, "-c", script, str(folder)])
    real = study.continue_study

    def patient(*arguments: Any, **settings: Any) -> Any:
        while not Path("claimed").exists():
            time.sleep(0.01)
        return real(*arguments, **settings)

    monkeypatch.setattr(study, "continue_study", patient)
    done = run("run", "study", "--jobs", "2")
    assert done.exit_code == 0, done.stderr
    assert len(pl.read_parquet(tmp_path / "study" / "study.parquet")) == 2


def test_a_limit_is_of_all_jobs_together(run: Run, tmp_path: Path) -> None:
    planned(run, "--steps", "50", mixtures=8)
    assert run("run", "study", "--jobs", "2", "--limit", "3").exit_code == 0
    assert len(trained(tmp_path)) == 3
    assert run("run", "study", "--jobs", "4", "--limit", "1").exit_code == 0
    assert len(trained(tmp_path)) == 4


def test_a_helper_is_the_same_command_without_helpers_of_its_own() -> None:
    made = study.worker_command(Path("study"), 12.5, 3, True, quiet=True)
    assert made == [
        *(sys.executable, "-m", "instructsel", "study", "run", "study", "--jobs", "1", "--since", "12.5"),
        *("--limit", "3", "--keep-checkpoints", "-q"),
    ]
    assert study.worker_command(Path("study"), 12.5, None, False, quiet=False)[3:] == [
        "study",
        "run",
        "study",
        "--jobs",
        "1",
        "--since",
        "12.5",
    ]


def test_status_tells_of_living_workers_and_not_of_dead_ones(run: Run, tmp_path: Path) -> None:
    planned(run, mixtures=4)
    shown = run("status", "study")
    assert re.search(r"^planned +4$", shown.stdout, flags=re.MULTILINE) and "observations" not in shown.stdout
    run("run", "study", "--limit", "1")
    gone = subprocess.Popen(["true"])
    gone.wait()
    for name, process in (("mix-001", os.getppid()), ("mix-002", gone.pid)):
        content = orjson.dumps({"machine": machine(), "process": process, "time": time.time()})
        (tmp_path / "study" / "runs" / f"{name}-seed0.lease").write_bytes(content)
    told = json.loads(run("status", "study", "--json").stdout)
    assert told["running"] == [{"subset": "mix-001", "seed": 0}]
    assert (told["finished"], told["pending"], told["workers"]) == (1, 3, 1)
    assert told["seconds_left"] == pytest.approx(3 * told["seconds_per_run"])
    assert told["observations"] == "study/study.parquet"
    shown = run("status", "study").stdout
    assert re.search(r"^running +1  mix-001-seed0$", shown, flags=re.MULTILINE)
    assert "to go on: instructsel study run study" in shown


@pytest.mark.parametrize("verb", ["run", "status"])
def test_a_folder_without_a_plan_ends_with_2(run: Run, verb: str) -> None:
    fails(run(verb, "absent"), 2, "absent holds no plan of a study", "instructsel study plan")


def test_a_study_planned_from_python_is_run_from_python(run: Run, tmp_path: Path) -> None:
    pool = Pool.read(*sorted(tmp_path.glob("[fmq]*.jsonl")))
    trainer, grader = job.FakeTrainer(tmp_path), job.FakeGrader({})
    plan_study(pool, job.scored(pool), Design([Mixtures(n=1, rows=3)]), trainer=trainer, grader=grader, folder=tmp_path / "study")
    fails(run("run", "study"), 2, "planned from Python", "run_study")
    assert run("status", "study").exit_code == 0


def test_a_pool_that_changed_since_the_plan_is_refused(run: Run, tmp_path: Path) -> None:
    planned(run)
    with open(tmp_path / "quiz.jsonl", "a") as file:
        file.write('{"instruction": "More?", "response": "More."}\n')
    fails(run("run", "study"), 3, "1 of 61 examples of the pool are not in the score table")
    job.scored(Pool.read(*(tmp_path / name for name in POOL[:3]))).write(tmp_path / "pool.scores.parquet")
    fails(run("run", "study"), 3, "what differs: pool (examples, fingerprint); scores (digest)", "Nothing in it was changed")


@pytest.mark.parametrize("verb", ["plan", "run", "status", "effects"])
def test_every_help_shows_two_examples(run: Run, verb: str) -> None:
    done = run(verb, "--help")
    assert done.exit_code == 0
    assert len(re.findall(r"^ *instructsel study ", done.stdout.split("Examples:")[1], flags=re.MULTILINE)) == 2
    assert "since" not in done.stdout.split("Options")[-1]


@pytest.mark.parametrize(("seconds", "said"), [(0.5, "0.5 s"), (95.4, "95 s"), (600, "10 min"), (9000, "2 h 30 min")])
def test_times_are_told_as_people_tell_them(seconds: float, said: str) -> None:
    assert study.took(seconds) == said
