"""instructsel verify with models of other tokenizers: bits per byte, or an end with exit code 3."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from instructsel.experiments.plan import Experiment, GradingSettings, named_file
from tests.grading.test_bits_per_byte import coarse
from tests.grading.test_held_out_loss import ROWS, model
from tests.verification.test_loss_unit import trained

Call = Callable[..., Any]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("verify")
    for seed in range(2):
        trained(model(folder / f"words{seed}"), seed, 2)
        trained(coarse(folder / f"bytes{seed}"), seed, 12)
        trained(model(folder / f"more{seed}"), seed, 3)
    rows = [
        {"instruction": f"{prompt} {number}", "output": response, "category": "cooking" if "boil" in prompt else "other"}
        for number in range(5)
        for prompt, response in ROWS
    ]
    (folder / "held.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture
def run(place: Path, monkeypatch: pytest.MonkeyPatch) -> Call:
    monkeypatch.chdir(place)

    def command(other: str, *arguments: str) -> Any:
        arms = ["--checkpoint", "selection=words0+words1", "--checkpoint", f"random={other}0+{other}1"]
        return CliRunner().invoke(app, ["verify", *arms, "--device", "cpu", "--eval", "general=held.jsonl", *arguments])

    return command


def test_other_tokenizers_are_compared_in_bits_per_byte_with_both_units_sources_and_what_is_known_of_losses(run: Call, place: Path) -> None:
    record = json.loads(run("bytes", "-o", "v", "--json").stdout)
    scale = record["graders"]["loss on general"]
    assert scale["unit"] == "bits per byte" and "the tokenizer of" in scale["unit_note"]
    assert record["outcome"] == "better" and record["rests_on_loss"]["share"] == 0.628
    for mean in scale["means"]:
        assert mean["bits_per_byte"] > 0 and mean["nats_per_token"] > 0
    by_arm = {mean["arm"]: mean for mean in scale["means"]}
    # Per token the other side seems better, which is what is not to be believed.
    assert by_arm["random"]["nats_per_token"] < by_arm["selection"]["nats_per_token"]
    assert by_arm["random"]["bits_per_byte"] > by_arm["selection"]["bits_per_byte"]
    assert [part["source"] for part in record["sources"]["parts"]] == ["cooking", "other"]
    assert json.loads((place / "v" / "verdict.json").read_text())["rests_on_loss"]["statement"] == record["rests_on_loss"]["statement"]
    flowing = " ".join(run("bytes", "-o", "v").stdout.split())
    for said in (
        "(bits per byte, lower is better)",
        "nats/token bits/byte",
        "by source (adjusted for 2)",
        "In bits per byte: the tokenizer",
        "loss alone",
    ):
        assert said in flowing
    done = CliRunner().invoke(app, ["report", "v", "-o", "r.md"])
    page = (place / "r.md").read_text() if done.exit_code == 0 else done.output
    for said in (
        "By source of the evaluation set",
        "bits per byte, all items together",
        "In bits per byte: the tokenizer",
        "rests on loss alone",
    ):
        assert said in page


def test_a_loss_per_token_is_refused_before_any_model_is_graded_and_the_message_names_both(run: Call, place: Path) -> None:
    refused = run("bytes", "--loss-unit", "nats-per-token", "-o", "refused")
    flowing = " ".join(refused.output.split())
    assert (
        refused.exit_code == 3
        and "per token: the tokenizer of selection (replicate 0, seed 0) and random (replicate 0, seed 0) differs" in flowing
    )
    assert "--loss-unit bits-per-byte" in flowing and not (place / "refused" / "runs").exists()
    assert run("bytes", "--loss-unit", "bits", "-o", "refused").exit_code == 2


def test_a_margin_for_a_loss_that_changes_its_unit_is_refused_until_the_unit_is_said(run: Call) -> None:
    asked = ["--require", "non-inferior", "--margin", "0.5", "-o", "margin"]
    refused = run("bytes", *asked)
    assert refused.exit_code == 2 and "A margin is a number in the unit of a loss" in " ".join(refused.output.split())
    assert run("bytes", *asked, "--loss-unit", "bits-per-byte").exit_code == 0
    assert run("more", *asked[:-1], "same").exit_code in (0, 1)


def test_the_unit_is_changed_without_grading_anew(run: Call, place: Path) -> None:
    first = json.loads(run("more", "-o", "w", "--json").stdout)
    before = {path.name: path.read_bytes() for path in (place / "w" / "runs").glob("*.json")}
    second = json.loads(run("more", "--loss-unit", "bits-per-byte", "-o", "w", "--json").stdout)
    assert first["graders"]["loss on general"]["unit"] == "nats per token" and "unit_note" not in first["graders"]["loss on general"]
    assert second["graders"]["loss on general"]["unit"] == "bits per byte"
    assert before and {path.name: path.read_bytes() for path in (place / "w" / "runs").glob("*.json")} == before
    assert Experiment.read(place / "w" / "plan.toml").grading.unit == "bits per byte"


def test_a_plan_keeps_the_skill_of_a_file_and_a_file_s_own_equals_sign_names_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from instructsel.experiments.plan import PlannedArm

    monkeypatch.chdir(tmp_path)
    (tmp_path / "a=b.jsonl").write_text("")
    (tmp_path / "held.jsonl").write_text("")
    arms = PlannedArm("selection", results=(("x",),)), PlannedArm("random", results=(("y",),))
    plan = Experiment(arms, grading=GradingSettings(held_out=("math=held.jsonl", "a=b.jsonl"), loss_unit="bits-per-byte")).resolved(
        tmp_path
    )
    assert plan.grading.held_out == (f"math={tmp_path / 'held.jsonl'}", str(tmp_path / "a=b.jsonl"))
    plan.write(tmp_path / "plan.toml")
    assert '"math=held.jsonl"' in (tmp_path / "plan.toml").read_text() and '"./a=b.jsonl"' in (tmp_path / "plan.toml").read_text()
    monkeypatch.chdir(tmp_path.parent)
    again = Experiment.read(tmp_path / "plan.toml")
    assert again.grading == plan.grading and again.files == (str(tmp_path / "held.jsonl"), str(tmp_path / "a=b.jsonl"))
    assert named_file("=x") == ("", "=x") and named_file("x=") == ("", "x=")
