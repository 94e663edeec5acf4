"""Plans: what is written is what is read, what cannot be is refused, and Python does with a plan what the command does."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from typer.testing import CliRunner

import instructsel
from instructsel.artifact import dump_json, fingerprint
from instructsel.commands import app
from instructsel.commands._groups import docs_of
from instructsel.errors import EnvironmentFault, StudyError, UsageError
from instructsel.experiments.execute import ExecutionSettings
from instructsel.experiments.plan import Experiment, GradingSettings, PlannedArm, StatisticsSettings, TrainingSettings
from instructsel.experiments.trusted import OFF, REACHING
from instructsel.verification.experiment import _earlier, _worker
from instructsel.verification.planned import first_plan
from instructsel.verification.results import check_results_replaced, read_verdict
from tests import tiny
from tests.commands.test_verify_command import rows

ARMS = (
    PlannedArm("selection", rows=(("chosen.jsonl",),)),
    PlannedArm("random", pool=("pool.jsonl",), random_subsets=2),
    PlannedArm("mine", checkpoints=(("org/model", "other"),)),
    PlannedArm("done", results=(("results.json",),)),
    PlannedArm("base", base_model=True),
)


def plan(**changes: Any) -> Experiment:
    settings: dict[str, Any] = {
        "arms": ARMS,
        "seeds": 2,
        "training": TrainingSettings(base="org/base", preset="tiny", recipe={"steps": 1, "learning_rate": 1e-4}, match_compute="tokens"),
        "grading": GradingSettings(held_out=("held.jsonl",), instructions="asked.jsonl", judge="org/judge", items=5),
        "statistics": StatisticsSettings(require="non-inferior", margin=("loss on held=0.02",), pilot=Path("pilot.parquet")),
        "digests": {"selection 0": "ab"},
    }
    return Experiment(**{**settings, **changes})


def test_a_plan_is_read_as_it_was_written(tmp_path: Path) -> None:
    for name in ("chosen.jsonl", "held.jsonl", "other"):
        (tmp_path / name).touch()
    resolved = plan().resolved(tmp_path)
    # Files hold from everywhere; a name on the hub is no file.
    assert resolved.arms[0].rows == ((str(tmp_path / "chosen.jsonl"),),)
    assert resolved.arms[2].checkpoints == (("org/model", str(tmp_path / "other")),)
    assert (resolved.training.base, resolved.grading.judge) == ("org/base", "org/judge")
    resolved.write(tmp_path / "plan.toml")
    assert Experiment.read(tmp_path / "plan.toml") == resolved
    # Files below the plan are named relative to it, so that the folder may be moved.
    assert str(tmp_path) not in (tmp_path / "plan.toml").read_text()
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    tmp_path.rename(moved)
    assert Experiment.read(moved / "plan.toml").arms[0].rows == ((str(moved / "chosen.jsonl"),),)
    moved.rename(tmp_path)


def test_rows_of_a_plan_written_by_hand_may_be_plain_names(tmp_path: Path) -> None:
    (tmp_path / "plan.toml").write_text(
        'kind = "experiment"\nschema = 1\n[[arms]]\nname = "selection"\nrows = "a.jsonl"\n'
        '[[arms]]\nname = "random"\nrows = ["b.jsonl", "c.jsonl"]\n[training]\nbase = "org/base"\nmax_skipped_fraction = 1\n'
    )
    found = Experiment.read(tmp_path / "plan.toml")
    assert [len(arm.rows) for arm in found.arms] == [1, 2] and found.training.max_skipped_fraction == 1.0


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("[trainig]\n", "Did you mean 'training'"),
        ('[training]\nbsae = "x"\n', "Did you mean 'base'"),
        ("[training]\nbase = 3\n", "training.base of a plan is a text; found 3"),
        ('[training]\nbase = "x"\nmatch_compute = "epochs"\n', "There is no measure of equal compute 'epochs'"),
        ('[training]\nbase = "x"\n[statistics]\nconfidence = 95\n', "The confidence is 95.0"),
        ('[training]\nbase = "x"\n[grading]\njudge = "x"\n', "nothing for it to judge"),
        ("", "no model"),
        ("seeds = 0\n", "seeds is 0; 1 or more is expected"),
        ("[grading]\nitems = -3\n", "items is -3; 1 or more"),
        ("[grading]\nnum_fewshot = -1\n", "num_fewshot is -1; 0 or more"),
        ("[grading]\nmax_new_tokens = 0\n", "max_new_tokens is 0; 1 or more"),
        ('[training]\nbase = "x"\ndevice = "tpu"\n', "There is no device 'tpu'"),
        ('[training]\nbase = "x"\nprecision = "fp8"\n', "There is no precision 'fp8'"),
        ('[[arms]]\nname = "other"\nrows = "c.jsonl"\nrandom_subsets = -1\n', "random_subsets is -1; 0 or more"),
    ],
)
def test_a_plan_that_cannot_be_is_refused(tmp_path: Path, line: str, said: str) -> None:
    arms = '[[arms]]\nname = "selection"\nrows = "a.jsonl"\n[[arms]]\nname = "random"\nrows = "b.jsonl"\n'
    head = 'kind = "experiment"\nschema = 1\n'
    (tmp_path / "plan.toml").write_text(head + (line + arms if not line.startswith("[") else arms + line))
    with pytest.raises(UsageError) as found:
        Experiment.read(tmp_path / "plan.toml")
    assert said in f"{found.value.message} {found.value.fix}"


def test_what_is_no_plan_is_not_read_as_one(tmp_path: Path) -> None:
    for text, said in (
        ("[", "is not the plan of an experiment: it is not readable TOML"),
        ("", "is not the plan"),
        ('kind = "experiment"\nschema = 99', "newer"),
    ):
        (tmp_path / "plan.toml").write_text(text)
        with pytest.raises(UsageError, match=said):
            Experiment.read(tmp_path / "plan.toml")


def test_every_setting_of_a_plan_has_its_line_of_help() -> None:
    for kind in (TrainingSettings, GradingSettings, StatisticsSettings, ExecutionSettings, PlannedArm):
        assert set(kind.__dataclass_fields__) <= set(docs_of(kind))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("plan")
    tiny.causal(folder / "base", "llama")
    rows(folder / "chosen.jsonl", 0)
    rows(folder / "pool.jsonl", 0, 30)
    rows(folder / "held.jsonl", 900, 12, asked="Name")
    return folder


def without_run(folder: Path) -> bytes:
    """A verdict without what was measured with a clock."""
    verdict = json.loads((folder / "verdict.json").read_text())
    assert set(verdict["run"]) == {"costs", "seconds"}
    return dump_json({**verdict, "run": None}, indent=True)


def test_python_gives_byte_for_byte_what_the_command_gives(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    settings = ["--preset", "tiny", "--epochs", "2", "--batch-size", "4", "--seeds", "1", "--device", "cpu", "--random-subsets", "2"]
    command = ["verify", "chosen.jsonl", "--base", "base", *settings, "--pool", "pool.jsonl", "--eval", "held.jsonl", "-o", "command", "-q"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    mine = instructsel.Experiment(
        arms=(
            instructsel.PlannedArm("selection", rows=(("chosen.jsonl",),)),
            instructsel.PlannedArm("random", pool=("pool.jsonl",), random_subsets=2),
            instructsel.PlannedArm("base", base_model=True),
        ),
        seeds=1,
        training=instructsel.TrainingSettings("base", preset="tiny", recipe={"epochs": 2.0, "batch_size": 4}, device="cpu"),
        grading=instructsel.GradingSettings(held_out=("held.jsonl",)),
    )
    result = instructsel.verify(mine, place / "python")
    assert result.outcome == json.loads((place / "command" / "verdict.json").read_text())["outcome"]
    assert without_run(place / "python") == without_run(place / "command")
    # Whoever reads the verdict finds costs and seconds with the rest.
    verdict = read_verdict(place / "python" / "verdict.json")
    assert verdict == result.summary and "run" not in verdict
    assert set(verdict["costs"]) == {"selection", "random", "base"} and all(run["seconds"] > 0 for run in verdict["trained"])
    assert (place / "python" / "verification.parquet").read_bytes() == (place / "command" / "verification.parquet").read_bytes()
    # The plans are the same, too, and running what was written makes nothing twice.
    assert (place / "python" / "plan.toml").read_bytes() == (place / "command" / "plan.toml").read_bytes()
    before = {path.name: path.stat().st_mtime_ns for path in (place / "command" / "runs").iterdir()}
    again = CliRunner().invoke(app, ["verify", "command/plan.toml", "-o", "command", "-q"])
    assert again.exit_code == 0, again.output
    assert {path.name: path.stat().st_mtime_ns for path in (place / "command" / "runs").iterdir()} == before


def test_rows_that_changed_since_the_plan_are_refused_before_anything_is_trained(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    arms = (PlannedArm("selection", rows=(("chosen.jsonl",),)), PlannedArm("random", pool=("pool.jsonl",), random_subsets=1))
    kept = Experiment(
        arms,
        training=TrainingSettings("base", preset="tiny", device="cpu"),
        grading=GradingSettings(held_out=("held.jsonl",)),
        digests={"selection 0": "0" * 32},
    )
    with pytest.raises(StudyError, match="The rows of selection 0 have changed since the plan was made"):
        instructsel.verify(kept, place / "changed")
    assert not (place / "changed").exists()
    same = replace(kept, digests={}, arms=(arms[0], PlannedArm("again", rows=(("chosen.jsonl",),))))
    with pytest.raises(UsageError, match="hold the same 8 rows"):
        instructsel.verify(same, place / "changed")
    with pytest.raises(UsageError, match="is an input"):
        instructsel.verify(replace(kept, digests={}), place / "base")
    with pytest.raises(EnvironmentFault, match="cannot be used"):
        instructsel.verify(replace(kept, digests={}), place / "held.jsonl" / "below")


def test_flags_beside_a_plan_are_refused(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    plan(arms=(ARMS[0], ARMS[1])).write(place / "other.toml")
    done = CliRunner().invoke(app, ["verify", "other.toml", "--seeds", "3", "-o", "x"])
    assert done.exit_code == 2 and "--seeds and a plan exclude each other" in done.stderr


def test_a_verification_replaces_neither_its_inputs_nor_files_of_others(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    results = place / "guarded"
    results.mkdir()
    settings = replace(
        plan(arms=(ARMS[0], ARMS[1])),
        training=TrainingSettings("base", preset="tiny", device="cpu"),
        statistics=StatisticsSettings(pilot=results / "verification.parquet"),
    )
    (results / "verification.parquet").write_bytes(b"pilot")
    with pytest.raises(UsageError, match=r"verification\.parquet is the input .*verification\.parquet; it would be replaced"):
        instructsel.verify(settings, results)
    alone = replace(settings, statistics=StatisticsSettings())
    for name, content in {
        "verification.parquet": "rows of others",
        "plan.toml": 'kind = "project"',
        "verdict.json": '{"kind": "trial"}',
        "power.json": "{}",
    }.items():
        for path in results.iterdir():
            path.unlink()
        (results / name).write_text(content)
        with pytest.raises(UsageError, match=rf"{name} exists and was not written by instructsel verify"):
            instructsel.verify(alone, results)
        assert [path.read_text() for path in results.iterdir()] == [content]


def test_results_of_ours_are_replaced_damaged_and_of_the_last_release_too(tmp_path: Path) -> None:
    check_results_replaced(tmp_path)
    plan(arms=(ARMS[0], ARMS[1])).write(tmp_path / "plan.toml")
    # Killed between the table and its manifest.
    (tmp_path / "verification.parquet").write_bytes(b"PAR1")
    (tmp_path / "verdict.json").write_text('{"kind": "verification", "outc')
    (tmp_path / "power.json").write_bytes(dump_json({"key": "0", "power": []}, indent=True))
    check_results_replaced(tmp_path)
    # What was said before the first run stays, under a file that names no kind and under one that does.
    depends_on = {"seeds": 1}
    (tmp_path / "power.json").write_bytes(dump_json({"key": fingerprint(depends_on), "power": [{"grader": "loss"}]}, indent=True))
    assert first_plan(tmp_path, [], depends_on) == [{"grader": "loss"}]
    assert first_plan(tmp_path, [], {"seeds": 2}) == []
    assert json.loads((tmp_path / "power.json").read_text())["kind"] == "power"
    check_results_replaced(tmp_path)


JUDGED = {"instructions": "asked.jsonl", "judge": "j", "judge_url": "https://judge.example/v1"}
ADDRESS = ["--judge-url", "https://judge.example/v1"]
UNTRUSTED: list[tuple[dict[str, Any], dict[str, Any], list[str], str]] = [
    ({"allow_unsafe_code": True}, {}, ["--allow-unsafe-code"], "has code run that models write"),
    ({"allow_task_code": True}, {}, ["--allow-task-code"], "has code run that tasks and annotators bring along"),
    ({"include_path": Path("tasks")}, {}, ["--include-path", "tasks"], "takes tasks, which may hold code, from"),
    (JUDGED, {}, ADDRESS, "has instructions and responses sent to https://judge.example/v1"),
    (
        {**JUDGED, "judge_key": "TOKEN"},
        {},
        [*ADDRESS, "--judge-key", "TOKEN"],
        "has the environment variable TOKEN sent to https://judge.example/v1",
    ),
    ({"instructions": "asked.jsonl", "annotator": "a"}, {}, ["--annotator", "a"], "judged by the annotator a, which may send them"),
    ({}, {"report_to": "wandb"}, ["--report-to", "wandb"], "has losses sent to the tracker wandb"),
    (
        {},
        {"report_to": "wandb", "project": "theirs"},
        ["--report-to", "wandb", "--project", "theirs"],
        "has the tracker file its runs under theirs",
    ),
]
"""Settings of grading and of training that reach out, the flags that confirm them, and what is said of them."""


@pytest.mark.parametrize(("grading", "training", "flags", "does"), UNTRUSTED)
def test_a_plan_from_a_file_runs_code_and_sends_texts_and_keys_only_where_a_flag_repeats_it(
    place: Path, monkeypatch: pytest.MonkeyPatch, grading: dict[str, Any], training: dict[str, Any], flags: list[str], does: str
) -> None:
    monkeypatch.chdir(place)
    verified: list[Experiment] = []

    def verify(planned: Experiment, *_: Any, **__: Any) -> Any:
        planned.check_confirmed()
        verified.append(planned)
        return SimpleNamespace(summary=None, check=lambda: None)

    monkeypatch.setattr("instructsel.adapters.experiment.verify", verify)
    base = plan(arms=(ARMS[0], ARMS[1]))
    untrusted = replace(
        base, training=replace(base.training, **training), grading=GradingSettings(held_out=("held.jsonl",), **grading)
    ).resolved(place)
    untrusted.write(place / "untrusted.toml")

    def command(*flags: str, path: str = "untrusted.toml", **environment: str) -> Any:
        return CliRunner().invoke(app, ["verify", path, "-o", "untrusted", *flags], env=environment)

    refused = command()
    message = " ".join(refused.output.split())
    assert refused.exit_code == 2 and does in message and f"repeat beside it: {flags[0]}" in message and not verified
    settings = place / "instructsel.toml"
    names = [flag for flag in flags if flag.startswith("--")]
    try:
        # A file of settings may come along with the plan.
        settings.write_text("[verify]\n" + "".join(f"{name[2:]} = {json.dumps(_value_of(flags, name))}\n" for name in names))
        refused = command()
    finally:
        settings.unlink()
    assert refused.exit_code == 2 and "instructsel.toml" in refused.output and not verified
    other = ["--judge-key", "OTHER"] if "--judge-key" not in flags else ["--allow-unsafe-code"]
    assert command(*flags, *other).exit_code == 2
    for name in names:
        if _value_of(flags, name) is not True:
            index = flags.index(name)
            assert command(*flags[:index], *flags[index + 2 :]).exit_code == 2
            assert command(*flags[:index], name, "tensorboard" if name == "--report-to" else "other", *flags[index + 2 :]).exit_code == 2
    done = command(*flags)
    assert done.exit_code == 0 and verified == [untrusted], done.output
    variables = {f"INSTRUCTSEL_VERIFY_{name[2:].replace('-', '_').upper()}": str(_value_of(flags, name)) for name in names}
    assert command(**variables).exit_code == 0
    # Workers read the plan from its file, too.
    prepared = cast(Any, SimpleNamespace(folder=place, plan=untrusted))
    assert command(*_worker(prepared, ExecutionSettings(), 0.0, None)[-len(flags) :]).exit_code == 0
    plan(arms=(ARMS[0], ARMS[1]), grading=GradingSettings(held_out=("held.jsonl",))).write(place / "harmless.toml")
    assert "does not hold it" in " ".join(command(*flags, path="harmless.toml").output.split())
    # What is set for all runs contradicts no plan that does without.
    assert command(path="harmless.toml", **variables).exit_code == 0


def _value_of(flags: list[str], name: str) -> Any:
    """What stands behind a flag; true where nothing does."""
    following = flags[flags.index(name) + 1 : flags.index(name) + 2]
    return following[0] if following and not following[0].startswith("--") else True


@pytest.mark.parametrize(("grading", "training", "flags", "does"), UNTRUSTED)
def test_a_plan_that_was_read_sends_nothing_and_runs_no_code_in_python_until_it_is_confirmed(
    place: Path, monkeypatch: pytest.MonkeyPatch, grading: dict[str, Any], training: dict[str, Any], flags: list[str], does: str
) -> None:
    monkeypatch.chdir(place)
    base = plan(arms=(ARMS[0], ARMS[1]))
    made_here = replace(base, training=replace(base.training, **training), grading=GradingSettings(held_out=("held.jsonl",), **grading))
    made_here.check_confirmed()
    made_here.write(place / "theirs.toml")
    for read in (Experiment.read(place / "theirs.toml"), Experiment.of(made_here.as_dict())):
        with pytest.raises(UsageError, match=re.escape(does)) as refused:
            instructsel.verify(read, place / "never")
        # Nothing of it is lost on the way: not by a change of something else, and not by another folder.
        for changed in (replace(read, seeds=1), read.resolved(place)):
            with pytest.raises(UsageError, match=re.escape(does)):
                changed.check_confirmed()
        confirmed = eval(refused.value.fix.partition("plan = ")[2], {"plan": read})
        confirmed.check_confirmed()
        assert confirmed == read and not (place / "never").exists()
        with pytest.raises(UsageError, match="There is no setting 'seeds'"):
            read.confirmed(seeds=3)
    assert "origin" not in (place / "theirs.toml").read_text()
    with pytest.raises(UsageError, match="origin"):
        Experiment.of({**made_here.as_dict(), "origin": "here"})


def test_every_setting_of_a_plan_is_classed_as_reaching_out_or_not() -> None:
    """A new setting of training or grading that sends something belongs into `trusted`; one that does not, here."""
    training = ("base", "revision", "preset", "recipe", "match_compute", "max_skipped_fraction", "precision", "device", "learning_rates")
    sources = ("held_out", "loss_unit", "lm_eval", "gold_bits", "instructions", "alpaca_files", "reward", "judge", "judge_revision")
    harmless = {*training, *sources, "num_fewshot", "chat_template", "items", "max_new_tokens", "allow_contamination"}
    named = {setting.name for kind in (TrainingSettings, GradingSettings) for setting in fields(kind)}
    assert named == harmless | REACHING.keys() and not harmless & REACHING.keys() and REACHING.keys() == OFF.keys()


@pytest.mark.parametrize("settings", [{"jobs": 0}, {"limit": -1}])
def test_runs_are_made_by_a_process_or_more(settings: dict[str, int]) -> None:
    with pytest.raises(UsageError, match="or more is expected"):
        ExecutionSettings(**settings)


@pytest.mark.parametrize(
    ("flag", "value"), [("--items", "0"), ("--num-fewshot", "-1"), ("--max-new-tokens", "0"), ("--jobs", "0"), ("--limit", "-1")]
)
def test_the_least_that_an_option_takes_is_that_of_its_field(flag: str, value: str) -> None:
    refused = CliRunner().invoke(app, ["verify", "chosen.jsonl", flag, value, "-o", "x"])
    least = int(value) + 1
    assert refused.exit_code == 2 and f"{flag} is {value}; it is a whole number from {least}" in refused.output


def test_runs_that_failed_are_no_results_of_another_plan(tmp_path: Path) -> None:
    plan(arms=(ARMS[0], ARMS[1])).write(tmp_path / "plan.toml")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "selection-draw0-seed0.failed.json").write_text("{}")
    assert _earlier(tmp_path) is None
    (tmp_path / "runs" / "selection-draw0-seed1.json").write_text("{}")
    assert _earlier(tmp_path) is not None
