"""instructsel verify: from files of rows to a verdict with an interval, and an exit code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.errors import UsageError
from instructsel.experiments.from_selection import baselines_of
from instructsel.reports.figures import plain
from tests import tiny

Call = Callable[..., Any]
pytestmark = pytest.mark.usefixtures("trainer_loaded")
RANDOM = "random=chosen.random-seed0.jsonl,chosen.random-seed1.jsonl,chosen.random-seed2.jsonl"
WORDS = ["river", "stone", "lantern", "paper", "orchard", "winter", "silver", "engine", "market", "garden", "window", "summer"]


def rows(path: Path, start: int, count: int = 8, *, asked: str = "Say") -> Path:
    """Rows of their own for each start."""
    made = []
    for n in range(start, start + count):
        answer = " ".join(WORDS[n % 12 :] + WORDS[: n % 12])
        made.append({"instruction": f"{asked} {n} of them.", "output": f"{answer} {n}"})
    path.write_text("".join(json.dumps(row) + "\n" for row in made))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    tiny.causal(folder / "base", "llama")
    rows(folder / "chosen.jsonl", 0)
    for draw in range(3):
        rows(folder / f"chosen.random-seed{draw}.jsonl", 100 * (draw + 1))
    rows(folder / "chosen.longest.jsonl", 500)
    rows(folder / "held.jsonl", 900, 12, asked="Name")
    return folder


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(place)

    def command(*arguments: str) -> Any:
        # --alone: without the random arm.
        random = [] if "--alone" in arguments else ["--arm", RANDOM]
        settings = ["--base", "base", "--preset", "tiny", "--steps", "1", "--seeds", "2", "--device", "cpu"]
        return CliRunner().invoke(app, ["verify", "chosen.jsonl", *random, *settings, *(part for part in arguments if part != "--alone")])

    return command


def test_every_comparison_has_a_row_and_what_holds_for_several_is_said_once(run: Call) -> None:
    told = json.loads(run("--eval", "held.jsonl", "-o", "v", "--json").stdout)["verdicts"]["verdicts"]
    printed = run("--eval", "held.jsonl", "-o", "v").stdout
    lines, flowing = printed.split("\n"), " ".join(printed.split())
    assert max(map(len, lines)) <= 80
    for each in told:
        # A cell of words may go on in the next line, one of numbers never does.
        row = next(line for line in lines if line.startswith(f"{each['baseline']} ") and f" {each['interval']['estimate']:+.4f} " in line)
        assert each["outcome"].split()[0] in row.split("  ")[-1]
        # No outcome without what would have been found.
        assert each["interval"]["detectable"] is None or f"{each['interval']['detectable']:.4f}" in row
    notes = [note for each in told for note in each["interval"]["notes"]]
    asked = next(each for each in told if each["baseline"] == "random")
    assert all(plain(note) in flowing for note in asked["interval"]["notes"]) and all(flowing.count(plain(note)) <= 1 for note in notes)
    # A name has room, signs are those of a terminal, and how the interval was computed is left to the report.
    assert any(line.startswith("loss on held (nats per token, lower is better)") for line in lines)
    assert "−" not in printed and " %" not in printed and "mixed" not in printed
    assert "choosing the rows 0 s" not in flowing and "base: grading" in flowing


def test_a_verdict_comes_with_its_interval_and_is_the_same_when_asked_again(run: Call, place: Path) -> None:
    first = run("--eval", "held.jsonl", "-o", "v", "--json")
    assert first.exit_code == 0, first.output
    told = json.loads(first.stdout)
    assert told["arms"] == {"base": {"0": [0]}, "random": {"0": [0, 1], "1": [0, 1], "2": [0, 1]}, "selection": {"0": [0, 1]}}
    against_random = next(each for each in told["verdicts"]["verdicts"] if each["baseline"] == "random")
    assert against_random["interval"]["low"] < against_random["interval"]["estimate"] < against_random["interval"]["high"]
    assert against_random["interval"]["detectable"] > 0
    assert {"selection", "training", "grading"} == set(told["costs"]["selection"])
    assert not list((place / "v" / "checkpoints").glob("*")) and (place / "v" / "verification.parquet").exists()
    before = {path.name: path.stat().st_mtime_ns for path in (place / "v" / "runs").iterdir()}
    again = run("--eval", "held.jsonl", "-o", "v", "--json")
    assert json.loads(again.stdout)["verdicts"] == told["verdicts"]
    assert {path.name: path.stat().st_mtime_ns for path in (place / "v" / "runs").iterdir()} == before
    # What is required and not shown ends with 1, what is shown with 0; the runs are those of before.
    assert run("--eval", "held.jsonl", "-o", "v", "--require", "better").exit_code == (0 if against_random["outcome"] == "better" else 1)
    assert run("--eval", "held.jsonl", "-o", "v", "--require", "non-inferior", "--margin", "50").exit_code == 0
    close = run("--eval", "held.jsonl", "-o", "v", "--require", "non-inferior", "--margin", "1e-9")
    assert close.exit_code == (0 if against_random["outcome"] == "better" else 1)
    spoken = run("--eval", "held.jsonl", "-o", "v")
    assert "9 of 9 runs were finished before." in spoken.stderr
    assert spoken.stdout.rpartition("\n\n")[2].startswith("Outcome: ") and "% interval" in spoken.stdout
    assert "Minimum detectable effect (80% power): " in " ".join(spoken.stdout.split())
    assert "8 fine-tunes of 1 step of 16 rows each" in spoken.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["-o", "w"], 2, "Nothing says how good a model is"),
        (["--eval", "held.jsonl", "-o", "w", "--baseline", "longst"], 2, "There is no arm longst"),
        (["--eval", "held.jsonl", "-o", "w", "--alone"], 2, "There is no arm"),
        (["--eval", "held.jsonl", "-o", "w", "--require", "best"], 2, "There is no requirement 'best'"),
        (["--eval", "held.jsonl", "-o", "w", "--require", "non-inferior"], 2, "go together"),
        (["--eval", "held.jsonl", "-o", "w", "--margin", "0.1"], 2, "go together"),
        (["--eval", "held.jsonl", "-o", "w", "--confidence", "95"], 2, "The confidence is 95.0"),
        (["--eval", "held.jsonl", "-o", "w", "--require", "non-inferior", "--margin", "-1"], 2, "above 0 in the grader's unit; found -1"),
        (["--eval", "held.jsonl", "-o", "w", "--require", "non-inferior", "--margin", "los=1"], 2, "There is no grader 'los'"),
        (["--eval", "held.jsonl", "-o", "w", "--require", "non-inferior", "--margin", "1", "--margin", "loss on held=1"], 2, "given twice"),
        (["--instructions", "held.jsonl", "-o", "w", "--require", "better"], 2, "Nothing grades"),
        (["--eval", "held.jsonl", "-o", "w", "--alpaca-files", "."], 2, "There is no df_gamed.csv"),
        (["--eval", "held.jsonl", "-o", "held.jsonl"], 2, "is an input"),
        (["--eval", "held.jsonl", "-o", "chosen.longest.jsonl"], 4, "is not a folder"),
        (["--eval", "held.jsonl", "-o", "w", "--arm", "random"], 2, "is no arm"),
        (["--eval", "held.jsonl", "-o", "w", "--arm", "a=chosen.longest.jsonl", "--arm", "a=held.jsonl"], 2, "named twice"),
        (["--eval", "chosen.jsonl", "-o", "w"], 3, "which is in the arm selection"),
        (["--eval", "absent.jsonl", "-o", "w"], 3, "absent.jsonl"),
        (["--eval", "held.jsonl", "-o", "w", "--alone", "--results", "other=/nope.json"], 3, "There is no file or folder /nope.json."),
        (["--eval", "held.jsonl", "-o", "w", "--alone", "--checkpoint", "other=/nope"], 3, "There is no file or folder /nope."),
        (["--eval", "held.jsonl"], 2, "The results need a folder."),
        (["--lm-eval", "no_such_task", "--include-path", ".", "-o", "w"], 2, "no_such_task"),
    ],
)
def test_what_cannot_be_verified_is_refused_before_anything_is_trained(
    run: Call, place: Path, arguments: list[str], code: int, said: str
) -> None:
    done = run(*arguments)
    assert done.exit_code == code and said in done.output, done.output
    assert not (place / "w" / "runs").exists() or not list((place / "w" / "runs").glob("*.json"))


def test_a_missing_file_is_named_before_arms_are_counted(run: Call) -> None:
    for arguments, code, message in (
        (["nope.jsonl", "--base", "base", "--eval", "held.jsonl"], 3, "There is no file or folder nope.jsonl."),
        (["--results", "selection=/nope.json"], 3, "There is no file or folder /nope.json."),
        (["nope.toml"], 2, "There is no file nope.toml."),
    ):
        run_there = CliRunner().invoke(app, ["verify", *arguments, "-o", "w"])
        assert run_there.exit_code == code and message in run_there.stderr, run_there.output


def test_evaluation_rows_that_render_like_trained_ones_are_refused_or_stand_in_verdict_and_report(run: Call, place: Path) -> None:
    trained = [json.loads(line) for line in (place / "chosen.jsonl").read_text().splitlines()]
    blank = [{**row, "output": row["output"] + " "} for row in trained[:3]]
    other = [{"instruction": trained[4]["instruction"].upper(), "output": "Nothing of the kind."}]
    (place / "blank.jsonl").write_text("".join(json.dumps(row) + "\n" for row in [*blank, *other]) + (place / "held.jsonl").read_text())
    refused = run("--eval", "blank.jsonl", "-o", "contaminated")
    assert refused.exit_code == 3 and not (place / "contaminated" / "runs").exists(), refused.output
    flowing = " ".join(refused.stderr.split())
    assert "3 of 16 examples of blank.jsonl are in the arm selection" in flowing and "blank.jsonl:1 (chosen.jsonl:1)" in flowing
    allowed = run("--eval", "blank.jsonl", "-o", "contaminated", "--allow-contamination")
    assert allowed.exit_code == 0, allowed.output
    said = " ".join(allowed.stdout.split())
    assert "Contamination: the arm selection was trained on evaluation rows." in said and "blank.jsonl:1 (chosen.jsonl:1)" in said
    assert "allow_contamination = true" in (place / "contaminated" / "plan.toml").read_text()
    (selection, random) = json.loads((place / "contaminated" / "verdict.json").read_text())["contamination"]
    assert (selection["where"], selection["examples"], selection["same"], selection["instruction"]) == ("the arm selection", 16, 3, 1)
    assert selection["places"]["same"][0] == ["blank.jsonl:1", "chosen.jsonl:1"]
    assert (random["where"], random["same"], random["instruction"], random["response"]) == ("the arm random", 0, 0, 0)
    page = CliRunner().invoke(app, ["report", "contaminated", "-o", "contaminated.html"])
    assert page.exit_code == 0, page.output
    assert "Contamination: the arm selection was trained on evaluation rows." in " ".join(page.output.split())
    html = (place / "contaminated.html").read_text()
    assert "Contamination: evaluation examples in the rows to train on" in html and "blank.jsonl:1 in chosen.jsonl:1" in html


def test_documents_of_a_task_that_are_trained_on_are_refused_or_stand_in_verdict_and_report(run: Call, place: Path) -> None:
    from instructsel.adapters.lm_eval.own_task import Generation, write_task

    trained = [json.loads(line) for line in (place / "chosen.jsonl").read_text().splitlines()]
    asked = [{"prompt": f"Question: {row['instruction']} Answer:", "answer": row["output"].upper()} for row in trained[:3]]
    asked += [{"prompt": f"Question: Name {n} birds. Answer:", "answer": f"bird {n}"} for n in range(5)]
    (place / "asked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in asked))
    write_task(place / "asked.jsonl", place / "tasks", name="asking", kind=Generation(max_new_tokens=2))
    grading = ["--lm-eval", "asking", "--gold-bits", "lm-eval", "--include-path", "tasks", "-o", "of-task"]
    refused = run(*grading)
    assert refused.exit_code == 3 and not (place / "of-task" / "runs").exists(), refused.output
    flowing = " ".join(refused.stderr.split())
    assert "3 of 8 documents of asking are in the arm selection" in flowing and "(chosen.jsonl:1)" in flowing
    allowed = run(*grading, "--allow-contamination")
    assert allowed.exit_code == 0, allowed.output
    said = " ".join(allowed.stdout.split())
    assert "Contamination: the arm selection was trained on evaluation rows." in said and "(chosen.jsonl:1)" in said
    (selection, random) = json.loads((place / "of-task" / "verdict.json").read_text())["contamination"]
    assert (selection["evaluation"], selection["examples"], selection["same"], selection["task"]) == ("asking", 8, 3, True)
    assert (random["where"], random["same"], random["instruction"], random["response"]) == ("the arm random", 0, 0, 0)
    page = CliRunner().invoke(app, ["report", "of-task", "-o", "of-task.html"])
    assert page.exit_code == 0, page.output
    (ours, theirs), *_ = selection["places"]["same"]
    assert ours.startswith("asking doc ") and f"{ours} in {theirs}" in (place / "of-task.html").read_text()


def test_a_verdict_at_several_learning_rates_takes_over_what_is_finished_and_says_whether_it_depends(run: Call, place: Path) -> None:
    first = run("--eval", "held.jsonl", "-o", "rates", "--json")
    assert first.exit_code == 0, first.output
    alone = json.loads(first.stdout)
    before = {path.name for path in (place / "rates" / "runs").glob("*.json")}
    # Some of the runs, then the others: the same loop, the same records.
    part = run("--eval", "held.jsonl", "-o", "rates", "--learning-rates", "1,0.01", "--limit", "3")
    assert part.exit_code == 0 and "learning rates 1.0 → 1.0, 0.01" in " ".join(part.stderr.split()), part.output
    pending = json.loads((place / "rates" / "verdict.json").read_text())
    assert len(pending["learning_rates"]["rates"][1]["pending"]) == 5 and pending["outcome"] == "not enough data"
    assert run("--eval", "held.jsonl", "-o", "rates", "--learning-rates", "1,0.01", "--require", "better", "--limit", "0").exit_code == 1
    done = run("--eval", "held.jsonl", "-o", "rates", "--learning-rates", "1,0.01")
    assert done.exit_code == 0, done.output
    after = {path.name for path in (place / "rates" / "runs").glob("*.json")}
    assert before < after and len(after) == len(before) + 8
    verdict = json.loads((place / "rates" / "verdict.json").read_text())
    content = verdict["learning_rates"]
    assert [(rate["multiple"], rate["learning_rate"]) for rate in content["rates"]] == [(1.0, 1e-3), (0.01, 1e-5)]
    ours, theirs = (rate["verdicts"]["verdicts"] for rate in content["rates"])
    of_random = [next(one for one in verdicts if one["baseline"] == "random")["interval"] for verdicts in (ours, theirs)]
    assert (
        of_random[0]["estimate"]
        == next(one for one in alone["verdicts"]["verdicts"] if one["baseline"] == "random")["interval"]["estimate"]
    )
    assert of_random[0]["estimate"] != of_random[1]["estimate"]
    # The intervals hold together: each at a confidence that leaves room for the other.
    assert all(rate["verdicts"]["verdicts"][0]["confidence"] == pytest.approx(0.975) for rate in content["rates"])
    (statement,) = [entry["statement"] for entry in content["dependence"]]
    said = " ".join(done.stdout.split())
    assert statement in said and "times the learning rate" in statement and max(map(len, done.stdout.split("\n"))) <= 80
    assert (place / "rates" / "verification.0.01x.parquet").exists()
    assert "learning_rates" in (place / "rates" / "plan.toml").read_text()
    # The same in one go, by two processes: the same bytes but for times.
    whole = run("--eval", "held.jsonl", "-o", "rates2", "--learning-rates", "1,0.01", "--jobs", "2")
    assert whole.exit_code == 0, whole.output
    for name in ("verification.parquet", "verification.0.01x.parquet"):
        assert (place / "rates" / name).read_bytes() == (place / "rates2" / name).read_bytes()
    other = json.loads((place / "rates2" / "verdict.json").read_text())
    assert other["learning_rates"] == content
    page = CliRunner().invoke(app, ["report", "rates", "-o", "rates.html"])
    assert page.exit_code == 0 and "The comparisons at every learning rate" in (place / "rates.html").read_text()
    # Fewer rates than stand in the folder would replace them.
    assert run("--eval", "held.jsonl", "-o", "rates").exit_code == 2


def test_results_of_another_plan_are_replaced_only_with_force_and_more_of_the_same_is_added(run: Call, place: Path) -> None:
    first = run("--eval", "held.jsonl", "-o", "kept")
    assert first.exit_code == 0 and "plan.toml is replaced" not in first.stderr
    written = {name: (place / "kept" / name).read_bytes() for name in ("plan.toml", "verdict.json")}
    rows(place / "second.jsonl", 6000, 4, asked="Name")
    for arguments, change in (
        (["--steps", "2"], "steps 1 → 2"),
        (["--preset", "paper-v1"], "preset tiny → paper-v1"),
        (["--seeds", "1"], "seeds 2 → 1"),
        (["--alone", "--arm", "random=chosen.longest.jsonl,chosen.random-seed1.jsonl,chosen.random-seed2.jsonl"], "other rows of random"),
        (["--no-base-model"], "no arm base"),
        (["--alone", "--arm", "other=chosen.longest.jsonl"], "no arm random"),
    ):
        done = run("--eval", "held.jsonl", "-o", "kept", *arguments)
        assert done.exit_code == 2 and f"kept has the results of another plan: {change}" in done.stderr, done.output
        assert "--force" in done.stderr
    done = run("--eval", "second.jsonl", "-o", "kept")
    assert done.exit_code == 2 and "other held-out rows" in done.stderr
    assert {name: (place / "kept" / name).read_bytes() for name in written} == written
    more = run("--eval", "held.jsonl", "--eval", "second.jsonl", "--arm", "longest=chosen.longest.jsonl", "--seeds", "3", "-o", "kept")
    assert more.exit_code == 0, more.output
    assert "plan.toml is replaced: seeds 2 → 3, arm longest added, held-out files 1 → 2." in more.stderr
    forced = run("--eval", "held.jsonl", "-o", "kept", "--seeds", "1", "--force")
    assert forced.exit_code == 0 and "seeds = 1" in (place / "kept" / "plan.toml").read_text()
    # The plan in the folder needs no -o, and prints nothing but errors with -q.
    again = CliRunner().invoke(app, ["verify", "kept/plan.toml", "-q"])
    assert again.exit_code == 0 and again.output == "", again.output


def test_models_that_are_trained_already_are_an_arm(run: Call, place: Path) -> None:
    tiny.causal(place / "other", "llama", seed=3)
    done = run("--eval", "held.jsonl", "-o", "with-models", "--checkpoint", "other=other", "--baseline", "other", "--json")
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["arms"]["other"] == {"0": [0]} and json.loads(done.stdout)["against"] == "other"


def test_fewer_than_three_random_subsets_are_warned_of(run: Call) -> None:
    done = run("--eval", "held.jsonl", "-o", "few", "--alone", "--arm", "random=chosen.random-seed0.jsonl", "--no-base-model")
    assert done.exit_code == 0 and "warning: 1 random subset;" in done.stderr


def test_a_margin_is_asked_of_the_grader_it_is_given_for(run: Call) -> None:
    given = ["--eval", "held.jsonl", "-o", "v", "--require", "non-inferior"]
    assert run(*given, "--margin", "loss on held=50").exit_code == 0
    told = json.loads(run("--eval", "held.jsonl", "-o", "v", "--json").stdout)["verdicts"]["verdicts"]
    found = next(each for each in told if each["baseline"] == "random")["interval"]
    # The one-sided bound at 95 % lies between the estimate and the end of the two-sided interval: no such margin is shown.
    if found["estimate"] > 0:
        refused = run(*given, "--margin", f"loss on held={found['estimate']}")
        assert refused.exit_code == 1 and f"{found['estimate']:g} on loss on held" in refused.stderr
    else:
        assert run(*given, "--margin", f"loss on held={found['high'] + 1e-6}").exit_code == 0


def test_while_runs_are_left_there_is_no_verdict_and_nothing_is_shown(run: Call, place: Path) -> None:
    given = ["--eval", "held.jsonl", "-o", "left", "--limit", "3"]
    first = run(*given, "--require", "non-inferior", "--margin", "50")
    assert first.exit_code == 1 and "runs are missing" in first.stderr
    told = json.loads(run(*given, "--json").stdout)
    assert told["pending"] and told["outcome"] == "not enough data" and told["missing"]["random"] > 0
    # Nine runs, three a call: the third finishes them.
    assert len(told["pending"]) == 3
    spoken = run(*given)
    assert spoken.exit_code == 0 and "the verdict is without" not in spoken.stdout
    assert "6 of 9 runs were finished before." in spoken.stderr
    last = json.loads(run("--eval", "held.jsonl", "-o", "left", "--json").stdout)
    assert not last["pending"] and not last["missing"]
    # What was said before the first run is what was assumed then, though more is known now.
    assert last["power"] == told["power"] and last["power"][0]["assumed"] and last["power"][0]["before"]
    # Of other items it is another statement, and it was not made before the first run.
    rows(place / "other.jsonl", 4000, 20, asked="Name")
    other = json.loads(run("--eval", "other.jsonl", "-o", "left", "--json", "--force").stdout)["power"]
    assert [(each["plan"]["items"], each["before"]) for each in other] == [(20, False)]


def test_settings_may_stand_in_a_file_as_the_flags_are_called(run: Call, place: Path) -> None:
    file = place / "instructsel.toml"
    try:
        file.write_text('[verify]\neval = ["held.jsonl"]\nno-such = 1\n')
        refused = run("-o", "v")
        assert refused.exit_code == 2 and "no-such" in refused.output
        file.write_text('[verify]\neval = ["held.jsonl"]\n')
        assert run("-o", "v").exit_code == 0
        file.write_text("verify = 3\n")
        assert "[verify]" in run("-o", "v").output
        file.write_text('[report]\ntitel = "x"\n')
        refused = CliRunner().invoke(app, ["report", "v", "-o", "page.html"])
        assert refused.exit_code == 2 and "Did you mean 'title'" in refused.output
    finally:
        file.unlink()


def test_the_baselines_that_select_recorded_are_the_arms_and_a_file_that_changed_since_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    invoke = lambda *given: CliRunner().invoke(app, list(given))  # noqa: E731
    rows(tmp_path / "a.jsonl", 0, 30)
    rows(tmp_path / "c[1].longest.jsonl", 500)
    assert invoke("score", "a.jsonl", "--indicators", "len", "--no-cache", "-q").exit_code == 0
    select = ("select", "--rule", "longest", "--keep-near-duplicates", "-q", "a.scores.parquet", "-o", "c[1].jsonl")
    assert invoke(*select, "--n", "20", "--random-subsets", "3").exit_code == 0
    # Names with characters of a pattern are names; somebody else's file of a like name is no baseline.
    found = baselines_of("c[1].jsonl")
    assert {arm: [Path(file).name for (file,) in files] for arm, files in found.items()} == {
        "random": ["c[1].random-seed0.jsonl", "c[1].random-seed1.jsonl", "c[1].random-seed2.jsonl"]
    }
    # Selected again without baselines: those of the first time are none of this selection.
    before = (tmp_path / "c[1].random-seed0.jsonl").read_bytes()
    assert invoke(*select, "--n", "10").exit_code == 0
    assert baselines_of("c[1].jsonl") == {}
    assert invoke(*select, "--n", "20", "--random-subsets", "1").exit_code == 0
    (tmp_path / "c[1].random-seed0.jsonl").write_bytes(before + b"{}\n")
    with pytest.raises(UsageError, match="has changed since it was selected"):
        baselines_of("c[1].jsonl")
    assert baselines_of("a.jsonl") == {}


def test_a_selection_of_all_rows_is_not_compared_with_the_same_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    invoke = lambda *given: CliRunner().invoke(app, list(given))  # noqa: E731
    rows(tmp_path / "a.jsonl", 0, 10)
    rows(tmp_path / "held.jsonl", 900, 4)
    tiny.causal(tmp_path / "base", "llama")
    assert invoke("score", "a.jsonl", "--indicators", "len", "--no-cache", "-q").exit_code == 0
    select = ("select", "--rule", "longest", "--keep-near-duplicates", "-q", "a.scores.parquet", "-o", "c.jsonl")
    assert invoke(*select, "--n", "2000", "--random-subsets", "2").exit_code == 0
    done = invoke("verify", "c.jsonl", "--base", "base", "--preset", "tiny", "--eval", "held.jsonl", "-o", "v")
    assert done.exit_code == 2 and "The selection and random hold the same 10 rows" in done.stderr, done.output
