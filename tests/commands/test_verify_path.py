"""The whole path without a hub: select, train, grade by loss, harness, judge and reward, verdict, report; and what is finished already."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.adapters.alpaca_eval.files import read_outputs
from instructsel.adapters.lm_eval.own_task import write_task
from instructsel.commands import app
from instructsel.commands._arms import named
from instructsel.errors import UsageError
from instructsel.experiments.from_selection import ranked_with, selection_seconds
from instructsel.experiments.workers import gpus, shared_gpus, workers
from instructsel.pool.sources import zstd
from instructsel.reports.plain_text import PHRASES
from instructsel.text import clean
from instructsel.verification import experiment
from tests import tiny
from tests.commands.test_verify_command import rows
from tests.grading.test_judge import Server, asked_text, longest, said

Call = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("trainer_loaded")


def invoke(*arguments: str) -> Any:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A pool, scored, selected from, with the baselines beside; a base, held-out rows, a task, instructions, a reward model."""
    folder = tmp_path_factory.mktemp("path")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        tiny.causal(folder / "base", "llama")
        tiny.bert(folder / "reward")
        rows(folder / "pool.jsonl", 0, 40)
        rows(folder / "held.jsonl", 900, 12, asked="Name")
        rows(folder / "asked.jsonl", 1900, 10, asked="Count")
        rows(folder / "near.jsonl", 2900, 4, asked="Tell")
        items = [{"query": f"the capital of {n}", "choices": ["is paris", "is water", "is an egg"], "gold": n % 3} for n in range(30)]
        (folder / "items.jsonl").write_text("".join(json.dumps(each) + "\n" for each in items))
        write_task(folder / "items.jsonl", folder / "tasks", name="capitals")
        scored = invoke("score", "pool.jsonl", "--indicators", "len", "--cache", "cache", "-q")
        assert scored.exit_code == 0, scored.output
        chosen = invoke(
            *("select", "--rule", "longest", "--n", "8", "-o", "chosen.jsonl", "--random-subsets", "3", "--keep-near-duplicates"),
            *("--baseline", "random", "--baseline", "length-matched", "--baseline", "rds+", "--target", "near.jsonl"),
            *("--target-model", "base", "-q"),
        )  # fmt: skip
        assert chosen.exit_code == 0, chosen.output
        yield folder


