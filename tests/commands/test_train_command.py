"""instructsel train: a fine-tune with its audit, and what is said of one that is finished."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from instructsel.commands import app
from tests import tiny
from tests.commands.test_verify_command import rows
from tests.delivery.test_schemas import check
from tests.templates import FAMILIES

pytestmark = pytest.mark.usefixtures("trainer_loaded")


def test_evaluation_rows_that_are_trained_on_are_refused_before_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.causal(tmp_path / "base", "llama")
    rows(tmp_path / "chosen.jsonl", 0)
    trained = [json.loads(line) for line in Path("chosen.jsonl").read_text().splitlines()]
    Path("held.jsonl").write_text("".join(json.dumps({**row, "output": row["output"].upper() + "\n"}) + "\n" for row in trained[:2]))
    command = ["train", "chosen.jsonl", "--base", "base", "--preset", "tiny", "--steps", "1", "--device", "cpu", "-o", "tuned"]
    refused = CliRunner().invoke(app, [*command, "--eval", "held.jsonl"])
    assert refused.exit_code == 3 and "held.jsonl:1 (chosen.jsonl:1)" in " ".join(refused.stderr.split()), refused.output
    assert not Path("tuned").exists()
    # Of an audit too: nothing is trained there, and the set is the same.
    assert CliRunner().invoke(app, [*command, "--eval", "held.jsonl", "--audit"]).exit_code == 3
    check("train-audit", json.loads(CliRunner().invoke(app, [*command, "--audit", "--json"]).stdout))
    allowed = CliRunner().invoke(app, [*command, "--eval", "held.jsonl", "--allow-contamination", "--json"])
    assert allowed.exit_code == 0, allowed.output
    assert json.loads(allowed.stdout)["contamination"]["same"] == 2
    check("train", json.loads(allowed.stdout))


def test_a_finished_fine_tune_is_said_to_be_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.causal(tmp_path / "base", "llama")
    rows(tmp_path / "chosen.jsonl", 0)
    rows(tmp_path / "held.jsonl", 900, 4, asked="Name")
    settings = ("--base", "base", "--preset", "tiny", "--steps", "1", "--weight-decay", "0.01", "--device", "cpu")
    command = ["train", "chosen.jsonl", *settings, "--eval", "held.jsonl", "-o", "tuned", "--json"]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    summary = json.loads(first.stdout)
    assert summary["trained_now"] and summary["trainer"]["recipe"]["weight_decay"] == 0.01 and summary["held_out_loss"]["examples"] == 4
    assert "nothing was trained now" not in first.stderr
    again = CliRunner().invoke(app, command)
    assert (
        again.exit_code == 0
        and "tuned holds this fine-tune, finished before; nothing was trained now, and these are its figures:" in again.stderr
    )
    assert {**json.loads(again.stdout), "trained_now": True} == summary


def test_rows_beyond_the_context_are_cut_and_said_by_every_command_that_trains(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    tiny.causal(tmp_path / "base", "gpt2", n_positions=64)
    for name, start in (("chosen", 0), ("other", 100), ("held", 900)):
        long = [{"instruction": f"Say {n} of them.", "output": f"number {n} " * (40 if n % 2 else 2)} for n in range(start, start + 8)]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in long))
    base = ["--base", "base", "--preset", "tiny", "--device", "cpu"]

    def done(*arguments: str) -> str:
        result = CliRunner().invoke(app, list(arguments))
        assert result.exit_code == 0, result.output
        return " ".join(f"{result.stdout} {result.stderr}".split())

    sentence = "Rows are cut at 64 tokens, the context of base"
    trained = done("train", "chosen.jsonl", *base, "--steps", "1", "-o", "tuned", "--eval", "held.jsonl")
    assert sentence in trained and "truncated: 4 rows" in trained
    verified = done(
        *("verify", "chosen.jsonl", "--arm", "random=other.jsonl", *base, "--steps", "1", "--seeds", "1", "--eval", "held.jsonl", "-o", "v")
    )
    assert sentence in verified and "50.0%" in verified
    audited = done("audit", "chosen.jsonl", "--base", "base")
    assert "beyond-context: 4 rows (the context is 64 tokens)" in audited
    done("score", "chosen.jsonl", "--indicators", "len", "-o", "chosen.scores.parquet")
    design = ("--mixtures", "2", "--rows", "4")
    planned = done(
        "study",
        "plan",
        "chosen.jsonl",
        "--scores",
        "chosen.scores.parquet",
        "--eval",
        "held.jsonl",
        *base,
        "--steps",
        "1",
        *design,
        "-o",
        "study",
    )
    assert sentence in planned and "truncated: 4 rows" in planned


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "Name one with --base"),
        (["--base", "base", "-o", "base"], 2, "The output base is an input"),
        (["--base", "base", "-o", "chosen.jsonl/x"], 4, "is not a folder"),
        (["--base", "base", "--bits", "3"], 2, "--bits is 8, 4 or none"),
        (["--base", "base", "--warmup", "2"], 2, "--warmup is 2; it is a number from 0 to 1"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], code: int, said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "base").mkdir()
    rows(tmp_path / "chosen.jsonl", 0)
    done = CliRunner().invoke(app, ["train", "chosen.jsonl", "--device", "cpu", *arguments])
    assert done.exit_code == code and said in done.output, done.output


def test_the_fix_for_a_template_that_rewrites_earlier_turns_helps(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    FAMILIES["qwen3"].base(tmp_path / "base")
    turns = [("user", "how do i boil an egg"), ("assistant", "in water"), ("user", "how long"), ("assistant", "eight minutes")]
    row = {"messages": [{"role": role, "content": text} for role, text in turns]}
    Path("chosen.jsonl").write_text(
        "".join(json.dumps({"messages": [*row["messages"], *row["messages"][: 2 * n]]}) + "\n" for n in range(3))
    )
    settings = ("--base", "base", "--preset", "tiny", "--steps", "1", "--device", "cpu", "-o", "tuned")
    refused = CliRunner().invoke(app, ["train", "chosen.jsonl", *settings, "--loss", "assistant"])
    output = " ".join(refused.output.split())
    assert refused.exit_code == 3 and "3 not_a_prefix" in output, output
    # What is printed, as it is printed.
    (flag, value) = re.findall(r"[Ss]et (--loss) (\w+)", output)[0]
    done = CliRunner().invoke(app, ["train", "chosen.jsonl", *settings, flag, value])
    assert done.exit_code == 0, done.output