@pytest.fixture
def verify(place: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(place)

    def call(*arguments: str, seeds: int = 2) -> Any:
        given = ["chosen.jsonl", "--base", "base", "--preset", "tiny", "--steps", "1", "--seeds", str(seeds), "--device", "cpu", *arguments]
        return invoke("verify", *given)

    return call


def test_from_a_pool_to_a_verdict_and_its_page(verify: Call, place: Path) -> None:
    server = Server(lambda request: said(longest(asked_text(request))))
    try:
        given = [
            *("--eval", "held.jsonl", "--lm-eval", "capitals", "--include-path", "tasks", "--instructions", "asked.jsonl"),
            *("--max-new-tokens", "6", "--judge", "fake", "--judge-url", server.url, "--judge-revision", "1"),
            *("--pool", "pool.jsonl", "--whole-pool", "-o", "whole", "--json"),
        ]
        done = verify(*given)
        assert done.exit_code == 0, done.output
        told = json.loads(done.stdout)
        asked = len(server.requests)
        again = verify(*given)
        assert json.loads(again.stdout)["verdicts"] == told["verdicts"] and len(server.requests) == asked > 0
    finally:
        server.close()
    assert {arm: len(draws) for arm, draws in told["arms"].items()} == {
        "base": 1, "length-matched": 3, "random": 3, "rds+": 1, "selection": 1, "whole-pool": 1,
    }  # fmt: skip
    assert told["fixed"] == ["base"] and told["against"] == "random" and told["model"] is None
    assert set(told["graders"]) == {"lm_eval:capitals:acc", "lm_eval:capitals:acc_norm", "loss on held", "win rate"}
    # Grades come from all six arms, and every baseline has a verdict by every grader.
    assert len(told["verdicts"]["verdicts"]) == 5 * 4
    rates = told["win_rates"]["win rate"]
    assert rates["random"]["ties"] >= 10 and {"selection", "base"} <= rates.keys()
    assert all(each["n_total"] + each["n_null"] == 10 * len(each["runs"]) for each in rates.values())
    assert told["skills"]["base"] == "base" and set(told["skills"]["skills"]) == set(told["graders"])
    assert told["power"][0]["assumed"] and told["recipe"]["steps"] == 1
    costs = told["costs"]
    assert costs["selection"]["selection"] > 0 and costs["rds+"]["selection"] > 0 and costs["base"]["selection"] == 0.0
    assert costs["whole-pool"]["selection"] == 0.0 and costs["whole-pool"]["training"] > 0
    # Every row of every subset was trained on or refused with a reason; every model saw as many steps.
    audits = [each["audit"] for each in told["trained"]]
    assert len(audits) == 2 * (1 + 3 + 3 + 1 + 1) and all(each["steps"] == 1 and each["tokens_seen"] > 0 for each in told["trained"])
    assert all(audit["rows"] == audit["trained_rows"] + sum(audit["skipped"].values()) for audit in audits)
    files = sorted(path.name for path in (place / "whole" / "outputs").glob("*seed?.json"))
    assert len(files) == 1 + 2 * (1 + 3 + 3 + 1 + 1)
    assert len(read_outputs(place / "whole" / "outputs" / files[0])) == 10
    # A second time more is known, and what was said before the first run stays what it was.
    assert json.loads(again.stdout)["power"] == told["power"] and {"loss on held", "lm_eval:capitals:acc"} <= {
        each["grader"] for each in told["power"]
    }
    # What every model said to every item of the harness is kept, and how all of them were graded.
    records = [json.loads(path.read_text()) for path in sorted((place / "whole" / "runs").glob("*.json"))]
    named = [record["run"]["grader"]["samples"] for record in records if record["run"]["grader"].get("metric") == "acc,none"]
    assert len(named) == 1 + 2 * (1 + 3 + 3 + 1 + 1)
    for name in named:
        kept = [json.loads(line) for line in zstd.decompress((place / "whole" / "samples" / name).read_bytes()).decode().splitlines()]
        assert len(kept) == 30 and {"doc", "arguments", "resps", "acc"} <= kept[0].keys()
    settled = told["graders"]["lm_eval:capitals:acc"]["settings"]
    assert settled["tasks"]["capitals"]["num_fewshot"] == 0 and len(settled["tasks"]["capitals"]["hash"]) == 64
    assert told["graders"]["win rate"]["settings"]["judge"]["model"]["revision"] == "1"
    assert (
        told["subsets"]["selection"][0]["rows"] == 8
        and told["trainer"]
        and set(told["made_with"]) == {*told["graders"]} - {"win rate"} | {"answers"}
    )
    page = invoke("report", "chosen.selection.parquet", "whole", "-o", "page.html", "-q")
    assert page.exit_code == 0, page.output
    html = (place / "page.html").read_text()
    assert f"Outcome: {PHRASES[told['outcome']].format(against='random')}" in html and "choosing the rows, seconds" in html
    assert "What every subset&#39;s rows came to" in html
    assert "win rate: preferred to the reference" in html and "Power of the plan (80 %)" in html and "before the first run" in html
    invoke("report", "whole", "-o", "page.json", "-q")
    assert json.loads((place / "page.json").read_text())
    # Grades that are not those the verdict was of: the verdict is left out.
    verdict = json.loads((place / "whole" / "verdict.json").read_text())
    (place / "whole" / "verdict.json").write_text(json.dumps({**verdict, "outcome": "better than anything"}))
    invoke("report", "whole", "-o", "page.html", "-q")
    assert "better than anything" not in (place / "page.html").read_text()


def test_several_processes_make_the_runs_of_one(verify: Call, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines: list[list[str]] = []

    def watched(commands: list[list[str]], gpus: list[str]) -> Any:
        lines.extend(commands)
        return workers(commands, gpus)

    monkeypatch.setattr(experiment, "workers", watched)
    one = verify("--eval", "held.jsonl", "-o", "one", "--no-baselines", "--pool", "pool.jsonl", "--json", seeds=1)
    assert one.exit_code == 0 and not lines, one.output
    two = verify("--eval", "held.jsonl", "-o", "two", "--no-baselines", "--pool", "pool.jsonl", "--json", "--jobs", "2", seeds=1)
    assert two.exit_code == 0 and len(lines) == 1, two.output
    assert json.loads(two.stdout)["verdicts"] == json.loads(one.stdout)["verdicts"]
    made = sorted(path.name for path in (place / "one" / "runs").iterdir())
    assert sorted(path.name for path in (place / "two" / "runs").iterdir()) == made
    # The worker by itself makes the same runs, and says nothing.
    (place / "three").mkdir()
    shutil.copy(place / "two" / "plan.toml", place / "three" / "plan.toml")
    alone = subprocess.run([part.replace("two", "three") for part in lines[0]], capture_output=True, text=True, check=True, cwd=place)
    assert alone.stdout == "" and sorted(path.name for path in (place / "three" / "runs").iterdir()) == made


def test_epochs_of_the_selection_are_as_many_steps_or_tokens_for_all(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    given = [
        "verify",
        "chosen.jsonl",
        "--base",
        "base",
        "--preset",
        "tiny",
        "--epochs",
        "2",
        "--batch-size",
        "4",
        "--seeds",
        "1",
        "--device",
        "cpu",
    ]
    given += ["--eval", "held.jsonl", "--no-baselines", "--no-base-model", "--arm", "random=pool.jsonl", "--json"]
    steps = invoke(*given, "-o", "steps")
    assert steps.exit_code == 0 and json.loads(steps.stdout)["recipe"]["steps"] == 4, steps.output
    assert "4 steps of 4 rows each" in steps.stderr and "tokens a row" in steps.stderr
    tokens = invoke(*given, "-o", "tokens", "--match-compute", "tokens", "--limit", "1")
    recipe = json.loads(tokens.stdout)["recipe"]
    assert recipe["steps"] is None and recipe["tokens"] > 8 * 2
    epochs = invoke(*given, "-o", "epochs", "--match-compute", "none", "--limit", "1")
    assert json.loads(epochs.stdout)["recipe"]["epochs"] == 2 and "trained for longer" in epochs.stderr
    assert invoke(*given, "-o", "w", "--match-compute", "rows").exit_code == 2


def test_models_and_results_that_are_finished_are_compared_without_training(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    for seed in range(4):
        tiny.causal(place / f"model{seed}", "llama", seed=seed)
    given = ["verify", "--checkpoint", "selection=model0+model1", "--checkpoint", "random=model2,model3", "--device", "cpu"]
    done = invoke(*given, "--eval", "held.jsonl", "-o", "models", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["arms"] == {"random": {"0": [0], "1": [0]}, "selection": {"0": [0, 1]}} and told["recipe"] is None
    alone = invoke(*given, "--instructions", "asked.jsonl", "--max-new-tokens", "4", "-o", "answers", "--json")
    assert alone.exit_code == 0 and "nothing has graded them" in alone.stderr and list((place / "answers" / "outputs").glob("*.json"))
    outputs = sorted((place / "answers" / "outputs").glob("*seed?.json"))
    assert len(outputs) == 4
    rows_of = [
        {"instruction": f"question {n}", "output_1": "a", "output_2": "b", "annotator": "judge", "preference": 1 + (n % 10 > 0)}
        for n in range(40)
    ]
    for name, flip in (("mine", False), ("theirs", True)):
        (place / f"{name}.json").write_text(
            json.dumps([{**row, "preference": 3 - row["preference"] if flip else row["preference"]} for row in rows_of])
        )
    given = ["verify", "--results", "selection=mine.json", "--results", "random=theirs.json", "--json"]
    none = invoke(*given, "-o", "results")
    assert json.loads(none.stdout)["outcome"] == "not enough data", none.output
    some = invoke(*given, "-o", "results", "--generalize-to", "items", "--require", "better")
    assert some.exit_code == 0 and json.loads(some.stdout)["outcome"] == "better", some.output
    rate = json.loads(some.stdout)["win_rates"]["judged_outputs"]["selection"]
    assert rate["wins"] == 36 and rate["length_controlled"]["reason"].startswith("All length differences are equal")
    (place / "theirs.json").write_text(json.dumps([{**row, "annotator": "another"} for row in rows_of]))
    mixed = invoke(*given, "-o", "results")
    assert mixed.exit_code == 3 and "2 judges" in mixed.output


def test_a_base_that_is_no_better_than_chance_carries_no_verdict(verify: Call, place: Path) -> None:
    shutil.copytree(place / "base", place / "poor")
    task = {"value": 0.24, "chance": 0.25}
    (place / "poor" / "tinybase.json").write_text(json.dumps({"judged": {"enough_model": False, "tasks": {"mmlu": task}}}))
    given = ["--base", "poor", "--eval", "held.jsonl", "-o", "poor-v", "--no-baselines", "--pool", "pool.jsonl"]
    done = verify(*given, seeds=1)
    assert (
        done.exit_code == 0 and "Outcome: not enough model." in done.stdout and "mmlu 0.240 (chance 0.25)" in " ".join(done.stdout.split())
    )
    assert verify(*given, "--require", "non-inferior", "--margin", "100", seeds=1).exit_code == 1
    (place / "poor" / "tinybase.json").write_text("{")
    assert verify(*given, seeds=1).exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said_"),
    [
        (["--judge", "base"], 2, "nothing for it to judge"),
        (["--instructions", "asked.jsonl", "--judge", "base", "--annotator", "x"], 2, "exclude each other"),
        (["--instructions", "asked.jsonl", "--judge-url", "http://127.0.0.1:1/v1"], 2, "needs the name of the model"),
        (["--instructions", "pool.jsonl"], 3, "in the arm "),
        (["--whole-pool"], 2, "needs the pool"),
        (["--results", "other=/nope.json"], 3, "There is no file or folder /nope.json"),
        (["--arm", "selection=held.jsonl"], 2, "named twice"),
        (["--generalize-to", "everything"], 2, "estimand"),
        (["--pilot", "absent.parquet"], 3, "absent.parquet"),
    ],
)
def test_what_does_not_go_together_is_refused_before_anything_is_trained(
    verify: Call, place: Path, arguments: list[str], code: int, said_: str
) -> None:
    done = verify("--eval", "held.jsonl", "-o", "refused", *arguments)
    assert done.exit_code == code and said_ in done.output, done.output
    assert not list((place / "refused").glob("runs/*.json"))


def test_a_judge_that_is_none_is_refused_and_the_runs_are_kept(verify: Call, place: Path) -> None:
    given = ["--no-baselines", "--pool", "pool.jsonl", "--instructions", "asked.jsonl", "--max-new-tokens", "4", "-o", "unjudged"]
    # Weights drawn at random show before anything is trained, a judge who always says the same when he is asked.
    for judge in (["--judge", "base"], ["--reward", "reward"], ["--annotator", "no_such_annotator"]):
        done = verify(*given, *judge, seeds=1)
        assert done.exit_code in (2, 4) and not list((place / "unjudged").glob("runs/*.json")), done.output
    server = Server(lambda request: said("A"))
    try:
        done = verify(*given, "--judge", "fake", "--judge-url", server.url, seeds=1)
    finally:
        server.close()
    assert done.exit_code == 4 and "attention checks" in done.output, done.output
    # Models whose responses are the reference's need no judge, and have a second record.
    kept = {path.name.split(".")[0] for path in (place / "unjudged" / "runs").glob("*.json")}
    assert kept == {"base-draw0-seed0", "selection-draw0-seed0", *(f"random-draw{number}-seed0" for number in range(3))}


def test_replicates_and_seeds_are_told_apart_by_comma_and_plus() -> None:
    assert named(["a=x+y,z"], "--checkpoint") == {"a": (("x", "y"), ("z",))}
    for bad in ("a", "=x", "a=", "a=x,,y"):
        with pytest.raises(UsageError):
            named([bad], "--checkpoint")


def test_what_choosing_took_is_read_from_the_account(place: Path) -> None:
    scored = json.loads((place / "chosen.selection.parquet.json").read_text())
    table = json.loads(Path(scored["run"]["scores"] + ".json").read_text())
    assert selection_seconds(str(place / "chosen.jsonl"), "selection") == pytest.approx(
        scored["run"]["seconds"] + table["run"]["seconds"]["len"]
    )
    assert (selection_seconds(str(place / "chosen.random-seed1.jsonl"), "random") or 0) < (
        selection_seconds(str(place / "chosen.jsonl"), "selection") or 0
    )
    assert (
        selection_seconds(str(place / "chosen.jsonl"), "somebody-elses") is None
        and selection_seconds(str(place / "pool.jsonl"), "random") is None
    )
    # What came out of the cache took its time in an earlier run.
    manifest = Path(scored["run"]["scores"] + ".json")
    before = manifest.read_text()
    manifest.write_text(json.dumps({**table, "run": {**table["run"], "computed": {"len": 0}}}))
    assert selection_seconds(str(place / "chosen.jsonl"), "selection") is None
    manifest.write_text(before)
    # A baseline's account says what ranked the baseline, not the selection.
    of = lambda name: set(json.loads((place / f"chosen.{name}.selection.parquet.json").read_text())["indicators"])  # noqa: E731
    assert (of("random-seed0"), of("length-matched-seed0"), of("rds+")) == (set(), {"len"}, set())
    assert ranked_with(str(place / "pool.jsonl")) == frozenset()
    told = {"indicators": {"rew": {"model": {"name": "judge", "digest": "d1"}}}}
    (place / "ranked.selection.parquet.json").write_text(json.dumps({**scored, **told}))
    assert ranked_with(str(place / "ranked.jsonl")) == {"d1"}


def test_every_process_takes_one_gpu_of_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,7")
    told = [sys.executable, "-c", "import os, sys; sys.exit(int(os.environ['CUDA_VISIBLE_DEVICES']))"]
    shared = shared_gpus(4)
    # This process keeps the first; the fourth worker has to share the second.
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "4"
    with workers([told] * 4, shared) as processes:
        assert [process.wait() for process in processes] == [5, 7, 4, 5]
    # One GPU, or no worker: nothing is shared out.
    assert shared_gpus(2) == []
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5")
    assert shared_gpus(0) == [] and gpus() == ["4", "5"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert gpus() == [] and shared_gpus(3) == []


def test_no_line_begins_like_a_command_to_a_runner() -> None:
    assert clean("::error file=x::y") == "\\u003a:error file=x::y" and clean("a ::b") == "a ::b"
    assert clean("  ##[group]x") == "  \\u0023#[group]x" and clean("one\n::two") == "one\n\\u003a:two"
